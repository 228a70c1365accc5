package engine

import (
	"context"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// What a task is told reaches its control, and on what the control says that its answer rests reaches the result.
func TestAControlIsToldWhomItsTaskNames(t *testing.T) {
	l := newLake(t, Limits{})
	var named []string
	var since time.Time
	rests := control.Index{Made: noon.Add(-time.Hour), Renewed: noon.Add(3 * time.Hour)}
	task := enforced(l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(_ context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			named, since = t.Named, t.Since
			t.Home().RestsOn(rests)
			return nil, nil
		}
	}), ireland)
	compare(t, "what a result rests on", rests, l.run(member, task)[0].Index)
	compare(t, "how many are named where none is", 0, len(named))
	task.Named, task.Since = func() []string { return []string{"alice"} }, noon
	compare(t, "its age: only what is reported is dated", time.Duration(0), l.run(member, task)[0].Age)
	compare(t, "named", []string{"alice"}, named)
	compare(t, "since", noon, since)
}

// What is answered from an answer that accounts share is dated by it, and never so old that the check is due again at once.
func TestACheckIsAsOldAsTheAnswerThatItShares(t *testing.T) {
	l := newLake(t, Limits{})
	reads := 0
	shared := control.Shared[int]{Key: "guardduty.members", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) {
		reads++
		return reads, nil
	}}
	task := enforced(l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			_, _, err := shared.From(ctx, t)
			return nil, err
		}
	}), ireland)
	type dated struct {
		At    time.Duration // after noon
		Age   time.Duration
		Reads int
	}
	look := func(account string, every time.Duration) dated {
		task.Every = every
		res := l.run(account, task)[0]
		return dated{res.At.Sub(noon), res.Age, reads}
	}
	compare(t, "the first account", dated{0, 0, 1}, look(member, time.Hour))
	l.pass(10 * time.Minute)
	compare(t, "another ten minutes later", dated{0, 10 * time.Minute, 1}, look(management, time.Hour))
	compare(t, "one that is observed every 20 minutes", dated{10 * time.Minute, 0, 2}, look(management, 20*time.Minute))
	l.pass(time.Second)
	l.shared.Forget("guardduty", frankfurt)
	compare(t, "after an event elsewhere", dated{10 * time.Minute, time.Second, 2}, look(member, time.Hour))
	l.shared.Forget("guardduty", ireland)
	compare(t, "after an event there", dated{10*time.Minute + time.Second, 0, 3}, look(member, time.Hour))
	l.pass(time.Minute)
	task.Since = l.now
	compare(t, "where that answer was too soon", dated{11*time.Minute + time.Second, 0, 4}, look(member, time.Hour))
	l.pass(time.Second)
	compare(t, "who needs no later one", dated{11*time.Minute + time.Second, time.Second, 4}, look(management, time.Hour))
}
