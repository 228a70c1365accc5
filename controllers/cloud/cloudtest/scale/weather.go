package scale

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Latency is how long answers take: log-normal, which has the long tail that answers over a network have.
type Latency struct {
	// Median and P99 are the time that half and 99 % of the answers take at most.
	Median, P99 time.Duration
}

// z99 is how many standard deviations the 99th percentile of a normal distribution lies above its mean.
const z99 = 2.326

// Draw is the time that one answer takes.
func (l Latency) Draw() time.Duration {
	if l.Median <= 0 {
		return 0
	}
	sigma := math.Log(max(float64(l.P99)/float64(l.Median), 1)) / z99
	return time.Duration(float64(l.Median) * math.Exp(sigma*rand.NormFloat64()))
}

// near is the latency within a region.
func (l Latency) near() Latency { return Latency{l.Median / 6, l.P99 / 10} }

// Faults are what goes wrong. The zero value: nothing.
type Faults struct {
	// Throttled and Failed are the shares of calls, 0 to 1, that AWS answers with its throttling error and with a 503.
	Throttled, Failed float64
	// Hangs says in which region of which account calls are not answered for HangFor (default 30 s) and then not at all; nil:
	// in none.
	Hangs   func(account, region string) bool
	HangFor time.Duration
	// Refuses says into which accounts STS lets nobody; nil: none.
	Refuses func(account string) bool
	// NoReports has AWS answer that it has no capacity for credential reports.
	NoReports bool
}

// SetFaults makes things go wrong from now on, in place of what went wrong before.
func (c *Cloud) SetFaults(f Faults) { c.faults.Store(&f) }

// ExpireCredentials makes AWS accept none of the credentials that were handed out so far.
func (c *Cloud) ExpireCredentials() { c.generation.Add(1) }

// weather is what happens to a call before it is answered: limits, faults and latency.
func (c *Cloud) weather(ctx context.Context, op *operation, call Call) error {
	f := c.faults.Load()
	if f.Hangs != nil && f.Hangs(call.Account, call.Region) {
		if err := pause(ctx, defaultTo(f.HangFor, 30*time.Second)); err != nil {
			return err
		}
		return &smithyhttp.RequestSendError{Err: context.DeadlineExceeded}
	}
	latency := c.Latency
	if op.service == "SQS" { // the queue lies in the manager's own region
		latency = latency.near()
	}
	if err := pause(ctx, latency.Draw()); err != nil {
		return err
	}
	switch {
	case call.Account != Manager && call.Generation < c.generation.Load():
		return fail("ExpiredToken", "The security token included in the request is expired")
	case c.Limited && !c.buckets.take(c.bucketOf(op, call), c.Clock()), f.Throttled > 0 && rand.Float64() < f.Throttled:
		return status(http.StatusTooManyRequests, throttling[op.service], "Rate exceeded")
	case f.Failed > 0 && rand.Float64() < f.Failed:
		return status(http.StatusServiceUnavailable, "ServiceUnavailable", "Please try again")
	}
	return nil
}

func defaultTo(d, to time.Duration) time.Duration {
	if d <= 0 {
		return to
	}
	return d
}

// pause waits, or returns the error with which ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// throttling is how a service says that a call comes too soon, where it is not ThrottlingException.
var throttling = map[string]string{
	"EC2": "RequestLimitExceeded", "RDS": "Throttling", "IAM": "Throttling", "STS": "Throttling", "S3": "SlowDown",
	"S3 Control": "SlowDown", "GuardDuty": "TooManyRequestsException", "Organizations": "TooManyRequestsException",
	"CloudTrail": "ThrottlingException", "KMS": "ThrottlingException",
}

// status is an error with an HTTP status, which the SDK's retryer looks at as well.
func status(code int, name, message string) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code, Header: http.Header{}}}, Err: fail(name, message),
	}
}

func isThrottling(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range throttling {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}
