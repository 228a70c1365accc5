package controllers

import (
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// line is a queue of accounts whose clock a test moves.
type line struct {
	*testing.T
	*urgency
	queue accountPriorityQueue
	now   time.Time
}

func newLine(t *testing.T, parallel int) *line {
	l := &line{T: t, now: noon, queue: priorityqueue.New[reconcile.Request]("test")}
	t.Cleanup(l.queue.ShutDown)
	l.urgency = newUrgency(func() time.Time { return l.now }, parallel)
	l.use(l.queue)
	return l
}

// serve begins the next pass and says whose it is.
func (l *line) serve() string {
	l.Helper()
	key, _, _ := l.queue.GetWithPriority()
	l.begin(key.Name)
	l.queue.Done(key)
	return key.Name
}

func (l *line) serves(want ...string) {
	l.Helper()
	for i, w := range want {
		if got := l.serve(); got != w {
			l.Fatalf("turn %d is %s's, want %s", i, got, w)
		}
	}
}

// sweep queues an account whose time has come.
func (l *line) sweep(account string) {
	l.next(account, l.now)
	l.add(prioritySweep, account)
}

func TestPeopleGoBeforeEventsBeforeSweeps(t *testing.T) {
	l := newLine(t, 2)
	l.sweep("sweep")
	l.ask(byEvent, "event")
	l.ask(byPerson, "person")
	l.serves("person", "event", "sweep")
}

func TestWhoAsksAgainMoreUrgentlyGoesEarlier(t *testing.T) {
	l := newLine(t, 2)
	l.ask(byEvent, "first", "second")
	l.ask(byPerson, "second")
	l.serves("second", "first")
}

func TestAFloodNeverStarvesAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		flood, lone asker
		after       time.Duration
	}{
		"people and an event": {byPerson, byEvent, 3 * time.Second},
		"people and a sweep":  {byPerson, bySweep, 6 * time.Minute},
		"events and a sweep":  {byEvent, bySweep, 6 * time.Minute},
		"events and a person": {byEvent, byPerson, 6 * time.Second},
		"sweeps and an event": {bySweep, byEvent, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			const parallel = 4
			l := newLine(t, parallel)
			put := func(by asker, account string) {
				if by == bySweep {
					l.sweep(account)
				} else {
					l.ask(by, account)
				}
			}
			for i := range 500 {
				put(tc.flood, fmt.Sprint("before-", i))
			}
			put(tc.lone, "lone")
			for i := range 500 {
				put(tc.flood, fmt.Sprint("after-", i))
			}
			l.now = l.now.Add(tc.after)
			for turn := range 600 {
				l.hurry()
				if l.serve() != "lone" {
					continue
				}
				if turn > 2*parallel {
					t.Errorf("the lone one had turn %d", turn)
				}
				return
			}
			t.Error("the lone one never had a turn")
		})
	}
}

func TestUrgencyHoldsNothingOfWhoHadATurn(t *testing.T) {
	l := newLine(t, 2)
	l.ask(byPerson, "a", "b")
	l.ask(byEvent, "c")
	l.now = l.now.Add(time.Minute)
	l.hurry()
	for range 3 {
		l.serve()
	}
	same(t, "who waits", 0, len(l.all))
	same(t, "late passes that have not begun", [askers]int{}, l.first)
}

func TestWhoIsNotDueByItselfIsNeverLate(t *testing.T) {
	l := newLine(t, 2)
	l.next("left the organization", time.Time{})
	l.now = l.now.Add(24 * time.Hour)
	l.hurry()
	same(t, "passes queued", 0, l.queue.Len())
}

func TestSweepsMakeRoomWhenPeopleOrEventsHaveWaited(t *testing.T) {
	for name, tc := range map[string]struct {
		by     asker
		waited time.Duration
		want   bool
	}{
		"an event that has just come":    {byEvent, 500 * time.Millisecond, false},
		"an event that waits":            {byEvent, 1500 * time.Millisecond, true},
		"a person who waits":             {byPerson, 1500 * time.Millisecond, true},
		"a sweep, however long it waits": {bySweep, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, 2)
			l.ask(tc.by, "account")
			l.now = l.now.Add(tc.waited)
			l.hurry()
			same(t, "room is to be made", tc.want, l.presses())
			l.serve()
			l.hurry()
			same(t, "room is to be made once it was served", false, l.presses())
		})
	}
}
