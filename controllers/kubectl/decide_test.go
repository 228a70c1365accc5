package kubectl

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

const (
	digest = "5f0c7be2d1a94c3f8e6b7a1d2c3e4f50"
	newer  = "00000000000000000000000000000001"
)

// remediation makes one as the controller does, in a phase.
func (w *world) remediation(name string, phase v1alpha1.RemediationPhase) *v1alpha1.Remediation {
	w.Helper()
	r := &v1alpha1.Remediation{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		v1alpha1.LabelAccount: payDev, v1alpha1.LabelControl: "s3-secure-transport", v1alpha1.LabelPlan: digest,
	}}}
	w.create(r)
	expires := metav1.NewTime(w.now.Add(72 * time.Hour))
	r.Status = v1alpha1.RemediationStatus{
		Phase: phase, Account: payDev, Control: "s3-secure-transport", Baseline: "S3Baseline/organization", Risk: "Disruptive", Reversible: true,
		Digest: digest, Expires: &expires, Progress: "0/1", Message: "waits for an approval",
		Changes: []v1alpha1.RemediationChange{{
			Region: frankfurt, Resource: "arn:aws:s3:::acme-scratch", Risk: "Disruptive", BeforeDigest: "b", AfterDigest: "a",
			Fields: []v1alpha1.RemediationField{{Path: "secureTransport", From: "Disabled", To: "Enabled"}, {Path: "minimumTLSVersion", From: "", To: "1.2"}},
		}},
	}
	if phase == v1alpha1.RemediationApplied {
		r.Status.Progress, r.Status.Changes[0].Outcome = "1/1", v1alpha1.ChangeApplied
	}
	w.putStatus(r)
	return r
}

const shownChange = `%s
  Account      111122225555
  Control      s3-secure-transport: S3 requests only over TLS
  Baseline     S3Baseline/organization
  Risk         Disruptive
  Reversible   yes
  Phase        Proposed, expires in 3d
  Digest       5f0c7be2d1a94c3f8e6b7a1d2c3e4f50
  Message      waits for an approval
  REGION         RESOURCE                    FIELD               FROM       TO        RISK
  eu-central-1   arn:aws:s3:::acme-scratch   secureTransport     Disabled   Enabled   Disruptive
                                             minimumTLSVersion   –          1.2

`

func TestApprovingShowsAsksAndNamesTheDigest(t *testing.T) {
	w := newWorld(t)
	w.remediation("one", v1alpha1.RemediationProposed)
	w.typed = "y\n"
	stdout, stderr, code := w.run("approve", "one", "--reason", "agreed in CHG-1234")
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	w.same("standard output", fmt.Sprintf(shownChange, "one")+"one: approved by alice@example.com\n", stdout)
	w.same("the question", "Approve 1 Remediation (1 resource) as alice@example.com? [y/N] ", stderr)
	r := &v1alpha1.Remediation{}
	w.get("one", r)
	want := v1alpha1.RemediationSpec{Approval: &v1alpha1.Decision{Digest: digest, By: "alice@example.com", Reason: "agreed in CHG-1234"}}
	if diff := cmp.Diff(want, r.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	w.refuses("was approved by alice@example.com already", "approve", "one", "--yes")
}

func TestNothingIsDecidedWithoutAYes(t *testing.T) {
	for name, tc := range map[string]struct {
		typed string
		args  []string
		err   string
	}{
		"a no":                   {"n\n", []string{"approve", "one"}, "nothing was decided"},
		"just enter":             {"\n", []string{"approve", "one"}, "nothing was decided"},
		"no terminal":            {"", []string{"approve", "one"}, "add --yes"},
		"another digest":         {"y\n", []string{"approve", "one", "--digest", newer}, "it is another proposal now"},
		"a digest of many":       {"y\n", []string{"approve", "--account", payDev, "--digest", digest}, "name just that one"},
		"no reason to reject":    {"y\n", []string{"reject", "one"}, "needs --reason"},
		"nothing named":          {"y\n", []string{"approve"}, "name Remediations"},
		"named and selected":     {"y\n", []string{"approve", "one", "--account", payDev}, "not both"},
		"not there":              {"y\n", []string{"approve", "two"}, "there is no Remediation two; kubectl get rem"},
		"an unknown control":     {"y\n", []string{"approve", "--control", "s3-secure-transprt"}, "did you mean s3-secure-transport"},
		"nothing in a selection": {"y\n", []string{"approve", "--account", payProd}, "no Remediation of that selection can be approved"},
		"undone before it is":    {"y\n", []string{"undo", "one"}, "only what was made can be"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.remediation("one", v1alpha1.RemediationProposed)
			w.typed = tc.typed
			w.refuses(tc.err, tc.args...)
			r := &v1alpha1.Remediation{}
			w.get("one", r)
			if diff := cmp.Diff(v1alpha1.RemediationSpec{}, r.Spec); diff != "" {
				t.Errorf("something was decided (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeDecidedSaysWhyAndWhatToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		phase  v1alpha1.RemediationPhase
		change func(*v1alpha1.RemediationStatus)
		args   []string
		err    string
	}{
		"approve, expired":          {v1alpha1.RemediationProposed, func(s *v1alpha1.RemediationStatus) { s.Expires = &metav1.Time{Time: time.Now().Add(-time.Hour)} }, []string{"approve"}, "has expired"},
		"approve, expired by phase": {v1alpha1.RemediationExpired, nil, []string{"approve"}, "kubectl plumbline recheck 111122225555"},
		"approve, applied":          {v1alpha1.RemediationApplied, nil, []string{"approve"}, "it is Applied, and only a proposed one can be; kubectl plumbline undo"},
		"approve, rejected":         {v1alpha1.RemediationRejected, nil, []string{"approve"}, "kubectl delete rem one"},
		"approve, superseded":       {v1alpha1.RemediationSuperseded, nil, []string{"approve"}, "kubectl get rem -l plumbline.dev/account=111122225555"},
		"reject, applying":          {v1alpha1.RemediationApplying, nil, []string{"reject", "--reason", "no"}, "wait until it is over"},
		"undo, irreversible":        {v1alpha1.RemediationApplied, func(s *v1alpha1.RemediationStatus) { s.Reversible = false }, []string{"undo"}, "not reversible"},
		"undo, undone":              {v1alpha1.RemediationUndone, nil, []string{"undo"}, "it is Undone"},
		"undo, nothing was made":    {v1alpha1.RemediationFailed, nil, []string{"undo"}, "no change left"},
		"approve, not whole yet":    {v1alpha1.RemediationProposed, func(s *v1alpha1.RemediationStatus) { s.Digest = "" }, []string{"approve"}, "try again in a moment"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.remediation("one", tc.phase)
			if tc.change != nil {
				tc.change(&r.Status)
				w.putStatus(r)
			}
			w.refuses(tc.err, append(tc.args, "one", "--yes")...)
		})
	}
}

func TestManyAreShownAndCountedBeforeTheQuestion(t *testing.T) {
	w := newWorld(t)
	w.remediation("one", v1alpha1.RemediationProposed)
	w.remediation("three", v1alpha1.RemediationApplied)
	r := w.remediation("two", v1alpha1.RemediationProposed)
	r.Status.Changes[0].Weakens = true
	w.putStatus(r)
	w.typed = "no\n"
	stdout, stderr, code := w.run("approve", "--control", "s3-secure-transport", "--baseline", "s3/organization")
	weakening := strings.Replace(fmt.Sprintf(shownChange, "two"), "Enabled   Disruptive", "Enabled   Disruptive, weakens security", 1)
	w.same("standard output", fmt.Sprintf(shownChange, "one")+weakening, stdout)
	w.same("the question", "Approve 2 Remediations (2 resources) as alice@example.com? Changes that weaken security: 1. [y/N] error: nothing was decided\n", stderr)
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
}

func TestRejectingTakesAnApprovalBack(t *testing.T) {
	w := newWorld(t)
	r := w.remediation("one", v1alpha1.RemediationApproved)
	r.Spec.Approval = &v1alpha1.Decision{Digest: digest, By: "bob", Reason: "sure"}
	if err := w.Update(w.ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := w.run("reject", "one", "--yes", "--reason", "not in June"); code != exitDone {
		t.Fatal(stderr)
	}
	w.get("one", r)
	want := v1alpha1.RemediationSpec{Rejected: &v1alpha1.Decision{Digest: digest, By: "alice@example.com", Reason: "not in June"}}
	if diff := cmp.Diff(want, r.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// What is decided is what was shown: somebody changes the proposal between the question and the answer.
func TestAProposalThatChangesWhileItIsShownIsNotApproved(t *testing.T) {
	w := newWorld(t)
	r := w.remediation("one", v1alpha1.RemediationProposed)
	c := &cluster{Options: Options{Clock: func() time.Time { return w.now }}, flags: connection("")}
	c.Streams.Out, c.Streams.ErrOut = &strings.Builder{}, &strings.Builder{}
	d := &decision{cluster: c, verb: approving, names: []string{"one"}}
	*c.flags.KubeConfig = w.kubeconfig
	api, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := d.choose(w.ctx, api)
	if err != nil {
		t.Fatal(err)
	}
	r.Status.Changes[0].Fields[0].To, r.Status.Digest = "Disabled", newer
	w.putStatus(r)
	if err := d.decide(w.ctx, api, chosen, "alice@example.com"); err == nil || !strings.Contains(err.Error(), "has changed since it was shown") {
		t.Errorf("got error %v", err)
	}
	w.get("one", r)
	if r.Spec.Approval != nil {
		t.Errorf("approved: %v", r.Spec.Approval)
	}
}

// controller plays the controller: it writes what status says until the test ends.
func (w *world) controller(name string, answer func(*v1alpha1.Remediation) bool) {
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, time.Millisecond, true, func(ctx context.Context) (bool, error) {
			r := &v1alpha1.Remediation{}
			there := w.Get(ctx, client.ObjectKey{Name: name}, r) == nil
			return there && answer(r) && w.Status().Update(ctx, r) == nil, nil
		})
	}()
	w.Cleanup(func() { stop(); <-done })
}

func TestWaitingPrintsWhatBecameOfIt(t *testing.T) {
	w := newWorld(t)
	w.remediation("one", v1alpha1.RemediationProposed)
	w.controller("one", func(r *v1alpha1.Remediation) bool {
		r.Status.Phase, r.Status.Progress, r.Status.Message = v1alpha1.RemediationApplied, "1/1", "made, and AWS shows it"
		r.Status.Changes[0].Outcome = v1alpha1.ChangeApplied
		return r.Spec.Approval != nil
	})
	stdout, _, code := w.run("approve", "one", "--yes", "--wait")
	w.same("standard output", fmt.Sprintf(shownChange, "one")+`one: approved by alice@example.com
NAME   PHASE     CHANGES   MESSAGE
one    Applied   1/1       made, and AWS shows it
`, stdout)
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}

	w.controller("one", func(r *v1alpha1.Remediation) bool {
		r.Status.Conditions = []metav1.Condition{w.condition(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, v1alpha1.ReasonChangedSince, "every resource has changed since")}
		r.Status.Conditions[0].ObservedGeneration = r.Generation
		return r.Spec.Undo != nil
	})
	stdout, stderr, code := w.run("undo", "one", "--yes", "--wait")
	if code != exitError || !strings.Contains(stdout, "every resource has changed since") || !strings.Contains(stderr, "1 of 1 Remediation not undone") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestWaitingEnds(t *testing.T) {
	w := newWorld(t)
	w.remediation("one", v1alpha1.RemediationProposed)
	_, stderr, code := w.run("approve", "one", "--yes", "--wait", "--timeout", "50ms")
	if code != exitError || !strings.Contains(stderr, "not over within the time to wait (50ms)") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// The admission policy, as it is shipped, lets through what the commands write, and nothing in another's name.
func TestDecisionsPassTheAdmissionPolicy(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"one", "two", "three"} {
		w.remediation(name, v1alpha1.RemediationProposed)
	}
	w.remediation("made", v1alpha1.RemediationApplied)
	w.installPolicy()
	for _, args := range [][]string{{"approve", "one"}, {"reject", "two", "--reason", "no"}, {"undo", "made"}} {
		if stdout, stderr, code := w.run(append(args, "--yes")...); code != exitDone {
			t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	r := &v1alpha1.Remediation{}
	w.get("three", r)
	if err := w.Patch(w.ctx, r, forged); err == nil {
		t.Error("the policy is not in force: a decision in another's name was taken")
	}
}

var forged = client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"approval":{"digest":"`+digest+`","by":"bob"}}}`))

// installPolicy installs the policy for the length of the test, and waits until it is in force.
func (w *world) installPolicy() {
	w.Helper()
	text, err := os.ReadFile("../../config/policy/remediation.yaml")
	if err != nil {
		w.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			w.Fatal(err)
		}
		w.create(o)
		w.Cleanup(func() { _ = w.Delete(context.Background(), o) })
	}
	// Run first: the other tests make Remediations themselves.
	w.Cleanup(func() {
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "plumbline-remediation"}}
		_ = w.Delete(context.Background(), binding)
		free := func(ctx context.Context) (bool, error) {
			made := &v1alpha1.Remediation{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
			return w.Create(ctx, made, client.DryRunAll) == nil, nil
		}
		if err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, 30*time.Second, true, free); err != nil {
			w.Error("the policy stayed in force")
		}
	})
	probe := &v1alpha1.Remediation{}
	w.get("three", probe)
	err = wait.PollUntilContextTimeout(w.ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		return w.Patch(ctx, probe.DeepCopy(), forged, client.DryRunAll) != nil, nil
	})
	if err != nil {
		w.Fatal("the policy did not come into force")
	}
}
