package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// workFor lets those changes of a Remediation through after which its account has something to do: it was approved, is to be taken
// back, or no longer, or is gone, so that the change may be proposed or made again; or it is proposed no longer, so that what there was
// no room for may be.
var workFor = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false }, // an account that is new to the manager looks for itself
	UpdateFunc: func(e event.UpdateEvent) bool {
		was, isOld := e.ObjectOld.(*v1alpha1.Remediation)
		is, isNew := e.ObjectNew.(*v1alpha1.Remediation)
		if !isOld || !isNew {
			return false
		}
		decided := slices.Contains([]v1alpha1.RemediationPhase{
			v1alpha1.RemediationApproved, v1alpha1.RemediationRejected, v1alpha1.RemediationExpired, v1alpha1.RemediationSuperseded,
		}, is.Status.Phase)
		return decided && was.Status.Phase != is.Status.Phase || isUndoing(is) && !isUndoing(was) || isCalledOff(is) && !isCalledOff(was) || enforcerDid(was, is)
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return true },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// rolloutMoved lets those changes of a baseline through after which its rollout lets other accounts be changed.
var rolloutMoved = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool { return standing(e.ObjectOld) != standing(e.ObjectNew) },
	DeleteFunc: func(event.DeleteEvent) bool { return false }, GenericFunc: func(event.GenericEvent) bool { return false },
}

// standing is what of a baseline's rollout decides whose changes are made.
func standing(o client.Object) string {
	b, ok := o.(control.Baseline)
	if !ok {
		return ""
	}
	if _, status := b.Common(); status.Rollout != nil {
		ro := status.Rollout
		return fmt.Sprint(ro.Revision, ro.Wave, ro.First, ro.Paused, ro.Invalid)
	}
	return ""
}

// open opens the pass's ledger; nil where nothing is kept on record.
func (r *AccountReconciler) open(w world, pass *engine.Pass) *ledger {
	if r.Remediations == nil {
		return nil
	}
	l := newLedger(r.Remediations, w, pass.Facts.EnforceRole)
	pass.Ledger = l
	if r.Remediations.observes() {
		pass.Ledger, pass.HandsOver = handing{l}, true
	}
	return l
}

// close notes what came of what is on record, and takes back what people want undone. Controls of which something could not be
// noted, or of which something was undone, are looked at again at once. It returns when undoing goes on; zero: nothing is left.
func (r *AccountReconciler) close(ctx context.Context, l *ledger, p *plan, pass engine.Pass, results []engine.Result) (again time.Time) {
	if l == nil {
		return time.Time{}
	}
	// What was done is noted even when the manager has been told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	if len(l.records) == 0 {
		return time.Time{} // as in most passes: what was proposed just now is as it should be
	}
	s := newSighting(p, results)
	if err := l.settle(ctx, s); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "noting what came of remediations")
	}
	if !l.observes() {
		again = r.takeBack(ctx, l, pass)
	}
	l.lookAgain(p)
	return again
}

// takeBack takes back what people want undone, and returns when that goes on; zero: nothing is left.
func (r *AccountReconciler) takeBack(ctx context.Context, l *ledger, pass engine.Pass) (again time.Time) {
	pass.Halted = r.stoppedForAll(ctx) // whoever suspends a baseline may want to take back what it did
	again, err := l.undo(ctx, r.Engine, pass)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "taking remediations back")
		again = l.now.Add(settleAfter)
	}
	return again
}

// lookAgain makes due what is to be looked at again soon.
func (l *ledger) lookAgain(p *plan) {
	p.each(func(_ *row, c *check) {
		if s, known := l.memory.seen[c.id]; known && l.again[[2]string{c.id.Baseline, c.id.Control}] {
			s.retry = s.at
			l.memory.seen[c.id], c.due = s, l.now
		}
	})
}

// halted says right before each change whether somebody has stopped it since the pass was planned: all writes, or the baseline's.
func (r *AccountReconciler) halted(ctx context.Context) func(baseline string) engine.Hold {
	stopped := r.stoppedForAll(ctx)
	return func(baseline string) engine.Hold {
		if h := stopped(baseline); h.Reason != "" {
			return h
		}
		if r.suspended(ctx, baseline) {
			return engine.Hold{Reason: v1alpha1.RowSuspended, Message: "the baseline was suspended meanwhile"}
		}
		return engine.Hold{}
	}
}

// stoppedForAll says right before each change whether nothing at all may be changed.
func (r *AccountReconciler) stoppedForAll(ctx context.Context) func(string) engine.Hold {
	return func(string) engine.Hold {
		org, err := theOrganization(ctx, r.Client)
		switch {
		case !r.AllowWrites:
			return writesDisabled
		case err != nil:
			return engine.Hold{Reason: v1alpha1.RowWritesStopped, Message: "nothing is changed without an AWSOrganization that says how: " + err.Error()}
		case org.Spec.Writes == v1alpha1.WritesStopped:
			return writesStopped
		}
		return engine.Hold{}
	}
}

func (r *AccountReconciler) suspended(ctx context.Context, key string) bool {
	all, err := r.declarations.list(ctx, r.Client, r.Kinds)
	if err != nil {
		return true
	}
	d, there := keyed(all, key)
	if !there {
		return false
	}
	spec, _ := d.object.Common()
	return spec.Suspend
}

// decidedSince says whether something was decided about the check's control that makes a fresh look due: a change was approved,
// rejected or begun, or is to be taken back, after the check was looked at; or a place among the proposals is free for it since.
func (w world) decidedSince(c *check) bool {
	if w.stirred[handedOf{c.id.Baseline, c.id.Control}] {
		return true
	}
	looked := c.looked.Truncate(time.Second) // as the times of a status are
	if at, invited := w.invited[ticket{w.account.Name, c.id.Baseline, c.id.Control}]; invited && !looked.After(at) {
		return true
	}
	return slices.ContainsFunc(w.records, func(r *v1alpha1.Remediation) bool {
		return r.Status.Control == c.id.Control && r.Status.Baseline == c.id.Baseline && w.decidedAbout(r, looked)
	})
}

// decidedAbout says whether something was decided about a Remediation since its control was looked at.
func (w world) decidedAbout(r *v1alpha1.Remediation, looked time.Time) bool {
	s := &r.Status
	switch {
	case w.handsOver && isAutomatic(r) && !isUndoing(r):
		return false // what has come of it stirs
	case (s.Phase == v1alpha1.RemediationApproved || s.Phase == v1alpha1.RemediationRejected) && s.Decided != nil:
		return !looked.After(s.Decided.At.Time)
	case s.Phase == v1alpha1.RemediationApplying && s.StartedAt != nil:
		return !looked.After(s.StartedAt.Time)
	}
	undoing := findCondition(s.Conditions, v1alpha1.ConditionUndoing)
	return undoing != nil && !looked.After(undoing.LastTransitionTime.Time)
}

// undoneOf are the account's Remediations of a baseline that were undone, or are about to be.
func (w world) undoneOf(d declared) (undone []*v1alpha1.Remediation) {
	for _, r := range w.records {
		if r.Status.BaselineUID == d.object.GetUID() && (r.Status.Phase == v1alpha1.RemediationUndone || isUndoing(r)) {
			undone = append(undone, r)
		}
	}
	return undone
}

// withdrawn finds out who has undone a change of the check, or is about to: nobody makes it again without an approval. One that a
// person approved later is not withdrawn any more. Nil where nothing was undone.
func (w world) withdrawn(undone []*v1alpha1.Remediation, id checkID) func(control.Drift) string {
	of := slices.DeleteFunc(slices.Clone(undone), func(r *v1alpha1.Remediation) bool { return r.Status.Control != id.Control })
	if len(of) == 0 {
		return nil
	}
	return func(d control.Drift) string {
		changes := func(c v1alpha1.RemediationChange) bool {
			return c.Region == id.Region && c.Resource == d.Resource && sharesField(c, d.Fields)
		}
		for _, r := range of {
			if slices.ContainsFunc(r.Status.Changes, changes) && !w.approvedAfter(r) {
				return undoneBy(r)
			}
		}
		return ""
	}
}

func undoneBy(r *v1alpha1.Remediation) string {
	switch {
	case r.Status.Undone != nil:
		return r.Status.Undone.By + " (" + r.Name + ")"
	case r.Spec.Undo != nil:
		return r.Spec.Undo.By + " (" + r.Name + ")"
	}
	return r.Name
}

// approvedAfter says whether a person has had the same plan made since it was undone.
func (w world) approvedAfter(undone *v1alpha1.Remediation) bool {
	return undone.Status.Undone != nil && slices.ContainsFunc(w.records, func(r *v1alpha1.Remediation) bool {
		return r.Status.Phase == v1alpha1.RemediationApplied && r.Status.Decided != nil && !isAutomatic(r) &&
			r.Status.PlanDigest == undone.Status.PlanDigest && !r.Status.Decided.At.Before(&undone.Status.Undone.At)
	})
}
