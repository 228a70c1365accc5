package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// undoneAtOnce is how many changes are taken back in one pass.
const undoneAtOnce = 25

// newestFirst orders Remediations by when they were begun, the latest first.
func newestFirst(a, b *v1alpha1.Remediation) int { return beganAt(b).Compare(beganAt(a)) }

func beganAt(r *v1alpha1.Remediation) time.Time {
	if r.Status.StartedAt != nil {
		return r.Status.StartedAt.Time
	}
	return r.CreationTimestamp.Time
}

// isUndoing says whether a Remediation is to be taken back: a person has asked for it, and may.
func isUndoing(r *v1alpha1.Remediation) bool {
	return findCondition(r.Status.Conditions, v1alpha1.ConditionUndoing) != nil
}

// undo takes back what people asked to have undone, the newest first. What could not be taken back yet, because something is in
// the way, is tried again at the time it returns; zero: there is nothing left.
func (l *ledger) undo(ctx context.Context, e *engine.Engine, pass engine.Pass) (again time.Time, err error) {
	wanted := slices.DeleteFunc(slices.Clone(l.records), func(r *v1alpha1.Remediation) bool { return !isUndoing(r) })
	slices.SortFunc(wanted, newestFirst)
	left := undoneAtOnce
	for _, r := range wanted {
		u := undoing{ledger: l, engine: e, pass: pass}
		done, undoErr := u.record(ctx, r.Name, &left)
		if err = errors.Join(err, undoErr); !done {
			again = l.now.Add(settleAfter)
		}
		l.again[[2]string{r.Status.Baseline, r.Status.Control}] = true
	}
	return again, err
}

// undoing takes records back in one pass.
type undoing struct {
	*ledger
	engine *engine.Engine
	pass   engine.Pass
}

// record takes one record back, or finds out what came of that where it was called off.
func (u undoing) record(ctx context.Context, name string, left *int) (done bool, err error) {
	whole, err := u.read(ctx, name)
	if err != nil || !isUndoing(whole) {
		return err == nil, err
	}
	if isCalledOff(whole) {
		return true, u.note(ctx, name, u.settleCalledOff(ctx, whole), "")
	}
	if may, err := u.mayUndo(ctx, whole); err != nil || !may {
		return false, err
	}
	b, found := u.controlOf(whole)
	if !found {
		return true, u.note(ctx, name, nil, "there is no control "+whole.Status.Control+" any more")
	}
	if wanted, err := u.begin(ctx, name); err != nil || !wanted {
		return false, err
	}
	outcomes := u.changes(ctx, whole, b, left)
	return u.over(whole, outcomes), u.note(ctx, name, outcomes, "")
}

// begin puts on record, before AWS is touched, that changes are about to be taken back: a manager that is interrupted then knows which
// it may have taken back already. wanted is false where that was called off meanwhile.
func (u undoing) begin(ctx context.Context, name string) (wanted bool, err error) {
	err = u.update(ctx, name, func(now *v1alpha1.Remediation) bool {
		wanted = isUndoing(now) && !isCalledOff(now)
		return wanted && beginUndo(now)
	})
	return wanted, err
}

// changes takes the changes of a record back, the last first.
func (u undoing) changes(ctx context.Context, r *v1alpha1.Remediation, b control.Bound, left *int) map[int]outcome {
	outcomes := map[int]outcome{}
	for i, c := range slices.Backward(r.Status.Changes) {
		if !undoable(c) || *left == 0 {
			continue
		}
		if !u.goesOn(ctx, r.Name) {
			break
		}
		*left--
		if outcomes[i] = u.change(ctx, r, b, c); outcomes[i].refused {
			break // what is in the way of one is in the way of all
		}
	}
	return outcomes
}

func (u undoing) controlOf(r *v1alpha1.Remediation) (control.Bound, bool) {
	for _, k := range u.Kinds {
		for _, b := range k.Catalogue() {
			if b.ID == r.Status.Control {
				return b, true
			}
		}
	}
	return control.Bound{}, false
}

// undoable says whether a change was made, or may have been made in part, and was not taken back.
func undoable(c v1alpha1.RemediationChange) bool {
	return c.Outcome == v1alpha1.ChangeApplied || c.Outcome == v1alpha1.ChangeUnverified || c.Outcome == v1alpha1.ChangeUndoing
}

func beginUndo(r *v1alpha1.Remediation) bool {
	changed := false
	for i := range r.Status.Changes {
		if c := &r.Status.Changes[i]; undoable(*c) && c.Outcome != v1alpha1.ChangeUndoing {
			c.Outcome, changed = v1alpha1.ChangeUndoing, true
		}
	}
	return changed
}

// outcome is what came of undoing one change. refused says that nothing was tried.
type outcome struct {
	v1alpha1.ChangeOutcome
	message string
	refused bool
}

// change takes one change back. One that was Undoing before this pass had begun to be taken back, and was interrupted.
func (u undoing) change(ctx context.Context, r *v1alpha1.Remediation, b control.Bound, c v1alpha1.RemediationChange) outcome {
	task := &engine.Task{Control: b, Baseline: r.Status.Baseline, Region: c.Region, Regions: u.enabled}
	err := u.engine.Undo(ctx, u.pass, task, driftOf(c))
	hold, refused := engine.Refused(err)
	switch {
	case err == nil:
		return outcome{ChangeOutcome: v1alpha1.ChangeUndone}
	case refused:
		return outcome{v1alpha1.ChangeUndoing, hold.Reason + ": " + hold.Message, true}
	case errors.Is(err, control.ErrChanged) && c.Outcome == v1alpha1.ChangeUndoing:
		return u.interrupted(ctx, r, c)
	case errors.Is(err, control.ErrChanged):
		return outcome{ChangeOutcome: v1alpha1.ChangeKept, message: "the resource has changed since; nothing was undone"}
	case control.IsGone(err):
		return outcome{ChangeOutcome: v1alpha1.ChangeKept, message: "the resource is not there any more; nothing was undone"}
	}
	_, message := control.Explain(err)
	return outcome{ChangeOutcome: v1alpha1.ChangeUndoing, message: "tried again in a minute: " + control.Bounded(message, 512)}
}

// driftOf is a change on record as the control knows it.
func driftOf(c v1alpha1.RemediationChange) control.Drift {
	d := control.Drift{Resource: c.Resource, Weakens: c.Weakens, Before: json.RawMessage(c.Before), After: json.RawMessage(c.After)}
	for r := control.Safe; r <= control.Irreversible; r++ {
		if r.String() == c.Risk {
			d.Risk = r
		}
	}
	for _, f := range c.Fields {
		d.Fields = append(d.Fields, control.Field{Path: f.Path, Got: f.From, Want: f.To})
	}
	return d
}

// over says whether nothing of the record is left to take back.
func (undoing) over(r *v1alpha1.Remediation, outcomes map[int]outcome) bool {
	for i, c := range r.Status.Changes {
		if o, tried := outcomes[i]; undoable(c) && (!tried || o.ChangeOutcome == v1alpha1.ChangeUndoing) {
			return false
		}
	}
	return true
}

// note puts on record what came of undoing, and ends it when nothing is left, or because of a problem.
func (u undoing) note(ctx context.Context, name string, outcomes map[int]outcome, problem string) error {
	return u.update(ctx, name, func(r *v1alpha1.Remediation) bool {
		for i, o := range outcomes {
			if i < len(r.Status.Changes) {
				r.Status.Changes[i].Outcome, r.Status.Changes[i].Message = o.ChangeOutcome, o.message
			}
		}
		c := conditions{&r.Status.Conditions, r.Generation, u.Clock()}
		n := map[v1alpha1.ChangeOutcome]int{}
		for _, change := range r.Status.Changes {
			n[change.Outcome]++
		}
		undone, kept, open := n[v1alpha1.ChangeUndone], n[v1alpha1.ChangeKept], n[v1alpha1.ChangeUndoing]
		switch {
		case problem != "":
			u.refuse(c, v1alpha1.ReasonNotDecidable, problem)
		case open > 0:
			c.set(v1alpha1.ConditionUndoing, metav1.ConditionTrue, whyUndoing(r), fmt.Sprintf("%d of %d changes are still to be taken back; see status.changes", open, open+undone+kept))
		case isCalledOff(r) && n[v1alpha1.ChangeApplied]+n[v1alpha1.ChangeUnverified] > 0:
			endUndoing(c)
			r.Status.Message = calledOffMessage(n)
		case undone == 0:
			u.refuse(c, v1alpha1.ReasonChangedSince, "nothing was undone: every resource has changed since; see status.changes")
		default:
			endUndoing(c)
			u.end(r, v1alpha1.RemediationUndone, undoneMessage(r, undone, kept))
			r.Status.Undone = &v1alpha1.Decided{By: byPlumbline, At: *r.Status.FinishedAt, Reason: "deletionPolicy: Restore of " + r.Status.Baseline}
			if d := r.Spec.Undo; d != nil {
				r.Status.Undone = &v1alpha1.Decided{By: d.By, At: *r.Status.FinishedAt, Reason: d.Reason, Via: d.Via}
			}
		}
		return true
	})
}

// undoneMessage says what was taken back, and of what nobody can say it for sure.
func undoneMessage(r *v1alpha1.Remediation, undone, kept int) string {
	unsure := 0
	for _, c := range r.Status.Changes {
		if c.Outcome == v1alpha1.ChangeUndone && c.Message == perhapsUndone {
			unsure++
		}
	}
	message := "taken back; not made again without an approval"
	if kept > 0 {
		message = fmt.Sprintf("%d changes were taken back, %d resources were left, for they have changed since", undone, kept)
	}
	if unsure > 0 {
		message += fmt.Sprintf("; of %d it is not known whether Plumbline did, or somebody else: see status.changes", unsure)
	}
	return message
}

func (undoing) refuse(c conditions, reason, message string) {
	endUndoing(c)
	c.set(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, reason, message)
}
