package scale

import (
	"sync"
	"time"
)

// limit is a rate that AWS allows of an API, per account and region. The name of STS's caller stands for the account there.
type limit struct {
	service, operation string // an empty operation: every other one of the service
	perSecond, burst   float64
}

// limits are AWS's. Sources: "Request throttling for the Amazon EC2 API" (describe actions with filter or page: bucket 100,
// refill 20 a second), "Quotas in AWS CloudTrail" (get, describe and list 10 a second, others 1), "Request quotas" in the KMS
// developer guide (DescribeKey 2000, GetKeyRotationStatus 1000, lists 500 a second), "IAM and AWS STS quotas" (AssumeRole
// and the like 600 a second in the caller's account). IAM, GuardDuty, RDS, Organizations and the settings of buckets have no
// published rate; what stands here for them is presumed, from reports of the rates at which they throttle.
var limits = []limit{
	{"EC2", "", 20, 100},
	{"CloudTrail", "DescribeTrails", 10, 10},
	{"CloudTrail", "GetTrailStatus", 10, 10},
	{"CloudTrail", "GetEventSelectors", 10, 10},
	{"CloudTrail", "", 1, 1},
	{"KMS", "DescribeKey", 2000, 2000},
	{"KMS", "GetKeyRotationStatus", 1000, 1000},
	{"KMS", "", 500, 500},
	{"STS", "", 600, 600},
	{"IAM", "GenerateCredentialReport", 1, 2},
	{"IAM", "", 15, 30},
	{"GuardDuty", "", 20, 40},
	{"RDS", "", 20, 40},
	{"Organizations", "", 10, 20},
	{"", "", 100, 200},
}

func rowOf(service, operation string) int {
	for i, l := range limits {
		if (l.service == service || l.service == "") && (l.operation == operation || l.operation == "") {
			return i
		}
	}
	return len(limits) - 1
}

// bucketKey names a token bucket: an API in an account and region.
type bucketKey struct {
	account, region string
	op              *operation
	row             int
}

func (c *Cloud) bucketOf(op *operation, call Call) bucketKey {
	k := bucketKey{account: call.Account, region: call.Region, row: op.row}
	if limits[op.row].service == "EC2" { // each action has its own
		k.op = op
	}
	return k
}

// shards is into how many parts the buckets are split, each with a lock of its own.
const shards = 64

// buckets are the token buckets in use. A full one needs no memory: a sweep drops it.
type buckets struct{ parts [shards]bucketPart }

type bucketPart struct {
	mu  sync.Mutex
	all map[bucketKey]*bucket
	// sweepAt is the number of buckets at which the full ones are dropped.
	sweepAt int
}

type bucket struct {
	tokens float64
	at     time.Time
}

// take takes a token, and says whether there was one.
func (b *buckets) take(k bucketKey, now time.Time) bool {
	part := &b.parts[hash(k.account, k.region)%shards]
	part.mu.Lock()
	defer part.mu.Unlock()
	l := limits[k.row]
	one := part.all[k]
	if one == nil {
		if part.all == nil {
			part.all = map[bucketKey]*bucket{}
		}
		if len(part.all) >= max(part.sweepAt, 256) {
			part.sweep(now)
		}
		one = &bucket{tokens: l.burst, at: now}
		part.all[k] = one
	}
	one.fill(l, now)
	if one.tokens < 1 {
		return false
	}
	one.tokens--
	return true
}

func (b *bucket) fill(l limit, now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens, b.at = min(l.burst, b.tokens+passed*l.perSecond), now
	}
}

func (p *bucketPart) sweep(now time.Time) {
	for k, one := range p.all {
		if one.fill(limits[k.row], now); one.tokens >= limits[k.row].burst {
			delete(p.all, k)
		}
	}
	p.sweepAt = 2 * len(p.all)
}
