package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// enforcing is the enforcer's ledger: nothing is written that was not handed over to it, and nothing that waits for a person without
// the decision of that person. It is told of all that is handed over by an observer which it does not trust.
type enforcing struct{ *ledger }

// notHanded is the reason of a change that nobody has handed over. It stands in no row.
const notHanded = "NotHandedOver"

// Propose lets those changes through that a person has approved.
func (l enforcing) Propose(_ context.Context, p engine.Plan) []engine.Ruling {
	waits := engine.Ruling{Message: "not handed over"}
	if begun := l.find(p, isBegun); begun != nil && isHanded(begun) && l.witnessed(begun) {
		return l.rulings(begun, p, engine.Ruling{Record: begun.Name, Approved: true}, waits)
	}
	open := l.find(p, func(r *v1alpha1.Remediation) bool {
		return r.Status.Phase == v1alpha1.RemediationApproved && !isAutomatic(r) && isHanded(r)
	})
	if open == nil || !l.witnessed(open) || !l.asApproved(open, p) {
		return l.all(p, waits)
	}
	return l.rule(open, p)
}

// asApproved says whether everything in a Remediation is as it was approved: each resource, who manages it, and the baseline's settings.
func (l enforcing) asApproved(r *v1alpha1.Remediation, p engine.Plan) bool {
	now := changesOf(p)
	var changes []v1alpha1.RemediationChange
	for _, c := range r.Status.Changes {
		i := slices.IndexFunc(now, func(n v1alpha1.RemediationChange) bool { return isOf(n, c) })
		if i < 0 {
			return false
		}
		now[i].ManagedBy = lastKnown(now[i], r)
		changes = append(changes, now[i])
	}
	status := l.statusOf(p.Baseline, p.Control, changes)
	return status.PlanDigest == r.Status.PlanDigest
}

// Begin notes that what was handed over is about to be written.
func (l enforcing) Begin(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	if p.Approved {
		return l.ledger.Begin(ctx, p)
	}
	rulings := l.all(p, engine.Ruling{Reason: notHanded, Message: "not handed over"})
	begun := map[string]bool{}
	for i, c := range changesOf(p) {
		r := l.handed(p, c)
		if r == nil || !isHanded(r) || !intact(r) {
			continue
		}
		if _, tried := begun[r.Name]; !tried {
			var err error
			if begun[r.Name], err = l.beginHanded(ctx, r); err != nil {
				return nil, err
			}
		}
		if begun[r.Name] {
			rulings[i] = engine.Ruling{Approved: true, Record: r.Name}
		}
	}
	return rulings, nil
}

// witnessed says whether the enforcer sees for itself that a person has approved: the status, which says so, is written by the
// observer, and the decision, which an admission policy keeps from the observer, by that person. What a person has refused or taken
// back is not approved any more.
func (l *ledger) witnessed(r *v1alpha1.Remediation) bool {
	if !intact(r) || r.Status.Decided == nil || r.Spec.Rejected != nil || r.Spec.Undo != nil {
		return false
	}
	if a := r.Spec.Approval; a != nil {
		return a.Digest == r.Status.Digest
	}
	d, there := keyed(l.baselines, r.Status.Baseline)
	if !there || r.Status.Decided.Batch == "" || !l.inBatch[r.Name] {
		return false
	}
	spec, _ := d.object.Common()
	return slices.ContainsFunc(spec.Approvals, func(a v1alpha1.BatchApproval) bool {
		return a.Control == r.Status.Control && a.Digest == r.Status.Decided.Batch
	})
}

// intact says whether a Remediation's digests are those of what stands in it, and whether it is of the account that it is filed under.
func intact(r *v1alpha1.Remediation) bool {
	s := &r.Status
	return s.Account != "" && s.Account == r.Labels[v1alpha1.LabelAccount] && s.Expires != nil &&
		planDigest(s) == s.PlanDigest && approvalDigest(s.PlanDigest, s.Expires) == s.Digest
}

// wantsUndone says whether the enforcer sees for itself that a Remediation is to be taken back: a person says so in its spec, or its
// baseline is being deleted with deletionPolicy: Restore. Only what was made can be, and that the enforcer alone may say.
func wantsUndone(r *v1alpha1.Remediation, all []Listed) bool {
	if !intact(r) || r.Status.Phase != v1alpha1.RemediationApplied && r.Status.Phase != v1alpha1.RemediationFailed {
		return false
	}
	if u := r.Spec.Undo; u != nil {
		return u.Digest == r.Status.Digest
	}
	return slices.ContainsFunc(all, func(b Listed) bool {
		spec, _ := b.Common()
		return b.GetUID() == r.Status.BaselineUID && b.Kind.Name+"/"+b.GetName() == r.Status.Baseline &&
			b.GetDeletionTimestamp() != nil && spec.DeletionPolicy == v1alpha1.DeletionRestore
	})
}

// mayUndo says whether a Remediation, read a moment ago, is to be taken back by this process.
func (l *ledger) mayUndo(ctx context.Context, r *v1alpha1.Remediation) (bool, error) {
	if !l.enforces() {
		return true, nil
	}
	all, err := ListBaselines(ctx, l.Client, l.Kinds, client.UnsafeDisableDeepCopy)
	return err == nil && r.Status.Account == l.account.Name && wantsUndone(r, all), err
}

// inBatches are the Remediations among the records that belong to the batch which their status says was approved.
func (s *Remediations) inBatches(ctx context.Context, records []*v1alpha1.Remediation) (map[string]bool, error) {
	if !slices.ContainsFunc(records, func(r *v1alpha1.Remediation) bool { return r.Status.Decided != nil && r.Status.Decided.Batch != "" }) {
		return nil, nil
	}
	var all v1alpha1.RemediationList
	if err := s.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing remediations: %w", err)
	}
	in := map[string]bool{}
	for _, r := range records {
		in[r.Name] = isInBatch(all.Items, r)
	}
	return in, nil
}

// isInBatch says whether a Remediation is one of those whose digests make the digest of its batch: the members that say they are of it,
// together with those that are still proposed or that were superseded meanwhile.
func isInBatch(all []v1alpha1.Remediation, r *v1alpha1.Remediation) bool {
	if r.Status.Decided == nil || r.Status.Decided.Batch == "" {
		return false
	}
	batch, at := r.Status.Decided.Batch, r.Status.Decided.At
	of := func(is func(*v1alpha1.Remediation) bool) []*v1alpha1.Remediation {
		return membersOf(all, r.Status.Baseline, r.Status.Control, is)
	}
	approved := of(func(m *v1alpha1.Remediation) bool { return m.Status.Decided != nil && m.Status.Decided.Batch == batch })
	open := of(func(m *v1alpha1.Remediation) bool { return m.Status.Phase == v1alpha1.RemediationProposed })
	left := of(func(m *v1alpha1.Remediation) bool {
		return m.Status.Phase == v1alpha1.RemediationSuperseded && m.Status.Decided == nil && m.Status.FinishedAt != nil && !m.Status.FinishedAt.Before(&at)
	})
	if !slices.ContainsFunc(approved, func(m *v1alpha1.Remediation) bool { return m.Name == r.Name }) {
		return false
	}
	for _, members := range [][]*v1alpha1.Remediation{approved, slices.Concat(approved, open), slices.Concat(approved, left)} {
		if batchDigest(r.Status.Baseline, r.Status.Control, members) == batch {
			return true
		}
	}
	return false
}

// noteHeld notes on what was handed over, and could not be begun, why not.
func (l *ledger) noteHeld(ctx context.Context, s sighting) error {
	var problems []error
	for _, r := range l.records {
		if r.Status.Phase == v1alpha1.RemediationApproved {
			reason, message := l.heldBy(r, s)
			problems = append(problems, l.sayHeld(ctx, r, reason, message))
		}
	}
	return errors.Join(problems...)
}

// sayHeld says on what was handed over what keeps the enforcer from it.
func (l *ledger) sayHeld(ctx context.Context, r *v1alpha1.Remediation, reason, message string) error {
	says := func(r *v1alpha1.Remediation) bool {
		is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver)
		return is != nil && is.Reason == reason && is.Message == control.Bounded(message, 1024)
	}
	if says(r) {
		return nil
	}
	err := l.update(ctx, r.Name, func(now *v1alpha1.Remediation) bool {
		if now.Status.Phase != v1alpha1.RemediationApproved || says(now) {
			return false
		}
		conditions{&now.Status.Conditions, now.Generation, l.Clock()}.set(v1alpha1.ConditionHandedOver, metav1.ConditionTrue, reason, message)
		return true
	})
	if err != nil {
		return fmt.Errorf("noting what keeps %s from being made: %w", r.Name, err)
	}
	return nil
}

// said says whether a reason of the enforcer's stands in the account's row in place of HandedOver: what keeps it from a change until
// somebody does something about it, or for minutes. What is over by itself in a moment, and what the observer sees itself, does not.
func said(reason string) bool {
	return reason != "" && !slices.Contains([]string{
		notHanded, v1alpha1.RowHandedOver, v1alpha1.RowCapReached, v1alpha1.RowSettling, v1alpha1.RowWaiting, v1alpha1.RowAwaitingApproval,
		v1alpha1.RowAudit, v1alpha1.RowRejected, engine.RowExcepted,
	}, reason)
}

// heldBy says what keeps the enforcer from a Remediation.
func (l *ledger) heldBy(r *v1alpha1.Remediation, s sighting) (reason, message string) {
	if !intact(r) || !isAutomatic(r) && !l.witnessed(r) {
		return v1alpha1.ReasonNotDecidable, "the enforcer does not make it: its digest, or its approval, is not to be found as the status has it; " +
			"decide anew, and look at who writes the status of Remediations"
	}
	unseen := false
	for _, c := range r.Status.Changes {
		what, j := s.of(r, c)
		if j != nil && said(j.Reason) {
			return j.Reason, strings.TrimSpace(j.Message)
		}
		unseen = unseen || what == notSeen
	}
	if is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver); unseen && is != nil {
		return is.Reason, is.Message
	}
	return v1alpha1.ReasonWaitsForEnforcer, toEnforcer
}
