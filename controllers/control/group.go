package control

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// A Group runs functions side by side, as an errgroup.Group does, for a control that looks at many resources. A panic in one
// of them (AWS answered something that nobody thought of) comes out of Wait, in the goroutine of whoever waits, where the
// engine makes a finding of it; in an errgroup.Group it would end the process. The zero value is ready.
type Group struct {
	group errgroup.Group

	mu       sync.Mutex
	panicked string
}

// SetLimit bounds how many functions run at a time. It must not be called while one runs.
func (g *Group) SetLimit(n int) { g.group.SetLimit(n) }

// Go runs f in a goroutine of its own, once there is room.
func (g *Group) Go(f func() error) {
	g.group.Go(func() error { return g.guarded(f) })
}

// guarded runs f and keeps its panic for Wait.
func (g *Group) guarded(f func() error) error {
	defer func() {
		if p := recover(); p != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.panicked == "" {
				g.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			}
		}
	}()
	return f()
}

// Wait waits for every function, and returns the first error or panics as the first function did that panicked.
func (g *Group) Wait() error {
	err := g.group.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.panicked != "" {
		panic(g.panicked)
	}
	return err
}

// Each calls f with 0 to n-1, atOnce of them at a time, and returns when all are done. It panics as the first of them did that
// panicked; the others are still called, by those that go on. The goroutine of the caller is one of those at work and each makes
// one call after the other: a stack that AWS's SDK has made grow is used again, and looking at one resource starts nothing.
func Each(atOnce, n int, f func(i int)) {
	var g Group
	var next atomic.Int64
	work := func() error {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			f(int(i))
		}
		return nil
	}
	for range min(atOnce, n) - 1 {
		g.Go(work)
	}
	_ = g.guarded(work) // it returns no error, and its panic comes out of Wait
	_ = g.Wait()
}
