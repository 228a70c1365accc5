package engine

import (
	"sync"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// places bounds the accounts that are changed at a time. An account holds its place until its changes are verified or have
// failed, over as many passes as that takes.
type places struct {
	mu    sync.Mutex
	room  int
	taken map[string]map[CheckID]bool // account -> the checks whose changes are waited for
	// of are the accounts that are changed for a baseline which bounds their number.
	of map[string]map[string]bool
	// rest is when an account that reached the cap of a pass may be changed again.
	rest map[string]time.Time
}

func newPlaces(room int) places {
	return places{room: room, taken: map[string]map[CheckID]bool{}, of: map[string]map[string]bool{}, rest: map[string]time.Time{}}
}

// take makes the account one of those that are changed, if there is room.
func (p *places) take(account string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[account] != nil {
		return true
	}
	if len(p.taken) >= p.room {
		return false
	}
	p.taken[account] = map[CheckID]bool{}
	return true
}

// takeOf makes the account one of those that are changed for a baseline, if there is room among as many as it allows.
func (p *places) takeOf(baseline, account string, room int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	accounts := p.of[baseline]
	if accounts[account] {
		return true
	}
	if len(accounts) >= room {
		return false
	}
	if accounts == nil {
		accounts = map[string]bool{}
		p.of[baseline] = accounts
	}
	accounts[account] = true
	return true
}

// keepOf gives the account's places of those baselines back of which no check is waited for. The lock is held.
func (p *places) keepOf(account string, still map[CheckID]bool) {
	waited := map[string]bool{}
	for id := range still {
		waited[id.Baseline] = true
	}
	for baseline, accounts := range p.of {
		if !waited[baseline] {
			delete(accounts, account)
		}
		if len(accounts) == 0 {
			delete(p.of, baseline)
		}
	}
}

// hold makes the account one of those that are changed, if there is room, until release is called. An account that was one already
// stays one.
func (p *places) hold(account string) (release func(), ok bool) {
	p.mu.Lock()
	_, before := p.taken[account]
	p.mu.Unlock()
	if !p.take(account) {
		return nil, false
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !before && len(p.taken[account]) == 0 {
			delete(p.taken, account)
		}
	}, true
}

// settle notes after a pass whose changes are waited for. A check that the pass did not look at is waited for as before, and
// one that is planned no longer is not.
func (p *places) settle(account string, planned []CheckID, results []Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	awaited := p.taken[account]
	if awaited == nil {
		p.keepOf(account, nil)
		return
	}
	still := map[CheckID]bool{}
	for _, id := range planned {
		if awaited[id] {
			still[id] = true
		}
	}
	for _, res := range results {
		if res.Skipped {
			continue
		}
		delete(still, res.ID())
		if res.settles() {
			still[res.ID()] = true
		}
	}
	p.keepOf(account, still)
	if len(still) == 0 {
		delete(p.taken, account)
		return
	}
	p.taken[account] = still
}

// settles says whether a change of the check is still waited for, whoever makes it.
func (r Result) settles() bool {
	for _, j := range r.Findings {
		if j.Reason == v1alpha1.RowSettling || j.Reason == v1alpha1.RowHandedOver {
			return true
		}
	}
	return false
}

// restUntil keeps an account from being changed before at.
func (p *places) restUntil(account string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest[account] = at
}

// hurry lets the account be changed at once: a person has asked.
func (p *places) hurry(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rest, account)
}

// rests says whether the account is not to be changed yet.
func (p *places) rests(account string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.rest[account]) {
		delete(p.rest, account)
		return false
	}
	return true
}

func (p *places) release(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, account)
	delete(p.rest, account)
	p.keepOf(account, nil)
}
