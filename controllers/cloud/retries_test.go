package cloud_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func onlyEC2(err error) func(int, cloudtest.Call) error {
	return func(_ int, call cloudtest.Call) error {
		if call.Service == "EC2" {
			return err
		}
		return nil
	}
}

func attemptsAt(stage *cloudtest.Cloud, region string) int {
	n := 0
	for _, call := range stage.Calls() {
		if call.Service == "EC2" && call.Region == region {
			n++
		}
	}
	return n
}

func TestAReadIsTriedFiveTimesAndAWriteThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stage cloudtest.Cloud
		flagHandlers(&stage)
		stage.Break(onlyEC2(cloudtest.Throttled()))
		s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
		ctx := context.Background()
		_ = readFlag(ctx, s.Config(region, []string{readsFlag}))
		reads := attemptsAt(&stage, region)
		_ = writeFlag(ctx, s.Enforce(cloud.Change{Control: "ebs"}).Config(region, []string{writesFlag}))
		if writes := attemptsAt(&stage, region) - reads; reads != 5 || writes != 3 {
			t.Errorf("%d reads and %d writes", reads, writes)
		}
	})
}

// However many clients there are, all that fails in one account and region draws on one quota: 500 tokens, five for each
// further attempt.
func TestFurtherAttemptsAreBoundedPerAccountAndRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stage cloudtest.Cloud
		flagHandlers(&stage)
		stage.Break(onlyEC2(cloudtest.Throttled()))
		entrance := cloud.New(stage.Base(), nil, time.Now)
		ctx := context.Background()
		read := func(region string) error {
			return readFlag(ctx, entrance.Session(account(member), nil).Config(region, []string{readsFlag}))
		}
		const calls = 100
		for range calls {
			_ = read(region)
		}
		if got := attemptsAt(&stage, region); got != calls+500/5 {
			t.Errorf("%d attempts of %d calls", got, calls)
		}
		if _ = read("eu-central-1"); attemptsAt(&stage, "eu-central-1") != 5 {
			t.Errorf("another region: %d attempts", attemptsAt(&stage, "eu-central-1"))
		}
		stage.Reset()
		time.Sleep(11 * time.Minute) // idle for longer than the quota is kept
		if _ = read("eu-central-1"); attemptsAt(&stage, "eu-central-1") != 5 {
			t.Fatal("the other region")
		}
		if _ = read(region); attemptsAt(&stage, region) != 5 {
			t.Errorf("after a while: %d attempts", attemptsAt(&stage, region))
		}
	})
}

func TestPausesGrowAndEndAtEightSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stage cloudtest.Cloud
		flagHandlers(&stage)
		stage.Break(onlyEC2(cloudtest.Throttled()))
		base := stage.Base()
		base.Retryer = nil // as in the manager
		s := cloud.New(base, nil, time.Now).Session(account(member), nil)
		longest := time.Duration(0)
		for range 20 {
			began := time.Now()
			_ = readFlag(context.Background(), s.Config(region, []string{readsFlag}))
			longest = max(longest, time.Since(began))
		}
		if most := 15*time.Second + 5*2*time.Second; longest > most || longest == 0 { // 1 + 2 + 4 + 8 s, and turns at a slow bucket
			t.Errorf("five attempts took up to %v", longest)
		}
	})
}

// A request without an answer is given up and sent again: a read after ten seconds, a write after thirty.
func TestAnAttemptIsWaitedForAsLongAsItIsWorth(t *testing.T) {
	for name, tc := range map[string]struct {
		write bool
		want  time.Duration
	}{"a read": {false, 10 * time.Second}, "a write": {true, 30 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stage cloudtest.Cloud
				flagHandlers(&stage)
				hung := 0
				stage.Break(func(_ int, call cloudtest.Call) error {
					if call.Service == "EC2" && hung == 0 {
						hung++
						return cloudtest.ErrHang
					}
					return nil
				})
				var heard []string
				s := cloud.New(stage.Base(), func(a cloud.Attempt) { heard = append(heard, a.Service+" "+a.Outcome) }, time.Now).Session(account(member), nil)
				ctx, began := context.Background(), time.Now()
				var err error
				if tc.write {
					err = writeFlag(ctx, s.Enforce(cloud.Change{Control: "ebs"}).Config(region, []string{writesFlag}))
				} else {
					err = readFlag(ctx, s.Config(region, []string{readsFlag}))
				}
				if took := time.Since(began); err != nil || took != tc.want {
					t.Errorf("after %v: %v", took, err)
				}
				if diff := cmp.Diff([]string{"STS ok", "EC2 error", "EC2 ok"}, heard); diff != "" {
					t.Errorf("attempts (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWhoEndsACallIsNotToldOfATimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stage cloudtest.Cloud
		flagHandlers(&stage)
		stage.Break(onlyEC2(cloudtest.ErrHang))
		entrance := cloud.New(stage.Base(), nil, time.Now)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := readFlag(ctx, entrance.Session(account(member), nil).Config(region, []string{readsFlag}))
		if !errors.Is(err, context.DeadlineExceeded) || attemptsAt(&stage, region) != 1 {
			t.Errorf("%d attempts: %v", attemptsAt(&stage, region), err)
		}
		var limit *retry.MaxAttemptsError
		if reason, _ := control.Explain(err); errors.As(err, &limit) || reason != control.ReasonDidNotAnswer {
			t.Errorf("explained as %s: %v", reason, err)
		}
	})
}
