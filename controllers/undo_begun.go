package controllers

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Of a change that had begun to be taken back, by a manager that was interrupted or before somebody called that off, only a fresh look
// tells what came of it. It needs the settings that the change was made for: those of a baseline that is being deleted are still there.

// perhapsUndone is said of a change of which nobody can find out what came of it.
const perhapsUndone = "no longer as it was left, after an interrupted undo: taken back then, or changed by somebody since"

// whereabouts is how a resource stands that a change has been made to.
type whereabouts int

const (
	// unknowable: the settings that the change was made for are not there any more.
	unknowable whereabouts = iota
	// unread: it could not be looked at.
	unread
	// asBefore: as it was before the change.
	asBefore
	// asLeft: it does not depart, as the change left it.
	asLeft
	// elsewhere: neither.
	elsewhere
)

// interrupted is what came of an undo that was begun before, of what is no longer as the change left it: it was taken back then, or
// somebody was there since.
func (u undoing) interrupted(ctx context.Context, r *v1alpha1.Remediation, c v1alpha1.RemediationChange) outcome {
	switch where, why := u.lookFor(ctx, r, c); where {
	case asBefore:
		return outcome{ChangeOutcome: v1alpha1.ChangeUndone, message: "found as it was before, after an interrupted undo"}
	case unread:
		return outcome{ChangeOutcome: v1alpha1.ChangeUndoing, message: "tried again in a minute: no longer as it was left, and could not be looked at: " + why}
	case unknowable:
		return outcome{ChangeOutcome: v1alpha1.ChangeUndone, message: perhapsUndone}
	}
	return outcome{ChangeOutcome: v1alpha1.ChangeKept, message: "neither as it was left nor as it was before: somebody has changed it since"}
}

// lookFor looks afresh at a resource that a change on record was made to; why says why it could not be.
func (u undoing) lookFor(ctx context.Context, r *v1alpha1.Remediation, c v1alpha1.RemediationChange) (where whereabouts, why string) {
	d, b, err := u.settingsOf(ctx, r)
	switch {
	case err != nil:
		return unread, control.Bounded(err.Error(), 256)
	case !b.Managed():
		return unknowable, ""
	}
	spec, _ := d.object.Common()
	regions, _ := governedRegions(u.organization, spec, u.account, u.enabled)
	task := &engine.Task{
		Control: b, Baseline: r.Status.Baseline, Region: c.Region, Every: spec.ObserveEvery(b.PerResource), Since: u.now,
		Regions: slices.DeleteFunc(regions, u.isDenied),
	}
	res := u.engine.Look(ctx, u.pass, task)
	s := sighting{planned: map[checkID]bool{task.ID(): true}, fresh: map[checkID]*engine.Result{}}
	if !res.Skipped {
		s.fresh[task.ID()] = &res
	}
	switch what, j := s.of(r, c); {
	case what == notSeen:
		_, message := worst(&res)
		return unread, control.Bounded(message, 256)
	case j != nil && digestOf(j.Before) == c.BeforeDigest:
		return asBefore, ""
	case d.revision != r.Status.Revision:
		return unknowable, "" // what departs today is not what departed then
	case what == gone:
		return asLeft, ""
	}
	return elsewhere, ""
}

// settingsOf is the baseline that a Remediation was made for, also while that is being deleted, with its control; one that is not
// managed where there are no settings any more.
func (u undoing) settingsOf(ctx context.Context, r *v1alpha1.Remediation) (declared, control.Bound, error) {
	listed, err := ListBaselines(ctx, u.Client, u.Kinds, client.UnsafeDisableDeepCopy)
	if err != nil {
		return declared{}, control.Bound{}, err
	}
	for _, l := range listed {
		if l.GetUID() != r.Status.BaselineUID {
			continue
		}
		d := declare(l.Kind, l.Baseline)
		if i := slices.IndexFunc(d.controls, func(b control.Bound) bool { return b.ID == r.Status.Control }); i >= 0 {
			return d, d.controls[i], nil
		}
	}
	return declared{}, control.Bound{}, nil
}

// whyUndoing is the reason for which a Remediation is being taken back.
func whyUndoing(r *v1alpha1.Remediation) string {
	if c := findCondition(r.Status.Conditions, v1alpha1.ConditionUndoing); c != nil {
		return c.Reason
	}
	return v1alpha1.ReasonRequested
}

// isCalledOff says whether a Remediation had begun to be taken back, and is not any more.
func isCalledOff(r *v1alpha1.Remediation) bool {
	return isUndoing(r) && whyUndoing(r) == v1alpha1.ReasonCalledOff
}

// goesOn says, right before a change is taken back, whether that is still wanted: the pass had read the record before.
func (u undoing) goesOn(ctx context.Context, name string) bool {
	r := &v1alpha1.Remediation{}
	err := u.Client.Get(ctx, client.ObjectKey{Name: name}, r, &client.GetOptions{UnsafeDisableDeepCopy: new(true)})
	return err == nil && !isCalledOff(r)
}

// settleCalledOff finds out what came of the changes that had begun to be taken back. Nothing is written.
func (u undoing) settleCalledOff(ctx context.Context, r *v1alpha1.Remediation) map[int]outcome {
	outcomes := map[int]outcome{}
	for i, c := range r.Status.Changes {
		if c.Outcome != v1alpha1.ChangeUndoing {
			continue
		}
		switch where, _ := u.lookFor(ctx, r, c); where {
		case asLeft:
			outcomes[i] = outcome{ChangeOutcome: v1alpha1.ChangeApplied, message: "left as it is: undoing it was called off"}
		case asBefore:
			outcomes[i] = outcome{ChangeOutcome: v1alpha1.ChangeUndone, message: "found as it was before, when undoing it was called off"}
		case elsewhere:
			outcomes[i] = outcome{ChangeOutcome: v1alpha1.ChangeKept, message: "neither as it was left nor as it was before, when undoing it was called off"}
		case unread, unknowable:
			outcomes[i] = outcome{ChangeOutcome: v1alpha1.ChangeUnverified, message: notKnownWhetherUndone}
		}
	}
	return outcomes
}

// notKnownWhetherUndone is said of a change at which nobody could look when undoing it was called off.
const notKnownWhetherUndone = "undoing it was called off after that had begun, and it could not be seen whether it was taken back; look at the resource"

// calledOffMessage says what became of a Remediation whose undoing was called off.
func calledOffMessage(n map[v1alpha1.ChangeOutcome]int) string {
	message := "undoing it was called off, for deletionPolicy is Retain now"
	if undone := n[v1alpha1.ChangeUndone]; undone > 0 {
		message += fmt.Sprintf("; %d changes had been taken back by then", undone)
	}
	if unsure := n[v1alpha1.ChangeUnverified]; unsure > 0 {
		message += fmt.Sprintf("; of %d it is not known: see status.changes", unsure)
	}
	return message
}

// callOff has a Remediation no longer taken back. What had begun is left to the account's pass, which can look what came of it, unless
// the account cannot be entered; later says that it is.
func callOff(r *v1alpha1.Remediation, c conditions, enterable bool) (later bool) {
	n := map[v1alpha1.ChangeOutcome]int{}
	for i := range r.Status.Changes {
		change := &r.Status.Changes[i]
		if change.Outcome == v1alpha1.ChangeUndoing && !enterable {
			change.Outcome, change.Message = v1alpha1.ChangeUnverified, notKnownWhetherUndone
		}
		n[change.Outcome]++
	}
	if n[v1alpha1.ChangeUndoing] > 0 {
		c.set(v1alpha1.ConditionUndoing, metav1.ConditionTrue, v1alpha1.ReasonCalledOff, "deletionPolicy is Retain now: nothing more is taken back; what had begun is looked at")
		return true
	}
	endUndoing(c)
	r.Status.Message = calledOffMessage(n)
	return false
}
