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

// The priorities of an account's pass: a person who asks for the account before events before what concerns every account,
// and that before sweeps. Of those that have waited too long a few of each sort go before all others, first come first served:
// a flood of one sort never starves another.
const (
	prioritySweep    = handler.LowPriority
	priorityEveryone = -75
	priorityEvent    = -50
	priorityPerson   = 0
	priorityLate     = 50
)

// asker is what asks for a pass.
type asker int

const (
	bySweep asker = iota
	// byEveryone is a person's change of a baseline, an exception or the organization, which concerns thousands of accounts.
	byEveryone
	byEvent
	byPerson
	askers
)

// wide says whether the pass looks at everything in an account, as that of thousands of others does for the same reason.
func (by asker) wide() bool { return by == bySweep || by == byEveryone }

// priorities are the priorities of passes, and patience how long they wait for their turn before they are late.
var (
	priorities = [askers]int{prioritySweep, priorityEveryone, priorityEvent, priorityPerson}
	patience   = [askers]time.Duration{5 * time.Minute, 30 * time.Second, 2 * time.Second, 5 * time.Second}
)

// personsPerPlace bounds the accounts that are asked for by name at a time, as a multiple of the late ones that go first: whoever
// asks for more asks for all of them, whether in one command or in a thousand, and so does discovery when an OU has moved.
const personsPerPlace = 4

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
	// persons counts the accounts that somebody asked for by name and that wait.
	persons int
	// first counts, by sort, the late passes that go first and have not begun.
	first [askers]int
	lane  lane
}

// waiting is an account that waits for a pass.
type waiting struct {
	by asker
	// late is when it has waited too long; first is true when it goes first for that.
	late  time.Time
	first bool
	// lined is true while it stands in the lane's line and not in the queue, placed when the lane has a place for it.
	lined, placed bool
}

// newUrgency has at most parallel wide passes under way.
func newUrgency(clock func() time.Time, parallel int) *urgency {
	return &urgency{clock: clock, atOnce: max(parallel/2, 1), all: map[string]waiting{}, lane: lane{room: max(parallel, 1)}}
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
	var as [askers][]string
	for _, a := range accounts {
		by := u.wait(a, by, u.clock())
		as[by] = append(as[by], a)
	}
	for by, accounts := range as {
		u.add(priorities[by], accounts...)
	}
}

// next notes when the account's next pass is due by itself, and how urgent it then is; zero: never. The queue knows it, too.
func (u *urgency) next(account string, by asker, at time.Time) {
	if at.IsZero() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wait(account, by, at)
}

// wait notes that an account waits from a time on, and says how urgent that is: where too many are asked for by name, no more than
// what concerns every account. Who waits already goes on waiting, for the more urgent of the two.
func (u *urgency) wait(account string, by asker, from time.Time) asker {
	w, waits := u.all[account]
	if by == byPerson && u.persons >= u.atOnce*personsPerPlace {
		by = byEveryone
	}
	if waits && w.by >= by {
		return by
	}
	if by == byPerson {
		u.persons++
	}
	if w.first {
		u.first[w.by]--
		u.first[by]++
	}
	u.all[account] = waiting{by: by, late: from.Add(patience[by]), first: w.first, placed: w.placed}
	return by
}

// begin says what asked for the account's pass, and whether it begins: a wide one for which there is no place in the lane
// stands in line, and is queued again when its turn has come. end must be called at the end of one that begins.
func (u *urgency) begin(account string) (by asker, end func(), begins bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w, known := u.all[account]
	if !known {
		w.late = u.clock().Add(patience[bySweep])
	}
	if w.first {
		u.first[w.by]--
		w.first = false
	}
	if w.by.wide() && !w.placed && !u.lane.enter() {
		w.lined = true
		u.all[account] = w
		u.lane.line(w.by, account)
		return w.by, nil, false
	}
	delete(u.all, account)
	if w.by == byPerson {
		u.persons--
	}
	if !w.placed && !w.by.wide() {
		return w.by, func() {}, true
	}
	return w.by, u.leave, true
}

// leave gives the place of a wide pass that has ended to the next in line.
func (u *urgency) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for account := u.lane.next(); account != ""; account = u.lane.next() {
		if w := u.all[account]; w.lined { // otherwise something more urgent has had its turn meanwhile
			w.lined, w.placed = false, true
			u.all[account] = w
			u.add(priorityLate, account)
			return
		}
	}
	u.lane.leave()
}

// hurry lets some of those go first that are late, the latest before the others.
func (u *urgency) hurry() {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock()
	var late [askers][]string
	for account, w := range u.all {
		if !w.first && !w.lined && !w.placed && now.After(w.late) {
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

// people queues the accounts that an object concerns when a person has changed it: by is how urgent that is, newBy how urgent a
// new object is. What stood there when the manager began asks for no more than a sweep.
func (u *urgency) people(newBy, by asker, concerned func(context.Context, client.Object) []string) handler.EventHandler {
	ask := func(ctx context.Context, by asker, o client.Object, q accountQueue) {
		u.use(q)
		u.ask(by, concerned(ctx, o)...)
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q accountQueue) {
			if e.IsInInitialList {
				ask(ctx, bySweep, e.Object, q)
				return
			}
			ask(ctx, newBy, e.Object, q)
		},
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q accountQueue) { ask(ctx, by, e.ObjectNew, q) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q accountQueue) { ask(ctx, by, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q accountQueue) { ask(ctx, by, e.Object, q) },
	}
}
