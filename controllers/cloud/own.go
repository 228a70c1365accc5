package cloud

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// Plumbline knows its own requests in CloudTrail by their ids and by nothing else: whoever has stolen one of its roles can
// give a session any name and any user agent, and cannot choose the id that AWS gives a request.
//
// The ids are kept as 64-bit hashes with a seed of this process, in two generations that take turns every hour, so that an
// id is known for one hour at least and two at most.

const (
	// rememberFor is how long a request is remembered at least. CloudTrail delivers through EventBridge within minutes, and
	// to a trail's bucket in five minutes on average ("How CloudTrail works").
	rememberFor = time.Hour
	// mostReads bounds the requests of audit sessions remembered in a generation, mostRequests all of them. 5,000 accounts
	// take a quarter of a million an hour at the default intervals, and writes a few thousand. A million of them are 30 MB.
	mostReads    = 300_000
	mostRequests = mostReads + 250_000
	// mostUnanswered bounds the attempts without an answer remembered in a generation.
	mostUnanswered = 100_000
	// aroundUnanswered is how far from an attempt without an answer an event may be that it explains.
	aroundUnanswered = 5 * time.Minute
)

// requests remembers which requests were Plumbline's.
type requests struct {
	seed maphash.Seed

	mu              sync.Mutex
	current, before generation
}

// generation is what was sent from when it began until the next one did.
type generation struct {
	began time.Time
	ids   map[uint64]struct{}
	// forgot is true when an audit session's request was not remembered for want of room.
	forgot bool
	// unanswered has the attempts that ended without an answer; spans that touch are one. lost is true when one was not
	// remembered for want of room.
	unanswered map[concern][]span
	spans      int
	lost       bool
}

// concern is what an attempt was about: an account, and a service by the name that CloudTrail gives it.
type concern struct{ account, service string }

// span is the time from the begin of an attempt to its end.
type span struct{ from, to time.Time }

func newGeneration(began time.Time) generation {
	return generation{began: began, ids: map[uint64]struct{}{}, unanswered: map[concern][]span{}}
}

func newRequests() requests { return requests{seed: maphash.MakeSeed()} }

// begin notes that a request is about to be sent. The memory begins with the first: a manager that stood by has sent none,
// and knows nothing of those of the manager before it.
func (r *requests) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
}

// turn begins a new generation when it is time. The lock is held.
func (r *requests) turn(now time.Time) {
	switch {
	case r.current.ids == nil:
		r.current = newGeneration(now)
	case now.Sub(r.current.began) >= rememberFor:
		r.before, r.current = r.current, newGeneration(now)
	}
}

// remember notes how an attempt ended.
func (r *requests) remember(a Attempt, enforces bool, at span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at.to)
	g := &r.current
	if a.RequestID == "" {
		if a.Outcome == OutcomeError {
			g.miss(concern{a.Account, sourceOf(a)}, at)
		}
		return
	}
	most := mostReads
	if enforces {
		most = mostRequests
	}
	if len(g.ids) >= most {
		g.forgot = true
		return
	}
	g.ids[maphash.String(r.seed, a.RequestID)] = struct{}{}
}

// miss notes an attempt without an answer.
func (g *generation) miss(c concern, at span) {
	spans := g.unanswered[c]
	if n := len(spans); n > 0 && !at.from.After(spans[n-1].to.Add(aroundUnanswered)) {
		if at.to.After(spans[n-1].to) {
			spans[n-1].to = at.to
		}
		if at.from.Before(spans[n-1].from) {
			spans[n-1].from = at.from
		}
		return
	}
	if g.spans >= mostUnanswered {
		g.lost = true
		return
	}
	g.spans++
	g.unanswered[c] = append(spans, at)
}

// sourceOf is the service's name in CloudTrail, which is that of its IAM actions: "s3" for S3 and for S3 Control.
func sourceOf(a Attempt) string {
	if source, _, ok := strings.Cut(ActionOf(a.Service, a.Operation), ":"); ok {
		return source
	}
	return strings.ToLower(a.Service)
}

// Own says whether this process has sent the request with the given id, within the last hour at least.
func (c *Cloud) Own(requestID string) bool {
	r := &c.requests
	if requestID == "" {
		return false
	}
	id := maphash.String(r.seed, requestID)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, now := r.current.ids[id]
	_, before := r.before.ids[id]
	return now || before
}

// OwnSince is since when requests are remembered. Of an event before that nobody can say whose it is: it may be a request of
// the manager that was the leader before, or one that is forgotten by now.
func (c *Cloud) OwnSince() time.Time {
	r := &c.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.current.ids == nil:
		return c.clock()
	case r.before.ids == nil:
		return r.current.began
	}
	return r.before.began
}

// MayBeOwn says whether an event may be of a request of this process that got no answer, and so no id: one at that service
// (as CloudTrail names it: s3, iam) in that account, within five minutes of at.
func (c *Cloud) MayBeOwn(account, service string, at time.Time) bool {
	r := &c.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range []*generation{&r.current, &r.before} {
		if g.lost {
			return true
		}
		for _, s := range g.unanswered[concern{account, service}] {
			if !at.Before(s.from.Add(-aroundUnanswered)) && !at.After(s.to.Add(aroundUnanswered)) {
				return true
			}
		}
	}
	return false
}

// ReadsKnown says whether every request of audit sessions since OwnSince is remembered. While it is false, a read that Own
// does not know is judged by nobody; a write still is.
func (c *Cloud) ReadsKnown() bool {
	r := &c.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.current.forgot && !r.before.forgot
}
