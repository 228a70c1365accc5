package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// run makes the checks, in as many passes as that takes: what a pass skips, a manager would come back to. The results are in the
// order of the tasks.
func (f *forecaster) run(ctx context.Context, pass engine.Pass) []engine.Result {
	all, last := pass.Tasks, map[checkID]engine.Result{}
	for waits := 0; len(pass.Tasks) > 0 && ctx.Err() == nil; {
		pass.Planned = nil
		for _, t := range pass.Tasks {
			pass.Planned = append(pass.Planned, t.ID())
		}
		results := f.engine.Run(ctx, pass)
		for _, res := range results {
			last[res.ID()] = res
		}
		if pass.Tasks = unfinished(results); len(pass.Tasks) > 0 || waits == mostWaits {
			continue
		}
		var until time.Time
		if pass.Tasks, until = comesLater(results, f.Clock(), waits < mostBlindWaits); len(pass.Tasks) > 0 {
			waits++
			pause(ctx, until.Sub(f.Clock()))
		}
	}
	var results []engine.Result
	for _, t := range all {
		if res, there := last[t.ID()]; there {
			results = append(results, res)
		}
	}
	return results
}

// A forecast waits mostWaits times for what has its turn later, and mostBlindWaits times, for waitAgain, for what waits and does
// not say until when: for a credential report that AWS is making.
const (
	mostWaits      = 5
	mostBlindWaits = 2
	waitAgain      = 5 * time.Second
)

// unfinished are the tasks that a pass skipped, and with them those that a policy refused in the same regions: only together
// they tell whether it refuses the region.
func unfinished(results []engine.Result) []*engine.Task {
	skipped := map[string]bool{}
	for _, res := range results {
		if res.Skipped {
			skipped[res.Region] = true
		}
	}
	var tasks []*engine.Task
	for _, res := range results {
		if res.Skipped || res.Refused && skipped[res.Region] {
			tasks = append(tasks, res.Task)
		}
	}
	return tasks
}

// comesLater are the tasks that wait for something that comes by itself, and until when it is worth waiting; blindly is true where
// those count that do not say until when.
func comesLater(results []engine.Result, now time.Time, blindly bool) (tasks []*engine.Task, until time.Time) {
	for _, res := range results {
		again := time.Time{}
		for _, j := range res.Findings {
			switch {
			case !j.Again.IsZero():
				again = j.Again
			case j.Outcome == control.Waiting && !Follows(j) && blindly:
				again = now.Add(waitAgain)
			}
		}
		if again.IsZero() {
			continue
		}
		tasks = append(tasks, res.Task)
		if again.After(until) {
			until = again
		}
	}
	return tasks, until
}

// pause waits, but not longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// readOnly is an account of which no session can be had that writes.
type readOnly struct{ engine.Reader }

// Writer is a session that cannot be entered.
func (r readOnly) Writer(cloud.Change) engine.Writer { return noWriter{r.Reader} }

type noWriter struct{ control.Connector }

var errOnlyReads = errors.New("a plan never writes")

// Reach refuses: the enforce role is not even assumed.
func (noWriter) Reach(context.Context) error { return errOnlyReads }

// unheard hears nothing: there is nothing to hear of.
type unheard struct{}

func (unheard) Changing(context.Context, engine.Change)       {}
func (unheard) Changed(context.Context, engine.Change, error) {}
func (unheard) Observed(string, string, time.Duration)        {}

var (
	_ engine.Reader   = readOnly{}
	_ engine.Recorder = unheard{}
)
