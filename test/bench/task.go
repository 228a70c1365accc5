package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// task is what one child measures.
type task struct {
	// Name is sweep, events, full, changes, stand-in, tls, plan or day; the results are written to the file Result.
	Name, Result string
	// Kubeconfig leads to the API server.
	Kubeconfig string
	Accounts   int
	Concurrent int
	Drift      float64
	// Drifts are the shares of single settings in place of Drift.
	Drifts map[string]float64
	// Buckets are those of each account; 0: the stand-in's default.
	Buckets int
	// Writes has the manager run with --allow-writes.
	Writes bool
	Median time.Duration
	P99    time.Duration
	// Limited has the rate limits of AWS obeyed.
	Limited bool
	// InFlight is how many calls the stand-in alone is to have under way.
	InFlight int64
	// Profile is a folder for profiles.
	Profile string
}

// result is what a child has measured. What was not measured is zero.
type result struct {
	Task task
	// Revision is what was measured: with --resume not all need be the same.
	Revision string
	// Discovery, First and Steady are the seconds that discovering the accounts, looking at them for the first time and looking
	// at them again took.
	Discovery, First, Steady float64
	// Checks is the number of checks, Unknown those that could not be told.
	Checks, Unknown int64
	// Requests and Throttled are those of the steady sweep, by operation and by control.
	Requests, Throttled int64
	ByOperation         map[string]int64
	ByControl           map[string]int64
	// MostInFlight is the largest number of calls under way at a time.
	MostInFlight int64
	// Peak is the most memory that the process had, in bytes; CPU the seconds of processor time of the steady sweep.
	Peak   int64
	Memory memory
	CPU    float64
	// Handshakes are those of TLS, where requests went over it; Peak and CPU are then those of the real binary.
	Handshakes int64
	// StatusWrites are those of the steady sweep, OtherWrites all others.
	StatusWrites, OtherWrites int64
	// RollUps is how often the baselines were summed, RollUpSeconds how long that took on average, RollUpWorst at most (the
	// upper bound of the histogram's bucket).
	RollUps                    int64
	RollUpSeconds, RollUpWorst float64
	// EventsPeak is the most memory that the process had in which events were received during a sweep, in bytes.
	EventsPeak int64
	// EventP50 and EventP99 are the seconds from an event in the queue to its drift in the status; Events how many there were,
	// EventsLost how many of them brought no drift.
	Events, EventsLost int
	EventP50, EventP99 float64
	// StatusMean and StatusMost are the sizes of statuses in bytes.
	StatusMean, StatusMost int64
	// Changes is what changes cost.
	Changes *changesResult
	// Plan is what a plan over many buckets costs.
	Plan *planResult
	// Day is what a day costs.
	Day *dayResult
	// APIServer and Etcd are theirs at the end.
	APIServer, Etcd usage
}

func (t task) run(ctx context.Context) error {
	r := &result{Task: t, Revision: revision()}
	var err error
	switch t.Name {
	case "sweep", "full":
		err = t.sweep(ctx, r)
	case "events":
		err = t.events(ctx, r)
	case "changes":
		err = t.changes(ctx, r)
	case "tls":
		err = t.overTLS(ctx, r)
	case "plan":
		err = t.plan(ctx, r)
	case "stand-in":
		err = t.standIn(ctx, r)
	case "day":
		err = t.day(ctx, r)
	default:
		err = fmt.Errorf("there is nothing to measure by the name of %s", t.Name)
	}
	if r.Peak == 0 {
		r.Peak = usageOf(os.Getpid()).Peak
	}
	// What was seen is written down also where it ended in an error.
	if werr := writeJSON(t.Result, r); err == nil {
		err = werr
	}
	return err
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding a result: %w", err)
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path) //nolint:gosec // a file that the bench wrote
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}
