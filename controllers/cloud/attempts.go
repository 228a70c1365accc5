package cloud

import (
	"context"
	"errors"
	"sync/atomic"

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

// attempts takes the rate limit, remembers the request and tells the observer, on every attempt. It stands right before the
// signing: that a role could not be assumed is no attempt at the service the role was wanted for.
func (c *Cloud) attempts(p place) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("PlumblineAttempt", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			a := Attempt{
				Account: p.account, Region: p.region, Purpose: control.PurposeOf(ctx),
				Service: awsmiddleware.GetServiceID(ctx), Operation: awsmiddleware.GetOperationName(ctx),
			}
			if err := c.limiters.wait(ctx, p.account, p.region, a.Service, a.Operation); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			began := c.clock()
			c.requests.begin(began)
			out, metadata, err := next.HandleFinalize(ctx, in)
			a.Outcome, a.RequestID = outcomeOf(err), requestID(metadata, err)
			c.requests.remember(a, p.enforces, span{began, c.clock()})
			count(ctx)
			c.observer(a)
			return out, metadata, err
		}), "Signing", middleware.Before)
	}
}

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
