package cloud

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Attempt is one request that was sent to AWS, or was tried to be: a call that is tried again is several.
type Attempt struct {
	// Account is whose resources it concerns, Region where AWS was asked.
	Account, Region string
	// Service and Operation are the SDK's names. Example: S3, GetBucketPolicy
	Service, Operation string
	// Outcome is one of those below.
	Outcome string
	// Purpose is the id of the control that it was made for, the name of the read that several controls share, "session" or
	// "discovery"; empty when nobody has said.
	Purpose string
	// RequestID is the id that AWS gave the request; empty when AWS did not answer.
	RequestID string
}

// Outcomes of an attempt, as the metrics count them.
const (
	OutcomeOK        = "ok"
	OutcomeDenied    = "denied"
	OutcomeThrottled = "throttled"
	OutcomeError     = "error"
)

// An Observer hears of every attempt.
type Observer func(Attempt)

// place is where the attempts of a configuration go.
type place struct {
	account, region string
	// enforces is true with the enforce role's credentials.
	enforces bool
}

// attempts stands right before the signing, on every attempt: that a role could not be assumed is no attempt at the service
// the role was wanted for.
func (c *Cloud) attempts(p place) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("PlumblineAttempt", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			a := Attempt{
				Account: p.account, Region: p.region, Purpose: control.PurposeOf(ctx),
				Service: awsmiddleware.GetServiceID(ctx), Operation: awsmiddleware.GetOperationName(ctx),
			}
			if err := c.admit(ctx, a); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			began := c.clock()
			c.requests.begin(began)
			out, metadata, err := c.send(ctx, p, func(ctx context.Context) (middleware.FinalizeOutput, middleware.Metadata, error) {
				return next.HandleFinalize(ctx, in)
			})
			a.Outcome, a.RequestID = outcomeOf(err), requestID(metadata, err)
			c.settle(ctx, p, a, began, err)
			if err != nil && c.circuits.closed(a, c.clock()) != nil {
				err = lastError{err} // what failed is told, and not that it is not asked any more
			}
			return out, metadata, err
		}), "Signing", middleware.Before)
	}
}

// admit waits for the attempt's turn, or says why it is not made. The circuits are asked first and once more after the wait:
// what has failed meanwhile is not asked.
func (c *Cloud) admit(ctx context.Context, a Attempt) error {
	if err := c.circuits.closed(a, c.clock()); err != nil {
		return err
	}
	if err := c.limiters.wait(ctx, a, c.clock()); err != nil {
		return err
	}
	return c.circuits.enter(a, c.clock())
}

// send bounds one attempt. What ends by this bound is worth another attempt, other than what its caller has ended.
func (c *Cloud) send(ctx context.Context, p place, next func(context.Context) (middleware.FinalizeOutput, middleware.Metadata, error)) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	after := c.patience.Read
	if p.enforces {
		after = c.patience.Write
	}
	bounded, cancel := context.WithTimeout(ctx, after)
	defer cancel()
	out, metadata, err := next(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil && requestID(metadata, err) == "" {
		err = errTimeout{}
	}
	return out, metadata, err
}

// settle tells everybody how an attempt ended.
func (c *Cloud) settle(ctx context.Context, p place, a Attempt, began time.Time, err error) {
	now := c.clock()
	c.requests.remember(a, p.enforces, span{began, now})
	c.limiters.heard(a, now)
	said := answerOf(ctx, err)
	c.circuits.heard(a, said, err, now)
	if said == answered {
		control.Answered(ctx)
	}
	count(ctx)
	c.observer(a)
}

// Patience is how long one attempt is waited for.
type Patience struct {
	// Read is that of an audit session, 10 s by default, and Write that of an enforce session, 30 s: a write that is cut short
	// may have been made.
	Read, Write time.Duration
}

// BePatient sets how long an attempt is waited for. Not while there are sessions.
func (c *Cloud) BePatient(p Patience) { c.patience = p }

// lastError is how the attempt failed that opened a circuit. The SDK tries it no more.
type lastError struct{ error }

// Unwrap is the error.
func (e lastError) Unwrap() error { return e.error }

// RetryableError says that it is not worth another attempt now.
func (lastError) RetryableError() bool { return false }

// errTimeout is an attempt that was not answered in time. The SDK tries it again.
type errTimeout struct{}

func (errTimeout) Error() string { return "not answered in time" }

// Timeout says that it is worth another attempt.
func (errTimeout) Timeout() bool { return true }

// Is makes it a time-out for whoever asks.
func (errTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return OutcomeOK
	case control.IsAccessDenied(err):
		return OutcomeDenied
	case control.IsThrottled(err):
		return OutcomeThrottled
	}
	return OutcomeError
}

// requestID is the id in an answer, which S3 puts into a header of its own and the SDK into the error where there is one.
func requestID(metadata middleware.Metadata, err error) string {
	if id, ok := awsmiddleware.GetRequestIDMetadata(metadata); ok {
		return id
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.RequestID
	}
	return ""
}

type countKey struct{}

// CountRequests has the attempts made under the context it returns counted. A read that many passes share counts where it
// was asked for first.
func CountRequests(ctx context.Context) (context.Context, *atomic.Int64) {
	var n atomic.Int64
	return context.WithValue(ctx, countKey{}, &n), &n
}

func count(ctx context.Context) {
	if n, ok := ctx.Value(countKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
}
