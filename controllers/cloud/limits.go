package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	// STS counts against the caller's account ("IAM and STS quotas": 600 requests a second), so all accounts share a bucket.
	{"STS", "", 100, 200},
	{"", "", 50, 100},
}

// keyOf is the bucket that an attempt takes its turn from.
func keyOf(account, region, service, operation string) limiterKey {
	if service == "STS" { // counts against the caller's account, whichever role is asked for
		account, region = "", ""
	}
	return limiterKey{account, region, rowOf(service, operation)}
}

type limiterKey struct {
	account, region string
	row             int
}

// limiters holds the token buckets in use.
type limiters struct {
	mu      sync.Mutex
	buckets map[limiterKey]*rate.Limiter
	// sweepAt is the number of buckets at which the full ones are dropped.
	sweepAt int
}

// minBuckets is the number of buckets below which none is dropped.
const minBuckets = 1024

// wait waits for a turn. A turn that would come only after ctx has ended is an error at once.
func (l *limiters) wait(ctx context.Context, account, region, service, operation string) error {
	err := l.get(keyOf(account, region, service, operation)).Wait(ctx)
	if err != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %s.%s", control.ErrRateLimit, service, operation)
	}
	return err
}

func (l *limiters) get(k limiterKey) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[k]; b != nil {
		return b
	}
	if len(l.buckets) >= max(l.sweepAt, minBuckets) {
		l.sweep()
	}
	if l.buckets == nil {
		l.buckets = map[limiterKey]*rate.Limiter{}
	}
	b := rate.NewLimiter(limits[k.row].perSecond, limits[k.row].burst)
	l.buckets[k] = b
	return b
}

// sweep drops the buckets that are full: one made anew is the same.
func (l *limiters) sweep() {
	for k, b := range l.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(l.buckets, k)
		}
	}
	l.sweepAt = 2 * len(l.buckets)
}

func rowOf(service, operation string) int {
	for i, l := range limits {
		if (l.service == service || l.service == "") && (l.operation == operation || l.operation == "") {
			return i
		}
	}
	return len(limits) - 1
}
