package cloud

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestWhatFailsIsCountedWithinBounds(t *testing.T) {
	var c circuits
	fails := func(i int, now time.Time) {
		c.heard(Attempt{Account: fmt.Sprint(i), Region: "r", Service: "s"}, failed, errors.New("down"), now)
	}
	for i := range mostCircuits + 10 {
		fails(i, began)
	}
	if n := len(c.all); n != mostCircuits {
		t.Errorf("%d are counted", n)
	}
	if fails(-1, began.Add(2*time.Hour)); len(c.all) > 2 {
		t.Errorf("%d are counted long after they failed", len(c.all))
	}
}

func TestACircuitStaysOpenForAQuarterOfAnHourAtMost(t *testing.T) {
	var c circuit
	now := began
	for range openAfter {
		c.fail(openAfter, "down", now)
	}
	var stayed []time.Duration
	for range 7 {
		c.fail(openAfter, "under way when it opened", now)
		stayed = append(stayed, c.until.Sub(now))
		now = c.until
		c.fail(openAfter, "the probe", now)
	}
	want := fmt.Sprint([]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute})
	if got := fmt.Sprint(stayed); got != want {
		t.Errorf("open for %s, want %s", got, want)
	}
}
