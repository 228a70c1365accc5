package controllers

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The priorities of an account's pass: people before events before sweeps. Of those that have waited too long a few of each
// sort go before all others, first come first served: a flood of one sort never starves another.
const (
	prioritySweep  = handler.LowPriority
	priorityEvent  = -50
	priorityPerson = 0
	priorityLate   = 50
)

// asker is what asks for a pass.
type asker int

const (
	bySweep asker = iota
	byEvent
	byPerson
	askers
)

// priorities are the priorities of passes, and patience how long they wait for their turn before they are late.
var (
	priorities = [askers]int{prioritySweep, priorityEvent, priorityPerson}
	patience   = [askers]time.Duration{5 * time.Minute, 2 * time.Second, 5 * time.Second}
)

// urgencyTick is how often it is looked for passes that are late.
const urgencyTick = 250 * time.Millisecond

type (
	accountQueue         = workqueue.TypedRateLimitingInterface[reconcile.Request]
	accountPriorityQueue = priorityqueue.PriorityQueue[reconcile.Request]
)

// urgency knows which accounts wait for a pass, what asked for it, and since when. It holds an entry per account at most.
type urgency struct {
	clock func() time.Time
	// atOnce is how many late passes of each sort go first at a time.
	atOnce int

	mu    sync.Mutex
	queue accountPriorityQueue
	all   map[string]waiting
	// first counts, by sort, the late passes that go first and have not begun.
	first [askers]int
	// pressing is true while people or events have waited for a pass for a second.
	pressing bool
}

// pressAfter is how long people and events wait for a pass before sweeps under way make room.
const pressAfter = time.Second

// waiting is an account that waits for a pass.
type waiting struct {
	by    asker
	since time.Time
	// late is when it has waited too long; first is true when it goes first for that.
	late  time.Time
	first bool
}

func newUrgency(clock func() time.Time, parallel int) *urgency {
	return &urgency{clock: clock, atOnce: max(parallel/2, 1), all: map[string]waiting{}}
}

// Start is a source of the controller whose queue this is about. It looks after late passes until ctx ends.
func (u *urgency) Start(ctx context.Context, q accountQueue) error {
	u.use(q)
	go func() {
		tick := time.NewTicker(urgencyTick)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				u.hurry()
			}
		}
	}()
	return nil
}

func (u *urgency) use(q accountQueue) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p, ok := q.(accountPriorityQueue); ok {
		u.queue = p
	}
}

// ask queues accounts.
func (u *urgency) ask(by asker, accounts ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range accounts {
		u.wait(a, by, u.clock())
	}
	u.add(priorities[by], accounts...)
}

// next notes when the account's next pass is due by itself; zero: never. The queue knows it, too.
func (u *urgency) next(account string, at time.Time) {
	if at.IsZero() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wait(account, bySweep, at)
}

// wait notes that an account waits from a time on. Who waits already goes on waiting, for the more urgent of the two.
func (u *urgency) wait(account string, by asker, from time.Time) {
	w, waits := u.all[account]
	if waits && w.by >= by {
		return
	}
	if w.first {
		u.first[w.by]--
		u.first[by]++
	}
	u.all[account] = waiting{by: by, since: from, late: from.Add(patience[by]), first: w.first}
}

// begin says that the account's pass begins, and what asked for it.
func (u *urgency) begin(account string) asker {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := u.all[account]
	if w.first {
		u.first[w.by]--
	}
	delete(u.all, account)
	return w.by
}

// hurry lets some of those go first that are late, the latest before the others.
func (u *urgency) hurry() {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock()
	var late [askers][]string
	u.pressing = false
	for account, w := range u.all {
		u.pressing = u.pressing || w.by != bySweep && now.Sub(w.since) > pressAfter
		if !w.first && now.After(w.late) {
			late[w.by] = append(late[w.by], account)
		}
	}
	for by, accounts := range late {
		slices.SortFunc(accounts, func(a, b string) int {
			return cmp.Or(u.all[a].late.Compare(u.all[b].late), cmp.Compare(a, b))
		})
		accounts = accounts[:min(len(accounts), max(u.atOnce-u.first[by], 0))]
		for _, a := range accounts {
			w := u.all[a]
			w.first = true
			u.all[a] = w
		}
		u.first[by] += len(accounts)
		u.add(priorityLate, accounts...)
	}
}

// presses says whether sweeps under way are to make room for people or events.
func (u *urgency) presses() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pressing
}

// add queues accounts. The lock is held. Before the controller has begun there is no queue, and it begins with every account.
func (u *urgency) add(priority int, accounts ...string) {
	if u.queue != nil && len(accounts) > 0 {
		u.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, requestsFor(accounts)...)
	}
}

func requestsFor(accounts []string) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(accounts))
	for _, a := range accounts {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: a}})
	}
	return requests
}

// people queues the accounts that an object concerns when a person has changed it. What stood there when the manager began,
// and what is new by, asks for no more than a sweep.
func (u *urgency) people(newBy asker, concerned func(context.Context, client.Object) []string) handler.EventHandler {
	ask := func(ctx context.Context, by asker, o client.Object, q accountQueue) {
		u.use(q)
		u.ask(by, concerned(ctx, o)...)
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q accountQueue) {
			by := newBy
			if e.IsInInitialList {
				by = bySweep
			}
			ask(ctx, by, e.Object, q)
		},
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q accountQueue) { ask(ctx, byPerson, e.ObjectNew, q) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q accountQueue) { ask(ctx, byPerson, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q accountQueue) { ask(ctx, byPerson, e.Object, q) },
	}
}
