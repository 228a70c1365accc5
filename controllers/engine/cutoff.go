package engine

import (
	"context"
	"errors"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// A pass works on one account, and the next account waits for it. So a pass begins no check after StartFor, and from then on
// the checks under way are watched. They go on for as long as AWS keeps answering: an account with 20,000 buckets in one
// region takes minutes for each control of S3, at 50 requests a second, and would never be known if a fixed time cut it off.
// They are cut off together once AWS has given less than ten answers in ten seconds: a region that hangs, or that answers so
// slowly that it would hold up thousands of accounts. And they are cut off after an hour: eight controls of 20,000 buckets
// take 55 minutes, and S3 allows an account no more than a few tens of thousands.
//
// What is cut off is Unknown beside what it has found so far, never compliant, and is tried again like anything that fails:
// after a wait that doubles.
const (
	// stretch is for how long AWS is watched at a time, and enough are the answers in it that let the checks go on.
	stretch = 10 * time.Second
	enough  = 10
	// longestObserve is how long the checks go on at most, whatever AWS answers.
	longestObserve = time.Hour
)

// errCutOff is why the checks that are cut off end.
var errCutOff = errors.New("cut off")

// watch is a context that ends with errCutOff when the checks under it do not get on, from first after now on. stop ends it
// and waits for nothing.
func watch(ctx context.Context, first time.Duration) (watched context.Context, stop func()) {
	ctx, progress := control.WithProgress(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		var before int64
		for waited, next := time.Duration(0), first; ; next = stretch {
			select {
			case <-ctx.Done():
				return
			case <-time.After(next):
			}
			waited += next
			now := progress.Answers()
			if waited > first && now-before < enough && !progress.Waits() || waited >= longestObserve {
				cancel(errCutOff)
				return
			}
			before = now
		}
	}()
	return ctx, func() { cancel(nil) }
}

// wasCutOff says whether the checks under the context were cut off, and not ended because the manager is to stop.
func wasCutOff(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errCutOff) }

// cutOff is what stands of a check that was cut off with err: what departs as far as it was seen, and one unknown for all that
// was not. When a change is being verified only the unknown counts: what departed before stands beside it.
func (r *Result) cutOff(err error, verifying bool) {
	var kept []Judged
	for _, j := range r.Findings {
		if j.Outcome == control.Departs && !verifying {
			kept = append(kept, j)
		}
	}
	message := "AWS did not answer in time, and the check was cut off so that others are not held up; it was waiting for "
	var call *control.CallError
	if errors.As(err, &call) {
		message += call.Service + " " + call.Operation + " in " + call.Account + "/" + call.Region
	} else {
		message += "answers about its resources"
	}
	r.Findings = append(kept, Judged{Finding: control.Finding{
		Outcome: control.Unknown, Reason: control.ReasonCutOff, Message: message + " — tried again by itself",
	}})
	r.blind, r.Refused = len(kept) == 0, false
}
