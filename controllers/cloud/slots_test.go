package cloud

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSlotsBoundTheCallsUnderWayAndOneRegionLeavesRoom(t *testing.T) {
	var s slots
	var gives []func()
	for range callsInRegion {
		give, err := s.take(t.Context(), "eu-west-1")
		if err != nil {
			t.Fatal(err)
		}
		gives = append(gives, give)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.take(soon, "eu-west-1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a region that is full gave a slot, or %v", err)
	}
	for range callsAtOnce - callsInRegion {
		give, err := s.take(t.Context(), "eu-central-1")
		if err != nil {
			t.Fatal(err)
		}
		gives = append(gives, give)
	}
	soon, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.take(soon, "us-east-1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one slot too many, or %v", err)
	}
	gives[0]()
	if _, err := s.take(t.Context(), "us-east-1"); err != nil {
		t.Errorf("a slot that was given back: %v", err)
	}
}

func TestWhoWaitsForATurnLeavesItsSlotToOthers(t *testing.T) {
	var s slots
	region := "eu-west-1"
	give, err := s.take(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	held := &slot{slots: &s, region: region, give: give}
	ctx := context.WithValue(t.Context(), slotKey{}, held)
	free := func() int64 {
		here, _ := s.of(region)
		n := int64(0)
		for here.TryAcquire(n + 1) {
			here.Release(n + 1)
			n++
		}
		return n
	}
	var meanwhile int64
	if err := idle(ctx, func() error { meanwhile = free(); return nil }); err != nil {
		t.Fatal(err)
	}
	if meanwhile != callsInRegion || free() != callsInRegion-1 {
		t.Errorf("%d slots were free while it waited and %d after", meanwhile, free())
	}
	held.end()
	// Credentials that are still waited for when the call is over take none.
	if err := idle(ctx, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if free() != callsInRegion {
		t.Errorf("%d slots are free after all", free())
	}
}

func TestSlotsAreAllThereAfterAStorm(t *testing.T) {
	var s slots
	var most, now atomic.Int64
	var wait sync.WaitGroup
	for i := range 4 * callsAtOnce {
		wait.Go(func() {
			give, err := s.take(t.Context(), []string{"a", "b", "c"}[i%3])
			if err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			now.Add(-1)
			give()
		})
	}
	wait.Wait()
	_, all := s.of("a")
	if most.Load() > callsAtOnce || !all.TryAcquire(callsAtOnce) {
		t.Errorf("%d at once, and not all slots are free", most.Load())
	}
}
