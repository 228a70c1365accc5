package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Begin puts on record what is about to be written: what was approved under its proposal, everything else under a Remediation
// of its own.
func (l *ledger) Begin(ctx context.Context, p engine.Plan) error {
	if p.Approved {
		return l.beginApproved(ctx, p)
	}
	for rest := changesOf(p); len(rest) > 0; {
		changes := fitting(rest)
		rest = rest[len(changes):]
		if err := l.beginOwn(ctx, p, changes); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) beginApproved(ctx context.Context, p engine.Plan) error {
	r := l.find(p, func(r *v1alpha1.Remediation) bool {
		return isBegun(r) || r.Status.Phase == v1alpha1.RemediationApproved
	})
	if r == nil {
		return errors.New("the Remediation that was approved is no longer there")
	}
	delete(l.held, r.Name) // what comes of it is to be seen after the pass
	begun := false
	err := l.update(ctx, r.Name, func(now *v1alpha1.Remediation) bool {
		s := &now.Status
		begun = s.Digest == r.Status.Digest && (s.Phase == v1alpha1.RemediationApproved || s.Phase == v1alpha1.RemediationApplying) && !now.Expired(l.Clock())
		if !begun || s.Phase == v1alpha1.RemediationApplying {
			return false
		}
		l.begin(s)
		return true
	})
	if err == nil && !begun {
		err = fmt.Errorf("remediation %s is no longer approved", r.Name)
	}
	return err
}

func (l *ledger) begin(s *v1alpha1.RemediationStatus) {
	s.Phase, s.Message = v1alpha1.RemediationApplying, "being made"
	s.StartedAt = new(metav1.NewTime(l.Clock().UTC().Truncate(time.Second)))
}

// beginOwn makes the record of changes that nobody has to approve, unless the same is on record already: then this manager, or
// the one before it, was interrupted.
func (l *ledger) beginOwn(ctx context.Context, p engine.Plan, changes []v1alpha1.RemediationChange) error {
	status := l.statusOf(p.Baseline, p.Control, changes)
	for _, r := range l.records {
		switch {
		case r.Status.PlanDigest != status.PlanDigest || !isAutomatic(r):
		case r.Status.Phase == v1alpha1.RemediationApplying:
			return nil
		case r.Status.Phase == v1alpha1.RemediationFailed:
			if reopened, err := l.reopen(ctx, r); reopened || err != nil {
				return err
			}
		}
	}
	l.begin(&status)
	status.Decided = &v1alpha1.Decided{By: byPlumbline, At: *status.StartedAt, Reason: "no approval is needed for it"}
	made, err := l.make(ctx, status, p.Control.Documents, l.count(status.PlanDigest))
	if err == nil {
		l.records = append(l.records, made)
	}
	return err
}

// reopen begins a Remediation anew of which nothing was made: what AWS refuses at each try has one record, and not one a try.
func (l *ledger) reopen(ctx context.Context, r *v1alpha1.Remediation) (reopened bool, err error) {
	err = l.update(ctx, r.Name, func(now *v1alpha1.Remediation) bool {
		s := &now.Status
		made := func(c v1alpha1.RemediationChange) bool { return c.Outcome != v1alpha1.ChangeFailed }
		if s.Phase != v1alpha1.RemediationFailed || slices.ContainsFunc(s.Changes, made) || isUndoing(now) {
			return false
		}
		for i := range s.Changes {
			s.Changes[i].Outcome, s.Changes[i].Message = "", ""
		}
		expires := metav1.NewTime(l.now.UTC().Add(proposalLasts).Truncate(time.Second))
		s.Expires, s.Digest, s.FinishedAt = &expires, digestOf([]byte(s.PlanDigest+" "+expires.Format(time.RFC3339))), nil
		l.begin(s)
		reopened = true
		return true
	})
	return reopened, err
}
