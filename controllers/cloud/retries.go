package cloud

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

const (
	// auditAttempts is how often a read is sent at most. What is written is sent as often as the SDK's standard has it: 3.
	auditAttempts = 5
	// longestBackoff bounds the pause before a further attempt.
	longestBackoff = 8 * time.Second
	// quotaIdle is how long the quota of an account and region is kept after it was last drawn on.
	quotaIdle = 5 * time.Minute
)

// retries makes the SDK's standard retryers. All that is called in one account and region draws on one quota of further
// attempts, so that a service that fails gets a few more requests from Plumbline and not three or five times as many. A quota
// that is full needs no memory: it is made with the first further attempt.
type retries struct {
	clock func() time.Time
	// backoff is how long is waited before a further attempt.
	backoff retry.BackoffDelayer

	mu      sync.Mutex
	quotas  map[quotaKey]*quota
	sweptAt time.Time
}

type quotaKey struct{ account, region string }

type quota struct {
	*ratelimit.TokenRateLimit
	used time.Time
}

// newRetries takes the pauses of the base configuration's retryer where it has one, as in tests.
func newRetries(base aws.Config, clock func() time.Time) *retries {
	r := &retries{clock: clock, backoff: retry.BackoffDelayerFunc(jittered), quotas: map[quotaKey]*quota{}}
	if base.Retryer != nil {
		r.backoff = retry.BackoffDelayerFunc(base.Retryer().RetryDelay)
	}
	return r
}

// jittered is the pause after the nth attempt: anything up to half a second times two to the n, so that those who failed
// together do not come back together. The SDK's own pauses lose their jitter at the cap.
func jittered(attempt int, _ error) (time.Duration, error) {
	most := min(500*time.Millisecond<<min(max(attempt, 0), 10), longestBackoff)
	return rand.N(most) + 1, nil
}

// retryer is for the clients of a place.
func (r *retries) retryer(p place) func() aws.Retryer {
	return func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.RateLimiter, o.Backoff, o.MaxBackoff = placeQuota{r, quotaKey{p.account, p.region}}, r.backoff, longestBackoff
			if !p.enforces {
				o.MaxAttempts = auditAttempts
			}
		})
	}
}

// placeQuota is the quota of one account and region.
type placeQuota struct {
	retries *retries
	key     quotaKey
}

var _ retry.RateLimiter = placeQuota{}

// GetToken takes the cost of a further attempt, or fails where the quota is used up.
func (q placeQuota) GetToken(ctx context.Context, cost uint) (func() error, error) {
	return q.retries.quota(q.key, true).GetToken(ctx, cost)
}

// AddTokens gives back, for a call that needed no further attempt.
func (q placeQuota) AddTokens(n uint) error {
	if tokens := q.retries.quota(q.key, false); tokens != nil {
		return tokens.AddTokens(n)
	}
	return nil
}

func (r *retries) quota(k quotaKey, drawing bool) *ratelimit.TokenRateLimit {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if now.Sub(r.sweptAt) > quotaIdle {
		for other, q := range r.quotas {
			if now.Sub(q.used) > quotaIdle {
				delete(r.quotas, other)
			}
		}
		r.sweptAt = now
	}
	q := r.quotas[k]
	switch {
	case q == nil && !drawing:
		return nil
	case q == nil:
		q = &quota{TokenRateLimit: ratelimit.NewTokenRateLimit(retry.DefaultRetryRateTokens)}
		r.quotas[k] = q
	}
	if drawing {
		q.used = now
	}
	return q.TokenRateLimit
}
