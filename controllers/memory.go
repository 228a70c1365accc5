package controllers

import (
	"sync"
	"time"
)

// checkID names a check within an account.
type checkID struct{ baseline, control, region string }

// sight is when a check was last observed, and with what.
type sight struct {
	revision, exceptions string
	at                   time.Time
	// retry is when it is to be observed again before its interval is over; zero: not before.
	retry time.Time
	// failures counts the tries in a row that came to nothing; it spreads the retries.
	failures int
}

// changedResource names a drift (by its Judged.ID) whose change is waited for.
type changedResource struct {
	check checkID
	drift string
}

// request is a reconcile-requested-at token and when it was first seen.
type request struct {
	token string
	seen  time.Time
}

// memory is what is known of one account beyond its status. Nothing in it is needed for correctness: after a restart the
// stored status stands in, and what it does not cover is looked at again.
type memory struct {
	seen map[checkID]sight
	// looks counts, per changed resource, how often it was looked at without showing the change.
	looks map[changedResource]int
	// denied has the regions that a service control policy refuses, and since when that is known.
	denied map[string]time.Time
	// requests has the tokens that ask for a new look, by baseline key; "" is the account's own.
	requests map[string]request
	// unreachable counts the failed tries in a row to enter the account.
	unreachable int
}

func newMemory() *memory {
	return &memory{
		seen: map[checkID]sight{}, looks: map[changedResource]int{}, denied: map[string]time.Time{}, requests: map[string]request{},
	}
}

// request notes a token and says since when it has been asked for. A token that was answered already asks for nothing.
func (m *memory) request(key, token, handled string, now time.Time) time.Time {
	if token == "" || token == handled {
		delete(m.requests, key)
		return time.Time{}
	}
	r := m.requests[key]
	if r.token != token {
		r = request{token, now}
		m.requests[key] = r
	}
	return r.seen
}

// prune drops what belongs to checks that are no longer planned.
func (m *memory) prune(planned map[checkID]bool) {
	for id := range m.seen {
		if !planned[id] {
			delete(m.seen, id)
		}
	}
	for r := range m.looks {
		if !planned[r.check] {
			delete(m.looks, r)
		}
	}
}

// memories holds the memory of every account. A memory is used by one pass at a time: the queue never hands out a key twice.
type memories struct {
	mu  sync.Mutex
	all map[string]*memory
}

func (m *memories) of(account string) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*memory{}
	}
	if m.all[account] == nil {
		m.all[account] = newMemory()
	}
	return m.all[account]
}

func (m *memories) forget(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, account)
}
