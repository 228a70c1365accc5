package cloud

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestRowOf(t *testing.T) {
	for name, tc := range map[string]struct{ service, operation string }{
		"an operation of its own":       {"CloudTrail", "DescribeTrails"},
		"the others of a service":       {"CloudTrail", "UpdateTrail"},
		"a service without operations":  {"EC2", "DescribeVolumes"},
		"a service that has no row":     {"RDS", "DescribeDBInstances"},
		"S3 Control is not S3":          {"S3 Control", "GetPublicAccessBlock"},
		"an operation of another's row": {"IAM", "DescribeTrails"},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]limit{
				"an operation of its own":       {"CloudTrail", "DescribeTrails", 10, 10},
				"the others of a service":       {"CloudTrail", "", 1, 1},
				"a service without operations":  {"EC2", "", 20, 100},
				"a service that has no row":     {"", "", 50, 100},
				"S3 Control is not S3":          {"", "", 50, 100},
				"an operation of another's row": {"IAM", "", 10, 20},
			}[name]
			if got := limits[rowOf(tc.service, tc.operation)]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestATurnThatWouldComeTooLateIsAnErrorAtOnce(t *testing.T) {
	var l limiters
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := l.wait(ctx, "1", "r", "CloudTrail", "UpdateTrail"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := l.wait(ctx, "1", "r", "CloudTrail", "UpdateTrail"); !errors.Is(err, control.ErrRateLimit) || time.Since(began) > 200*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if err := l.wait(ctx, "2", "r", "CloudTrail", "UpdateTrail"); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := l.wait(ctx, "1", "s", "CloudTrail", "UpdateTrail"); err != nil {
		t.Errorf("another region: %v", err)
	}
	cancel()
	if err := l.wait(ctx, "1", "r", "CloudTrail", "UpdateTrail"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
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
