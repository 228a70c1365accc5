package cloud

import (
	"time"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	// reportGoodFor is how long AWS serves a credential report, and so how often an account has one made ("Generate
	// credential reports for your AWS account": every four hours).
	reportGoodFor = 4 * time.Hour
	// turnGoodFor is how long a turn is kept for an account that does not come at once.
	turnGoodFor = 30 * time.Minute
	// mostPaced bounds the accounts that wait for a turn or have had theirs.
	mostPaced = 50_000
)

// pace gives the accounts their turns at a capacity that all of AWS's customers share. Nobody waits in a pass: an account
// that comes too early is told when its turn is, and keeps it.
type pace struct {
	accounts map[string]paced
}

// paced is what is known of one account's call.
type paced struct {
	// made is when AWS last accepted it, turn when the account may make it next; zero: never, and none is given.
	made, turn time.Time
}

// queue lets an account through whose turn it is, or says when that will be.
func (l *limiters) queue(k limiterKey, a Attempt, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	later := control.LaterError{Err: control.ErrRateLimit, Service: a.Service, Operation: a.Operation}
	p := l.pace.accounts[a.Account]
	if next := p.made.Add(reportGoodFor); !p.made.IsZero() && now.Before(next) {
		later.Until, later.Made = next, true
		return &later
	}
	if p.turn.IsZero() || now.Sub(p.turn) > turnGoodFor {
		if !l.pace.room(a.Account, now) {
			later.Until = now.Add(reportGoodFor)
			return &later
		}
		p.turn = now.Add(l.bucket(k).ReserveN(now, 1).DelayFrom(now))
	}
	if now.Before(p.turn) {
		l.pace.accounts[a.Account] = p
		later.Until = p.turn
		return &later
	}
	p.turn = time.Time{} // used, whatever comes of it
	l.pace.accounts[a.Account] = p
	return nil
}

// made notes that AWS has accepted an account's call.
func (p *pace) made(account string, now time.Time) {
	if p.room(account, now) {
		p.accounts[account] = paced{made: now}
	}
}

// room makes sure that the account can be remembered, and forgets those of which nothing is known any more.
func (p *pace) room(account string, now time.Time) bool {
	if p.accounts == nil {
		p.accounts = map[string]paced{}
	}
	if _, known := p.accounts[account]; known || len(p.accounts) < mostPaced {
		return true
	}
	for id, known := range p.accounts {
		if now.Sub(known.made) >= reportGoodFor && now.Sub(known.turn) > turnGoodFor {
			delete(p.accounts, id)
		}
	}
	return len(p.accounts) < mostPaced
}
