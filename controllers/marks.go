package controllers

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// mark is an event that makes some checks of an account due.
type mark struct {
	cloud.Event
	// received is when it came out of the queue.
	received time.Time
	// done is called once the status that the checks are written to stands.
	done func()
}

// concerns says whether the event may change a control's answer in a region of the account.
func (m *mark) concerns(account string, c *control.Meta, region string) bool {
	return slices.ContainsFunc(c.Events, func(e control.Event) bool {
		switch {
		case e.Source != m.Source, e.Name != m.Name:
			return false
		case c.Scope == control.Region && region != m.Region:
			return false
		case e.Seen == control.SeenInRegion, e.Seen == control.SeenInHomeRegion:
			return m.Account == account
		}
		return true // it appears in the account that administers the service, and was brought here for what it names
	})
}

// What bounds the marks of one account. Each open mark keeps a message in the queue, of which 1,000 are received at a time: one
// account must not take the places of all others.
const (
	maxMarks  = 64
	maxRecent = 64
)

const (
	// recentFor is how long after an event answers that accounts share must be newer than it.
	recentFor = 30 * time.Minute
	// rememberedFor is how long it is remembered whom and what events tell of: until AWS has made every index anew, which takes
	// it four hours at most (IAM's credential report).
	rememberedFor = 4*time.Hour + 15*time.Minute
)

// marks holds the events that are still to be looked into, by account, and the latest of them for a while longer: AWS may
// show what they did only later. Nothing of it is stored: the messages of what was not looked into are still in the queue.
type marks struct {
	mu  sync.Mutex
	all map[string]*accountMarks
}

type accountMarks struct {
	open   []*mark
	recent []*mark
}

func newMarks() *marks { return &marks{all: map[string]*accountMarks{}} }

// add marks an account. An event that says the same as one that is still open joins it, and the message of the earlier of them
// is done: should the manager end now, that of the later makes the same due.
func (m *marks) add(account string, n *mark) {
	if ended := m.enter(account, n); ended != nil {
		ended()
	}
}

// enter adds a mark and returns how the message ends that it makes needless; nil for none.
func (m *marks) enter(account string, n *mark) (ended func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[account]
	if a == nil {
		a = &accountMarks{}
		m.all[account] = a
	}
	if i := slices.IndexFunc(a.open, n.joins(len(a.open) >= maxMarks)); i >= 0 {
		n, ended = a.open[i].with(n)
		a.open = slices.Delete(a.open, i, i+1)
	}
	a.open = append(a.open, n)
	a.recent = append(a.recent, n.toldOnly())
	a.recent = a.recent[max(0, len(a.recent)-maxRecent):]
	return ended
}

// toldOnly is what the mark tells, without what would keep its message in memory.
func (m *mark) toldOnly() *mark {
	told := &mark{Event: m.Event, received: m.received}
	told.Accounts = nil
	return told
}

// joins finds a mark that says the same: the same event of the same resource, or where there are too many, of whatever
// resource.
func (m *mark) joins(whatever bool) func(*mark) bool {
	return func(o *mark) bool {
		return o.Source == m.Source && o.Name == m.Name && o.Region == m.Region && o.Account == m.Account &&
			(whatever || slices.Equal(o.Resources, m.Resources))
	}
}

// with is a mark for two events that say the same: the later one, since the earlier was received. ended ends the message of
// the earlier, unless it is one and the same event: then it may be one and the same message, which came again.
func (m *mark) with(other *mark) (both *mark, ended func()) {
	later, earlier := *other, m
	if other.Time.Before(m.Time) {
		later, earlier = *m, other
	}
	later.received = m.received
	if other.received.Before(m.received) {
		later.received = other.received
	}
	if m.ID == other.ID {
		later.done = func() { m.done(); other.done() }
		return &later, nil
	}
	return &later, earlier.done
}

// of are the open marks of an account, and the recent ones.
func (m *marks) of(account string, now time.Time) (open, recent []*mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[account]
	if a == nil {
		return nil, nil
	}
	a.recent = slices.DeleteFunc(a.recent, func(r *mark) bool { return now.Sub(r.received) > rememberedFor })
	if len(a.open) == 0 && len(a.recent) == 0 {
		delete(m.all, account)
	}
	return slices.Clone(a.open), slices.Clone(a.recent)
}

// waits says whether an account has open marks beside those known.
func (m *marks) waits(account string, known []*mark) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[account]
	return a != nil && slices.ContainsFunc(a.open, func(o *mark) bool { return !slices.Contains(known, o) })
}

// done ends marks. One that was joined by another meanwhile is not open any more, and its message is done.
func (m *marks) done(account string, ended []*mark) {
	m.mu.Lock()
	a := m.all[account]
	var end []*mark
	if a != nil {
		a.open = slices.DeleteFunc(a.open, func(o *mark) bool {
			if slices.Contains(ended, o) {
				end = append(end, o)
				return true
			}
			return false
		})
	}
	m.mu.Unlock()
	for _, o := range end {
		o.done()
	}
}

// open is the number of marks that are still to be looked into.
func (m *marks) open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, a := range m.all {
		n += len(a.open)
	}
	return n
}

// forget ends all marks of an account that is not worked on.
func (m *marks) forget(account string) {
	m.mu.Lock()
	a := m.all[account]
	delete(m.all, account)
	m.mu.Unlock()
	if a != nil {
		for _, o := range a.open {
			o.done()
		}
	}
}

// shared is one function for n parts that each call done once: f is called with the last.
func shared(n int, f func()) (done func()) {
	var left atomic.Int64
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			f()
		}
	}
}

// names says whether the event names a resource, or names none at all.
func (m *mark) names(resource string) bool {
	if len(m.Resources) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Resources, func(name string) bool {
		return name != "" && (resource == name || strings.HasSuffix(resource, "/"+name) || strings.HasSuffix(resource, ":"+name))
	})
}
