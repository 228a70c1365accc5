package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// change is a drift that is to be put right now.
type change struct {
	result  *Result
	finding *Judged
}

// restAfterCap is how long an account is left alone whose pass had more changes than it may make.
const restAfterCap = time.Minute

// selectChanges picks the changes of this pass before the first is made: the first ones in list order up to the cap, and
// none where too many other accounts have changes under way. What is contested waits by itself and takes no place, and what
// somebody else manages waits for an approval.
func (r *run) selectChanges(ctx context.Context) []change {
	r.learnOwners(ctx)
	r.propose(ctx)
	var all []change
	r.each(func(res *Result, j *Judged) {
		if j.due {
			*j = r.unlessContested(res.Task, *j)
		}
		if j.due {
			all = append(all, change{res, j})
		}
	})
	if all = r.withinCaps(all); len(all) == 0 {
		return nil
	}
	allowed, message := r.allowance(len(all))
	for _, c := range all[allowed:] {
		*c.finding = c.finding.because(v1alpha1.RowCapReached, message)
	}
	return r.onRecord(ctx, notAsked(all[:allowed]))
}

// withinCaps are the first changes of each baseline that it allows, and none where it has too many other accounts changed.
func (r *run) withinCaps(all []change) []change {
	made := map[string]int{}
	return slices.DeleteFunc(all, func(c change) bool {
		caps, of, why := c.result.Caps, c.result.Baseline, ""
		switch {
		case caps.Changes > 0 && made[of] >= caps.Changes:
			why = fmt.Sprintf("rollout.maxChangesPerPass of %s is %d; made in a later pass", of, caps.Changes)
		case caps.Accounts > 0 && !r.places.takeOf(of, r.Account, caps.Accounts):
			why = fmt.Sprintf("rollout.maxAccounts of %s allows %d at a time; waits for a place", of, caps.Accounts)
		default:
			made[of]++
			return false
		}
		*c.finding = c.finding.because(v1alpha1.RowCapReached, why)
		return true
	})
}

// allowance is how many of n changes may be made in this pass, and what is said of the others.
func (r *run) allowance(n int) (allowed int, message string) {
	most := r.limits.ChangesPerPass
	message = fmt.Sprintf("at most %d changes in one account and pass; made in a later one", most)
	switch {
	case r.places.rests(r.Account, r.began):
		return 0, message
	case !r.places.take(r.Account):
		return 0, fmt.Sprintf("at most %d accounts are changed at a time; waits for a place", r.limits.AccountsAtOnce)
	case n > most:
		r.places.restUntil(r.Account, r.began.Add(restAfterCap))
	}
	return min(n, most), message
}

// makeChanges writes, in list order: one change at a time per region, the regions side by side. A change that is not of one
// region may write in any, and what it forbids may be what others need, so it is made alone: after those before it and before
// those after it.
func (r *run) makeChanges(ctx context.Context, changes []change) {
	r.writing = r.clock()
	for len(changes) > 0 {
		n := 1
		if changes[0].result.Region != v1alpha1.GlobalRegion {
			for n < len(changes) && changes[n].result.Region != v1alpha1.GlobalRegion {
				n++
			}
		}
		r.sideBySide(ctx, changes[:n])
		changes = changes[n:]
	}
}

func (r *run) sideBySide(ctx context.Context, changes []change) {
	lanes := map[string][]change{}
	for _, c := range changes {
		lanes[c.result.Region] = append(lanes[c.result.Region], c)
	}
	var g errgroup.Group
	for _, lane := range lanes {
		g.Go(func() error {
			for _, c := range lane {
				r.makeChange(ctx, c.result, c.finding)
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
}

// writeTimeout bounds one change.
const writeTimeout = 30 * time.Second

// makeChange writes one drift and says what came of it. What was written is Settling until a new look shows it.
func (r *run) makeChange(ctx context.Context, res *Result, j *Judged) {
	if ctx.Err() != nil || r.clock().Sub(r.writing) > r.limits.StartFor {
		*j = j.because(v1alpha1.RowCapReached, "the pass ended before this change; made in the next")
		return
	}
	opened, err := r.hands[j], error(nil)
	if opened == nil {
		opened, err = r.reach(ctx, res.Task)
	}
	if err == nil {
		err = r.write(ctx, opened, res.Task.change(r.Account, j.Drift), func(ctx context.Context, t *control.Target) error {
			return res.Control.Remediate(ctx, t, j.Drift)
		})
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		*j = j.because(refused.reason, refused.message)
		return
	}
	// A refused write may still have been made in part; only a new look tells.
	res.Changed++
	if err == nil {
		r.contests.note(r.contestOf(res.Task, *j), r.clock())
	}
	*j = j.after(err)
}

// refusedError is a write that was not begun.
type refusedError struct{ reason, message string }

func (e *refusedError) Error() string { return e.message }

// hand is the account entered with its enforce role for one change of a task's control.
type hand struct {
	Writer
	task *Task
	turn *turn
}

// reach enters the account for one change. The error is a refusedError where the enforce role cannot be assumed.
func (r *run) reach(ctx context.Context, t *Task) (*hand, error) {
	b, turn := t.Control, &turn{locks: &r.admins, region: t.Region}
	writer := r.Reader.Writer(cloud.Change{Control: b.ID, Actions: slices.Concat(b.Reads, b.Writes, b.Grants), Entered: turn.enter})
	if err := writer.Reach(ctx); err != nil {
		reason, message := control.Explain(err)
		return nil, &refusedError{v1alpha1.RowRoleMissing, "the enforce role cannot be assumed (" + reason + "): " + message}
	}
	return &hand{writer, t, turn}, nil
}

// write has one change written by do, and tells of it before and after. It is not begun, and the error is a refusedError, where
// somebody has stopped all writes meanwhile.
func (r *run) write(ctx context.Context, h *hand, c Change, do func(context.Context, *control.Target) error) error {
	t := h.task
	if r.Halted != nil {
		if h := r.Halted(t.Baseline); h.Reason != "" {
			return &refusedError{h.Reason, h.Message}
		}
	}
	defer h.turn.end()
	if r.administers() {
		h.turn.enter(r.Account)
	}
	r.recorder.Changing(ctx, c)
	err := r.writeInTime(ctx, t, h, do)
	r.recorder.Changed(ctx, c, err)
	r.shared.Forget(domainOf(t.Control.ID), oneRegion(t.Region))
	return err
}

// change is the drift's change as the Recorder hears of it.
func (t *Task) change(account string, d control.Drift) Change {
	return Change{
		Account: account, Region: t.Region, Control: t.Control.ID, Baseline: t.Baseline, Resource: d.Resource,
		Risk: t.Control.RiskOf(d), BeforeDigest: digest(d.Before), Fields: d.Fields,
	}
}

// after is the finding after its change, which ended with err.
func (j Judged) after(err error) Judged {
	if err == nil {
		j.Looks = 0
		return j.settling()
	}
	j.Failed = true
	reason, message := control.Explain(err)
	if reason != control.ReasonManagedByOrganizationPolicy {
		reason = v1alpha1.RowRemediationFailed
	}
	return j.because(reason, message)
}

// writeInTime writes. The target has no memo: what is modified is read afresh.
func (r *run) writeInTime(ctx context.Context, t *Task, w Writer, do func(context.Context, *control.Target) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = r.panicked(t, p)
		}
	}()
	// A manager that is told to stop ends the write it has begun: half a change is worse than a late exit.
	ctx, cancel := context.WithTimeout(control.WithPurpose(context.WithoutCancel(ctx), t.Control.ID), writeTimeout)
	defer cancel()
	return do(ctx, r.target(t, w, t.Control.Actions(), nil, true))
}

// domainOf is the service in a control's id: "guardduty" of "guardduty-detector".
func domainOf(id string) string {
	domain, _, _ := strings.Cut(id, "-")
	return domain
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:12]
}
