package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// What bounds Flow.
const (
	// announcedFor is how long an event counts as the announcement of what is found: longer than the longest interval.
	announcedFor = 26 * time.Hour
	// silentFor is how long a change that was not announced stands, unless an event of its control comes from there.
	silentFor = 24 * time.Hour
	// aheadBy is how much earlier than the look before an event may be that announces a change: it takes AWS some time to
	// show one.
	aheadBy = 15 * time.Minute
	// maxSilent bounds what is not announced, and maxAnnounced what is; the latter is about 10 MB.
	maxSilent, maxAnnounced = 1000, 100_000
	// flowTick is how often the condition is worked out.
	flowTick = 15 * time.Second
)

// EventGrace is how much later than a sweep's finding its event may arrive: the organization trail's bucket takes 5 to 15
// minutes ("How CloudTrail works": an average of about 5 minutes, not guaranteed).
const EventGrace = 20 * time.Minute

// Flow watches whether events arrive: when a sweep finds a change that no event has announced, something between CloudTrail
// and the queue is broken, or somebody has stopped the trail. Sweeps find what events do not tell, at their interval.
type Flow struct {
	clock func() time.Time
	grace time.Duration
	// changed is called when the condition says something else.
	changed func()

	mu sync.Mutex
	// announced is when an event last told of a control in an account; found are changes that none has told of, by when they
	// were found.
	announced map[flowKey]time.Time
	found     map[flowKey]time.Time
	arrived   bool
	said      metav1.Condition
}

type flowKey struct{ account, control string }

// NewFlow makes a Flow that waits grace for an event after its change was found.
func NewFlow(grace time.Duration, clock func() time.Time) *Flow {
	return &Flow{clock: clock, grace: grace, announced: map[flowKey]time.Time{}, found: map[flowKey]time.Time{}, changed: func() {}}
}

// announce notes that an event told of controls in an account.
func (f *Flow) announce(account string, controls []*control.Meta, e *cloud.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived = true
	for _, c := range controls {
		key := flowKey{account, c.ID}
		delete(f.found, key)
		if at, known := f.announced[key]; (known || len(f.announced) < maxAnnounced) && e.Time.After(at) {
			f.announced[key] = e.Time
		}
	}
}

// find notes that a sweep found a change of a control in an account, which was observed without it before.
func (f *Flow) find(account, control string, before time.Time) {
	if f == nil {
		return // no events are received
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := flowKey{account, control}
	if !f.announced[key].Before(before.Add(-aheadBy)) {
		return
	}
	if _, known := f.found[key]; !known && len(f.found) < maxSilent {
		f.found[key] = f.clock()
	}
}

// watch works the condition out until ctx ends.
func (f *Flow) watch(ctx context.Context, health func() (time.Time, error)) {
	tick := time.NewTicker(flowTick)
	defer tick.Stop()
	for {
		_, err := health()
		f.settle(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// settle forgets what is too old and tells when the condition says something else.
func (f *Flow) settle(broken error) {
	f.mu.Lock()
	now := f.clock()
	maps.DeleteFunc(f.announced, func(_ flowKey, at time.Time) bool { return now.Sub(at) > announcedFor })
	maps.DeleteFunc(f.found, func(_ flowKey, at time.Time) bool { return now.Sub(at) > silentFor })
	is := f.verdict(now, broken)
	changed := is != f.said
	f.said = is
	f.mu.Unlock()
	if changed {
		f.changed()
	}
}

// condition is what is to be said of the flow of events.
func (f *Flow) condition() metav1.Condition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// verdict is the condition's status, reason and message; broken is why the queue cannot be read. The lock is held.
func (f *Flow) verdict(now time.Time, broken error) metav1.Condition {
	silent := f.silent(now)
	switch {
	case broken != nil:
		_, message := control.Explain(broken)
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonQueueUnreadable, Message: "the event queue cannot be read: " + message}
	case len(silent) > 0:
		return metav1.Condition{
			Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnannouncedChange,
			Message: fmt.Sprintf("sweeps found %d changes that no event announced, such as %s — see docs/events.md; "+
				"look whether the trail is logging and the rules are there", len(silent), strings.Join(silent[:min(len(silent), 3)], ", ")),
		}
	case !f.arrived:
		return metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNoEvents, Message: "no event of a declared control has arrived since the manager began"}
	}
	return metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonEventsArrive, Message: "events arrive, and sweeps find no change that none announced"}
}

// silent are the changes that no event has announced for too long, the earliest first.
func (f *Flow) silent(now time.Time) []string {
	keys := slices.SortedFunc(maps.Keys(f.found), func(a, b flowKey) int {
		return cmp.Or(f.found[a].Compare(f.found[b]), strings.Compare(a.account, b.account), strings.Compare(a.control, b.control))
	})
	var all []string
	for _, k := range keys {
		if at := f.found[k]; now.Sub(at) >= f.grace {
			all = append(all, k.control+" in "+k.account+" ("+at.UTC().Format(time.RFC3339)+")")
		}
	}
	return all
}
