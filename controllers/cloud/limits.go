package cloud

import (
	"context"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// limit is a published or observed rate of one API, per account and region.
type limit struct {
	service, operation string // an empty operation: every other one of the service
	perSecond          rate.Limit
	burst              int
}

// limits are taken on every attempt. Sources: "CloudTrail quotas" (10 transactions a second for get, describe and list, 1
// for everything else), "Request throttling for the Amazon EC2 API" (describe actions: bucket 100, refill 20 a second);
// Organizations publishes none and throttles a few a second; IAM's credential report has a capacity shared by all customers.
var limits = []limit{
	{"CloudTrail", "DescribeTrails", 10, 10},
	{"CloudTrail", "GetTrailStatus", 10, 10},
	{"CloudTrail", "GetEventSelectors", 10, 10},
	{"CloudTrail", "", 1, 1},
	{"EC2", "", 20, 100},
	{"Organizations", "", 5, 10},
	{"IAM", "GenerateCredentialReport", 1, 1},
	{"IAM", "", 10, 20},
	{"GuardDuty", "", 10, 20},
	{"KMS", "", 20, 50},
	{"S3", "", 50, 100},
	{"", "", 50, 100},
}

// idleAfter is when a limiter that nobody used is dropped: by then its bucket is full again and needs no memory.
const idleAfter = 5 * time.Minute

type limiterKey struct {
	account, region string
	row             int
}

type limiterEntry struct {
	*rate.Limiter
	used time.Time
}

// limiters holds the token buckets in use.
type limiters struct {
	mu      sync.Mutex
	buckets map[limiterKey]*limiterEntry
	swept   time.Time
}

func (l *limiters) wait(ctx context.Context, account, region, service, operation string) error {
	row := rowOf(service, operation)
	return l.get(limiterKey{account, region, row}, time.Now()).Wait(ctx)
}

func (l *limiters) get(k limiterKey, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets, l.swept = map[limiterKey]*limiterEntry{}, now
	}
	if now.Sub(l.swept) > idleAfter {
		for key, e := range l.buckets {
			if now.Sub(e.used) > idleAfter {
				delete(l.buckets, key)
			}
		}
		l.swept = now
	}
	e := l.buckets[k]
	if e == nil {
		e = &limiterEntry{Limiter: rate.NewLimiter(limits[k.row].perSecond, limits[k.row].burst)}
		l.buckets[k] = e
	}
	e.used = now
	return e.Limiter
}

func rowOf(service, operation string) int {
	for i, l := range limits {
		if (l.service == service || l.service == "") && (l.operation == operation || l.operation == "") {
			return i
		}
	}
	return len(limits) - 1
}

// Outcomes of an attempt, as the metrics count them.
const (
	OutcomeOK        = "ok"
	OutcomeDenied    = "denied"
	OutcomeThrottled = "throttled"
	OutcomeError     = "error"
)

// An Observer hears of every attempt at an AWS call.
type Observer func(service, operation, outcome string)

// attempts takes the rate limit and tells the observer, on every attempt.
func (c *Cloud) attempts(account, region string) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("PlumblineAttempt",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
				middleware.FinalizeOutput, middleware.Metadata, error,
			) {
				service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
				if err := c.limiters.wait(ctx, account, region, service, operation); err != nil {
					return middleware.FinalizeOutput{}, middleware.Metadata{}, err
				}
				out, metadata, err := next.HandleFinalize(ctx, in)
				c.observe(service, operation, outcomeOf(err))
				return out, metadata, err
			}), "Retry", middleware.After)
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
