package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

func organization() *v1alpha1.AWSOrganization {
	return &v1alpha1.AWSOrganization{ObjectMeta: metav1.ObjectMeta{Name: "acme"}, Spec: v1alpha1.AWSOrganizationSpec{
		ManagementAccount: management, EnforceNewAccountsAfter: &metav1.Duration{},
		DelegatedAdministrators: v1alpha1.DelegatedAdministrators{GuardDuty: admin},
	}}
}

func encryptionBaseline(mode v1alpha1.Mode) *v1alpha1.EncryptionBaseline {
	return &v1alpha1.EncryptionBaseline{ObjectMeta: metav1.ObjectMeta{Name: "organization"}, Spec: v1alpha1.EncryptionBaselineSpec{
		BaselineSpec: v1alpha1.BaselineSpec{Mode: mode, Accounts: &v1alpha1.AccountSelector{All: true}},
		EBSDefault:   &v1alpha1.EBSDefault{ControlSpec: on},
	}}
}

func anAccount(id string) *v1alpha1.AWSAccount {
	return &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: id}}
}

func roleIn(id, name string) string { return "arn:aws:iam::" + id + ":role/plumbline/Plumbline" + name }

func (c *cluster) state(id, want string) {
	c.Helper()
	s := c.account(id).Status
	if got := string(s.State) + " " + s.Summary; got != want {
		c.Errorf("account %s is %q, want %q", id, got, want)
	}
}

var lookCalls = []string{"GetEbsEncryptionByDefault eu-central-1", "GetEbsEncryptionByDefault eu-west-1"}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

func TestAnAccountFromYAMLToAWSAndBack(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.off[member+" "+ireland] = true
	first := c.pass(member)
	c.state(member, "Drifted 1/2")
	same(t, "calls", append([]string{"AssumeRole eu-central-1", "DescribeRegions us-east-1"}, lookCalls...), sorted(c.calls()))
	if first.RequeueAfter != time.Hour-jitter(member, time.Hour) || *first.Priority != handler.LowPriority {
		t.Errorf("the next pass is %+v", first)
	}
	generation := c.account(member)
	c.later(time.Minute)
	c.pass(member)
	same(t, "calls of a pass in which nothing is due", []string(nil), c.calls())
	same(t, "nothing is written", generation.ResourceVersion, c.account(member).ResourceVersion)

	change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) { b.Spec.Mode = v1alpha1.ModeEnforce })
	c.pass(member)
	c.state(member, "Compliant 2/2")
	same(t, "calls", append([]string{"AssumeRole eu-central-1", "EnableEbsEncryptionByDefault eu-west-1"}, append(lookCalls, lookCalls[1])...),
		sorted(c.calls()))
	var sessions []string
	for _, s := range c.aws.Sessions() {
		sessions = append(sessions, s.Role)
	}
	same(t, "roles", []string{roleIn(member, "Audit"), roleIn(member, "Enforce")}, sessions)
	var told []string
	for _, e := range c.heard() {
		told = append(told, strings.Fields(e)[1])
	}
	same(t, "events", []string{"Drifted", "ControlDrifted", "Applying", "Changing", "Changed", "Applied", "Compliant", "ControlSettled"}, told)
}

func TestAfterARestartNothingIsAskedThatTheStatusKnows(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.pass(member)
	c.calls()
	c.accounts.memories = memories{}
	c.later(time.Minute)
	c.pass(member)
	same(t, "calls", []string(nil), c.calls())
	c.state(member, "Compliant 2/2")
}

func TestAConflictMergesAgainAndAsksAWSNothing(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.off[member+" "+ireland] = true
	conflicts := 0
	c.before = func(o client.Object) error {
		if conflicts++; conflicts <= 2 {
			change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
				metav1.SetMetaDataAnnotation(&a.ObjectMeta, "someone", strings.Repeat("x", conflicts))
			})
		}
		return nil
	}
	c.pass(member)
	same(t, "tries", 3, conflicts)
	same(t, "calls", append([]string{"AssumeRole eu-central-1", "DescribeRegions us-east-1"}, lookCalls...), sorted(c.calls()))
	a := c.account(member)
	same(t, "the other's annotation stands", "xx", a.Annotations["someone"])
	c.state(member, "Drifted 1/2")
	c.before = nil
	c.later(time.Minute)
	c.pass(member)
	same(t, "calls of the next pass", []string(nil), c.calls())
}

// The status speaks of the spec that was looked at, also where the spec has changed meanwhile.
func TestAConflictWithANewSpecIsNotTakenForALookAtIt(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	changed := false
	c.before = func(client.Object) error {
		if !changed {
			changed = true
			change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
				a.Spec.Regions = &v1alpha1.RegionSelector{Exclude: []v1alpha1.Region{ireland}}
			})
		}
		return nil
	}
	c.pass(member)
	a := c.account(member)
	same(t, "generations", []int64{2, 1}, []int64{a.Generation, a.Status.ObservedGeneration})
	c.pass(member)
	same(t, "observed", int64(2), c.account(member).Status.ObservedGeneration)
	c.state(member, "Compliant 1/1")
}

func TestAnAccountThatIsDeletedDuringItsPass(t *testing.T) {
	for name, again := range map[string]bool{"for good": false, "and made again": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
			done := false
			c.before = func(client.Object) error {
				if !done {
					done = true
					if err := apiServer.client.Delete(c.ctx, anAccount(member)); err != nil {
						t.Fatal(err)
					}
					if again {
						c.create(anAccount(member))
					}
				}
				return nil
			}
			same(t, "result", ctrl.Result{}, c.pass(member))
			same(t, "memory", 0, len(c.accounts.memories.all))
			if again {
				same(t, "the new object's state", v1alpha1.AccountPending, c.account(member).Status.State)
				c.calls()
				c.pass(member)
				same(t, "looked at", lookCalls, sorted(slices.DeleteFunc(c.calls(), func(s string) bool { return !strings.HasPrefix(s, "GetEbs") })))
				c.state(member, "Compliant 2/2")
			}
		})
	}
}

func TestAStatusThatTheAPIServerDoesNotTakeIsAnErrorAndNothingIsTakenForSeen(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.before = func(client.Object) error { return apierrors.NewInternalError(errors.New("etcd is away")) }
	if _, err := c.accounts.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: member}}); err == nil {
		t.Error("there is no error")
	}
	c.before = nil
	c.calls()
	c.pass(member)
	same(t, "calls", lookCalls, sorted(slices.DeleteFunc(c.calls(), func(s string) bool { return !strings.HasPrefix(s, "GetEbs") })))
	c.state(member, "Compliant 2/2")
}

func TestAnAccountThatCannotBeEntered(t *testing.T) {
	for name, tc := range map[string]struct {
		set    func(c *cluster)
		mend   func(c *cluster)
		reason string
		called int // calls with credentials of another account
	}{
		"its role is refused": {
			func(c *cluster) { c.aws.DenyRole(roleIn(member, "Audit"), cloudtest.Error("AccessDenied", "no")) },
			func(c *cluster) { c.aws.DenyRole(roleIn(member, "Audit"), nil) }, v1alpha1.ReasonRoleRefused, 0,
		},
		"its role leads elsewhere": {
			func(c *cluster) { c.aws.LeadRole(roleIn(member, "Audit"), otherOne) },
			func(c *cluster) { c.aws.LeadRole(roleIn(member, "Audit"), "") }, v1alpha1.ReasonWrongAccount, 0,
		},
		"its role leads elsewhere, and only asking tells": {
			func(c *cluster) {
				c.aws.LeadRole(roleIn(member, "Audit"), otherOne)
				c.aws.AnonymousRole(roleIn(member, "Audit"))
			},
			func(c *cluster) { c.aws.LeadRole(roleIn(member, "Audit"), "") }, v1alpha1.ReasonWrongAccount, 1,
		},
		"STS does not answer": {
			func(c *cluster) { c.aws.DenyRole(roleIn(member, "Audit"), errors.New("reset")) },
			func(c *cluster) { c.aws.DenyRole(roleIn(member, "Audit"), nil) }, v1alpha1.ReasonUnreachable, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
			c.pass(member)
			c.state(member, "Compliant 2/2")
			c.aws.Reset()
			tc.set(c)
			c.off[member+" "+ireland] = true
			var waits []time.Duration
			c.accounts.Cloud.Forget(member)
			c.later(2 * time.Hour)
			for range 6 {
				r := c.pass(member)
				waits = append(waits, r.RequeueAfter)
				c.later(r.RequeueAfter)
			}
			same(t, "waits", []time.Duration{1, 2, 4, 8, 15, 15}, []time.Duration{
				waits[0] / time.Minute, waits[1] / time.Minute, waits[2] / time.Minute, waits[3] / time.Minute, waits[4] / time.Minute, waits[5] / time.Minute,
			})
			c.state(member, "Unreachable 0/2")
			reachable := findCondition(c.account(member).Status.Conditions, v1alpha1.ConditionReachable)
			same(t, "reason", tc.reason, reachable.Reason)
			for _, call := range c.aws.Calls() {
				if call.Account == otherOne && call.Operation != "GetCallerIdentity" || call.Service == "EC2" {
					t.Errorf("%s was called in %s", call.Operation, call.Account)
				}
			}
			same(t, "events of six tries", 1, strings.Count(strings.Join(c.heard(), "\n"), "Unreachable "))
			tc.mend(c)
			c.pass(member)
			c.state(member, "Compliant 2/2")
		})
	}
}

func TestAnAdministratorThatCannotBeEnteredKeepsNobodyOut(t *testing.T) {
	c := newCluster(t)
	fromACK := anAccount(admin)
	fromACK.Spec.Roles.AuditFromACK = true
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member), fromACK)
	c.pass(member)
	c.state(member, "Compliant 2/2")
	c.pass(admin)
	c.state(admin, "Unreachable 0/0")
	if m := findCondition(c.account(admin).Status.Conditions, v1alpha1.ConditionReachable).Message; !strings.Contains(m, "--ack-role-account-map") {
		t.Errorf("message: %s", m)
	}
}

func TestAManagerThatIsToldToStopSaysNothingOfAnAccountThatItDidNotEnter(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	ctx, stop := context.WithCancel(c.ctx)
	c.aws.DenyRole(roleIn(member, "Audit"), context.Canceled)
	cloudtest.Handle(&c.aws, func(cloudtest.Call, *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		stop()
		return nil, context.Canceled
	})
	if _, err := c.accounts.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: member}}); err != nil {
		t.Fatal(err)
	}
	same(t, "state", v1alpha1.AccountPending, c.account(member).Status.State)
}

func TestAnAccountThatIsAwayIsNotTouched(t *testing.T) {
	for state, want := range map[string]string{stateLeft: "Left 0/0", "SUSPENDED": "Suspended 0/0"} {
		c := newCluster(t)
		c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
		c.pass(member)
		c.calls()
		c.off[member+" "+ireland] = true
		set := func(state string) {
			change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
				metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationState, state)
			})
		}
		set(state)
		same(t, "result", ctrl.Result{}, c.pass(member))
		c.state(member, want)
		same(t, "calls", []string(nil), c.calls())
		set("ACTIVE")
		c.pass(member)
		c.state(member, "Compliant 2/2")
		same(t, "drift that came meanwhile is found", false, c.off[member+" "+ireland])
	}
}

func TestWithoutAnOrganizationAnAccountIsNotTouched(t *testing.T) {
	c := newCluster(t)
	c.create(encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	same(t, "result", ctrl.Result{}, c.pass(member))
	same(t, "calls", []string(nil), c.calls())
	same(t, "reason", v1alpha1.ReasonNoOrganization, findCondition(c.account(member).Status.Conditions, v1alpha1.ConditionReady).Reason)
	c.create(organization())
	c.pass(member)
	c.state(member, "Compliant 2/2")
}

func TestADeletedAccountIsForgotten(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.pass(member)
	if err := c.Delete(c.ctx, anAccount(member)); err != nil {
		t.Fatal(err)
	}
	same(t, "result", ctrl.Result{}, c.pass(member))
	same(t, "memory", 0, len(c.accounts.memories.all))
}

func TestRegionsThatCannotBeReadAreNotCompliantAndAskedForAgain(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.aws.Deny("ec2:DescribeRegions", nil)
	r := c.pass(member)
	c.state(member, "Unknown 0/1")
	same(t, "the next pass", retryFirst, r.RequeueAfter)
	c.later(r.RequeueAfter)
	same(t, "the one after it", 2*retryFirst, c.pass(member).RequeueAfter)
	c.aws.Allow("ec2:DescribeRegions")
	c.pass(member)
	c.state(member, "Compliant 2/2")
}

func TestAskingForANewLookAsksForRolesAndRegionsToo(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.pass(member)
	c.calls()
	c.later(time.Minute)
	change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationReconcileRequestedAt, "now")
	})
	c.pass(member)
	same(t, "calls", append([]string{"AssumeRole eu-central-1", "DescribeRegions us-east-1"}, lookCalls...), sorted(c.calls()))
	same(t, "answer", "now", c.account(member).Status.LastHandledReconcileAt)
	c.pass(member)
	same(t, "calls of the next", []string(nil), c.calls())
}

func TestRollUpOfAccountsOverAnAPIServer(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member), anAccount(otherOne))
	roll := func() (ctrl.Result, *v1alpha1.EncryptionBaseline) {
		t.Helper()
		r, err := c.baselines.Reconcile(c.ctx, rollUp{})
		if err != nil {
			t.Fatal(err)
		}
		return r, reload(c, "organization", &v1alpha1.EncryptionBaseline{})
	}
	state := func(want v1alpha1.BaselineState) *v1alpha1.EncryptionBaseline {
		t.Helper()
		_, b := roll()
		same(t, "state", want, b.Status.State)
		return b
	}
	state(v1alpha1.BaselinePending)
	c.pass(member)
	state(v1alpha1.BaselinePending) // the other has not looked
	c.pass(otherOne)
	written := state(v1alpha1.BaselineCompliant)
	same(t, "a roll-up that finds the same writes nothing", written.ResourceVersion, state(v1alpha1.BaselineCompliant).ResourceVersion)

	change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) { b.Spec.EBSDefault.Approval = v1alpha1.ApprovalAll })
	b := state(v1alpha1.BaselinePending) // old results are not those of the new settings
	if c := findCondition(b.Status.Conditions, v1alpha1.ConditionCompliant); c.Status != metav1.ConditionUnknown || c.ObservedGeneration != b.Generation {
		t.Errorf("Compliant is %s at generation %d of %d", c.Status, c.ObservedGeneration, b.Generation)
	}
	c.pass(member)
	c.pass(otherOne)
	state(v1alpha1.BaselineCompliant)

	c.off[member+" "+ireland] = true
	c.later(2 * time.Hour)
	c.pass(member)
	c.before = func(client.Object) error {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("encryptionbaselines").GroupResource(), "organization", errors.New("older"))
	}
	r, _ := roll()
	same(t, "a conflict is tried again", rollUpAfter, r.RequeueAfter)
	c.before = nil
	state(v1alpha1.BaselineDrifted)
}

func TestAnAccountThatIsWorkedOnNoLongerGivesItsPlaceBack(t *testing.T) {
	for name, end := range map[string]func(c *cluster){
		"deleted": func(c *cluster) {
			if err := c.Delete(c.ctx, anAccount(member)); err != nil {
				c.Fatal(err)
			}
		},
		"cannot be entered": func(c *cluster) {
			c.accounts.Cloud.Forget(member)
			c.aws.DenyRole(roleIn(member, "Audit"), cloudtest.Error("AccessDenied", "no"))
			c.later(time.Minute)
		},
		"left": func(c *cluster) {
			change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
				metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationState, stateLeft)
			})
		},
		"without an organization": func(c *cluster) {
			if err := c.Delete(c.ctx, organization()); err != nil {
				c.Fatal(err)
			}
		},
		"without the baseline": func(c *cluster) {
			change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) {
				b.Spec.Accounts = &v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{otherOne}}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.accounts.Engine = engine.New(engine.Limits{AccountsAtOnce: 1, VerifyFor: 1}, c.accounts.Record, c.clock)
			cloudtest.Handle(&c.aws, func(cloudtest.Call, *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
				return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil // and nothing is to be seen of it
			})
			c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member), anAccount(otherOne))
			c.off[member+" "+ireland], c.off[otherOne+" "+ireland] = true, true
			reason := func(id string) string {
				t.Helper()
				c.pass(id)
				return c.account(id).Status.Drift[0].Reason
			}
			same(t, "the first", v1alpha1.RowSettling, reason(member))
			same(t, "the other", v1alpha1.RowCapReached, reason(otherOne))
			end(c)
			c.pass(member)
			if name == "without an organization" {
				c.create(organization())
			}
			c.later(20 * time.Minute)
			same(t, "the other, after the end", v1alpha1.RowSettling, reason(otherOne))
		})
	}
}

func TestRegionsThatStandInAreNotTakenForThoseRead(t *testing.T) {
	c := newCluster(t)
	org := organization()
	org.Spec.Regions = []v1alpha1.Region{ireland}
	c.create(org, encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.aws.Deny("ec2:DescribeRegions", nil)
	c.pass(member)
	c.state(member, "Unknown 1/2")
	same(t, "regions", []string(nil), c.account(member).Status.Regions)
}

func TestAnotherRoleInTheOrganizationIsTriedAtOnce(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeAudit), anAccount(member))
	c.pass(member)
	c.calls()
	c.later(time.Minute)
	change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) { o.Spec.Roles.ExternalID = "another" })
	c.pass(member)
	same(t, "calls", []string{"AssumeRole eu-central-1"}, c.calls())
	c.later(time.Minute)
	c.pass(member)
	same(t, "calls of the next", []string(nil), c.calls())
}
