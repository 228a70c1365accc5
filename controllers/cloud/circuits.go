package cloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	// openAfter is the number of failed attempts in a row after which a service is left alone in one account and region, and
	// openForAllAfter that after which it is in the region for all accounts.
	openAfter       = 3
	openForAllAfter = 20
	// firstOpen is how long it is left alone first; each probe that fails doubles that, up to longestOpen.
	firstOpen   = 30 * time.Second
	longestOpen = 15 * time.Minute
	// probeFor is how long a probe is waited for: longer than any attempt takes.
	probeFor = time.Minute
	// mostCircuits bounds the services that are counted for; a circuit nobody has heard of for circuitIdle is dropped.
	mostCircuits = 100_000
	circuitIdle  = time.Hour
)

// circuitKey is a service in an account and region; an empty account stands for all.
type circuitKey struct{ account, region, service string }

// circuits keep a service that does not answer from costing every check its time-outs. A circuit exists only while a service
// fails: an answer closes it for good.
type circuits struct {
	mu  sync.Mutex
	all map[circuitKey]*circuit
	// renewed is when the circuits of all accounts were last closed because somebody asked.
	renewed time.Time
}

type circuit struct {
	failures int
	// heard is when it last failed, last how.
	heard time.Time
	last  string
	// openFor is how long it was opened for last; zero: it is closed. until is when a probe may be made, probing since when
	// one is.
	openFor        time.Duration
	until, probing time.Time
}

// keysOf are the circuits that an attempt goes through.
func keysOf(a Attempt) [2]circuitKey {
	return [2]circuitKey{{a.Account, a.Region, a.Service}, {"", a.Region, a.Service}}
}

// closed is an error where an attempt would not be let through now.
func (c *circuits) closed(a Attempt, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.check(a, now)
}

// enter lets an attempt through where both circuits are closed, or as the probe of one that has been open for long enough.
func (c *circuits) enter(a Attempt, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(a, now); err != nil {
		return err
	}
	for _, k := range keysOf(a) {
		if one := c.all[k]; one != nil && one.openFor > 0 {
			one.probing = now
		}
	}
	return nil
}

// check is closed with the lock held.
func (c *circuits) check(a Attempt, now time.Time) error {
	for _, k := range keysOf(a) {
		if one := c.all[k]; one != nil && !one.passable(now) {
			return &control.LaterError{
				Err: control.ErrCircuitOpen, Service: a.Service, Operation: a.Operation, Region: a.Region,
				ForAll: k.account == "", Last: one.last, Until: one.until,
			}
		}
	}
	return nil
}

func (c *circuit) passable(now time.Time) bool {
	return c.openFor == 0 || !now.Before(c.until) && now.Sub(c.probing) >= probeFor
}

// answer is what an attempt says of the service that it was sent to.
type answer int

const (
	answered answer = iota
	failed
	// cutShort: whoever made the call has ended it. That says nothing.
	cutShort
)

// answerOf is what an attempt under ctx says that ended with err. Being throttled is an answer, also with status 503.
func answerOf(ctx context.Context, err error) answer {
	var status interface{ HTTPStatusCode() int }
	var api smithy.APIError
	switch {
	case err == nil, control.IsThrottled(err):
		return answered
	case errors.As(err, &status) && status.HTTPStatusCode() > 0:
		if status.HTTPStatusCode() >= 500 {
			return failed
		}
		return answered
	case errors.As(err, &api):
		return answered
	case ctx.Err() != nil:
		return cutShort
	}
	return failed
}

// heard notes how an attempt went that was let through.
func (c *circuits) heard(a Attempt, said answer, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keysOf(a) {
		one := c.all[k]
		switch {
		case said == answered:
			delete(c.all, k)
		case said == cutShort && one != nil:
			one.probing = time.Time{}
		case said == failed && (one != nil || c.room(now)):
			if one == nil {
				one = &circuit{}
				c.all[k] = one
			}
			after := openAfter
			if k.account == "" {
				after = openForAllAfter
			}
			one.fail(after, control.Reason(err), now)
		}
	}
}

// fail counts a failure. One that was under way when the circuit opened changes nothing.
func (c *circuit) fail(after int, why string, now time.Time) {
	c.failures++
	c.heard, c.last = now, why
	switch {
	case c.openFor == 0 && c.failures >= after:
		c.openFor = firstOpen
	case c.openFor > 0 && !now.Before(c.until):
		c.openFor = min(2*c.openFor, longestOpen)
	default:
		return
	}
	c.until, c.probing = now.Add(c.openFor), time.Time{}
}

// room makes sure that one more can be counted for.
func (c *circuits) room(now time.Time) bool {
	if c.all == nil {
		c.all = map[circuitKey]*circuit{}
	}
	if len(c.all) < mostCircuits {
		return true
	}
	for k, one := range c.all {
		if now.Sub(one.heard) > circuitIdle {
			delete(c.all, k)
		}
	}
	return len(c.all) < mostCircuits
}

// AskAnew has the account's services asked at once although they did not answer: somebody wants to know now. So are those that
// are left alone for all accounts, twice a minute at most: a person may ask for five thousand accounts.
func (c *Cloud) AskAnew(account string) {
	now := c.clock()
	c.circuits.mu.Lock()
	defer c.circuits.mu.Unlock()
	forAll := now.Sub(c.circuits.renewed) >= firstOpen
	if forAll {
		c.circuits.renewed = now
	}
	for k := range c.circuits.all {
		if k.account == account || k.account == "" && forAll {
			delete(c.circuits.all, k)
		}
	}
}

// OpenCircuits is the number of services that are left alone, in one account and region or in a region for all accounts,
// because they did not answer.
func (c *Cloud) OpenCircuits() int {
	c.circuits.mu.Lock()
	defer c.circuits.mu.Unlock()
	n := 0
	for _, one := range c.circuits.all {
		if one.openFor > 0 {
			n++
		}
	}
	return n
}
