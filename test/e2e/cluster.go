package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	// managerNamespace is where config/default puts the manager, and managerAccount its service account.
	managerNamespace = "plumbline-system"
	managerAccount   = "plumbline-manager"
	// eventNamespace is where events about cluster-scoped objects stand.
	eventNamespace = "default"
)

// install applies config/default as `make deploy` does. Nobody makes pods of its Deployment: the scenes start managers
// themselves, with what RBAC gives its service account.
func install(ctx context.Context) {
	GinkgoHelper()
	root, err := stack.Root()
	Expect(err).NotTo(HaveOccurred())
	kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(root, "config", "default"))
	kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	manager, err := shared.plane.AsServiceAccount(managerNamespace, managerAccount)
	Expect(err).NotTo(HaveOccurred())
	shared.kubeconfig = manager.Kubeconfig
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// removeEverything deletes all of Plumbline's objects and what a manager leaves behind. No manager may run meanwhile.
func removeEverything(ctx context.Context) {
	GinkgoHelper()
	for _, o := range []client.Object{
		&v1alpha1.BaselineException{}, &v1alpha1.EncryptionBaseline{}, &v1alpha1.S3Baseline{}, &v1alpha1.IAMBaseline{},
		&v1alpha1.CloudTrailBaseline{}, &v1alpha1.GuardDutyBaseline{}, &v1alpha1.AWSOrganization{}, &v1alpha1.AWSAccount{},
		&v1alpha1.Remediation{},
	} {
		Expect(shared.client.DeleteAllOf(ctx, o)).To(Succeed())
	}
	Expect(shared.client.DeleteAllOf(ctx, &eventsv1.Event{}, client.InNamespace(eventNamespace))).To(Succeed())
	Expect(shared.client.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(managerNamespace))).To(Succeed())
}

// kubectl runs kubectl as the administrator and returns what it prints.
func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := shared.plane.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

// manifest writes an object with the given spec, whose lines may be indented by tabs.
func manifest(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: plumbline.dev/v1alpha1\nkind: %s\nmetadata: {name: %q}\nspec:\n%s\n", kind, name, indent(dedent(spec)))
}

// dedent takes the tabs that the first line begins with off every line.
func dedent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	tabs := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], "\t"))]
	for i := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(lines[i], tabs), "\t ")
	}
	return strings.Join(lines, "\n")
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// declare applies an object with kubectl and waits until the manager has taken notice of this very spec. From then on a
// recheck is made with it.
func (s *scene) declare(ctx context.Context, kind, name, spec string) {
	GinkgoHelper()
	_, err := shared.plane.Admin().Apply(ctx, manifest(kind, name, spec))
	Expect(err).NotTo(HaveOccurred())
	s.awaitNoticed(ctx, kind, name)
}

func (s *scene) awaitNoticed(ctx context.Context, kind, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		o := get(ctx, g, kind, name)
		seen, _, err := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(seen).To(Equal(o.GetGeneration()), "status.observedGeneration of %s %s", kind, name)
	}).WithContext(ctx).Should(Succeed())
}

// withdraw deletes an object, and asks for a pass that shows it gone.
func (s *scene) withdraw(ctx context.Context, kind, name string) {
	GinkgoHelper()
	kubectl(ctx, "delete", kind, name)
}

// organizationName is the name of every scene's AWSOrganization.
const organizationName = "main"

// applyOrganization applies the AWSOrganization. The lines of changes replace or add fields of its spec.
func (s *scene) applyOrganization(ctx context.Context, changes string) {
	GinkgoHelper()
	fields := []string{
		"managementAccount: " + strconv.Quote(management), "regions: [" + strings.Join(regions, ", ") + "]",
		"roles: {externalId: " + externalID + "}", "enforceNewAccountsAfter: 0s", "tagLabels: [tier]",
	}
	for _, change := range strings.Split(dedent(changes), "\n") {
		name, _, _ := strings.Cut(change, ":")
		fields = slices.DeleteFunc(fields, func(f string) bool { return strings.HasPrefix(f, name+":") })
		fields = append(fields, change)
	}
	s.declare(ctx, "AWSOrganization", organizationName, strings.Join(fields, "\n"))
}

// discover asks for the organization to be read again.
func (s *scene) discover(ctx context.Context) {
	GinkgoHelper()
	kubectl(ctx, "annotate", "--overwrite", "awsorg", organizationName, v1alpha1.AnnotationReconcileRequestedAt+"="+token())
}

var tokens atomic.Int64

// token is a value for the annotation that asks for a pass; no two are alike.
func token() string { return "e2e-" + strconv.FormatInt(tokens.Add(1), 10) }

// ask asks for everything in these accounts to be looked at again, and returns the token. No account means all of them.
func (s *scene) ask(ctx context.Context, accounts ...string) string {
	GinkgoHelper()
	t := token()
	if len(accounts) == 0 {
		accounts = []string{"--all"}
	}
	annotate := append([]string{"annotate", "--overwrite", "awsacct"}, accounts...)
	kubectl(ctx, append(annotate, v1alpha1.AnnotationReconcileRequestedAt+"="+t)...)
	return t
}

// recheck has everything in these accounts looked at again, with the specs declared so far, and returns when the passes are
// over: each account has answered.
func (s *scene) recheck(ctx context.Context, accounts ...string) {
	GinkgoHelper()
	t := s.ask(ctx, accounts...)
	if len(accounts) == 0 {
		accounts = everywhere
	}
	s.awaitAnswer(ctx, t, accounts...)
}

func (s *scene) awaitAnswer(ctx context.Context, token string, accounts ...string) {
	GinkgoHelper()
	for _, id := range accounts {
		Eventually(func(g Gomega) {
			g.Expect(s.accountWith(ctx, g, id).Status.LastHandledReconcileAt).To(Equal(token), "account %s", id)
		}).WithContext(ctx).Should(Succeed())
	}
}

// awaitReached waits until the accounts are there and were entered.
func (s *scene) awaitReached(ctx context.Context, accounts ...string) {
	GinkgoHelper()
	for _, id := range accounts {
		s.awaitCondition(ctx, "AWSAccount", id, v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	}
}

// account reads an account.
func (s *scene) account(ctx context.Context, id string) *v1alpha1.AWSAccount {
	GinkgoHelper()
	return s.accountWith(ctx, Default, id)
}

// accountWith reads an account inside an Eventually.
func (s *scene) accountWith(ctx context.Context, g Gomega, id string) *v1alpha1.AWSAccount {
	GinkgoHelper()
	a := &v1alpha1.AWSAccount{}
	g.Expect(shared.client.Get(ctx, client.ObjectKey{Name: id}, a)).To(Succeed())
	return a
}

// awaitState waits until accounts are in a state.
func (s *scene) awaitState(ctx context.Context, state v1alpha1.AccountState, accounts ...string) {
	GinkgoHelper()
	for _, id := range accounts {
		Eventually(func(g Gomega) {
			g.Expect(s.accountWith(ctx, g, id).Status.State).To(Equal(state), "account %s", id)
		}).WithContext(ctx).Should(Succeed())
	}
}

// get reads an object of Plumbline's as it stands, inside an Eventually.
func get(ctx context.Context, g Gomega, kind, name string) *unstructured.Unstructured {
	GinkgoHelper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	g.Expect(shared.client.Get(ctx, client.ObjectKey{Name: name}, o)).To(Succeed())
	return o
}

// condition is one condition of an object; nil when it has none of the type.
func condition(ctx context.Context, g Gomega, kind, name, conditionType string) *metav1.Condition {
	GinkgoHelper()
	var held struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	o := get(ctx, g, kind, name)
	g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &held)).To(Succeed())
	c := meta.FindStatusCondition(held.Status.Conditions, conditionType)
	if c != nil && c.ObservedGeneration != o.GetGeneration() {
		g.Expect(fmt.Sprintf("%s of %s %s speaks of generation %d", conditionType, kind, name, c.ObservedGeneration)).To(
			BeEmpty(), "the object's generation is %d", o.GetGeneration())
	}
	return c
}

// awaitCondition waits for a condition of the present generation and returns its message.
//
//nolint:revive // a condition has these parts, and forty callers read best with them in a row
func (s *scene) awaitCondition(ctx context.Context, kind, name, conditionType string, status metav1.ConditionStatus, reason string) string {
	GinkgoHelper()
	message := ""
	Eventually(func(g Gomega) {
		c := condition(ctx, g, kind, name, conditionType)
		g.Expect(c).NotTo(BeNil(), "%s %s has no condition %s", kind, name, conditionType)
		g.Expect(string(c.Status)+" "+c.Reason).To(Equal(string(status)+" "+reason), "%s of %s %s: %s", conditionType, kind, name, c.Message)
		message = c.Message
	}).WithContext(ctx).Should(Succeed())
	return message
}

// awaitLooked waits until every account that the baseline selects was looked at with its present settings.
func (s *scene) awaitLooked(ctx context.Context, kind, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		c := condition(ctx, g, kind, name, v1alpha1.ConditionCompliant)
		g.Expect(c).NotTo(BeNil())
		g.Expect(c.Reason).NotTo(Equal(v1alpha1.ReasonPending), c.Message)
		g.Expect(condition(ctx, g, kind, name, v1alpha1.ConditionReconciling)).To(BeNil())
	}).WithContext(ctx).Should(Succeed())
}

// compliant waits until a baseline is compliant.
func (s *scene) compliant(ctx context.Context, kind, name string) {
	GinkgoHelper()
	s.awaitCondition(ctx, kind, name, v1alpha1.ConditionCompliant, metav1.ConditionTrue, v1alpha1.ReasonAllChecksHold)
}

// rows are an account's drift rows without the time since when they stand and what proposes to put them right.
func (s *scene) rows(ctx context.Context, id string) []v1alpha1.DriftRow {
	GinkgoHelper()
	return timeless(s.account(ctx, id).Status.Drift)
}

func timeless(rows []v1alpha1.DriftRow) []v1alpha1.DriftRow {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Since, rows[i].Remediation = metav1.Time{}, ""
	}
	return rows
}

// reasons counts an account's drift rows by control and reason: "ebs-default-encryption Audit".
func (s *scene) reasons(ctx context.Context, g Gomega, id string) map[string]int {
	GinkgoHelper()
	counts := map[string]int{}
	for _, d := range s.accountWith(ctx, g, id).Status.Drift {
		counts[d.Control+" "+d.Reason]++
	}
	return counts
}

// awaitReasons waits until an account has exactly these drift rows, counted by control and reason.
func (s *scene) awaitReasons(ctx context.Context, id string, want map[string]int) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(s.reasons(ctx, g, id)).To(Equal(want), "account %s", id)
	}).WithContext(ctx).Should(Succeed())
}

// control is what an account's status says of a control; nil when it is compliant.
func control(a *v1alpha1.AWSAccount, id string) *v1alpha1.AccountControl {
	for i := range a.Status.Controls {
		if a.Status.Controls[i].Control == id {
			return &a.Status.Controls[i]
		}
	}
	return nil
}

// notes are the notes of the events about an object with a reason, oldest first.
func notes(ctx context.Context, g Gomega, name, reason string) []string {
	GinkgoHelper()
	var all eventsv1.EventList
	g.Expect(shared.client.List(ctx, &all, client.InNamespace(eventNamespace))).To(Succeed())
	slices.SortFunc(all.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var found []string
	for _, e := range all.Items {
		if e.Regarding.Name == name && e.Reason == reason {
			found = append(found, e.Note)
		}
	}
	return found
}
