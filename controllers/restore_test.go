package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
)

// restoring is a baseline that has turned encryption on in some regions of an account, and is being deleted with deletionPolicy:
// Restore. What it changed is about to be taken back.
func restoring(t *testing.T, regions ...string) (*cluster, string) {
	t.Helper()
	c := newCluster(t)
	b := encryptionBaseline(v1alpha1.ModeEnforce)
	b.Spec.DeletionPolicy = v1alpha1.DeletionRestore
	c.create(organization(), b, anAccount(member))
	t.Cleanup(func() { // its finalizer keeps it otherwise
		if err := c.Get(context.Background(), client.ObjectKeyFromObject(b), b); err == nil {
			b.Finalizers = nil
			_ = apiServer.client.Update(context.Background(), b)
		}
	})
	for _, region := range regions {
		c.off[member+" "+region] = true
	}
	c.rollUp()
	c.pass(member)
	all, phases := c.remediationsOf(member)
	same(t, "phases", "Applied", phases)
	if err := c.Delete(c.ctx, reload(c, "organization", &v1alpha1.EncryptionBaseline{})); err != nil {
		t.Fatal(err)
	}
	c.rollUp()
	c.calls()
	return c, all[0].Name
}

// retain is what somebody does who has thought better of restoring.
func (c *cluster) retain() {
	c.Helper()
	change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) { b.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
}

// isThere says whether the baseline still is.
func (c *cluster) isThere() bool {
	c.Helper()
	err := c.Get(c.ctx, client.ObjectKey{Name: "organization"}, &v1alpha1.EncryptionBaseline{})
	if client.IgnoreNotFound(err) != nil {
		c.Fatal(err)
	}
	return !apierrors.IsNotFound(err)
}

// came is what a Remediation says of its changes, in their order, and of itself.
func (c *cluster) came(name string) (changes []string, itself string) {
	c.Helper()
	r := reload(c, name, &v1alpha1.Remediation{})
	for _, change := range r.Status.Changes {
		changes = append(changes, string(change.Outcome)+": "+change.Message)
	}
	itself = string(r.Status.Phase) + ": " + r.Status.Message
	if isUndoing(r) {
		itself = "undoing, " + whyUndoing(r)
	}
	return changes, itself
}

// interrupt has the manager killed after it has written to AWS, before it could note that.
func (c *cluster) interrupt() {
	c.Helper()
	c.before = func(o client.Object) error {
		if r, is := o.(*v1alpha1.Remediation); is && slices.ContainsFunc(r.Status.Changes, func(c v1alpha1.RemediationChange) bool { return c.Outcome == v1alpha1.ChangeUndone }) {
			return errors.New("killed")
		}
		return nil
	}
	c.pass(member)
	c.before = nil
	same(c.T, "what was written", []string{"DisableEbsEncryptionByDefault eu-west-1"}, c.writes())
}

// unreadable has AWS answer no questions after EBS encryption by default.
func (c *cluster) unreadable() {
	cloudtest.Handle(&c.aws, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		return nil, &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "no"}
	})
}

func TestAnInterruptedRestoreSaysWhatItFinds(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile      func(c *cluster, name string)
		change, itself string
	}{
		"as it was before": {
			func(*cluster, string) {},
			"Undone: found as it was before, after an interrupted undo", "Undone: taken back; not made again without an approval",
		},
		"as it was left, by somebody since: taken back once more": {
			func(c *cluster, _ string) { delete(c.off, member+" "+ireland) },
			"Undone: ", "Undone: taken back; not made again without an approval",
		},
		"as neither: it is left": {
			func(c *cluster, name string) {
				r := reload(c, name, &v1alpha1.Remediation{})
				r.Status.Changes[0].Before = `"something else"`
				r.Status.Changes[0].BeforeDigest = digestOf([]byte(r.Status.Changes[0].Before))
				if err := c.Status().Update(c.ctx, r); err != nil {
					c.Fatal(err)
				}
			},
			"Kept: neither as it was left nor as it was before: somebody has changed it since",
			"Applied: made, and AWS shows it",
		},
		"settings that were changed since: nobody can tell": {
			func(c *cluster, _ string) {
				change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) {
					b.Spec.EBSDefault.State = v1alpha1.Disabled
				})
			},
			"Undone: " + perhapsUndone,
			"Undone: taken back; not made again without an approval; of 1 it is not known whether Plumbline did, or somebody else: see status.changes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, record := restoring(t, ireland)
			c.interrupt()
			tc.meanwhile(c, record)
			c.later(settleAfter)
			c.pass(member)
			changes, itself := c.came(record)
			same(t, "the change", []string{tc.change}, changes)
			same(t, "the record", tc.itself, itself)
			c.rollUp()
			same(t, "the baseline is there", false, c.isThere())
		})
	}
}

func TestAnInterruptedRestoreWaitsForWhatCannotBeRead(t *testing.T) {
	c, record := restoring(t, ireland)
	c.interrupt()
	reads := 0
	cloudtest.Handle(&c.aws, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		if reads++; reads > 1 { // undoing looks first, and then it is looked what came of that
			return nil, &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "no"}
		}
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: new(false)}, nil
	})
	c.later(settleAfter)
	c.pass(member)
	changes, itself := c.came(record)
	if !strings.HasPrefix(changes[0], "Undoing: tried again in a minute: no longer as it was left, and could not be looked at: ") {
		t.Errorf("the change is %q", changes[0])
	}
	same(t, "the record", "undoing, Restore", itself)
	c.rollUp()
	same(t, "the baseline is there", true, c.isThere())
	c.handle()
	c.later(settleAfter)
	c.pass(member)
	_, itself = c.came(record)
	same(t, "once it can be read", "Undone: taken back; not made again without an approval", itself)
	same(t, "what was written", []string(nil), c.writes())
}

func TestRetainCallsARestoreOff(t *testing.T) {
	for name, tc := range map[string]struct {
		begun func(c *cluster)
		// waits is true where the account is to be looked at before the baseline goes.
		waits          bool
		change, itself string
	}{
		"that has not begun": {
			func(*cluster) {}, false, "Applied: ", "Applied: undoing it was called off, for deletionPolicy is Retain now",
		},
		"that was refused so far": {
			func(c *cluster) {
				change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) { o.Spec.Writes = v1alpha1.WritesStopped })
				c.pass(member)
				change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) { o.Spec.Writes = v1alpha1.WritesAllowed })
			},
			true, "Applied: left as it is: undoing it was called off", "Applied: undoing it was called off, for deletionPolicy is Retain now",
		},
		"in the middle of which the manager was killed": {
			(*cluster).interrupt, true, "Undone: found as it was before, when undoing it was called off",
			"Undone: taken back; not made again without an approval",
		},
		"that had begun, and nobody can look what came of it": {
			func(c *cluster) {
				c.interrupt()
				c.unreadable()
			},
			true, "Unverified: " + notKnownWhetherUndone,
			"Applied: undoing it was called off, for deletionPolicy is Retain now; of 1 it is not known: see status.changes",
		},
		"that had begun in an account that cannot be entered any more": {
			func(c *cluster) {
				c.interrupt()
				c.aws.DenyRole(roleIn(member, "Audit"), &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"})
				c.accounts.Cloud.Forget(member) // what is kept of a session
				c.later(time.Hour)
				c.pass(member)
			},
			false, "Unverified: " + notKnownWhetherUndone,
			"Applied: undoing it was called off, for deletionPolicy is Retain now; of 1 it is not known: see status.changes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, record := restoring(t, ireland)
			tc.begun(c)
			c.writes()
			c.retain()
			c.rollUp()
			same(t, "the baseline waits", tc.waits, c.isThere())
			if tc.waits {
				_, itself := c.came(record)
				same(t, "the record, before it is looked", "undoing, CalledOff", itself)
				condition := findCondition(reload(c, "organization", &v1alpha1.EncryptionBaseline{}).Status.Conditions, v1alpha1.ConditionRestoring)
				if condition == nil || condition.Reason != v1alpha1.ReasonCalledOff {
					t.Errorf("the baseline says %+v", condition)
				}
				c.later(settleAfter)
				c.pass(member)
				c.rollUp()
				same(t, "the baseline is there", false, c.isThere())
			}
			c.later(settleAfter)
			c.judge(record)
			c.pass(member)
			changes, itself := c.came(record)
			same(t, "the change", []string{tc.change}, changes)
			same(t, "the record", tc.itself, itself)
			same(t, "what was written", []string(nil), c.writes())
		})
	}
}

func TestRetainCallsARestoreOffInTheMiddleOfAPass(t *testing.T) {
	c, record := restoring(t, ireland, frankfurt)
	written := 0
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.DisableEbsEncryptionByDefaultInput) (*ec2.DisableEbsEncryptionByDefaultOutput, error) {
		c.mu.Lock()
		c.off[call.Account+" "+call.Region] = true
		c.mu.Unlock()
		if written++; written == 1 {
			c.retain()
			c.rollUp()
		}
		return &ec2.DisableEbsEncryptionByDefaultOutput{}, nil
	})
	c.pass(member)
	same(t, "what was written", []string{"DisableEbsEncryptionByDefault eu-west-1"}, c.writes())
	c.later(settleAfter)
	c.pass(member)
	c.rollUp()
	changes, itself := c.came(record)
	same(t, "the changes", []string{"Applied: left as it is: undoing it was called off", "Undone: "}, changes)
	same(t, "the record", "Applied: undoing it was called off, for deletionPolicy is Retain now; 1 changes had been taken back by then", itself)
	same(t, "the baseline is there", false, c.isThere())
	same(t, "what was written", []string(nil), c.writes())
}

func TestRetainLeavesWhatAPersonWantsUndone(t *testing.T) {
	c, record := restoring(t, ireland)
	c.decide(record, undo)
	c.retain()
	c.rollUp()
	c.judge(record) // the person's own wish is taken in once nothing else has it undone
	c.pass(member)
	r := reload(c, record, &v1alpha1.Remediation{})
	same(t, "phase", v1alpha1.RemediationUndone, r.Status.Phase)
	same(t, "by", "alice", r.Status.Undone.By)
	same(t, "what was written", []string{"DisableEbsEncryptionByDefault eu-west-1"}, c.writes())
}
