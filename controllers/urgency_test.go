package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
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

// take takes passes out of the queue until one begins, and says whose it is.
func (l *line) take() (account string, end func()) {
	l.Helper()
	for {
		key, _, _ := l.queue.GetWithPriority()
		_, end, begins := l.begin(key.Name)
		l.queue.Done(key)
		if begins {
			return key.Name, end
		}
	}
}

// serve has the next pass made and says whose it is.
func (l *line) serve() string {
	l.Helper()
	account, end := l.take()
	end()
	return account
}

// idle says that no pass is under way and none waits.
func (l *line) idle() {
	l.Helper()
	same(l.T, "who waits", 0, len(l.all))
	same(l.T, "late passes that have not begun", [askers]int{}, l.first)
	same(l.T, "places taken", 0, l.lane.taken)
	same(l.T, "passes queued", 0, l.queue.Len())
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
	l.next(account, bySweep, l.now)
	l.add(prioritySweep, account)
}

func TestPeopleGoBeforeEventsBeforeSweeps(t *testing.T) {
	l := newLine(t, 2)
	l.sweep("sweep")
	l.ask(byEveryone, "everyone")
	l.ask(byEvent, "event")
	l.ask(byPerson, "person")
	l.serves("person", "event", "everyone", "sweep")
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
		"people and an event":  {byPerson, byEvent, 3 * time.Second},
		"people and a sweep":   {byPerson, bySweep, 6 * time.Minute},
		"events and a sweep":   {byEvent, bySweep, 6 * time.Minute},
		"everyone and a sweep": {byEveryone, bySweep, 6 * time.Minute},
		"events and everyone":  {byEvent, byEveryone, time.Minute},
		"events and a person":  {byEvent, byPerson, 6 * time.Second},
		"sweeps and an event":  {bySweep, byEvent, 3 * time.Second},
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

func TestWhoeverAsksForManyByNameAsksForAll(t *testing.T) {
	const parallel = 4
	l := newLine(t, parallel)
	for i := range 1000 {
		l.ask(byPerson, fmt.Sprint("account-", i))
	}
	l.ask(byEvent, "event")
	bound := l.atOnce * personsPerPlace
	for turn := range 1001 {
		if l.serve() == "event" {
			same(t, "the event's turn comes after so many of a thousand", bound, turn)
			break
		}
	}
	for l.queue.Len() > 0 {
		l.serve()
	}
	same(t, "persons that wait", 0, l.persons)
	l.idle()
}

func TestAPassThatFailedIsNoLessUrgentTheNextTime(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.accounts.begin()
	c.accounts.urgency.ask(byEvent, member)
	c.before = func(client.Object) error { return errors.New("the API server is not there") }
	if _, err := c.accounts.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: member}}); err == nil {
		t.Fatal("a pass whose status could not be written returned no error")
	}
	same(t, "asker of the next pass", byEvent, c.accounts.urgency.all[member].by)
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
	l.idle()
}

func TestWhoIsNotDueByItselfIsNeverLate(t *testing.T) {
	l := newLine(t, 2)
	l.next("left the organization", bySweep, time.Time{})
	l.now = l.now.Add(24 * time.Hour)
	l.hurry()
	same(t, "passes queued", 0, l.queue.Len())
}

func TestEventsAndPeopleDoNotWaitForThePassesUnderWay(t *testing.T) {
	l := newLine(t, 2)
	for i := range 6 {
		l.sweep(fmt.Sprint("sweep-", i))
	}
	_, endFirst := l.take()
	_, endSecond := l.take()
	l.ask(byEvent, "event", "sweep-4")
	l.ask(byPerson, "person")
	var ends []func()
	for _, want := range []string{"person", "event", "sweep-4"} {
		account, end := l.take()
		same(t, "begins beside two sweeps", want, account)
		ends = append(ends, end)
	}
	// The sweeps that are left come to the queue and go into line, one by one, and have their turns as others end.
	for range 3 {
		key, _, _ := l.queue.GetWithPriority()
		if _, _, begins := l.begin(key.Name); begins {
			t.Errorf("%s is a third sweep", key.Name)
		}
		l.queue.Done(key)
	}
	for _, end := range ends {
		end()
	}
	same(t, "passes queued while both sweeps go on", 0, l.queue.Len())
	endFirst()
	l.ask(byEvent, "sweep-2") // whose turn has come, and goes before
	l.serves("sweep-2")
	endSecond()
	l.serves("sweep-3", "sweep-5")
	l.idle()
}

func TestWhatConcernsEveryoneGoesBeforeSweepsButForEveryFourthTurn(t *testing.T) {
	l := newLine(t, 1)
	l.sweep("under way")
	_, end := l.take()
	for i := range 3 {
		l.sweep(fmt.Sprint("sweep-", i))
	}
	for i := range 6 {
		l.ask(byEveryone, fmt.Sprint("changed-", i))
	}
	for range 9 { // all into line
		key, _, _ := l.queue.GetWithPriority()
		l.begin(key.Name)
		l.queue.Done(key)
	}
	end()
	l.serves("changed-0", "changed-1", "changed-2", "sweep-0", "changed-3", "changed-4", "changed-5", "sweep-1", "sweep-2")
	l.idle()
}
