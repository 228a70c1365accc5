package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// hands are an observer, which the cluster's reconcilers are, and an enforcer.
type hands struct {
	*cluster
	enforcer *EnforcerReconciler
}

// separate makes the cluster's reconcilers observe, with an enforcer beside them that has memories of its own.
func separate(t *testing.T) *hands {
	t.Helper()
	h := &hands{cluster: newCluster(t)}
	h.records.Hands, h.records.AllowWrites = ObservingHand, true
	h.restart()
	return h
}

// restart begins the enforcer anew, as after a crash.
func (h *hands) restart() {
	record, _ := newRecorder()
	h.enforcer = &EnforcerReconciler{Accounts: &AccountReconciler{
		Client: h, Live: h, Cloud: cloud.New(h.aws.Base(), nil, h.clock), Kinds: controls.Kinds(), Directory: &Directory{}, Record: record,
		AllowWrites: true, Clock: h.clock, Engine: engine.New(engine.Limits{}, record, h.clock),
		Remediations: &Remediations{Client: h, Live: h, Namespace: "default", Record: record, Clock: h.clock, Kinds: controls.Kinds(), Hands: EnforcingHand},
	}}
}

// enforce is one pass of the enforcer over an account.
func (h *hands) enforce(id string) ctrl.Result {
	h.Helper()
	result, err := h.enforcer.Reconcile(h.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: id}})
	if err != nil {
		h.Fatal(err)
	}
	return result
}

// drifting is an account in which one change is to be made.
func (h *hands) drifting(b *v1alpha1.EncryptionBaseline) {
	h.create(organization(), b, anAccount(member))
	h.off[member+" "+ireland] = true
	h.pass(member)
}

func (h *hands) row(want string) v1alpha1.DriftRow {
	h.Helper()
	row := h.account(member).Status.Drift[0]
	same(h.T, "reason", want, row.Reason)
	return row
}

var enabled = []string{"EnableEbsEncryptionByDefault eu-west-1"}

func TestAnObserverWritesNothingAndTheEnforcerMakesWhatWasHandedOver(t *testing.T) {
	h := separate(t)
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.row(v1alpha1.RowHandedOver)
	h.later(2 * time.Hour)
	h.pass(member)
	all, phases := h.remediationsOf(member)
	same(t, "it is handed over once", "Approved", phases)
	same(t, "writes", []string(nil), h.writes())
	for _, call := range h.aws.Calls() {
		if strings.Contains(call.Role, "Enforce") {
			t.Errorf("the observer entered %s", call.Role)
		}
	}
	h.later(time.Minute)
	h.enforce(member)
	same(t, "writes", enabled, h.writes())
	made := reload(h.cluster, all[0].Name, &v1alpha1.Remediation{})
	same(t, "phase", v1alpha1.RemediationApplied, made.Status.Phase)
	same(t, "it is nobody's to make any more", false, isHanded(made))
	h.later(time.Minute)
	h.pass(member)
	same(t, "rows", 0, len(h.account(member).Status.Drift))
	same(t, "an enforcer without work does nothing", ctrl.Result{}, h.enforce(member))
}

func TestAnEnforcerMakesNothingThatWasNotHandedOver(t *testing.T) {
	h := separate(t)
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.off[member+" "+frankfurt] = true // which the observer has not seen
	h.later(time.Minute)
	h.enforce(member)
	same(t, "writes", enabled, h.writes())

	h.records.Hands = BothHands // one process with both hands, which is killed between record and write
	h.refuseWrites("no")
	h.later(2 * time.Hour)
	h.pass(member)
	h.calls()
	h.handle()
	h.enforce(member)
	same(t, "writes", []string(nil), h.writes())
}

// refuseWrites has AWS refuse the change.
func (h *hands) refuseWrites(message string) {
	cloudtest.Handle(&h.aws, func(cloudtest.Call, *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		return nil, &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: message}
	})
}

func TestWhatTheEnforcerFailsAtIsTriedAgainInTimeUnderOneRecord(t *testing.T) {
	h := separate(t)
	h.refuseWrites("not today")
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.later(time.Minute)
	h.enforce(member)
	_, phases := h.remediationsOf(member)
	same(t, "phases", "Failed", phases)
	h.later(time.Second)
	h.pass(member)
	if row := h.row(v1alpha1.RowRemediationFailed); !strings.Contains(row.Message, "not today") {
		t.Errorf("the row says %q", row.Message)
	}
	same(t, "failed checks", int32(1), h.account(member).Status.Baselines[0].Failed)
	h.later(time.Minute)
	h.pass(member)
	_, phases = h.remediationsOf(member)
	same(t, "it is not handed over again at once", "Failed", phases)
	h.later(retryFirst)
	h.pass(member)
	_, phases = h.remediationsOf(member)
	same(t, "but a while later, under the same record", "Approved", phases)
	same(t, "it still counts as failed", int32(1), h.account(member).Status.Baselines[0].Failed)
	h.enforce(member)
	h.later(time.Second)
	h.pass(member)
	h.row(v1alpha1.RowRemediationFailed)
	h.later(retryFirst + time.Minute)
	h.pass(member)
	_, phases = h.remediationsOf(member)
	same(t, "each time later", "Failed", phases)
	h.calls()
	h.handle()
	h.later(retryFirst)
	h.pass(member)
	h.enforce(member)
	_, phases = h.remediationsOf(member)
	same(t, "phases", "Applied", phases)
	same(t, "writes", enabled, h.writes())
}

func TestTheAccountSaysWhatKeepsTheEnforcerFromAChange(t *testing.T) {
	h := separate(t)
	h.aws.DenyRole(roleIn(member, "Enforce"), &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.later(time.Minute)
	again := h.enforce(member)
	if again.RequeueAfter <= 0 || again.RequeueAfter > retryFirst {
		t.Errorf("it is tried again after %s", again.RequeueAfter)
	}
	h.later(time.Second)
	h.pass(member)
	h.row(v1alpha1.RowRoleMissing)
	_, phases := h.remediationsOf(member)
	same(t, "phases", "Approved", phases)
	h.pass(member)
	h.enforce(member)
	held := h.handedRecord()
	h.later(retryFirst)
	h.enforce(member)
	same(t, "what is said already is not said again", held.ResourceVersion, h.handedRecord().ResourceVersion)
	h.aws.DenyRole(roleIn(member, "Enforce"), nil)
	h.later(2 * retryFirst)
	h.enforce(member)
	same(t, "writes", enabled, h.writes())
}

func TestARestoreDoesNotWaitForEverForAnEnforcerThatIsKeptOut(t *testing.T) {
	h := separate(t)
	b := encryptionBaseline(v1alpha1.ModeEnforce)
	b.Spec.DeletionPolicy, b.Finalizers = v1alpha1.DeletionRestore, []string{v1alpha1.FinalizerRestore}
	h.drifting(b)
	h.later(time.Minute)
	h.enforce(member)
	if err := h.Delete(h.ctx, b); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.aws.DenyRole(roleIn(member, "Audit"), &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})
	for range 4 {
		if _, err := h.baselines.Reconcile(h.ctx, rollUp{}); err != nil {
			t.Fatal(err)
		}
		h.judge(h.handedRecord().Name)
		h.enforce(member)
		h.later(30 * time.Minute)
	}
	same(t, "writes", enabled, h.writes())
	if err := apiServer.client.Get(h.ctx, client.ObjectKeyFromObject(b), b); !apierrors.IsNotFound(err) {
		t.Errorf("the baseline is still there: %v, %+v", err, h.handedRecord().Status)
	}
	r := h.handedRecord()
	if c := findCondition(r.Status.Conditions, v1alpha1.ConditionDecisionRefused); c == nil || c.Reason != v1alpha1.ReasonAccountGone {
		t.Errorf("conditions are %+v", r.Status.Conditions)
	}
}

func (h *hands) handedRecord() *v1alpha1.Remediation {
	h.Helper()
	all, _ := h.remediationsOf(member)
	if len(all) != 1 {
		h.Fatalf("there are %d Remediations", len(all))
	}
	return &all[0]
}

// forge writes a Remediation's status as somebody could who has taken over the observer.
func (h *hands) forge(alter func(*v1alpha1.RemediationStatus)) {
	h.Helper()
	r := h.handedRecord()
	alter(&r.Status)
	if err := h.Status().Update(h.ctx, r); err != nil {
		h.Fatal(err)
	}
	h.judge(r.Name)
}

func TestAnEnforcerBelievesNoDecisionThatItDoesNotSee(t *testing.T) {
	approved := func(s *v1alpha1.RemediationStatus) {
		s.Phase, s.Decided = v1alpha1.RemediationApproved, &v1alpha1.Decided{By: "alice", At: metav1.Now(), Reason: "forged"}
	}
	for name, forge := range map[string]func(h *hands){
		"an approval": func(h *hands) { h.forge(approved) },
		"an approval of a batch": func(h *hands) {
			h.forge(func(s *v1alpha1.RemediationStatus) {
				approved(s)
				s.Decided.Batch = strings.Repeat("a", 32)
			})
		},
		"that it needs none": func(h *hands) {
			h.forge(func(s *v1alpha1.RemediationStatus) { approved(s); s.Decided.By = byPlumbline })
		},
		"another plan under the digest that alice approved": func(h *hands) {
			h.decide(h.handedRecord().Name, approve)
			h.forge(func(s *v1alpha1.RemediationStatus) { s.Changes[0].BeforeDigest = strings.Repeat("0", 32) })
		},
		"another state from before under the undo that alice asked for": func(h *hands) {
			h.forge(func(s *v1alpha1.RemediationStatus) {
				approved(s)
				s.Phase, s.Reversible, s.Changes[0].Outcome, s.Changes[0].Before = v1alpha1.RemediationApplied, true, v1alpha1.ChangeApplied, `"open"`
			})
			delete(h.off, member+" "+ireland)
			h.decide(h.handedRecord().Name, undo)
		},
		"an undo": func(h *hands) {
			h.forge(func(s *v1alpha1.RemediationStatus) {
				approved(s)
				s.Phase, s.Changes[0].Outcome = v1alpha1.RemediationApplied, v1alpha1.ChangeApplied
				s.Conditions = append(s.Conditions, metav1.Condition{
					Type: v1alpha1.ConditionUndoing, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRestore, LastTransitionTime: metav1.Now(), Message: "forged"})
			})
			delete(h.off, member+" "+ireland)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := separate(t)
			h.drifting(asking())
			forge(h)
			for range 3 {
				h.later(2 * time.Minute)
				h.enforce(member)
			}
			same(t, "writes", []string(nil), h.writes())
		})
	}
}

func TestAnEnforcerMakesWhatPeopleDecide(t *testing.T) {
	h := separate(t)
	h.drifting(asking())
	h.later(time.Minute)
	h.decide(h.handedRecord().Name, approve)
	h.pass(member)
	h.row(v1alpha1.RowHandedOver)
	h.enforce(member)
	same(t, "writes", enabled, h.writes())
	h.later(time.Minute)
	h.decide(h.handedRecord().Name, undo)
	h.pass(member)
	same(t, "the observer undoes nothing", []string(nil), h.writes())
	h.enforce(member)
	same(t, "writes", []string{"DisableEbsEncryptionByDefault eu-west-1"}, h.writes())
	_, phases := h.remediationsOf(member)
	same(t, "phases", "Undone", phases)
}

func TestAnEnforcerMakesABatchOnlyAsItWasApproved(t *testing.T) {
	for name, tc := range map[string]struct {
		digest func(string) string
		writes []string
	}{
		"the batch that is proposed": {func(d string) string { return d }, enabled},
		"another batch":              {func(string) string { return strings.Repeat("b", 32) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := separate(t)
			h.drifting(asking())
			r := h.handedRecord()
			batch := batchDigest(r.Status.Baseline, r.Status.Control, []*v1alpha1.Remediation{r})
			change(h.cluster, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) {
				b.Spec.Approvals = []v1alpha1.BatchApproval{{Control: r.Status.Control, Digest: tc.digest(batch), By: "alice"}}
			})
			h.forge(func(s *v1alpha1.RemediationStatus) { // as the roll-up does for a batch that is right
				s.Phase, s.Decided = v1alpha1.RemediationApproved, &v1alpha1.Decided{By: "alice", At: metav1.Now(), Batch: tc.digest(batch)}
			})
			h.later(time.Minute)
			h.enforce(member)
			same(t, "writes", tc.writes, h.writes())
		})
	}
}

func TestWhatIsHandedOverCanBeRejected(t *testing.T) {
	h := separate(t)
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.decide(h.handedRecord().Name, reject)
	h.later(2 * time.Hour)
	h.pass(member)
	h.row(v1alpha1.RowRejected)
	_, phases := h.remediationsOf(member)
	same(t, "phases", "Rejected", phases)
	h.enforce(member)
	same(t, "writes", []string(nil), h.writes())
}

func TestAnEnforcerThatWasKilledFindsWhatItHadBegun(t *testing.T) {
	for name, tc := range map[string]struct {
		made   bool
		writes []string
	}{"before the write": {false, enabled}, "after the write": {true, nil}} {
		t.Run(name, func(t *testing.T) {
			h := separate(t)
			h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
			h.forge(func(s *v1alpha1.RemediationStatus) {
				s.Phase, s.StartedAt = v1alpha1.RemediationApplying, new(metav1.NewTime(h.clock()))
			})
			if tc.made {
				delete(h.off, member+" "+ireland)
			}
			h.restart()
			h.later(time.Minute)
			h.pass(member)
			_, phases := h.remediationsOf(member)
			same(t, "the observer leaves what was begun to the enforcer", "Applying", phases)
			h.enforce(member)
			_, phases = h.remediationsOf(member)
			same(t, "phases", "Applied", phases)
			same(t, "writes", tc.writes, h.writes())
		})
	}
}

func TestOneProcessGoesOnWithWhatWasHandedOver(t *testing.T) {
	h := separate(t)
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	h.records.Hands = BothHands
	h.later(2 * time.Hour)
	h.pass(member)
	same(t, "writes", enabled, h.writes())
	made := h.handedRecord()
	same(t, "phase", v1alpha1.RemediationApplied, made.Status.Phase)
	same(t, "handed over", false, isHanded(made))
}

func TestAnEnforcerGivesItsPlacesBack(t *testing.T) {
	h := separate(t)
	h.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce))
	for _, id := range []string{"111100000001", "111100000002", "111100000003", "111100000004", "111100000005", "111100000006"} {
		h.create(anAccount(id))
		h.off[id+" "+ireland] = true
		h.pass(id)
		h.off[id+" "+frankfurt] = true // which is not handed over
		h.later(time.Minute)
		h.enforce(id)
		h.enforce(id) // finds nothing to do
		h.later(time.Minute)
		h.off[id+" "+frankfurt] = false
		h.pass(id)
	}
	same(t, "drifted", 0, len(h.account("111100000006").Status.Drift))
}

func TestWhatIsHandedOverWhileTheEnforcerLooksIsMadeNextWhateverTheClocksSay(t *testing.T) {
	h := separate(t)
	h.drifting(encryptionBaseline(v1alpha1.ModeEnforce))
	second := h.handedRecord()
	h.later(time.Minute)
	h.enforce(member)
	same(t, "writes", enabled, h.writes())
	h.off[member+" "+ireland] = true
	status := second.Status
	second.ResourceVersion, second.UID, second.Name = "", "", second.Name[:len(second.Name)-1]+"1"
	h.create(second)
	second.Status = status
	second.Status.Decided.At = metav1.NewTime(h.clock().Add(-time.Hour)) // the observer's clock is behind
	if err := h.Status().Update(h.ctx, second); err != nil {
		t.Fatal(err)
	}
	h.enforce(member)
	same(t, "writes", enabled, h.writes())
}

func TestABatchVouchesForItsMembersOnly(t *testing.T) {
	member := func(name string, batch string) v1alpha1.Remediation {
		r := v1alpha1.Remediation{}
		r.Name, r.Status.Baseline, r.Status.Control, r.Status.Digest = name, "S3Baseline/organization", "s3-versioning", name
		r.Status.Phase, r.Status.Decided = v1alpha1.RemediationApproved, &v1alpha1.Decided{By: "alice", Batch: batch}
		return r
	}
	a, b := member("a", ""), member("b", "")
	batch := batchDigest("S3Baseline/organization", "s3-versioning", []*v1alpha1.Remediation{&a, &b})
	a, b = member("a", batch), member("b", batch)
	stranger := member("c", batch)
	same(t, "a member", true, isInBatch([]v1alpha1.Remediation{a, b}, &a))
	same(t, "one that says it is", false, isInBatch([]v1alpha1.Remediation{a, b, stranger}, &stranger))
	other := stranger
	other.Status.Control = "s3-secure-transport"
	same(t, "one of another control", false, isInBatch([]v1alpha1.Remediation{a, b, other}, &other))
}

func TestNoMoreIsHandedOverThanMayBeChangedAtATime(t *testing.T) {
	h := separate(t)
	h.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce))
	ids := []string{"111100000001", "111100000002", "111100000003", "111100000004", "111100000005", "111100000006"}
	for _, id := range ids {
		h.create(anAccount(id))
		h.off[id+" "+ireland] = true
		h.pass(id)
	}
	last := ids[5]
	same(t, "reason", v1alpha1.RowCapReached, h.account(last).Status.Drift[0].Reason)
	h.later(time.Minute)
	h.enforce(ids[0])
	h.later(time.Minute)
	h.pass(ids[0])
	h.later(longestWait)
	h.pass(last)
	same(t, "once one is done", v1alpha1.RowHandedOver, h.account(last).Status.Drift[0].Reason)
}

func TestWhenAnEnforcerLooks(t *testing.T) {
	record := func(alter ...func(*v1alpha1.Remediation)) *v1alpha1.Remediation {
		r := &v1alpha1.Remediation{}
		r.Status.Phase = v1alpha1.RemediationApproved
		for _, a := range alter {
			a(r)
		}
		return r
	}
	handed := func(r *v1alpha1.Remediation) {
		r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionHandedOver})
	}
	undoing := func(r *v1alpha1.Remediation) {
		r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionUndoing})
	}
	decided := func(r *v1alpha1.Remediation) { r.Generation++ }
	in := func(p v1alpha1.RemediationPhase) func(*v1alpha1.Remediation) {
		return func(r *v1alpha1.Remediation) { r.Status.Phase = p }
	}
	for name, tc := range map[string]struct {
		was, is *v1alpha1.Remediation
		looks   bool
	}{
		"it is approved, and not handed over":       {record(in(v1alpha1.RemediationProposed)), record(), false},
		"it is handed over":                         {record(), record(handed), true},
		"it has begun it":                           {record(handed), record(handed, in(v1alpha1.RemediationApplying)), false},
		"somebody has decided about it":             {record(handed), record(handed, decided), true},
		"it is to be taken back":                    {record(in(v1alpha1.RemediationApplied)), record(handed, undoing, in(v1alpha1.RemediationApplied)), true},
		"it is over":                                {record(handed), record(in(v1alpha1.RemediationApplied)), true},
		"it is over, and something of it was noted": {record(in(v1alpha1.RemediationApplied)), record(in(v1alpha1.RemediationApplied)), false},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "looks", tc.looks, workForEnforcer.Update(event.UpdateEvent{ObjectOld: tc.was, ObjectNew: tc.is}))
		})
	}
}

func TestCallsThatMayBeTheEnforcersRaiseNoAlarm(t *testing.T) {
	at := noon
	r := &v1alpha1.Remediation{}
	r.CreationTimestamp = metav1.NewTime(at)
	r.Status.Decided = &v1alpha1.Decided{By: byPlumbline}
	ended := r.DeepCopy()
	ended.Status.FinishedAt = new(metav1.NewTime(at.Add(10 * time.Minute)))
	undecided := r.DeepCopy()
	undecided.Status.Decided = nil
	for name, tc := range map[string]struct {
		record *v1alpha1.Remediation
		at     time.Duration
		may    bool
	}{
		"while it is open":                      {r, time.Hour, true},
		"long before it was made":               {r, -time.Hour, false},
		"while it was being made":               {ended, 5 * time.Minute, true},
		"right after it had ended":              {ended, 11 * time.Minute, true},
		"long after it had ended":               {ended, 20 * time.Minute, false},
		"of a proposal nobody has approved yet": {undecided, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) { same(t, "may be", tc.may, madeByEnforcer(tc.record, at.Add(tc.at))) })
	}
}
