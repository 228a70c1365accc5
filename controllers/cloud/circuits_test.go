package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// stuck is a fault of EC2 in the region of the tests.
func stuck(err error) func(int, cloudtest.Call) error {
	return func(_ int, call cloudtest.Call) error {
		if call.Service == "EC2" && call.Region == region {
			return err
		}
		return nil
	}
}

// outage is a stage whose EC2 does not work in one region.
type outage struct {
	cloudtest.Cloud
	entrance *cloud.Cloud
}

func newOutage(fault error) *outage {
	o := &outage{}
	flagHandlers(&o.Cloud)
	o.entrance = cloud.New(o.Base(), nil, time.Now)
	o.Break(stuck(fault))
	return o
}

func (o *outage) read(account, region string) error {
	return readFlag(context.Background(), o.config(account, region))
}

func (o *outage) config(id, region string) aws.Config {
	return o.entrance.Session(account(id), nil).Config(region, []string{readsFlag})
}

// A service that hangs costs three time-outs. Then its calls fail at once, and nobody else's do; a probe a while later tells
// when it is back.
func TestAServiceThatDoesNotAnswerIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(cloudtest.ErrHang)
		began := time.Now()
		err := o.read(member, region)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 30*time.Second || attemptsAt(&o.Cloud, region) != 3 {
			t.Errorf("%d attempts in %v: %v", attemptsAt(&o.Cloud, region), took, err)
		}
		if reason, _ := control.Explain(err); reason != control.ReasonDidNotAnswer {
			t.Errorf("what opened the circuit is told as %s: %v", reason, err)
		}
		err = o.read(member, region)
		reason, message := control.Explain(err)
		want := "not asked, for it does not answer: EC2 in eu-west-1 (last: not answered in time), not before " +
			control.Minute(time.Now().Add(30*time.Second)) + " — " + readsFlag + " is tried again by itself"
		if diff := cmp.Diff([]string{control.ReasonCircuitOpen, want}, []string{reason, message}); diff != "" {
			t.Errorf("explained (-want +got):\n%s", diff)
		}
		open := time.Now()
		_, writes := o.read(member, region), writeFlag(context.Background(),
			o.entrance.Session(account(member), nil).Enforce(cloud.Change{Control: "ebs"}).Config(region, []string{writesFlag}))
		if !errors.Is(writes, control.ErrCircuitOpen) || !time.Now().Equal(open) || attemptsAt(&o.Cloud, region) != 3 || o.entrance.OpenCircuits() != 1 {
			t.Errorf("while it is open: %d attempts in %v, %d open: %v", attemptsAt(&o.Cloud, region), time.Since(open), o.entrance.OpenCircuits(), writes)
		}
		if err := o.read(member, "eu-central-1"); err != nil || !time.Now().Equal(open) {
			t.Errorf("another region, after %v: %v", time.Since(open), err)
		}
		time.Sleep(30 * time.Second)
		if err := o.read(member, region); !errors.Is(err, context.DeadlineExceeded) || attemptsAt(&o.Cloud, region) != 4 {
			t.Errorf("the probe: %d attempts: %v", attemptsAt(&o.Cloud, region), err)
		}
		time.Sleep(30 * time.Second)
		if _ = o.read(member, region); attemptsAt(&o.Cloud, region) != 4 {
			t.Error("a second probe was not waited for twice as long")
		}
		time.Sleep(30 * time.Second)
		o.Break(nil)
		for range 2 {
			if err := o.read(member, region); err != nil {
				t.Errorf("when it is back: %v", err)
			}
		}
		if n := o.entrance.OpenCircuits(); n != 0 {
			t.Errorf("%d are open in the end", n)
		}
	})
}

// No other account has to find out for itself what has failed in twenty attempts of several.
func TestARegionsServiceThatIsDownForAllIsLeftAloneInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(cloudtest.Unavailable(503))
		for i := range 7 { // three attempts each, in two of the last
			_ = o.read(fmt.Sprintf("%012d", i), region)
		}
		if n := attemptsAt(&o.Cloud, region); n != 20 {
			t.Errorf("%d attempts", n)
		}
		err := o.read(other, region)
		var later *control.LaterError
		if !errors.As(err, &later) || !later.ForAll || attemptsAt(&o.Cloud, region) != 20 {
			t.Errorf("an account that was not looked at: %v", err)
		}
		if err := o.read(other, "eu-central-1"); err != nil {
			t.Errorf("another region: %v", err)
		}
		o.Break(nil)
		time.Sleep(30 * time.Second)
		for _, id := range []string{other, fmt.Sprintf("%012d", 0)} {
			if err := o.read(id, region); err != nil {
				t.Errorf("account %s when it is back: %v", id, err)
			}
		}
	})
}

func TestOnlyWhatIsNoAnswerOpensACircuit(t *testing.T) {
	for name, tc := range map[string]struct {
		fault error
		opens bool
	}{
		"no answer":                         {cloudtest.ErrHang, true},
		"a connection that breaks":          {errors.New("connection reset by peer"), true},
		"a server's error":                  {cloudtest.Unavailable(500), true},
		"throttling":                        {cloudtest.Throttled(), false},
		"throttling that looks like 503":    {slowDown(), false},
		"a refusal":                         {cloudtest.Error("AccessDenied", "no"), false},
		"credentials that are good no more": {cloudtest.Expired(), false},
		"a client's error":                  {cloudtest.Unavailable(400), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutage(tc.fault)
				for range 5 {
					_ = o.read(member, region)
				}
				if opened := o.entrance.OpenCircuits() > 0; opened != tc.opens {
					t.Errorf("opened: %t", opened)
				}
			})
		})
	}
}

// slowDown is how S3 throttles.
func slowDown() error {
	err := cloudtest.Unavailable(503)
	return fmt.Errorf("%w: %w", cloudtest.Error("SlowDown", "Please reduce your request rate."), err)
}

// A check that is cut off says nothing of AWS, and a probe that is cut off makes way for another.
func TestACallThatItsCallerEndsIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(cloudtest.ErrHang)
		short := func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = readFlag(ctx, o.config(member, region))
		}
		for range 5 {
			short()
		}
		if n := o.entrance.OpenCircuits(); n != 0 {
			t.Fatal("opened by calls that were ended early")
		}
		_ = o.read(member, region)
		time.Sleep(30 * time.Second)
		short() // the probe
		o.Break(nil)
		if err := o.read(member, region); err != nil {
			t.Errorf("after a probe that was cut off: %v", err)
		}
	})
}

// While a probe is under way nobody else asks.
func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(cloudtest.ErrHang)
		_ = o.read(member, region)
		time.Sleep(30 * time.Second)
		for range 10 {
			go func() { _ = o.read(member, region) }()
		}
		synctest.Wait()
		if n := attemptsAt(&o.Cloud, region); n != 4 {
			t.Errorf("%d attempts, of which 3 were before", n)
		}
		time.Sleep(time.Minute) // until all have ended
	})
}

// Somebody who has mended what was wrong and asks is not told to wait, and one who asks for thousands of accounts does not
// make each of them find out.
func TestWhoAsksIsNotToldToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(cloudtest.Unavailable(503))
		for i := range 7 {
			_ = o.read(fmt.Sprintf("%012d", i), region)
		}
		refused := func(id string) bool { return errors.Is(o.read(id, region), control.ErrCircuitOpen) }
		o.Break(nil)
		o.entrance.AskAnew(other)
		if refused(other) {
			t.Error("who asked is told to wait")
		}
		if !refused(fmt.Sprintf("%012d", 0)) {
			t.Error("an account that nobody asked for was asked at once")
		}
		o.Break(stuck(cloudtest.Unavailable(503)))
		for i := range 7 {
			_ = o.read(fmt.Sprintf("%012d", 10+i), region)
		}
		o.entrance.AskAnew(member)
		if before := attemptsAt(&o.Cloud, region); !refused(member) || attemptsAt(&o.Cloud, region) != before {
			t.Error("what had failed for all a moment ago was asked anew")
		}
		time.Sleep(30 * time.Second)
		o.Break(nil)
		o.entrance.AskAnew(member)
		if refused(member) {
			t.Error("who asked later is told to wait")
		}
	})
}
