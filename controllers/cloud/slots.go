package cloud

import (
	"context"
	"sync"

	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/semaphore"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// A call under way costs about 100 KB: its goroutine's stack, the SDK's middleware, buffers. Sweeping thousands of accounts
// would have thousands under way at a time and be no faster for it, as AWS answers in 0.1 to 0.2 s: 1,000 calls at a time
// are some 5,000 a second.
const (
	// callsAtOnce is the number of calls under way at a time, over all accounts.
	callsAtOnce = 1024
	// callsInRegion is the number of those in one region, so that one that does not answer leaves room for the others.
	callsInRegion = callsAtOnce / 2
)

// slots bounds the calls under way. The zero value is ready.
type slots struct {
	once    sync.Once
	all     *semaphore.Weighted
	mu      sync.Mutex
	regions map[string]*semaphore.Weighted // as many as AWS has regions
}

func (s *slots) of(region string) (here, all *semaphore.Weighted) {
	s.once.Do(func() {
		s.all, s.regions = semaphore.NewWeighted(callsAtOnce), map[string]*semaphore.Weighted{}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.regions[region] == nil {
		s.regions[region] = semaphore.NewWeighted(callsInRegion)
	}
	return s.regions[region], s.all
}

// take waits for a slot and returns what gives it back.
func (s *slots) take(ctx context.Context, region string) (give func(), err error) {
	here, all := s.of(region)
	defer control.Waits(ctx)()
	if err := here.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := all.Acquire(ctx, 1); err != nil {
		here.Release(1)
		return nil, err
	}
	return func() { all.Release(1); here.Release(1) }, nil
}

type slotKey struct{}

type urgentKey struct{}

// Urgent marks what is done under the context as more urgent than a sweep: its calls wait for no slot. They are few.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey{}, true) }

// calls lets a call begin when there is a slot for it: at its very begin, where what waits is still small.
func (s *slots) calls(region string) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PlumblineSlot", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			if ctx.Value(urgentKey{}) != nil {
				return next.HandleInitialize(ctx, in)
			}
			give, err := s.take(ctx, region)
			if err != nil {
				return middleware.InitializeOutput{}, middleware.Metadata{}, err
			}
			held := &slot{slots: s, region: region, give: give}
			defer held.end()
			return next.HandleInitialize(context.WithValue(ctx, slotKey{}, held), in)
		}), middleware.Before)
	}
}

// slot is one call's. Credentials are asked for under a call's context, and by another goroutine that may outlive it.
type slot struct {
	slots  *slots
	region string

	mu   sync.Mutex
	give func()
	over bool
}

// end gives the slot back for good.
func (s *slot) end() {
	s.lend()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// lend gives the slot back for a while.
func (s *slot) lend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.give != nil {
		s.give()
		s.give = nil
	}
}

// claim takes a slot again, unless the call is over or has one.
func (s *slot) claim(ctx context.Context) error {
	give, err := s.slots.take(ctx, s.region)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.give != nil {
		give()
		return nil
	}
	s.give = give
	return nil
}

// idle gives the call's slot to others while wait runs: who waits for a turn is not under way.
func idle(ctx context.Context, wait func() error) error {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok {
		return wait()
	}
	s.lend()
	defer control.Waits(ctx)()
	if err := wait(); err != nil {
		return err
	}
	return s.claim(ctx)
}
