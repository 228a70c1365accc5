package cloud

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestEachCallTakesItsTurnWhereAWSCounts(t *testing.T) {
	row := func(service, operation string, perSecond float64, burst int, shared sharing) limit {
		return limit{service, operation, rate.Limit(perSecond), burst, shared}
	}
	for name, tc := range map[string]struct {
		service, operation string
		row                limit
		account, region    string // of the bucket
	}{
		"an operation of its own":           {"CloudTrail", "DescribeTrails", row("CloudTrail", "DescribeTrails", 10, 10, byRegion), "1", "r"},
		"the others of a service":           {"CloudTrail", "UpdateTrail", row("CloudTrail", "", 1, 1, byRegion), "1", "r"},
		"a service without operations":      {"EC2", "DescribeVolumes", row("EC2", "", 20, 100, byRegion), "1", "r"},
		"a write of it":                     {"EC2", "EnableEbsEncryptionByDefault", row("EC2", "EnableEbsEncryptionByDefault", 5, 50, byRegion), "1", "r"},
		"a service that has no row":         {"RDS", "DescribeDBInstances", row("", "", 50, 100, byRegion), "1", "r"},
		"S3 Control is not S3":              {"S3 Control", "GetPublicAccessBlock", row("S3 Control", "", 10, 20, byAccount), "1", ""},
		"an operation of another's row":     {"IAM", "DescribeTrails", row("IAM", "", 10, 20, byAccount), "1", ""},
		"STS counts against its caller":     {"STS", "AssumeRole", row("STS", "", 100, 200, byAll), "", "r"},
		"the report is everybody's":         {"IAM", "GenerateCredentialReport", row("IAM", "GenerateCredentialReport", 0.5, 5, once), "", ""},
		"getting the report is like others": {"IAM", "GetCredentialReport", row("IAM", "", 10, 20, byAccount), "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := keyOf("1", "r", tc.service, tc.operation)
			if got := limits[k.row]; got != tc.row || k.account != tc.account || k.region != tc.region {
				t.Errorf("got %+v of %q/%q, want %+v of %q/%q", got, k.account, k.region, tc.row, tc.account, tc.region)
			}
		})
	}
}

// updateTrail is an attempt whose row gives one a second.
func updateTrail(account, region string) Attempt {
	return Attempt{Account: account, Region: region, Service: "CloudTrail", Operation: "UpdateTrail"}
}

func TestATurnThatWouldComeTooLateIsAnErrorAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiters
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if err := l.wait(ctx, updateTrail("1", "r"), time.Now()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := l.wait(ctx, updateTrail("1", "r"), time.Now()); !errors.Is(err, control.ErrRateLimit) || !time.Now().Equal(began) {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := l.wait(ctx, updateTrail("2", "r"), time.Now()); err != nil {
			t.Errorf("another account: %v", err)
		}
		if err := l.wait(ctx, updateTrail("1", "s"), time.Now()); err != nil {
			t.Errorf("another region: %v", err)
		}
		cancel()
		if err := l.wait(ctx, updateTrail("1", "r"), time.Now()); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// AWS counts what everybody in the account does: Plumbline gives way, and comes back step by step.
func TestABucketGivesLessWhileAWSThrottles(t *testing.T) {
	now := began
	read := Attempt{Account: "1", Region: "r", Service: "EC2", Operation: "DescribeVolumes"}
	var l limiters
	heard := func(outcome string, after time.Duration) float64 {
		now = now.Add(after)
		a := read
		a.Outcome = outcome
		l.heard(a, now)
		return float64(l.get(keyOf("1", "r", "EC2", "DescribeVolumes")).Limit())
	}
	for _, step := range []struct {
		name, outcome string
		after         time.Duration
		want          float64
	}{
		{"a success of a full bucket", OutcomeOK, 0, 20},
		{"throttled: half", OutcomeThrottled, 0, 10},
		{"again by the same peak", OutcomeThrottled, 10 * time.Millisecond, 10},
		{"again later: half of that", OutcomeThrottled, time.Second, 5},
		{"again", OutcomeThrottled, time.Second, 2.5},
		{"never less than a tenth", OutcomeThrottled, time.Second, 2},
		{"nor then", OutcomeThrottled, time.Second, 2},
		{"an error says nothing", OutcomeError, time.Second, 2},
		{"a success: a step up", OutcomeOK, time.Second, 3},
		{"the next right after it", OutcomeOK, time.Millisecond, 3},
		{"a refusal is no throttling", OutcomeDenied, time.Second, 4},
	} {
		if got := heard(step.outcome, step.after); got != step.want {
			t.Errorf("%s: %v a second, want %v", step.name, got, step.want)
		}
	}
	l.mu.Lock()
	l.sweep()
	l.mu.Unlock()
	if l.buckets[keyOf("1", "r", "EC2", "DescribeVolumes")] == nil {
		t.Error("a bucket that is slowed down was dropped, and would begin anew at full rate")
	}
	for range 100 {
		heard(OutcomeOK, time.Second)
	}
	if got := heard(OutcomeOK, time.Second); got != 20 {
		t.Errorf("in the end: %v a second", got)
	}
	if got := l.get(keyOf("2", "r", "EC2", "DescribeVolumes")).Limit(); got != 20 {
		t.Errorf("another account: %v a second", got)
	}
}

func TestFullBucketsNeedNoMemory(t *testing.T) {
	var l limiters
	busy := limiterKey{"busy", "r", rowOf("CloudTrail", "UpdateTrail")}
	l.get(busy).AllowN(time.Now().Add(time.Hour), 1) // it will be full again in an hour
	for i := range 10 * minBuckets {
		l.get(limiterKey{"account", strconv.Itoa(i), rowOf("S3", "ListBuckets")})
		if len(l.buckets) > minBuckets {
			t.Fatalf("%d buckets after %d regions", len(l.buckets), i)
		}
	}
	if l.buckets[busy] == nil {
		t.Error("a bucket that is not full was dropped")
	}
}
