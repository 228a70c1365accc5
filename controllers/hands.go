package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Hands says what one process does of the work. Where hands are separate, an observer looks, reports, proposes and decides what is
// to be changed, and an enforcer, which another identity in AWS lets in, makes the changes: whoever takes over the observer can
// change nothing in AWS by itself. What is to be made stands in a Remediation, and nothing else passes between the two.
type Hands string

// The hands that a process may have.
const (
	// BothHands observes and changes. The default.
	BothHands Hands = "all"
	// ObservingHand observes, and hands over what is to be changed.
	ObservingHand Hands = "observer"
	// EnforcingHand makes what was handed over.
	EnforcingHand Hands = "enforcer"
)

// The leases that say which of several replicas works. The enforcer is no replica of the observer.
const (
	Lease         = "plumbline.dev"
	EnforcerLease = "enforcer.plumbline.dev"
)

// handsOver says whether another process makes the changes, and enforces whether this one is that process.
func (r *AccountReconciler) handsOver() bool {
	return r.Remediations != nil && r.Remediations.HandsOver
}
func (r *AccountReconciler) enforces() bool { return r.Remediations != nil && r.Remediations.Enforces }

// toEnforcer says what is said of a change that was handed over and that nothing keeps the enforcer from.
const toEnforcer = "handed over to the enforcer, which observes it afresh and makes it"

// isHanded says whether a Remediation is for the enforcer.
func isHanded(r *v1alpha1.Remediation) bool {
	return findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver) != nil
}

// handOver hands a Remediation over that is to be made or taken back, unless it was already or this process has both hands.
func (s *Remediations) handOver(r *v1alpha1.Remediation, now time.Time) {
	phase := r.Status.Phase
	if !s.HandsOver || isHanded(r) || !isUndoing(r) && phase != v1alpha1.RemediationApproved && phase != v1alpha1.RemediationApplying {
		return
	}
	conditions{&r.Status.Conditions, r.Generation, now}.set(
		v1alpha1.ConditionHandedOver, metav1.ConditionTrue, v1alpha1.ReasonWaitsForEnforcer, toEnforcer)
}

// enforcedSince says whether the enforcer has ended what was handed over to it, or said what keeps it from it, since the observer looked.
func enforcedSince(r *v1alpha1.Remediation, looked time.Time) bool {
	if r.Status.FinishedAt != nil {
		return !looked.After(r.Status.FinishedAt.Time)
	}
	is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver)
	return is != nil && is.Reason != v1alpha1.ReasonWaitsForEnforcer && !looked.After(is.LastTransitionTime.Time)
}

// handing is the observer's ledger: what the engine would write is put on record for the enforcer, and not written.
type handing struct{ *ledger }

// Begin hands over what is not on record yet, and says of all how it stands with it.
func (l handing) Begin(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	if p.Approved {
		r := l.find(p, isApproved)
		if r == nil {
			return nil, errNotThere
		}
		return l.all(p, l.ruling(r)), nil
	}
	rulings := l.refusals(p)
	rest := p
	rest.Changes = nil
	for i, c := range changesOf(p) {
		switch r := l.handed(p, c); {
		case rulings[i].Rejected:
			rulings[i].Reason = v1alpha1.RowRejected
		case r != nil:
			rulings[i] = l.ruling(r)
		default:
			rest.Changes = append(rest.Changes, p.Changes[i])
		}
	}
	made, err := l.handOverRest(ctx, rest)
	if err != nil {
		return nil, err
	}
	for i := range rulings {
		if rulings[i].Reason == "" {
			rulings[i], made = made[0], made[1:]
		}
	}
	return rulings, nil
}

// handed is what has a change that needs no approval on record for the enforcer; nil: nothing.
func (l handing) handed(p engine.Plan, c v1alpha1.RemediationChange) *v1alpha1.Remediation {
	return l.find(p, func(r *v1alpha1.Remediation) bool {
		open := r.Status.Phase == v1alpha1.RemediationApproved || r.Status.Phase == v1alpha1.RemediationApplying
		return open && isAutomatic(r) && l.fits(r) &&
			slices.ContainsFunc(r.Status.Changes, func(in v1alpha1.RemediationChange) bool { return in.Outcome == "" && isOf(in, c) })
	})
}

// handOverRest puts what is new on record. What the enforcer has just failed at waits, as it does where one process has both
// hands.
func (l handing) handOverRest(ctx context.Context, p engine.Plan) (rulings []engine.Ruling, err error) {
	for rest := changesOf(p); len(rest) > 0; {
		changes := fitting(rest)
		rest = rest[len(changes):]
		ruling, failed := l.justFailed(ctx, p, changes)
		if !failed {
			made, err := l.beginOwn(ctx, p, changes)
			if err != nil {
				return nil, err
			}
			ruling = l.ruling(made)
		}
		rulings = append(rulings, slices.Repeat([]engine.Ruling{ruling}, len(changes))...)
	}
	return rulings, nil
}

// justFailed says whether the enforcer has tried these very changes since their checks were last looked at, and failed.
func (l handing) justFailed(ctx context.Context, p engine.Plan, changes []v1alpha1.RemediationChange) (engine.Ruling, bool) {
	digest := planDigest(new(l.statusOf(p.Baseline, p.Control, changes)))
	for _, r := range l.records {
		if r.Status.PlanDigest != digest || r.Status.Phase != v1alpha1.RemediationFailed || !isAutomatic(r) || r.Status.FinishedAt == nil {
			continue
		}
		id := checkID{Baseline: p.Baseline, Control: p.Control.ID, Region: changes[0].Region}
		if looked := l.memory.seen[id].looked().Truncate(time.Second); looked.After(r.Status.FinishedAt.Time) {
			continue
		}
		return engine.Ruling{Reason: v1alpha1.RowRemediationFailed, Failed: true, Record: r.Name, Message: l.whyFailed(ctx, r)}, true
	}
	return engine.Ruling{}, false
}

// whyFailed is what AWS said of the first change that failed. The cache has none of what is finished.
func (l handing) whyFailed(ctx context.Context, r *v1alpha1.Remediation) string {
	whole := &v1alpha1.Remediation{}
	if err := l.Live.Get(ctx, client.ObjectKeyFromObject(r), whole); err == nil {
		for _, c := range whole.Status.Changes {
			if c.Outcome == v1alpha1.ChangeFailed && c.Message != "" {
				return c.Message
			}
		}
	}
	return r.Status.Message
}

// ruling says how it stands with what was handed over.
func (handing) ruling(r *v1alpha1.Remediation) engine.Ruling {
	ruling := engine.Ruling{Reason: v1alpha1.RowHandedOver, Record: r.Name, Message: toEnforcer}
	switch is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver); {
	case r.Status.Phase == v1alpha1.RemediationApplying:
		ruling.Message = "being made by the enforcer"
	case is != nil && is.Reason != v1alpha1.ReasonWaitsForEnforcer:
		ruling.Reason, ruling.Message = is.Reason, is.Message
	}
	return ruling
}

// madeByEnforcer says whether the enforcer may have been at work on a Remediation at a time: then a call by one of Plumbline's roles is
// not known to be somebody else's, although this process knows nothing of it.
func madeByEnforcer(r *v1alpha1.Remediation, at time.Time) bool {
	if r.Status.Decided == nil || at.Before(r.CreationTimestamp.Add(-enforcerAround)) {
		return false
	}
	ended := r.Status.FinishedAt
	return ended == nil || isUndoing(r) || !at.After(ended.Add(enforcerAround))
}

// enforcerAround is how long before a Remediation was made and after it has ended a call may be the enforcer's: clocks differ, and it
// looks once more at what it has written.
const enforcerAround = 2 * time.Minute

// said are the reasons of the enforcer's that stand in the account's row in place of HandedOver: what keeps it from a change until
// somebody does something about it, or for minutes. What is over by itself in a moment, and what the observer sees itself, do not.
func said(reason string) bool {
	return reason != "" && !slices.Contains(unsaid, reason) && !slices.Contains(holdReasons, reason)
}

var unsaid = []string{
	v1alpha1.RowHandedOver, v1alpha1.RowCapReached, v1alpha1.RowSettling, v1alpha1.RowWaiting, v1alpha1.RowAwaitingApproval,
	v1alpha1.RowAudit, v1alpha1.RowRejected, engine.RowExcepted,
}

// enforcing is the enforcer's ledger: nothing is written that was not handed over to it.
type enforcing struct{ *ledger }

// Propose lets those changes through that a person has approved.
func (l enforcing) Propose(_ context.Context, p engine.Plan) []engine.Ruling {
	waits := engine.Ruling{Message: "not handed over"}
	if begun := l.find(p, isBegun); begun != nil && isHanded(begun) && l.witnessed(begun) {
		return l.rulings(begun, p, engine.Ruling{Record: begun.Name, Approved: true}, waits)
	}
	open := l.find(p, func(r *v1alpha1.Remediation) bool {
		return r.Status.Phase == v1alpha1.RemediationApproved && !isAutomatic(r) && isHanded(r)
	})
	if open == nil || !l.witnessed(open) {
		return l.all(p, waits)
	}
	return l.rule(open, p)
}

// Begin notes that what was handed over is about to be written.
func (l enforcing) Begin(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	if p.Approved {
		return l.ledger.Begin(ctx, p)
	}
	rulings := l.all(p, engine.Ruling{Reason: v1alpha1.RowHandedOver, Message: "not handed over"})
	begun := map[string]bool{}
	for i, c := range changesOf(p) {
		r := handing(l).handed(p, c)
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
// observer, and the decision, which an admission policy keeps from the observer, by that person.
func (l *ledger) witnessed(r *v1alpha1.Remediation) bool {
	if !intact(r) || r.Status.Decided == nil {
		return false
	}
	if a := r.Spec.Approval; a != nil && a.Digest == r.Status.Digest && r.Spec.Rejected == nil {
		return true
	}
	d, there := keyed(l.baselines, r.Status.Baseline)
	if !there || r.Status.Decided.Batch == "" {
		return false
	}
	spec, _ := d.object.Common()
	return slices.ContainsFunc(spec.Approvals, func(a v1alpha1.BatchApproval) bool {
		return a.Control == r.Status.Control && a.Digest == r.Status.Decided.Batch && l.batches[a.Digest]
	})
}

// intact says whether a Remediation's digests are those of what stands in it.
func intact(r *v1alpha1.Remediation) bool {
	s := &r.Status
	return s.Expires != nil && planDigest(s) == s.PlanDigest && approvalDigest(s.PlanDigest, s.Expires) == s.Digest
}

// wantsUndone says whether the enforcer sees for itself that a Remediation is to be taken back: a person says so in its spec, or its
// baseline is being deleted with deletionPolicy: Restore.
func wantsUndone(r *v1alpha1.Remediation, all []Listed) bool {
	if !intact(r) {
		return false
	}
	if u := r.Spec.Undo; u != nil && u.Digest == r.Status.Digest {
		return true
	}
	return slices.ContainsFunc(all, func(b Listed) bool {
		spec, _ := b.Common()
		return b.GetUID() == r.Status.BaselineUID && b.GetDeletionTimestamp() != nil && spec.DeletionPolicy == v1alpha1.DeletionRestore
	})
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
		c := conditions{&now.Status.Conditions, now.Generation, l.Clock()}
		c.only(false, v1alpha1.ConditionHandedOver, "", "") // so that its time is that of what it says now
		c.set(v1alpha1.ConditionHandedOver, metav1.ConditionTrue, reason, message)
		return true
	})
	if err != nil {
		return fmt.Errorf("noting what keeps %s from being made: %w", r.Name, err)
	}
	return nil
}

// batches are the digests of those approved batches among the records that are whole: the members that say they are of it make that
// digest, together with those that are still proposed or that were superseded meanwhile.
func (s *Remediations) batches(ctx context.Context, records []*v1alpha1.Remediation) (map[string]bool, error) {
	whole := map[string]bool{}
	for _, r := range records {
		if d := r.Status.Decided; d == nil || d.Batch == "" || whole[d.Batch] {
			continue
		}
		var all v1alpha1.RemediationList
		if err := s.Client.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelControl: r.Status.Control}, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing remediations: %w", err)
		}
		whole[r.Status.Decided.Batch] = isWhole(all.Items, r)
	}
	return whole, nil
}

// isWhole says whether the batch of a Remediation is the one that was approved.
func isWhole(all []v1alpha1.Remediation, r *v1alpha1.Remediation) bool {
	batch, at := r.Status.Decided.Batch, r.Status.Decided.At
	of := func(is func(*v1alpha1.Remediation) bool) []*v1alpha1.Remediation {
		return membersOf(all, r.Status.Baseline, r.Status.Control, is)
	}
	approved := of(func(m *v1alpha1.Remediation) bool { return m.Status.Decided != nil && m.Status.Decided.Batch == batch })
	open := of(func(m *v1alpha1.Remediation) bool { return m.Status.Phase == v1alpha1.RemediationProposed })
	left := of(func(m *v1alpha1.Remediation) bool {
		return m.Status.Phase == v1alpha1.RemediationSuperseded && m.Status.Decided == nil && m.Status.FinishedAt != nil && !m.Status.FinishedAt.Before(&at)
	})
	for _, members := range [][]*v1alpha1.Remediation{approved, slices.Concat(approved, open), slices.Concat(approved, left)} {
		if batchDigest(r.Status.Baseline, r.Status.Control, members) == batch {
			return true
		}
	}
	return false
}

// heldBy says what keeps the enforcer from a Remediation.
func (l *ledger) heldBy(r *v1alpha1.Remediation, s sighting) (reason, message string) {
	if !intact(r) || !isAutomatic(r) && !l.witnessed(r) {
		return v1alpha1.ReasonNotDecidable, "the enforcer does not make it: its digest, or its approval, is not to be found as the status has it; reject it, and look at who writes the status"
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
