package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

const (
	// eventsPerSecond and eventsFor are how many events come and for how long.
	eventsPerSecond = 100
	eventsFor       = 30 * time.Second
	// eventPatience is how long the bench waits for the last drifts.
	eventPatience = 2 * time.Minute
)

// queue is the manager's real event queue, over the stand-in's messages.
func (t task) queue(stage *scale.Cloud) func(controllers.EventFilter) (controllers.EventSource, error) {
	return func(f controllers.EventFilter) (controllers.EventSource, error) {
		return cloud.NewQueue(stage.Base(), scale.QueueURL, cloud.QueueOptions{
			Clock: t.clock, Wanted: f.Wanted, OwnRole: f.OwnRole, Observe: f.Observe,
		})
	}
}

// waiting are the drifts that are to appear in statuses, by account and region, with when their events were sent.
type waiting struct {
	mu   sync.Mutex
	sent map[string]map[string]time.Time
	took []time.Duration
}

func (w *waiting) add(account, region string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent[account] == nil {
		w.sent[account] = map[string]time.Time{}
	}
	w.sent[account][region] = time.Now()
}

// see takes note of the drifts in a status.
func (w *waiting) see(a *v1alpha1.AWSAccount) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for region, at := range w.sent[a.Name] {
		for _, c := range a.Status.Controls {
			if c.Control == "ebs-default-encryption" && c.Drifted[region] > 0 {
				w.took = append(w.took, time.Since(at))
				delete(w.sent[a.Name], region)
			}
		}
	}
}

func (w *waiting) left() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, regions := range w.sent {
		n += len(regions)
	}
	return n
}

// dayLater is by how much the clock of the manager that receives events is ahead: when it begins, everything is due.
const dayLater = 25 * time.Hour

// example is one drift that has not appeared.
func (w *waiting) example() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for account, regions := range w.sent {
		for region, at := range regions {
			return fmt.Sprintf("EBS encryption by default in %s of %s, %s after its event", region, account, time.Since(at).Round(time.Second))
		}
	}
	return ""
}

// events measures, during a sweep, the time from an event's message in the queue to its drift in a status that the API
// server has taken. The manager is a new one over the accounts that an earlier one has looked at a day ago by its
// clock, so that it sweeps because everything is due and not because somebody has asked.
func (t task) events(ctx context.Context, r *result) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		if err := <-b.stopped; err != nil {
			b.say("the manager ended: %v", err)
		}
	}()
	w := &waiting{sent: map[string]map[string]time.Time{}}
	b.seeWritten(w)
	// The sweep is under way when it asks for more than sessions and regions.
	for b.stage.Total().Calls < int64(10*b.Concurrent) {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	watched, ended := context.WithCancel(ctx)
	defer ended()
	go b.tellEvents(watched, w)
	sent, err := b.send(ctx, w)
	if err != nil {
		return err
	}
	for last := time.Now().Add(eventPatience); w.left() > 0 && time.Now().Before(last); {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	w.sum(sent, r)
	if example := w.example(); example != "" {
		b.say("%d accounts: no drift of %s", b.Accounts, example)
	}
	b.say("%d accounts: %d events, %d of them without a drift: p50 %.2fs, p99 %.2fs", b.Accounts, r.Events, r.EventsLost, r.EventP50, r.EventP99)
	return nil
}

// tellEvents tells every few seconds how the events go on.
func (b *bench) tellEvents(ctx context.Context, w *waiting) {
	for before := usageOf(b.pid).CPU; pause(ctx, eventsTold) == nil; before = usageOf(b.pid).CPU {
		b.say("%d accounts: %d drifts awaited, %d messages in the queue, %.0f passes under way, %.0f queued, %d calls, %.0f %% of a core",
			b.Accounts, w.left(), b.stage.Messages(), gauge("controller_runtime_active_workers"), gauge("workqueue_depth"),
			b.stage.InFlight(), 100*(usageOf(b.pid).CPU-before)/eventsTold.Seconds())
	}
}

// eventsTold is how often.
const eventsTold = 5 * time.Second

// seeWritten has every status seen that the API server has taken. It is measured there, and not at somebody who watches, since
// the bench is in the same process as the manager and the stand-in, and gets its own share of the processor.
func (b *bench) seeWritten(w *waiting) {
	b.writes.written.Store(&written{see: w.see})
}

// sum writes down how long the drifts took.
func (w *waiting) sum(sent int, r *result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.took)
	r.Events, r.EventsLost = sent, sent-len(w.took)
	if n := len(w.took); n > 0 {
		r.EventP50, r.EventP99 = w.took[n/2].Seconds(), w.took[min(n*99/100, n-1)].Seconds()
	}
}

// send changes one setting after the other and sends its event.
func (b *bench) send(ctx context.Context, w *waiting) (sent int, err error) {
	regions := scale.DefaultRegions()
	tick := time.NewTicker(time.Second / eventsPerSecond)
	defer tick.Stop()
	most := int(eventsFor.Seconds()) * eventsPerSecond
	for i := 0; sent < most && i < b.Accounts*len(regions); i++ {
		account, region := scale.Account(i%b.Accounts), regions[i/b.Accounts]
		if !b.stage.SetEBSDefault(account, region, false) {
			continue // it had drifted already
		}
		w.add(account, region)
		if !b.stage.Send(scale.EBSEvent(i, account, region, b.clock())) {
			return sent, errors.New("the event queue is full")
		}
		sent++
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sent, ctx.Err()
		}
	}
	return sent, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
