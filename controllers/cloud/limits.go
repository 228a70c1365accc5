package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// limit is a published or observed rate of one API.
type limit struct {
	service, operation string // an empty operation: every other one of the service
	perSecond          rate.Limit
	burst              int
	shared             sharing
}

// sharing says who takes turns from one bucket.
type sharing int

const (
	// byRegion: the calls in one account and region.
	byRegion sharing = iota
	// byAccount: the calls in one account, of a service that answers in one place for all regions.
	byAccount
	// byAll: the calls in all accounts, in one region. STS counts against the caller's account, which is always the manager's.
	byAll
	// once: a call that is queued for over all accounts and made once per account and period; see pace.go.
	once
)

// limits are taken on every attempt. Sources:
//   - CloudTrail: "Quotas in AWS CloudTrail": 10 transactions a second for get, describe and list, 1 for all others;
//   - EC2: "Request throttling for the Amazon EC2 API": each action has its own bucket, of 100 and 20 a second where it reads
//     and pages or filters, and of 50 and 5 a second where it writes. One bucket for all reads stays below;
//   - STS: "IAM and STS quotas": 600 requests a second;
//   - KMS: "Request quotas" of its developer guide: hundreds a second for reads, and few for turning rotation on and off;
//   - IAM, S3, S3 Control, GuardDuty and Organizations publish none. Organizations throttles a few a second; IAM throttles
//     scanners that ask hundreds of accounts side by side (cloud-custodian issues 5767 and 7265); S3's is of the bucket
//     settings, not of objects;
//   - the credential report: no published limit, a capacity that all of AWS's customers share ("LimitExceeded: No more
//     capacity"). 5,000 accounts in the 4 hours that a report is good for are 0.35 a second.
var limits = []limit{
	{"CloudTrail", "DescribeTrails", 10, 10, byRegion},
	{"CloudTrail", "GetTrailStatus", 10, 10, byRegion},
	{"CloudTrail", "GetEventSelectors", 10, 10, byRegion},
	{"CloudTrail", "", 1, 1, byRegion},
	{"EC2", "EnableEbsEncryptionByDefault", 5, 50, byRegion},
	{"EC2", "DisableEbsEncryptionByDefault", 5, 50, byRegion},
	{"EC2", "ModifyEbsDefaultKmsKeyId", 5, 50, byRegion},
	{"EC2", "ResetEbsDefaultKmsKeyId", 5, 50, byRegion},
	{"EC2", "", 20, 100, byRegion},
	{"Organizations", "", 5, 10, byAccount},
	{"IAM", "GenerateCredentialReport", 0.5, 5, once},
	{"IAM", "", 10, 20, byAccount},
	{"GuardDuty", "", 10, 20, byRegion},
	{"KMS", "EnableKeyRotation", 5, 5, byRegion},
	{"KMS", "DisableKeyRotation", 5, 5, byRegion},
	{"KMS", "", 20, 50, byRegion},
	{"S3", "", 50, 100, byRegion},
	{"S3 Control", "", 10, 20, byAccount},
	{"STS", "", 100, 200, byAll},
	{"", "", 50, 100, byRegion},
}

type limiterKey struct {
	account, region string
	row             int
}

// keyOf is the bucket that an attempt takes its turn from.
func keyOf(account, region, service, operation string) limiterKey {
	row := rowOf(service, operation)
	switch limits[row].shared {
	case byAccount:
		region = ""
	case byAll:
		account = ""
	case once:
		account, region = "", ""
	}
	return limiterKey{account, region, row}
}

// bucket is a token bucket that gives less while AWS throttles.
type bucket struct {
	*rate.Limiter
	// turned is when its rate was last lowered or raised.
	turned time.Time
}

// limiters holds the token buckets in use.
type limiters struct {
	mu      sync.Mutex
	buckets map[limiterKey]*bucket
	// sweepAt is the number of buckets at which the full ones are dropped.
	sweepAt int
	// pace has the calls that are made once per account and period.
	pace pace
}

// minBuckets is the number of buckets below which none is dropped.
const minBuckets = 1024

// wait waits for a turn. A turn that would come only after ctx has ended is an error at once.
func (l *limiters) wait(ctx context.Context, a Attempt, now time.Time) error {
	k := keyOf(a.Account, a.Region, a.Service, a.Operation)
	if limits[k.row].shared == once {
		return l.queue(k, a, now)
	}
	b := l.get(k)
	if b.Allow() {
		return nil
	}
	err := idle(ctx, func() error { return b.Wait(ctx) })
	if err != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %s.%s", control.ErrRateLimit, a.Service, a.Operation)
	}
	return err
}

func (l *limiters) get(k limiterKey) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(k)
}

// bucket is get with the lock held.
func (l *limiters) bucket(k limiterKey) *bucket {
	if b := l.buckets[k]; b != nil {
		return b
	}
	if len(l.buckets) >= max(l.sweepAt, minBuckets) {
		l.sweep()
	}
	if l.buckets == nil {
		l.buckets = map[limiterKey]*bucket{}
	}
	b := &bucket{Limiter: rate.NewLimiter(limits[k.row].perSecond, limits[k.row].burst)}
	l.buckets[k] = b
	return b
}

// sweep drops the buckets that are full: one made anew is the same. One that gives less than its row is kept.
func (l *limiters) sweep() {
	for k, b := range l.buckets {
		if b.Limit() >= limits[k.row].perSecond && b.Tokens() >= float64(b.Burst()) {
			delete(l.buckets, k)
		}
	}
	l.sweepAt = 2 * len(l.buckets)
}

const (
	// lowest is the part of its row's rate that a bucket gives at least.
	lowest = 0.1
	// raise is the part of its row's rate by which a bucket gives more again, with the first success in every turnEvery.
	raise = 0.05
	// turnEvery is how often a bucket's rate is changed at most: many calls under way are throttled by one and the same peak.
	turnEvery = time.Second
)

// heard slows the bucket down that a throttled attempt took its turn from, and lets it recover with those that are not: AWS
// counts what everybody in the account does, and Plumbline is to be the one that gives way.
func (l *limiters) heard(a Attempt, now time.Time) {
	k := keyOf(a.Account, a.Region, a.Service, a.Operation)
	row := limits[k.row]
	l.mu.Lock()
	defer l.mu.Unlock()
	if row.shared == once && a.Outcome == OutcomeOK {
		l.pace.made(a.Account, now)
	}
	b := l.buckets[k]
	slowed := b != nil && b.Limit() < row.perSecond
	switch {
	case a.Outcome != OutcomeThrottled && !slowed, b != nil && now.Sub(b.turned) < turnEvery:
		return
	case a.Outcome == OutcomeThrottled:
		b = l.bucket(k)
		b.SetLimit(max(b.Limit()/2, row.perSecond*lowest))
		b.AllowN(now, max(0, int(b.Tokens()/2))) // what was saved up would be sent at once
	case a.Outcome == OutcomeError:
		return
	default:
		b.SetLimit(min(b.Limit()+row.perSecond*raise, row.perSecond))
	}
	b.turned = now
}

func rowOf(service, operation string) int {
	for i, l := range limits {
		if (l.service == service || l.service == "") && (l.operation == operation || l.operation == "") {
			return i
		}
	}
	return len(limits) - 1
}
