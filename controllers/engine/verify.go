package engine

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// The pauses between two looks for a change: each twice as long as the one before.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = 4 * time.Second
)

// verify looks again at every control that changed something, until AWS shows the changes or the pass is over.
func (r *run) verify(ctx context.Context) {
	made := map[int][]Judged{} // by result: its findings right after the changes
	for i, res := range r.results {
		if res.Changed > 0 {
			made[i] = res.Findings
		}
	}
	for pause := firstPause; len(made) > 0 && ctx.Err() == nil; pause = min(2*pause, longestPause) {
		if !r.lookAtAll(ctx, made) || r.clock().Sub(r.writing)+pause > r.limits.VerifyFor || !r.sleep(ctx, pause) {
			return
		}
	}
}

// lookAtAll looks once more at the controls that changed something, side by side, and says whether it is worth looking yet
// again. They share their reads with each other, and with nobody before the changes.
func (r *run) lookAtAll(ctx context.Context, made map[int][]Judged) bool {
	ctx, stop := watch(ctx, r.limits.StartFor)
	defer stop()
	memo := control.NewMemo(ctx)
	var open atomic.Bool
	var g errgroup.Group
	g.SetLimit(r.limits.Parallel)
	for i, was := range made {
		g.Go(func() error {
			if r.lookAgain(ctx, i, was, memo) {
				open.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	return open.Load()
}

// lookAgain observes one changed control and says whether it is worth looking once more: a change is not to be seen yet, or
// nothing could be seen. was are its findings right after the changes. What failed stays failed, what was capped stays
// capped.
func (r *run) lookAgain(ctx context.Context, i int, was []Judged, memo *control.Memo) bool {
	after := r.observe(ctx, r.results[i].Task, memo, true)
	after.Changed, after.Refused = r.results[i].Changed, false
	if after.Skipped || after.blind {
		// What was changed is still waited for; that it could not be looked at stands beside it.
		after.At, after.Age, after.Index = r.results[i].At, r.results[i].Age, r.results[i].Index
		after.Skipped, after.Findings = false, append(was[:len(was):len(was)], after.Findings...)
		r.results[i] = after
		return true
	}
	before := map[string]Judged{}
	for _, j := range was {
		if j.Outcome == control.Departs {
			before[j.ID()] = j
		}
	}
	open := false
	for k, j := range after.Findings {
		if j.due || before[j.ID()].stands(j) { // otherwise no change of this pass is waited for
			after.Findings[k] = j.seenAgain(before)
			open = open || after.Findings[k].Reason == v1alpha1.RowSettling
		}
	}
	if hidden := hiddenBy(after.Findings, was); len(hidden) > 0 {
		after.Findings, open = append(after.Findings, hidden...), true
	}
	r.results[i] = after
	return open
}

// stands says whether what became of a finding in this pass holds at another look: it was approved, or the same change waits on record
// or was refused. Another change by now is said in its own words, and proposed by the next pass.
func (j Judged) stands(now Judged) bool {
	decided := j.Reason == v1alpha1.RowAwaitingApproval || j.Reason == v1alpha1.RowRejected
	return j.approved || decided && now.Reason == v1alpha1.RowAwaitingApproval &&
		bytes.Equal(j.Before, now.Before) && bytes.Equal(j.After, now.After)
}

// hiddenBy are the changes that are waited for and whose resources could not be judged this time.
func hiddenBy(found, was []Judged) []Judged {
	unknown, seen := map[string]bool{}, map[string]bool{}
	for _, j := range found {
		if j.Outcome == control.Departs {
			seen[j.ID()] = true
		} else {
			unknown[j.Resource] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(was), func(j Judged) bool {
		return j.Reason != v1alpha1.RowSettling || !unknown[j.Resource] || seen[j.ID()]
	})
}

// seenAgain is a finding that departs after the changes of a pass; before is what became of each then.
func (j Judged) seenAgain(before map[string]Judged) Judged {
	old, known := before[j.ID()]
	if !known {
		// Departs since this pass looked first: the next pass puts it right.
		return j.because(v1alpha1.RowWaiting, "waited for the changes of this pass; made in the next")
	}
	j.Failed, j.Looks, j.Again, j.approved = old.Failed, old.Looks, old.Again, old.approved
	j.Record, j.Owner, j.OwnerUnread, j.asked = old.Record, old.Owner, old.OwnerUnread, old.asked
	return j.because(old.Reason, old.Message)
}
