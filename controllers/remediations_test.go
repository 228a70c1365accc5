package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// asking is a baseline whose every change waits for an approval.
func asking() *v1alpha1.EncryptionBaseline {
	b := encryptionBaseline(v1alpha1.ModeEnforce)
	b.Spec.Approval = v1alpha1.ApprovalAll
	return b
}

// remediationsOf are an account's Remediations, oldest first, and their phases in the order of the alphabet.
func (c *cluster) remediationsOf(id string) (all []v1alpha1.Remediation, phases string) {
	c.Helper()
	var list v1alpha1.RemediationList
	if err := apiServer.client.List(c.ctx, &list, client.MatchingLabels{v1alpha1.LabelAccount: id}); err != nil {
		c.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Remediation) int {
		if d := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	var names []string
	for _, r := range list.Items {
		names = append(names, string(r.Status.Phase))
	}
	slices.Sort(names) // several may be made within a second
	return list.Items, strings.Join(names, " ")
}

// decide writes a decision into a Remediation's spec, and has it taken in.
func (c *cluster) decide(name string, alter func(*v1alpha1.RemediationSpec, *v1alpha1.Decision)) {
	c.Helper()
	change(c, name, &v1alpha1.Remediation{}, func(r *v1alpha1.Remediation) {
		alter(&r.Spec, &v1alpha1.Decision{Digest: r.Status.Digest, By: "alice", Reason: "agreed"})
	})
	c.judge(name)
}

func (c *cluster) judge(name string) ctrl.Result {
	c.Helper()
	result, err := c.records.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: name}})
	if err != nil {
		c.Fatal(err)
	}
	return result
}

func approve(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision) { s.Approval = d }
func undo(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision)    { s.Undo = d }
func reject(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision)  { s.Rejected = d }

func (c *cluster) writes() (all []string) {
	for _, call := range c.calls() {
		if strings.HasPrefix(call, "Enable") || strings.HasPrefix(call, "Disable") {
			all = append(all, call)
		}
	}
	return sorted(all)
}

// proposed is an account in which encryption is off in one region and waits for an approval.
func proposed(t *testing.T) (*cluster, v1alpha1.Remediation) {
	t.Helper()
	c := newCluster(t)
	c.create(organization(), asking(), anAccount(member))
	c.off[member+" "+ireland] = true
	c.pass(member)
	all, phases := c.remediationsOf(member)
	if phases != "Proposed" {
		t.Fatalf("phases are %q", phases)
	}
	return c, all[0]
}

func TestAProposalIsMadeOnlyAsItWasApproved(t *testing.T) {
	cases := map[string]struct {
		meanwhile func(c *cluster)
		phases    string
		writes    []string
	}{
		"as it was":                 {func(*cluster) {}, "Applied", []string{"EnableEbsEncryptionByDefault eu-west-1"}},
		"one more resource departs": {func(c *cluster) { c.off[member+" "+frankfurt] = true }, "Proposed Superseded", nil},
		"somebody put it right":     {func(c *cluster) { delete(c.off, member+" "+ireland) }, "Superseded", nil},
		"the baseline's settings changed": {func(c *cluster) {
			change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) {
				b.Spec.KMSRotation = &v1alpha1.KMSRotation{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled, Mode: v1alpha1.ModeAudit}}
			})
		}, "Proposed Superseded", nil},
		"the baseline only reports now": {func(c *cluster) {
			change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) { b.Spec.Mode = v1alpha1.ModeAudit })
		}, "Superseded", nil},
		"the baseline is gone": {func(c *cluster) {
			if err := c.Delete(c.ctx, encryptionBaseline(v1alpha1.ModeAudit)); err != nil {
				c.Fatal(err)
			}
		}, "Superseded", nil},
		"all writes are stopped": {func(c *cluster) {
			change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) { o.Spec.Writes = v1alpha1.WritesStopped })
		}, "Approved", nil},
		"it expired": {func(c *cluster) { c.later(proposalLasts) }, "Expired Proposed", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, r := proposed(t)
			c.decide(r.Name, approve)
			tc.meanwhile(c)
			c.calls()
			for range 3 { // what was superseded is looked at again and proposed anew
				c.judge(r.Name)
				c.later(2 * time.Minute)
				c.pass(member)
			}
			_, phases := c.remediationsOf(member)
			same(t, "phases", tc.phases, phases)
			same(t, "writes", tc.writes, c.writes())
		})
	}
}

func TestWhatCannotBePutOnRecordIsNotWritten(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.before = func(o client.Object) error {
		if _, is := o.(*v1alpha1.Remediation); is {
			return errors.New("etcd is full")
		}
		return nil
	}
	c.pass(member)
	same(t, "writes", []string(nil), c.writes())
	same(t, "reason", v1alpha1.RowNotRecorded, c.account(member).Status.Drift[0].Reason)
	c.before = nil
	c.later(settleAfter)
	c.pass(member)
	same(t, "writes", []string{"EnableEbsEncryptionByDefault eu-west-1"}, c.writes())
	_, phases := c.remediationsOf(member)
	same(t, "the record that was left half made is the one that is used", "Applied", phases)
}

func TestWhatWasUndoneIsNotMadeAgainWithoutAnApproval(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.pass(member)
	all, phases := c.remediationsOf(member)
	same(t, "phases", "Applied", phases)
	c.decide(all[0].Name, undo)
	c.writes()
	for range 3 {
		c.pass(member)
		c.later(2 * time.Minute)
	}
	same(t, "writes", []string{"DisableEbsEncryptionByDefault eu-west-1"}, c.writes())
	all, phases = c.remediationsOf(member)
	same(t, "phases", "Proposed Undone", phases)

	c.decide(all[slices.IndexFunc(all, func(r v1alpha1.Remediation) bool { return r.Status.Phase == v1alpha1.RemediationProposed })].Name, approve)
	c.pass(member)
	_, phases = c.remediationsOf(member)
	same(t, "phases", "Applied Undone", phases)
	c.later(2 * time.Hour)
	c.off[member+" "+ireland] = true
	c.pass(member)
	same(t, "once it was approved again, a later drift is put right by itself",
		[]string{"EnableEbsEncryptionByDefault eu-west-1", "EnableEbsEncryptionByDefault eu-west-1"}, c.writes())
}

func TestAnUndoThatIsRefusedIsSaidOnce(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.pass(member)
	all, _ := c.remediationsOf(member)
	change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) { b.Spec.Mode = v1alpha1.ModeAudit })
	c.off[member+" "+ireland] = true // somebody else was there
	c.decide(all[0].Name, undo)
	c.pass(member)
	refused := reload(c, all[0].Name, &v1alpha1.Remediation{})
	if r := findCondition(refused.Status.Conditions, v1alpha1.ConditionDecisionRefused); r == nil || r.Reason != v1alpha1.ReasonChangedSince {
		t.Fatalf("conditions are %+v", refused.Status.Conditions)
	}
	for range 3 {
		c.later(time.Minute)
		c.judge(all[0].Name)
		c.pass(member)
	}
	same(t, "nothing is written any more", refused.ResourceVersion, reload(c, all[0].Name, &v1alpha1.Remediation{}).ResourceVersion)
}

func TestAnAccountWithoutAnEnforceRoleHasNoRecordsOfChangesThatCannotBeMade(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce), anAccount(member))
	c.off[member+" "+ireland] = true
	c.aws.DenyRole(roleIn(member, "Enforce"), &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})
	c.pass(member)
	same(t, "reason", v1alpha1.RowRoleMissing, c.account(member).Status.Drift[0].Reason)
	all, _ := c.remediationsOf(member)
	same(t, "records", 0, len(all))
}

func TestARejectedPlanIsNotProposedAgainUntilItsRemediationIsGone(t *testing.T) {
	c, r := proposed(t)
	c.decide(r.Name, reject)
	c.pass(member)
	same(t, "reason at once", v1alpha1.RowRejected, c.account(member).Status.Drift[0].Reason)
	c.later(2 * time.Hour)
	c.pass(member)
	_, phases := c.remediationsOf(member)
	same(t, "phases", "Rejected", phases)
	if got := c.account(member).Status.Drift[0].Message; !strings.Contains(got, "rejected by alice: agreed; delete that Remediation") {
		t.Errorf("the row says %q", got)
	}
	if err := c.Delete(c.ctx, &r); err != nil {
		t.Fatal(err)
	}
	c.later(2 * time.Hour)
	c.pass(member)
	_, phases = c.remediationsOf(member)
	same(t, "phases", "Proposed", phases)
}

// proposal is a status as a pass would propose it.
func proposal(account string, changes ...v1alpha1.RemediationChange) v1alpha1.RemediationStatus {
	s := v1alpha1.RemediationStatus{
		Phase: v1alpha1.RemediationProposed, Account: account, Control: flag, Baseline: "EncryptionBaseline/organization", Changes: changes,
	}
	s.PlanDigest = planDigest(&s)
	s.Digest = digestOf([]byte(s.PlanDigest))
	return s
}

func TestProposalsAreBounded(t *testing.T) {
	c := newCluster(t)
	for i := range MaxOpenPerBaseline {
		if _, err := c.records.make(t.Context(), proposal(fmt.Sprintf("%012d", i)), false, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.records.make(t.Context(), proposal(member), false, 0)
	if !errors.Is(err, errFull) {
		t.Errorf("one more than may be open: %v", err)
	}
	other := proposal(member)
	other.Baseline = "S3Baseline/organization"
	if _, err := c.records.make(t.Context(), other, false, 0); err != nil {
		t.Errorf("of another baseline: %v", err)
	}
	all, _ := c.remediationsOf("000000000007")
	c.decide(all[0].Name, reject)
	if _, err := c.records.make(t.Context(), proposal(member), false, 0); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

func TestAPlanThatFoundNoPlaceIsProposedOnceOneIsFree(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), asking(), anAccount(member))
	var open []string
	for i := range MaxOpenPerBaseline {
		r, err := c.records.make(t.Context(), proposal(fmt.Sprintf("%012d", i)), false, 0)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, r.Name)
	}
	c.off[member+" "+ireland] = true
	c.pass(member)
	if got := c.account(member).Status.Drift[0].Message; !strings.Contains(got, "not proposed yet: 50 proposals may be open for a baseline and 500 in all") {
		t.Errorf("the row says %q", got)
	}
	c.calls()
	c.pass(member)
	same(t, "calls while it waits", []string(nil), c.calls())

	c.decide(open[7], reject)
	rejected := reload(c, open[7], &v1alpha1.Remediation{})
	same(t, "whoever is looked at after the rejection", []string{"000000000007", member}, c.accounts.concernedBy(rejected))
	same(t, "and after another", []string{"000000000007"}, c.accounts.concernedBy(rejected))
	c.pass(member)
	_, phases := c.remediationsOf(member)
	same(t, "phases", "Proposed", phases)
	c.calls()
	c.later(time.Second)
	c.pass(member)
	same(t, "calls once it is proposed", []string(nil), c.calls())
}

func TestWhoWaitsForAPlaceIsInvitedInTurn(t *testing.T) {
	var l placeLine
	a, b, c := ticket{"1", "A/a", "x"}, ticket{"2", "B/b", "x"}, ticket{"3", "A/a", "x"}
	for _, one := range []ticket{a, b, c, a} {
		l.join(one, one == b)
	}
	same(t, "a place of a baseline for which nobody waits is for who waits for one in all", "2", l.invite("C/c", noon))
	same(t, "nobody else", "", l.invite("C/c", noon))
	same(t, "the first of the baseline", "1", l.invite("A/a", noon))
	same(t, "invited", map[ticket]time.Time{a: noon}, l.invitations("1", noon.Add(time.Minute)))
	l.join(a, false) // the place was gone
	same(t, "no longer", 0, len(l.invitations("1", noon)))
	l.leave(c) // it was proposed at a look of its own
	same(t, "the next", "1", l.invite("A/a", noon))
	same(t, "the last", "", l.invite("A/a", noon))
	same(t, "an invitation that is old", 0, len(l.invitations("1", noon.Add(2*time.Hour))))
}

func TestFinishedRemediationsGoInTime(t *testing.T) {
	c := newCluster(t)
	c.create(encryptionBaseline(v1alpha1.ModeAudit))
	alive := reload(c, "organization", &v1alpha1.EncryptionBaseline{}).UID
	at := func(account string, phase v1alpha1.RemediationPhase, ago time.Duration) {
		s := proposal(account)
		s.Phase, s.FinishedAt, s.BaselineUID = phase, new(metav1.NewTime(c.clock().Add(-ago))), alive
		if phase == "" {
			s.FinishedAt = nil
		}
		if _, err := c.records.make(t.Context(), s, false, 0); err != nil {
			t.Fatal(err)
		}
	}
	at("000000000001", v1alpha1.RemediationApplied, finishedKept)
	at("000000000002", v1alpha1.RemediationApplied, finishedKept-time.Hour)
	at("000000000003", v1alpha1.RemediationUndone, 2*finishedKept)
	at("000000000004", v1alpha1.RemediationRejected, finishedKept)
	at("000000000005", "", 0)
	c.later(unfinishedFor)
	var left []string
	for i := range 5 {
		id := fmt.Sprintf("%012d", i+1)
		all, _ := c.remediationsOf(id)
		c.judge(all[0].Name)
		if all, phases := c.remediationsOf(id); len(all) > 0 {
			left = append(left, id[11:]+" "+phases)
		}
	}
	// What was undone keeps Plumbline from making the change again, so it stays.
	same(t, "those that are left", []string{"2 Applied", "3 Undone"}, left)
}

func TestOfTooManyFinishedRemediationsTheOldestGoes(t *testing.T) {
	c := newCluster(t)
	s := proposal(member)
	s.Phase, s.FinishedAt = v1alpha1.RemediationApplied, new(metav1.NewTime(c.clock().Add(-time.Hour)))
	oldest, err := c.records.make(t.Context(), s, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := []v1alpha1.Remediation{*oldest}
	for range maxFinished - 1 {
		newer := *oldest.DeepCopy()
		newer.Name, newer.Status.FinishedAt = "newer", new(metav1.NewTime(c.clock()))
		all = append(all, newer)
	}
	left := func(all []v1alpha1.Remediation, needed map[types.UID]bool) int {
		if err := c.records.dropOldest(t.Context(), all, needed); err != nil {
			t.Fatal(err)
		}
		there, _ := c.remediationsOf(member)
		return len(there)
	}
	same(t, "as many as are kept", 1, left(all, nil))
	all = append(all, all[1])
	same(t, "one more, of a baseline that needs them", 1, left(all, map[types.UID]bool{"": true}))
	same(t, "one more", 0, left(all, nil))
}

func TestStatesThatAreLargeOrDocumentsLieInASecret(t *testing.T) {
	c := newCluster(t)
	small := v1alpha1.RemediationChange{Region: ireland, Resource: "arn:aws:s3:::small", Before: `{"a":1}`, After: `{"a":2}`}
	big := v1alpha1.RemediationChange{Region: ireland, Resource: "arn:aws:s3:::big", Before: `"` + strings.Repeat("x", maxInline) + `"`, After: `{}`}
	for _, change := range []*v1alpha1.RemediationChange{&small, &big} {
		change.BeforeDigest, change.AfterDigest = digestOf([]byte(change.Before)), digestOf([]byte(change.After))
	}
	for name, tc := range map[string]struct {
		changes   []v1alpha1.RemediationChange
		documents bool
		secret    bool
	}{
		"small": {[]v1alpha1.RemediationChange{small}, false, false}, "large": {[]v1alpha1.RemediationChange{small, big}, false, true},
		"documents": {[]v1alpha1.RemediationChange{small}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			status := proposal(member, tc.changes...)
			status.Control = name // a plan of its own
			status.PlanDigest = planDigest(&status)
			made, err := c.records.make(t.Context(), status, tc.documents, 0)
			if err != nil {
				t.Fatal(err)
			}
			stored := reload(c, made.Name, &v1alpha1.Remediation{})
			same(t, "in a Secret", tc.secret, stored.Status.Secret != "")
			same(t, "the state is in the status", !tc.secret, stored.Status.Changes[0].Before != "")
			whole, err := c.records.read(t.Context(), made.Name)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "read whole", tc.changes, whole.Status.Changes)
			if !tc.secret {
				return
			}
			secret := &corev1.Secret{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: stored.Status.Secret}, secret); err != nil {
				t.Fatal(err)
			}
			same(t, "the Secret goes with the Remediation", stored.UID, secret.OwnerReferences[0].UID)
			if err := c.Delete(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: secret.Name}, Data: map[string][]byte{
				statesKey: []byte(strings.ReplaceAll(string(secret.Data[statesKey]), "a", "b")),
			}}
			if err := c.Create(t.Context(), forged); err != nil {
				t.Fatal(err)
			}
			if _, err := c.records.read(t.Context(), made.Name); err == nil || !strings.Contains(err.Error(), "others than were put there") {
				t.Errorf("states that somebody else put there: %v", err)
			}
		})
	}
}

func TestABatchIsFinishedAlsoAfterAnInterruption(t *testing.T) {
	c := newCluster(t)
	var members []*v1alpha1.Remediation
	for i := range 3 {
		r, err := c.records.make(t.Context(), proposal(fmt.Sprintf("%012d", i)), false, 0)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, r)
	}
	b := asking()
	digest := batchDigest("EncryptionBaseline/organization", flag, members)
	b.Spec.Approvals = []v1alpha1.BatchApproval{{Control: flag, Digest: digest, By: "alice"}}
	kind := c.baselines.Kinds[slices.IndexFunc(c.baselines.Kinds, func(k control.Kind) bool { return k.Name == "EncryptionBaseline" })]
	sumUp := func() *sum {
		s := newRollUps(organization(), []declared{declare(kind, b)}, c.clock())[0]
		var all v1alpha1.RemediationList
		if err := c.List(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		s.records = all.Items
		return s
	}
	// A manager approved one of the three, and was killed.
	if err := c.records.approveOne(t.Context(), members[1], b.Spec.Approvals[0]); err != nil {
		t.Fatal(err)
	}
	if refused, err := sumUp().approve(t.Context(), c.records.Remediations); err != nil || len(refused) > 0 {
		t.Fatalf("refused %v, error %v", refused, err)
	}
	for _, r := range members {
		same(t, "phase", v1alpha1.RemediationApproved, reload(c, r.Name, &v1alpha1.Remediation{}).Status.Phase)
	}
	// What is proposed later was not seen by whoever approved.
	late, err := c.records.make(t.Context(), proposal(member), false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := sumUp().approve(t.Context(), c.records.Remediations); err != nil || len(refused) > 0 {
		t.Fatalf("a batch that was used is no mistake: %v, %v", refused, err)
	}
	same(t, "phase", v1alpha1.RemediationProposed, reload(c, late.Name, &v1alpha1.Remediation{}).Status.Phase)
}

func TestOneRemediationHoldsSoMuch(t *testing.T) {
	many := make([]v1alpha1.RemediationChange, maxChanges+1)
	same(t, "changes", maxChanges, len(fitting(many)))
	big := []v1alpha1.RemediationChange{{Before: strings.Repeat("x", maxPlan)}, {}}
	same(t, "one that is too large goes alone", 1, len(fitting(big)))
	same(t, "none", 0, len(fitting(nil)))
}

func TestAProposalSaysWhatItHasNoRoomFor(t *testing.T) {
	c := newCluster(t)
	plan := func(n int) engine.Plan {
		var all []engine.Planned
		for i := range n {
			all = append(all, planned(fmt.Sprintf("arn:%03d", n-i), "", ""))
		}
		p := aPlan(all...)
		p.Baseline, p.Saw = "EncryptionBaseline/organization", func(string, string) bool { return true }
		return p
	}
	const room = "waits for an approval: kubectl plumbline approve, or spec.approval with status.digest"
	for _, step := range []struct {
		depart, proposed int
		message          string
	}{
		{maxChanges + 3, maxChanges, room + "; there is no room in it for 3 more, which are proposed once it is decided and done"},
		{maxChanges + 4, maxChanges, room + "; there is no room in it for 4 more, which are proposed once it is decided and done"},
		{maxChanges, maxChanges, room},
	} {
		l := newLedger(c.records.Remediations, world{account: &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: member}}, now: c.clock()}, "")
		var err error
		if l.records, err = l.of(t.Context(), member); err != nil {
			t.Fatal(err)
		}
		waits := 0
		for _, r := range l.Propose(t.Context(), plan(step.depart)) {
			if strings.HasPrefix(r.Message, "proposed once "+member) {
				waits++
			}
		}
		all, phases := c.remediationsOf(member)
		same(t, "phases", "Proposed", phases)
		same(t, "changes", step.proposed, len(all[0].Status.Changes))
		same(t, "the first of them", "arn:001", all[0].Status.Changes[0].Resource)
		same(t, "message", step.message, all[0].Status.Message)
		same(t, "rows that wait for room", step.depart-step.proposed, waits)
	}
}

func TestTheDigestOfAPlanIsOfAllThatItWouldDo(t *testing.T) {
	base := proposal(member, v1alpha1.RemediationChange{Region: ireland, Resource: "arn:1", Risk: "Safe", BeforeDigest: "b", AfterDigest: "a"})
	for name, alter := range map[string]func(*v1alpha1.RemediationStatus){
		"account":  func(s *v1alpha1.RemediationStatus) { s.Account = otherOne },
		"role":     func(s *v1alpha1.RemediationStatus) { s.Role = "arn:aws:iam::1:role/other" },
		"baseline": func(s *v1alpha1.RemediationStatus) { s.BaselineUID = "another" },
		"settings": func(s *v1alpha1.RemediationStatus) { s.Revision = "another" },
		"control":  func(s *v1alpha1.RemediationStatus) { s.Control = volumes },
		"resource": func(s *v1alpha1.RemediationStatus) { s.Changes[0].Resource = "arn:2" },
		"region":   func(s *v1alpha1.RemediationStatus) { s.Changes[0].Region = frankfurt },
		"before":   func(s *v1alpha1.RemediationStatus) { s.Changes[0].BeforeDigest = "c" },
		"after":    func(s *v1alpha1.RemediationStatus) { s.Changes[0].AfterDigest = "c" },
		"risk":     func(s *v1alpha1.RemediationStatus) { s.Changes[0].Risk = "Irreversible" },
		"owner":    func(s *v1alpha1.RemediationStatus) { s.Changes[0].ManagedBy = "CloudFormation stack web" },
	} {
		other := *base.DeepCopy()
		alter(&other)
		if planDigest(&other) == base.PlanDigest {
			t.Errorf("another %s makes no other digest", name)
		}
	}
	later := *base.DeepCopy()
	later.Expires = new(metav1.NewTime(noon))
	same(t, "the digest of the plan leaves out when", base.PlanDigest, planDigest(&later))
}
