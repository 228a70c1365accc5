package kubectl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// errTimeout ends a wait that took too long.
var errTimeout = errors.New("not over within the time to wait")

// waiting looks again and again until nothing is left to wait for. look returns how many are over of how many, and what to say
// should there be no more time.
func (c *cluster) waiting(ctx context.Context, timeout time.Duration, look func(context.Context) (over, of int, left string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	said := -1
	for left := ""; ; {
		began := c.Clock()
		over, of, now, err := look(ctx)
		switch {
		case err != nil && ctx.Err() != nil, err != nil && comesTooLate(err): // the last look was cut off, or not begun
			<-ctx.Done()
			return ended(ctx, timeout, left)
		case err != nil:
			return err
		case over != said:
			c.progress(over, of)
			said = over
		}
		if left = now; over == of {
			return nil
		}
		// Looking takes a tenth of the time at most: thousands of accounts are many megabytes.
		select {
		case <-time.After(max(c.Poll, 10*c.Clock().Sub(began))):
		case <-ctx.Done():
			return ended(ctx, timeout, left)
		}
	}
}

// comesTooLate says whether the client did not even ask, because its turn would come after the deadline. Its rate limiter
// (golang.org/x/time/rate) has no error of its own for that, only these words.
func comesTooLate(err error) bool {
	return strings.Contains(err.Error(), "would exceed context deadline")
}

// ended says why nobody waits any more.
func ended(ctx context.Context, timeout time.Duration, left string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w (%s): %s", errTimeout, timeout, left)
	}
	return fmt.Errorf("interrupted; what was asked for goes on: %s", left)
}

// progress says how far it is: in place on a terminal, else in a line of its own.
func (c *cluster) progress(over, of int) {
	begin, end := "", "\n"
	if isTerminal(c.Streams.ErrOut) {
		begin = "\r\033[K"
		if over < of {
			end = ""
		}
	}
	c.note(fmt.Sprintf("%s%d of %d done%s", begin, over, of, end))
}

// await waits until nothing more will happen to any of them, and says what became of each.
func (d *decision) await(ctx context.Context, api client.Client, chosen []*v1alpha1.Remediation) error {
	err := d.waiting(ctx, d.timeout, func(ctx context.Context) (int, int, string, error) {
		var left []string
		for _, r := range chosen {
			if d.settled(r) {
				continue
			}
			now := &v1alpha1.Remediation{}
			if err := read(ctx, api, r.Name, now, fmt.Sprintf("Remediation %s was deleted meanwhile", r.Name)); err != nil {
				return 0, 0, "", fmt.Errorf("looking at %s: %w", r.Name, err)
			}
			if *r = *now; !d.settled(r) {
				left = append(left, r.Name+" is "+string(r.Status.Phase))
			}
		}
		return len(chosen) - len(left), len(chosen), strings.Join(left, ", "), nil
	})
	return errors.Join(d.outcome(chosen), err)
}

// settled says whether the controller has taken the decision in and nothing more will happen. What it said before the decision
// does not count.
func (d *decision) settled(r *v1alpha1.Remediation) bool {
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionDecisionRefused); c != nil && c.ObservedGeneration < r.Generation {
		return false
	}
	return d.over(r)
}

// outcome prints what became of each, and is an error where it is not what was wanted.
func (d *decision) outcome(chosen []*v1alpha1.Remediation) error {
	t, failed := table{head: []string{"NAME", "PHASE", "CHANGES", "MESSAGE"}}, 0
	for _, r := range chosen {
		message := r.Status.Message
		if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionDecisionRefused); c != nil {
			message = c.Message
		}
		t.add(r.Name, string(r.Status.Phase), orNone(r.Status.Progress), orNone(message))
		if !slices.Contains(d.wanted, r.Status.Phase) {
			failed++
		}
	}
	if err := d.print(t.String()); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s not %s; the column MESSAGE says why", failed, plural(len(chosen), "Remediation"), d.past)
	}
	return nil
}
