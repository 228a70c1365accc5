package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Begin puts on record what is about to be written: what was approved under its proposal, everything else under a Remediation
// of its own.
func (l *ledger) Begin(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	made := l.all(p, engine.Ruling{Approved: true})
	if p.Approved {
		return made, l.beginApproved(ctx, p)
	}
	for rest := changesOf(p); len(rest) > 0; {
		changes := fitting(rest)
		rest = rest[len(changes):]
		if _, err := l.beginOwn(ctx, p, changes); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// isApproved says whether a person has approved a Remediation that is not made yet, or not wholly.
func isApproved(r *v1alpha1.Remediation) bool {
	return isBegun(r) || r.Status.Phase == v1alpha1.RemediationApproved && !isAutomatic(r)
}

// errNotThere says that somebody has taken away what was approved.
var errNotThere = errors.New("the Remediation that was approved is no longer there")

func (l *ledger) beginApproved(ctx context.Context, p engine.Plan) error {
	r := l.find(p, isApproved)
	if r == nil {
		return errNotThere
	}
	delete(l.held, r.Name) // what comes of it is to be seen after the pass
	begun, err := l.beginRecord(ctx, r, func(*v1alpha1.Remediation) bool { return true })
	if err == nil && !begun {
		err = fmt.Errorf("remediation %s is no longer approved", r.Name)
	}
	return err
}

// beginRecord begins a Remediation, or finds it begun, unless it is another one by now or may not be.
func (l *ledger) beginRecord(ctx context.Context, r *v1alpha1.Remediation, may func(now *v1alpha1.Remediation) bool) (begun bool, err error) {
	err = l.update(ctx, r.Name, func(now *v1alpha1.Remediation) bool {
		s := &now.Status
		begun = s.Digest == r.Status.Digest && isBeingMade(now) && !now.Expired(l.Clock()) && may(now)
		if !begun || s.Phase == v1alpha1.RemediationApplying {
			return false
		}
		l.begin(s, now.Generation)
		return true
	})
	return begun, err
}

// begin notes that what is on record is about to be written: now, or by the enforcer where this process hands it over.
func (l *ledger) begin(s *v1alpha1.RemediationStatus, generation int64) {
	now := metav1.NewTime(l.Clock().UTC().Truncate(time.Second))
	c := conditions{&s.Conditions, generation, now.Time}
	if l.observes() {
		s.Phase, s.Message, s.StartedAt = v1alpha1.RemediationApproved, toEnforcer, nil
		c.set(v1alpha1.ConditionHandedOver, metav1.ConditionTrue, v1alpha1.ReasonWaitsForEnforcer, toEnforcer)
	} else {
		s.Phase, s.Message, s.StartedAt = v1alpha1.RemediationApplying, "being made", &now
		c.only(l.enforces() && findCondition(s.Conditions, v1alpha1.ConditionHandedOver) != nil, v1alpha1.ConditionHandedOver, v1alpha1.ReasonWaitsForEnforcer, toEnforcer)
	}
	if s.Decided == nil || l.observes() && s.Decided.By == byPlumbline {
		s.Decided = &v1alpha1.Decided{By: byPlumbline, At: now, Reason: "no approval is needed for it"}
	}
}

// beginOwn makes the record of changes that nobody has to approve, unless the same is on record already: then this manager, or
// the one before it, was interrupted, or an observer has handed it over and there is no enforcer any more.
func (l *ledger) beginOwn(ctx context.Context, p engine.Plan, changes []v1alpha1.RemediationChange) (*v1alpha1.Remediation, error) {
	status := l.statusOf(p.Baseline, p.Control, changes)
	for i, r := range l.records {
		if r.Status.PlanDigest != status.PlanDigest || !isAutomatic(r) {
			continue
		}
		if r.Status.Phase == v1alpha1.RemediationApplying {
			return r, nil
		}
		begun, err := l.beginAgain(ctx, r)
		if err != nil {
			return nil, err
		}
		if begun {
			now := &v1alpha1.Remediation{}
			err := l.Live.Get(ctx, client.ObjectKeyFromObject(r), now)
			l.records[i] = now
			return now, err
		}
	}
	l.begin(&status, 1)
	made, err := l.make(ctx, status, p.Control.Documents, l.count(status.PlanDigest))
	if err == nil {
		l.records = append(l.records, made)
	}
	return made, err
}

// beginAgain begins what was handed over before there was one process for all, or what failed.
func (l *ledger) beginAgain(ctx context.Context, r *v1alpha1.Remediation) (begun bool, err error) {
	switch r.Status.Phase {
	case v1alpha1.RemediationApproved:
		return l.beginHanded(ctx, r)
	case v1alpha1.RemediationFailed, v1alpha1.RemediationExpired:
		return l.reopen(ctx, r)
	}
	return false, nil
}

// beginHanded begins a Remediation that was handed over and needed no approval, unless it is another one by now.
func (l *ledger) beginHanded(ctx context.Context, r *v1alpha1.Remediation) (begun bool, err error) {
	return l.beginRecord(ctx, r, func(now *v1alpha1.Remediation) bool { return isAutomatic(now) && now.Spec.Rejected == nil })
}

// reopen begins a Remediation anew of which nothing was made: what AWS refuses at each try has one record, and not one a try.
func (l *ledger) reopen(ctx context.Context, r *v1alpha1.Remediation) (reopened bool, err error) {
	err = l.update(ctx, r.Name, func(now *v1alpha1.Remediation) bool {
		s := &now.Status
		made := func(c v1alpha1.RemediationChange) bool { return c.Outcome != v1alpha1.ChangeFailed && c.Outcome != "" }
		if s.Phase != v1alpha1.RemediationFailed && s.Phase != v1alpha1.RemediationExpired || slices.ContainsFunc(s.Changes, made) || isUndoing(now) {
			return false
		}
		for i := range s.Changes {
			s.Changes[i].Outcome, s.Changes[i].Message = "", ""
		}
		expires := metav1.NewTime(l.now.UTC().Add(proposalLasts).Truncate(time.Second))
		s.Expires, s.Digest, s.FinishedAt = &expires, approvalDigest(s.PlanDigest, &expires), nil
		l.begin(s, now.Generation)
		reopened = true
		return true
	})
	return reopened, err
}
