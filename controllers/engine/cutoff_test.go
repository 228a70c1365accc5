package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// walks is a control that asks once per resource, every so often, n times in all. It says what it found before it was ended.
func (l *lake) walks(n int, every time.Duration) control.Bound {
	return l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			var found []control.Finding
			for i := range n {
				time.Sleep(every)
				if _, err := ec2.NewFromConfig(t.AWS).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{}); err != nil {
					return append(found, control.Unreadable(fmt.Sprint(i), err)), ctx.Err()
				}
				if i%100 == 49 {
					found = append(found, control.Finding{Drift: drift(fmt.Sprint(i))})
				}
			}
			return found, nil
		}
	})
}

func audited(b control.Bound, region string) Task {
	t := enforced(b, region)
	t.Mode = ""
	return t
}

func TestARegionThatHangsDoesNotHoldUpThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		l.entrance.BePatient(cloud.Patience{Read: 8 * time.Second, Write: 30 * time.Second}) // the third attempt is cut off
		l.leave(member, frankfurt, "v")
		l.Break(func(_ int, call cloudtest.Call) error {
			if call.Region == ireland && call.Service == "EC2" {
				return cloudtest.ErrHang
			}
			return nil
		})
		began := time.Now()
		results := l.run(member, audited(l.encrypted(), ireland), audited(l.encrypted(), frankfurt))
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the pass took %v", took)
		}
		compare(t, "findings", []string{"eu-west-1  UnknownCutOff", "eu-central-1 v Audit"}, reasons(results))
		compare(t, "state", []State{Unknown, Drifted}, []State{results[0].State(), results[1].State()})
		compare(t, "message", "AWS did not answer in time, and the check was cut off so that others are not held up; it was waiting for "+
			"EC2 DescribeVolumes in 111122223333/eu-west-1 — tried again by itself", results[0].Findings[0].Message)

		began = time.Now()
		results = l.run(member, audited(l.encrypted(), ireland))
		compare(t, "the next pass", []string{"eu-west-1  UnknownNoAnswer"}, reasons(results))
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("the next pass took %v", took)
		}
		began = time.Now()
		results = l.run(member, audited(l.encrypted(), ireland))
		if took := time.Since(began); took != 0 || results[0].State() != Unknown {
			t.Errorf("one while its circuit is open took %v, and the check is %s", took, results[0].State())
		}
		l.Break(nil)
		time.Sleep(30 * time.Second)
		compare(t, "when it answers again", []string{}, reasons(l.run(member, audited(l.encrypted(), ireland))))
	})
}

func TestChecksGoOnForAsLongAsAWSKeepsAnswering(t *testing.T) {
	for name, tc := range map[string]struct {
		resources int
		every     time.Duration
		took      time.Duration
		drifted   int
		cut       bool
	}{
		"an account with a great many resources":             {3000, 100 * time.Millisecond, 300 * time.Second, 30, false},
		"answers that come too slowly to wait for":           {3000, 2 * time.Second, 20 * time.Second, 0, true},
		"an account that has no end":                         {100000, 100 * time.Millisecond, time.Hour, 360, true},
		"a check that ends before anybody looks at the time": {10, time.Second, 10 * time.Second, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLake(t, Limits{})
				began := time.Now()
				res := l.run(member, audited(l.walks(tc.resources, tc.every), ireland))[0]
				if took := time.Since(began); took < tc.took || took > tc.took+tc.every {
					t.Errorf("the pass took %v, want %v", took, tc.took)
				}
				unknown := int32(0)
				if tc.cut {
					unknown = 1
				}
				compare(t, "what it found", Tally{Drifted: int32(tc.drifted), Unknown: unknown}, res.Tally())
			})
		})
	}
}

// The pages of five thousand members take longer than a pass is given. No account waits for them: what needs them is skipped
// until they are there, and never read as compliant. One read serves all.
func TestAPassDoesNotWaitForAReadThatAccountsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{Parallel: 1})
		var reads atomic.Int32 // one in each region, side by side
		shared := control.Shared[int]{Key: "guardduty.members", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) {
			reads.Add(1)
			time.Sleep(45 * time.Second)
			return 1, nil
		}}
		task := audited(l.encrypted(func(c *control.Control[section]) {
			c.Observe = func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
				_, _, err := shared.From(ctx, t)
				return nil, err
			}
		}), ireland)
		elsewhere := task
		elsewhere.Region = frankfurt
		began := time.Now()
		compare(t, "findings while it is read", []string{"eu-west-1 skipped", "eu-central-1 skipped"}, reasons(l.run(member, task, elsewhere)))
		if took := time.Since(began); took.Round(time.Millisecond) != sharedPatience {
			t.Errorf("the pass waited %v, want %v", took, sharedPatience)
		}
		time.Sleep(45 * time.Second)
		compare(t, "findings once it was read", []string{}, reasons(l.run(member, task, elsewhere)))
		compare(t, "reads", int32(2), reads.Load())
	})
}

// What is ended because the manager stops is no finding, also while it was being watched.
func TestAManagerThatStopsCutsNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		l.Break(func(_ int, call cloudtest.Call) error {
			if call.Service == "EC2" {
				return cloudtest.ErrHang
			}
			return nil
		})
		ctx, cancel := context.WithTimeoutCause(context.Background(), 5*time.Second, errors.New("stopped"))
		defer cancel()
		tasks := []Task{audited(l.encrypted(), ireland)}
		compare(t, "findings", []string{"eu-west-1 skipped"}, reasons(l.runOf(ctx, member, tasks, tasks)))
	})
}

// A change that cannot be seen because AWS hangs is still waited for, and the pass ends.
func TestVerifyingIsCutOffToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		l.leave(member, ireland, "a")
		written := false
		l.Break(func(_ int, call cloudtest.Call) error {
			written = written || call.Operation == "EnableEbsEncryptionByDefault"
			if written && call.Operation == "DescribeVolumes" {
				return cloudtest.ErrHang
			}
			return nil
		})
		began := time.Now()
		l.Engine.sleep = func(context.Context, time.Duration) bool { return false }
		results := l.run(member, enforced(l.encrypted(), ireland))
		compare(t, "findings", []string{"eu-west-1 a Settling", "eu-west-1  UnknownCutOff"}, reasons(results))
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the pass took %v", took)
		}
	})
}
