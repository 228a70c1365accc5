package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Shared is a read in a service's delegated administrator that answers for many accounts: it is made once per region and
// kept, whoever asks meanwhile waits for it.
type Shared[T any] struct {
	// Key names the read: "guardduty.members".
	Key string
	// Service is whose delegated administrator is asked.
	Service string
	// Actions are the IAM actions it uses. A control that uses the read declares them among its Reads.
	Actions []string
	// Do makes the read; admin is a Target in the administrator's account.
	Do func(ctx context.Context, admin *Target) (T, error)
}

const (
	// SharedMaxAge is how long an answer that many accounts share is used at most; a check that is observed more often than
	// once an hour asks for newer ones (Target.SharedAge).
	SharedMaxAge = 15 * time.Minute
	// sharedKept is when an answer is dropped that nobody has asked for since.
	sharedKept = time.Hour
	// sharedTimeout bounds one shared read: it serves many passes and is not bound to the one that happened to ask first.
	// A hundred pages of members take half a minute from afar.
	sharedTimeout = 5 * time.Minute
)

// From is the answer and when it was read. The target remembers the oldest it was given.
func (s Shared[T]) From(ctx context.Context, t *Target) (T, time.Time, error) {
	var zero T
	admin, err := t.Admin(s.Service)
	if err != nil {
		return zero, time.Time{}, err
	}
	admin = admin.limitedTo(s.Actions)
	ctx = WithPurpose(ctx, purposeOf(s.Key))
	if t.shared == nil || t.Verifying {
		v, err := s.Do(ctx, admin)
		return v, t.Now, err
	}
	asker := asks{age: t.sharedAge(), patience: t.Patience}
	v, at, err := t.shared.get(ctx, memoKey{s.Key, admin.Account, t.Region}, asker, func(ctx context.Context) (any, time.Time, error) {
		own := *admin
		own.facts, own.Patience = &factAge{}, 0
		v, err := s.Do(ctx, &own)
		return v, own.FactsFrom(), err
	})
	if errors.Is(err, errLate) {
		t.facts.hurry()
	}
	if err != nil {
		return zero, at, err
	}
	t.facts.from(at)
	typed, err := as[T](s.Key, v)
	return typed, at, err
}

// errLate says that an answer that many accounts share was still under way. Nobody waits for it with an account in hand: it
// is there when the account is looked at next.
var errLate = errors.New("an answer that many accounts share is under way")

// factAge is the time of the oldest answer of a Shared read that a target was given, whether one came too late, and the Index
// that was used. Its methods take a nil one.
type factAge struct {
	mu     sync.Mutex
	oldest time.Time
	late   bool
	index  Index
}

func (f *factAge) hurry() {
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.late = true
	}
}

func (f *factAge) isLate() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.late
}

// Late says whether an answer that others share was still under way when the target's Patience was over: then whatever was
// observed says nothing.
func (t *Target) Late() bool { return t.facts.isLate() }

func (f *factAge) from(at time.Time) {
	if f == nil || at.IsZero() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.oldest.IsZero() || at.Before(f.oldest) {
		f.oldest = at
	}
}

func (f *factAge) at() time.Time {
	if f == nil {
		return time.Time{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.oldest
}

// FactsFrom is when the oldest answer was read that other accounts share with the target: what was observed is as old as
// that. Zero: everything was read for the target.
func (t *Target) FactsFrom() time.Time { return t.facts.at() }

func (t *Target) sharedAge() time.Duration {
	if t.SharedAge <= 0 {
		return SharedMaxAge
	}
	return min(t.SharedAge, SharedMaxAge)
}

// SharedMemo holds the answers of Shared reads for one organization. It is safe for concurrent use.
//
// Of one read there is at most one under way and one that waits for its end: the second is begun after whatever made the
// first useless, and serves all who have asked since.
type SharedMemo struct {
	clock   func() time.Time
	mu      sync.Mutex
	entries map[memoKey]*sharedEntry
	// renewed are the tokens that Renew has heard of, oldest first.
	renewed []string
}

// rememberedTokens bounds the tokens that Renew remembers.
const rememberedTokens = 64

type sharedEntry struct {
	done chan struct{}
	// before is a read of the same that must end first; nil: none.
	before *sharedEntry
	// last is the answer that was there when the read was asked for; nil: none. It serves, while the read is under way, whoever
	// does not need a newer one: an account in which something changes all the time must not keep the others from theirs.
	last *sharedEntry
	// at is when the read began, or when the oldest answer was read that it rests on. Zero: it has not begun.
	at time.Time
	// forgotten is true when it is of no use any more to who asks from now on.
	forgotten bool
	// slow is true once somebody has waited for it in vain: then nobody else does whose patience ends.
	slow  atomic.Bool
	value any
	err   error
}

func (e *sharedEntry) ended() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// answer is the answer that there is: its own, or that of before. The memo's lock is held.
func (e *sharedEntry) answer() *sharedEntry {
	switch {
	case e == nil:
		return nil
	case e.ended() && e.err == nil:
		return e
	}
	return e.last
}

// NewSharedMemo makes an empty memo. clock is time.Now except in tests.
func NewSharedMemo(clock func() time.Time) *SharedMemo {
	return &SharedMemo{clock: clock, entries: map[memoKey]*sharedEntry{}}
}

// Renew forgets every answer, once per token, however many accounts carry it: somebody asks for everything to be looked at
// again, and no answer of before will do.
func (m *SharedMemo) Renew(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.renewed, token) {
		return
	}
	m.renewed = append(m.renewed, token)
	m.renewed = m.renewed[max(0, len(m.renewed)-rememberedTokens):]
	m.forget(func(memoKey) bool { return true })
}

// Forget makes the answers about a service in a region useless, which are those whose key begins with the service and a dot:
// something changed there. An empty region stands for all.
func (m *SharedMemo) Forget(service, region string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(func(k memoKey) bool {
		return strings.HasPrefix(k.key, service+".") && (region == "" || k.region == region)
	})
}

// forget makes the answers useless that were read, or are being read. A read that has not begun will see what changed. The
// lock is held.
func (m *SharedMemo) forget(which func(memoKey) bool) {
	for k, e := range m.entries {
		if which(k) && !e.at.IsZero() {
			e.forgotten = true
		}
		if which(k) && e.last != nil {
			e.last.forgotten = true
		}
	}
}

// NoPatience takes an answer that accounts share only where it is there already.
const NoPatience = time.Nanosecond

// asks is how old an answer may be, and how long it is waited for; zero: until it is there.
type asks struct{ age, patience time.Duration }

// read makes a shared read and says since when the oldest answer stands that it rests on; zero: it rests on none.
type read func(context.Context) (any, time.Time, error)

func (m *SharedMemo) get(ctx context.Context, k memoKey, a asks, do read) (any, time.Time, error) {
	e := m.entry(ctx, k, a, do)
	switch {
	case e.ended(): // also for whoever waits for nothing
		return e.value, e.at, e.err
	case a.patience > 0 && (e.slow.Load() || a.patience <= NoPatience):
		return nil, time.Time{}, errLate
	}
	defer Waits(ctx)()
	var over <-chan time.Time
	if a.patience > 0 {
		timer := time.NewTimer(a.patience)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-e.done:
		return e.value, e.at, e.err
	case <-over:
		e.slow.Store(true)
		return nil, time.Time{}, errLate
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
}

// entry is the read whose answer will do, begun where there is none.
func (m *SharedMemo) entry(ctx context.Context, k memoKey, a asks, do read) *sharedEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, now := m.entries[k], m.clock()
	if e == nil || e.forgotten || !e.at.IsZero() && now.Sub(e.at) > a.age {
		m.dropOld(now)
		e = &sharedEntry{done: make(chan struct{}), before: e, last: e.answer()}
		m.entries[k] = e
		go m.fill(context.WithoutCancel(ctx), k, e, do)
	}
	if last := e.last; !e.ended() && last != nil && !last.forgotten && now.Sub(last.at) <= a.age {
		return last // somebody needs a newer one, which is under way
	}
	return e
}

// dropOld drops what nobody will be given any more. The lock is held.
func (m *SharedMemo) dropOld(now time.Time) {
	for k, e := range m.entries {
		if e.ended() && (e.forgotten || now.Sub(e.at) > sharedKept) {
			delete(m.entries, k)
		}
	}
}

// fill makes the read. A failed one is forgotten, so that the next who asks tries again.
func (m *SharedMemo) fill(ctx context.Context, k memoKey, e *sharedEntry, do read) {
	if e.before != nil {
		<-e.before.done
	}
	m.mu.Lock()
	e.before, e.at = nil, m.clock()
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	value, oldest, err := m.guarded(ctx, k, do)
	m.mu.Lock()
	defer m.mu.Unlock()
	e.value, e.err = value, err
	if !oldest.IsZero() && oldest.Before(e.at) {
		e.at = oldest
	}
	if err != nil && m.entries[k] == e {
		delete(m.entries, k)
	}
	if err == nil {
		e.last = nil
	}
	close(e.done)
}

// guarded makes an error of a panic.
func (m *SharedMemo) guarded(ctx context.Context, k memoKey, do read) (value any, oldest time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading %s: panic: %v", ErrUnexpected, k.key, p)
		}
	}()
	return do(ctx)
}
