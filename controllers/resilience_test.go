package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/encryption"
)

// What goes wrong around a pass: the clock, the API server, a control. Each test asks for the truth afterwards, not for the
// absence of a crash.

var jumps = map[string]time.Duration{
	"an hour forward": time.Hour, "a day forward": 24 * time.Hour, "an hour back": -time.Hour, "a day back": -24 * time.Hour,
}

// passesUntil has the account looked at as the queue would, whose timers do not see the wall clock jump, and returns how much
// time went by until the account was in the state. It gives up after a day.
func (c *cluster) passesUntil(wait time.Duration, state v1alpha1.AccountState) (took time.Duration) {
	c.Helper()
	for passes := 0; took <= 24*time.Hour; passes++ {
		if passes > 100 {
			c.Fatalf("100 passes in %v: the account is looked at in a loop", took)
		}
		took += wait
		c.later(wait)
		wait = c.pass(member).RequeueAfter
		if c.account(member).Status.State == state {
			return took
		}
	}
	c.Errorf("the account is not %s after %v", state, took)
	return took
}

func TestAClockThatJumpsHidesNoDriftForLongerThanTheInterval(t *testing.T) {
	for name, jump := range jumps {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				c := newCluster(t)
				c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
				wait := c.pass(member).RequeueAfter
				c.state(member, "Compliant 2/2")
				c.later(jump)
				if restarted {
					c.accounts.memories = memories{}
					wait = 0
				}
				c.off[member+" "+ireland] = true
				if took := c.passesUntil(wait, v1alpha1.AccountDrifted); took > time.Hour {
					t.Errorf("the drift showed after %v, the interval is an hour", took)
				}
				same(t, "lastObservedTime", c.clock().UTC().Truncate(time.Second), c.account(member).Status.LastObservedTime.UTC())
				c.calls()
				c.pass(member)
				same(t, "calls of a pass in which nothing is due", []string(nil), c.calls())
			})
		}
	}
}

func TestAClockThatJumpsInMidPassMakesNoLoop(t *testing.T) {
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
			c.pass(member)
			c.later(time.Minute)
			change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
				metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationReconcileRequestedAt, "now")
			})
			cloudtest.Handle(&c.aws, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
				c.later(jump) // after the pass has begun, before it looks at anything
				return &ec2.DescribeRegionsOutput{Regions: []types.Region{{RegionName: aws.String(frankfurt)}, {RegionName: aws.String(ireland)}}}, nil
			})
			wait := c.pass(member).RequeueAfter
			for range 3 { // a hot loop would take as many passes as there are
				c.later(wait)
				wait = c.pass(member).RequeueAfter
			}
			if got := c.account(member).Status.LastHandledReconcileAt; got != "now" {
				t.Errorf("the token is not answered: %q", got)
			}
			if wait < 30*time.Minute {
				t.Errorf("the next pass comes after %v", wait)
			}
			c.state(member, "Compliant 2/2")
		})
	}
}

func TestAClockThatIsSetBackLeavesNoDiscoveryInTheFuture(t *testing.T) {
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization())
			c.organizationOf(memberOf(member))
			c.discovered(v1alpha1.ReasonSucceeded)
			c.later(jump)
			c.discovered(v1alpha1.ReasonSucceeded)
			same(t, "lastDiscoveredTime", c.clock().Truncate(time.Second), reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.LastDiscoveredTime.UTC())
		})
	}
}

var conflict = apierrors.NewConflict(schema.GroupResource{Group: "plumbline.dev", Resource: "awsaccounts"}, member, nil)

func TestAConflictOnEveryStatusWriteRepeatsNoChangeAndIsOverOnceItEnds(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.before = func(client.Object) error { return conflict }
	const passes = 5
	for range passes {
		_, err := c.accounts.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: member}})
		if !apierrors.IsConflict(err) {
			t.Fatalf("a pass whose status was not written returned %v", err)
		}
		same(t, "state", v1alpha1.AccountPending, c.account(member).Status.State)
	}
	c.before = nil
	c.pass(member)
	c.state(member, "Compliant 2/2")
	count := map[string]int{}
	for _, call := range c.calls() {
		count[call]++
	}
	same(t, "calls", map[string]int{
		// Each pass enters to change, and changes nothing, for that cannot be put on record: but the last.
		"AssumeRole eu-central-1": passes + 2, "DescribeRegions us-east-1": 1, "EnableEbsEncryptionByDefault eu-west-1": 1,
		// Each pass looks anew, for nothing of the one before was kept; the last looks once more at what it changed.
		"GetEbsEncryptionByDefault eu-central-1": passes + 1, "GetEbsEncryptionByDefault eu-west-1": passes + 2,
	}, count)
}

// panicky is the kind with its one control for EBS, which panics in the regions that it is told.
func panicky(panics func(region string) bool) control.Kind {
	ebs := encryption.EBSDefaultEncryption
	observe := ebs.Observe
	ebs.Observe = func(ctx context.Context, t *control.Target, want v1alpha1.EBSDefault) ([]control.Finding, error) {
		if panics(t.Region) {
			panic("as after a field that AWS left out")
		}
		return observe(ctx, t, want)
	}
	return control.KindOf[v1alpha1.EncryptionBaseline, v1alpha1.EncryptionBaselineList]("EncryptionBaseline",
		func(b *v1alpha1.EncryptionBaseline) any { return b.Spec },
		func(b *v1alpha1.EncryptionBaseline) []control.Bound {
			return []control.Bound{ebs.With(b.Spec.EBSDefault)}
		})
}

func TestAControlThatPanicsIsUnknownAloneAndIsLookedAtAgain(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member), anAccount(otherOne))
	broken := true
	c.accounts.Kinds = []control.Kind{panicky(func(region string) bool { return broken && region == ireland })}
	c.off[member+" "+frankfurt], c.off[member+" "+ireland] = true, true
	wait := c.pass(member).RequeueAfter
	c.state(member, "Unknown 1/2")
	s := c.account(member).Status
	same(t, "unknown", map[string]int32{ireland: 1}, s.Controls[0].Unknown)
	same(t, "the sibling was put right", map[string]bool{member + " " + ireland: true}, c.off)
	broken = false
	if took := c.passesUntil(wait, v1alpha1.AccountCompliant); took > time.Hour {
		t.Errorf("the account is compliant after %v", took)
	}
	same(t, "departing regions", map[string]bool{}, c.off)
}

func TestAnAPIServerThatIsGoneInMidPassLosesNothing(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.before = func(client.Object) error { return apierrors.NewServerTimeout(schema.GroupResource{}, "update", 1) }
	if _, err := c.accounts.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: member}}); err == nil {
		t.Error("a pass whose status was not written returned no error: it would not be tried again before the interval is over")
	}
	same(t, "what departs: nothing is written that cannot be put on record", map[string]bool{member + " " + ireland: true}, c.off)
	c.before = nil
	c.pass(member)
	same(t, "what departs", map[string]bool{}, c.off)
	c.state(member, "Compliant 2/2")
}
