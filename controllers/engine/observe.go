package engine

import (
	"context"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// observeAll looks at every task, side by side. What the pass has no time for any more, or yields to something more urgent, is
// skipped, and stays due.
func (r *run) observeAll(ctx context.Context) {
	r.results = make([]Result, len(r.Tasks))
	ctx, stop := watch(ctx, r.limits.StartFor)
	defer stop()
	memo := control.NewMemo(ctx)
	control.Each(r.limits.Parallel, len(r.Tasks), func(i int) { r.results[i] = r.observeInTime(ctx, i, memo) })
}

// observeInTime looks once at the i-th task, unless the pass has no time for it any more, or yields.
func (r *run) observeInTime(ctx context.Context, i int, memo *control.Memo) Result {
	yields := i >= r.limits.Parallel && r.Yield != nil && r.Yield()
	if yields || ctx.Err() != nil || r.clock().Sub(r.began) > r.limits.StartFor {
		return Result{Task: r.Tasks[i], Skipped: true}
	}
	return r.observe(ctx, r.Tasks[i], memo, false)
}

// observe looks once. An error becomes a finding for the whole check; so does a panic. What was cut short because the manager
// is to stop, or for want of an answer that others share and that is under way, says nothing: it is skipped. What was cut off
// because AWS does not get on with it is unknown.
func (r *run) observe(ctx context.Context, t *Task, memo *control.Memo, verifying bool) Result {
	res := Result{Task: t, At: r.clock()}
	target := r.target(t, r.Reader, t.Control.Reads, memo, verifying)
	found, err := r.look(ctx, t, target)
	if target.Late() {
		r.late.Store(true)
		return Result{Task: t, Skipped: true, Late: true}
	}
	for _, f := range found {
		res.Findings = append(res.Findings, t.judge(f))
	}
	if err != nil {
		res.Findings = append(res.Findings, Judged{Finding: control.Unreadable("", err)})
		res.blind, res.Refused = true, control.IsDeniedBySCP(err)
	}
	switch unread := ctx.Err() != nil && res.Tally().Unknown > 0; {
	case unread && wasCutOff(ctx):
		res.cutOff(err, verifying)
	case unread:
		return Result{Task: t, Skipped: true}
	}
	res.Took, res.Index = r.clock().Sub(res.At), target.Index()
	if from := target.FactsFrom(); !from.IsZero() && from.Before(res.At) {
		res.At, res.Age = from, res.At.Sub(from)
	}
	return res
}

// look runs the control's Observe.
func (r *run) look(ctx context.Context, t *Task, target *control.Target) (found []control.Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, r.panicked(t, p)
		}
	}()
	return t.Control.Observe(control.WithPurpose(ctx, t.Control.ID), target)
}

// denyRegions settles in which regions a service control policy refuses everything: those where each planned check was
// looked at and refused so, and one harmless call is refused as well. Elsewhere a refusal concerns single actions and stays
// an unknown.
func (r *run) denyRegions(ctx context.Context) {
	open := map[string]int{} // planned checks that were not refused
	for _, id := range r.Planned {
		open[id.Region]++
	}
	refused := map[string]bool{}
	for _, res := range r.results {
		if res.Refused && res.Region != v1alpha1.GlobalRegion {
			refused[res.Region] = true
			open[res.Region]--
		}
	}
	denied := map[string]bool{}
	for region := range refused {
		denied[region] = open[region] <= 0 && r.Reader.Denied(ctx, region)
	}
	for i := range r.results {
		r.results[i].Denied = denied[r.results[i].Region] && !r.results[i].Skipped
	}
}
