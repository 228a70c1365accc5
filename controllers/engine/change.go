package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
// none where too many other accounts have changes under way. What is contested waits by itself and takes no place.
func (r *run) selectChanges() []change {
	var all []change
	for i := range r.results {
		res := &r.results[i]
		if res.Skipped || res.Denied {
			continue
		}
		for k := range res.Findings {
			j := &res.Findings[k]
			if j.due {
				*j = r.unlessContested(res.Task, *j)
			}
			if j.due {
				all = append(all, change{res, j})
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	allowed, message := r.allowance(len(all))
	for _, c := range all[allowed:] {
		*c.finding = c.finding.because(v1alpha1.RowCapReached, message)
	}
	return all[:allowed]
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
	b := res.Control
	turn := &turn{locks: &r.admins, region: res.Region}
	defer turn.end()
	writer := r.Reader.Writer(cloud.Change{Control: b.ID, Actions: slices.Concat(b.Reads, b.Writes, b.Grants), Entered: turn.enter})
	if err := writer.Reach(ctx); err != nil {
		reason, message := control.Explain(err)
		*j = j.because(v1alpha1.RowRoleMissing, "the enforce role cannot be assumed ("+reason+"): "+message)
		return
	}
	if r.administers() {
		turn.enter(r.Account)
	}
	record := Change{
		Account: r.Account, Region: res.Region, Control: b.ID, Baseline: res.Baseline, Resource: j.Resource,
		Risk: b.RiskOf(j.Drift), BeforeDigest: digest(j.Before), Fields: j.Fields,
	}
	r.recorder.Changing(ctx, record)
	err := r.remediate(ctx, res.Task, writer, j.Drift)
	r.recorder.Changed(ctx, record, err)
	// A refused write may still have been made in part; only a new look tells.
	res.Changed++
	r.shared.Forget(domainOf(b.ID), oneRegion(res.Region))
	if err == nil {
		r.contests.note(r.contestOf(res.Task, *j), r.clock())
	}
	*j = j.after(err)
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

// remediate writes one drift. The target has no memo: what is modified is read afresh.
func (r *run) remediate(ctx context.Context, t *Task, w Writer, d control.Drift) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = r.panicked(t, p)
		}
	}()
	// A manager that is told to stop ends the write it has begun: half a change is worse than a late exit.
	ctx, cancel := context.WithTimeout(control.WithPurpose(context.WithoutCancel(ctx), t.Control.ID), writeTimeout)
	defer cancel()
	return t.Control.Remediate(ctx, r.target(t, w, t.Control.Actions(), nil, true), d)
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
