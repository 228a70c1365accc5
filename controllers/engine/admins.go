package engine

import (
	"maps"
	"slices"
	"sync"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// adminLocks lets one change at a time into the accounts that administer services for the organization, per region: many
// members' passes write there. A change that is not of one region keeps all others out. The administrators share their
// locks, and a change takes its lock once: one that goes through two of them cannot wait for another that goes through the
// same two the other way round. The zero value is ready.
type adminLocks struct {
	everywhere sync.RWMutex
	mu         sync.Mutex
	regions    map[string]*sync.Mutex
}

// lock waits for the turn and returns what ends it.
func (l *adminLocks) lock(region string) (unlock func()) {
	if region == v1alpha1.GlobalRegion {
		l.everywhere.Lock()
		return l.everywhere.Unlock
	}
	l.everywhere.RLock()
	l.mu.Lock()
	if l.regions == nil {
		l.regions = map[string]*sync.Mutex{}
	}
	m := l.regions[region]
	if m == nil {
		m = &sync.Mutex{}
		l.regions[region] = m
	}
	l.mu.Unlock()
	m.Lock()
	return func() {
		m.Unlock()
		l.everywhere.RUnlock()
	}
}

// turn is one change's turn in the administrators' accounts, taken when the change first enters one.
type turn struct {
	once   sync.Once
	locks  *adminLocks
	region string
	unlock func()
}

func (t *turn) enter(string) { t.once.Do(func() { t.unlock = t.locks.lock(t.region) }) }

func (t *turn) end() {
	t.once.Do(func() {}) // whoever enters after the end writes nothing any more
	if t.unlock != nil {
		t.unlock()
	}
}

// administers says whether the pass's account is itself one through which others are changed.
func (r *run) administers() bool {
	return r.Account == r.Facts.ManagementAccount || slices.Contains(slices.Collect(maps.Values(r.Facts.Administrators)), r.Account)
}
