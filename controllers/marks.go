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

// What bounds the marks of one account, and how long events are remembered for whom they tell of.
const (
	maxMarks  = 256
	maxRecent = 64
	recentFor = 30 * time.Minute
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

// add marks an account. An event that says the same as one that is still open joins it.
func (m *marks) add(account string, n *mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[account]
	if a == nil {
		a = &accountMarks{}
		m.all[account] = a
	}
	if i := slices.IndexFunc(a.open, n.joins(len(a.open) >= maxMarks)); i >= 0 {
		n = a.open[i].with(n)
		a.open = slices.Delete(a.open, i, i+1)
	}
	a.open = append(a.open, n)
	a.recent = append(a.recent, n.toldOnly())
	a.recent = a.recent[max(0, len(a.recent)-maxRecent):]
}

// toldOnly is what the mark tells, without what would keep its message, and those of all the marks it joined, in memory.
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

// with is a mark for two events that say the same: the later one, which ends both.
func (m *mark) with(other *mark) *mark {
	both := *other
	if other.Time.Before(m.Time) {
		both = *m
	}
	both.received = m.received
	if other.received.Before(m.received) {
		both.received = other.received
	}
	both.done = func() { m.done(); other.done() }
	return &both
}

// of are the open marks of an account, and the recent ones.
func (m *marks) of(account string, now time.Time) (open, recent []*mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[account]
	if a == nil {
		return nil, nil
	}
	a.recent = slices.DeleteFunc(a.recent, func(r *mark) bool { return now.Sub(r.received) > recentFor })
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

// done ends marks. One that was joined by another meanwhile is not open any more; whoever joined it ends it.
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
