package kubectl

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
)

// shipped are the admission policies and bindings as config/policy has them, but that they match nothing: other tests write
// what they would refuse.
func shipped(t *testing.T) (all []client.Object) {
	t.Helper()
	for _, name := range []string{"remediation", "approvals", "exception-length", "accounts"} {
		text, err := os.ReadFile(filepath.Join("../../config/policy", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		policy, binding, _ := strings.Cut(string(text), "\n---\n")
		p, b := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
		for text, o := range map[string]client.Object{policy: p, binding: b} {
			if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
				t.Fatal(err)
			}
		}
		p.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "never", Expression: "false"}}
		all = append(all, p, b)
	}
	return all
}

// manager is what is there of a manager at work.
func (w *world) manager() []client.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: controllers.DefaultNamespace}
	}
	return []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta("plumbline-manager")},
		&coordinationv1.Lease{ObjectMeta: meta("plumbline.dev"), Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("manager-1"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: ptr.To(metav1.NewMicroTime(w.now.Add(-5 * time.Second))),
		}},
	}
}

// install makes objects for the length of a test.
func (w *world) install(all ...client.Object) {
	w.Helper()
	api, err := connectTo(server.config, admissionv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme)
	if err != nil {
		w.Fatal(err)
	}
	_ = api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controllers.DefaultNamespace}}) // an earlier test may have
	for _, o := range all {
		if err := api.Create(w.ctx, o); err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { _ = api.Delete(context.Background(), o) })
	}
}

// clusterSection is what doctor says of the cluster, with the API server's own version left out.
func (w *world) clusterSection(args ...string) (section string, code int) {
	w.Helper()
	stdout, _, code := w.run(append([]string{"doctor", "--account", payProd}, args...)...)
	section, _, _ = strings.Cut(stdout, "\n\n")
	lines := strings.SplitAfter(section, "\n")
	if len(lines) > 1 && strings.Contains(lines[1], "OK     API server") {
		lines = append(lines[:1], lines[2:]...)
	}
	return strings.Join(lines, ""), code
}

func TestDoctorLooksAtTheCluster(t *testing.T) {
	const namespaced = "in force; controllers is plumbline-system/plumbline-manager\n"
	for name, tc := range map[string]struct {
		change func(w *world, policies, manager []client.Object) []client.Object
		args   []string
		want   string
	}{
		"all is well": {func(w *world, policies, manager []client.Object) []client.Object {
			w.create(organization())
			return append(policies, manager...)
		}, nil, `Cluster
  OK     your rights                         you may read all that is looked at
  OK     CRDs                                9, all established
  OK     policy plumbline-remediation        ` + namespaced +
			`  OK     policy plumbline-approvals          ` + namespaced +
			`  OK     policy plumbline-exception-length   in force
  OK     policy plumbline-accounts           in force; controllers is plumbline-system/plumbline-manager
  OK     manager                             at work: manager-1
  OK     AWSOrganization                     main
  OK     writes                              Allowed, by a manager with --allow-writes and for baselines in mode Enforce`},
		"hands are separate, and there is no enforcer": {func(w *world, policies, manager []client.Object) []client.Object {
			org := organization()
			org.Spec.Roles.EnforcerPrincipal = "arn:aws:iam::444455556666:role/plumbline-enforcer"
			w.create(org)
			return append(policies, manager...)
		}, nil, `Cluster
  OK     your rights                         you may read all that is looked at
  OK     CRDs                                9, all established
  OK     policy plumbline-remediation        ` + namespaced +
			`  OK     policy plumbline-approvals          ` + namespaced +
			`  OK     policy plumbline-exception-length   in force
  OK     policy plumbline-accounts           in force; controllers is plumbline-system/plumbline-manager
  OK     manager                             at work: manager-1
  OK     AWSOrganization                     main
  OK     writes                              Allowed, by a manager with --allow-writes and for baselines in mode Enforce
  WARN   enforcer                            has not been at work: there is no lease enforcer.plumbline.dev in plumbline-system
                                             next: apply config/default, as make deploy does; with --leader-elect=false it holds none`},
		"a policy is missing, and so is all else": {func(*world, []client.Object, []client.Object) []client.Object { return nil }, nil, `Cluster
  OK     your rights                         you may read all that is looked at
  OK     CRDs                                9, all established
  FAIL   policy plumbline-remediation        not there: the API server refuses nothing in its name
                                             next: apply config/default, as make deploy does (config/policy)
  FAIL   policy plumbline-approvals          not there: the API server refuses nothing in its name
                                             next: apply config/default, as make deploy does (config/policy)
  FAIL   policy plumbline-exception-length   not there: the API server refuses nothing in its name
                                             next: apply config/default, as make deploy does (config/policy)
  FAIL   policy plumbline-accounts           not there: the API server refuses nothing in its name
                                             next: apply config/default, as make deploy does (config/policy)
  WARN   manager                             has not been at work: there is no lease plumbline.dev in plumbline-system
                                             next: apply config/default, as make deploy does; with --leader-elect=false it holds none
  FAIL   AWSOrganization                     there is none
                                             next: kubectl apply -f config/samples/awsorganization.yaml, with your own ids in it`},
		"policies that do not hold, a stale lease, writes stopped": {func(w *world, policies, manager []client.Object) []client.Object {
			org := organization()
			org.Spec.Writes = v1alpha1.WritesStopped
			w.create(org)
			policies[0].(*admissionv1.ValidatingAdmissionPolicy).Spec.Variables[0].Expression = "['']"
			policies[2].(*admissionv1.ValidatingAdmissionPolicy).Spec.Variables[1].Expression = "['system:serviceaccount:other:manager']"
			policies[5].(*admissionv1.ValidatingAdmissionPolicyBinding).Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
			manager[1].(*coordinationv1.Lease).Spec.RenewTime = ptr.To(metav1.NewMicroTime(w.now.Add(-time.Hour)))
			return append(policies, manager...)
		}, nil, `Cluster
  OK     your rights                         you may read all that is looked at
  OK     CRDs                                9, all established
  FAIL   policy plumbline-remediation        its variable controllers names no service account
                                             next: put the manager's there, as config/policy does
  WARN   policy plumbline-approvals          its variable controllers names a service account that is not there: other/manager
                                             next: name the one that the manager runs as, or make it: apply config/default, as make deploy does
  FAIL   policy plumbline-exception-length   not in force: its binding does not deny in its name
                                             next: restore the binding from config/policy
  OK     policy plumbline-accounts           in force; controllers is plumbline-system/plumbline-manager
  WARN   manager                             is not at work: manager-1 renewed the lease last 60m ago
                                             next: see its pods: kubectl get pods -n plumbline-system
  OK     AWSOrganization                     main
  WARN   writes                              Stopped: nothing is changed in any account
                                             next: set spec.writes of the AWSOrganization to Allowed once changes are wanted`},
		"two organizations, and a binding is missing": {func(w *world, policies, manager []client.Object) []client.Object {
			second := organization()
			second.Name = "second"
			w.create(organization(), second)
			return append(append(policies[:3:3], policies[4:]...), manager...)
		}, nil, `Cluster
  OK     your rights                         you may read all that is looked at
  OK     CRDs                                9, all established
  OK     policy plumbline-remediation        ` + namespaced +
			`  FAIL   policy plumbline-approvals          not in force: its binding of the same name is not there
                                             next: apply config/default, as make deploy does (config/policy)
  OK     policy plumbline-exception-length   in force
  OK     policy plumbline-accounts           in force; controllers is plumbline-system/plumbline-manager
  OK     manager                             at work: manager-1
  FAIL   AWSOrganization                     there are 2, and Plumbline reads none
                                             next: delete all but one: kubectl get awsorg`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.install(tc.change(w, shipped(t), w.manager())...)
			got, code := w.clusterSection(tc.args...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("cluster (-want +got):\n%s", diff)
			}
			if want := strings.Contains(tc.want, "FAIL"); want && code != exitError {
				t.Errorf("exit code %d, want %d", code, exitError)
			}
		})
	}
}

func TestDoctorWithoutRightsSkipsWhatItMayNotRead(t *testing.T) {
	w := newWorld(t)
	w.create(organization())
	w.kubeconfig = w.user("nobody@example.com")
	got, _ := w.clusterSection()
	want := `Cluster
  WARN   your rights                         you may not list awsorganizations, list awsaccounts, get customresourcedefinitions, get validatingadmissionpolicies, get validatingadmissionpolicybindings, get leases, get serviceaccounts
                                             next: look with the rights of a cluster administrator; what you may not read is skipped
  SKIP   CRDs                                you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   policy plumbline-remediation        you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   policy plumbline-approvals          you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   policy plumbline-exception-length   you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   policy plumbline-accounts           you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   manager                             you may not read it
                                             next: ask somebody who may; see the check of your rights
  SKIP   AWSOrganization                     you may not read it
                                             next: ask somebody who may; see the check of your rights`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
}

func TestDoctorTakesTheManagersRoleFromItsServiceAccount(t *testing.T) {
	w := newWorld(t)
	w.create(organization())
	manager := w.manager()
	manager[0].SetAnnotations(map[string]string{roleAnnotation: "arn:aws:iam::444455556666:role/plumbline-manager"})
	w.install(append(shipped(t), manager...)...)
	stdout, _, _ := w.run("doctor", "--account", payProd)
	if want := "you are arn:aws:iam::999900009999:user/manager; the manager is arn:aws:iam::444455556666:role/plumbline-manager\n"; !strings.Contains(stdout, want) {
		t.Errorf("no line with %q:\n%s", want, stdout)
	}
	if !sameRole("arn:aws:sts::444455556666:assumed-role/plumbline-manager/me", "arn:aws:iam::444455556666:role/apps/plumbline-manager") {
		t.Error("a session of the manager's role is not told to be one")
	}
}

func TestDoctorNeedsAClusterOrAFile(t *testing.T) {
	stdout, stderr, code := offline("kubectl-plumbline", "doctor", "--kubeconfig", "/nonexistent")
	want := `Cluster
  FAIL   API server   reading the kubeconfig: stat /nonexistent: no such file or directory
                      next: set KUBECONFIG, or name a cluster with --kubeconfig or --context; or name a file with the AWSOrganization with -f, to look at AWS alone

AWS
  SKIP   AWS   not looked at: there is no AWSOrganization to go by
               next: apply one, or name a file with -f

0 OK, 0 WARN, 1 FAIL, 1 SKIP
`
	if diff := cmp.Diff(want, stdout+stderr); diff != "" || code != exitError {
		t.Errorf("exit code %d, output (-want +got):\n%s", code, diff)
	}
}

func TestDoctorGoesByTheFileAndKnowsTheAccountsOfTheCluster(t *testing.T) {
	w := newWorld(t)
	h := newHospital()
	h.DenyRole("arn:aws:iam::111122226666:role/own/Audit", nil)
	own, ack := account(shopDev, "shop-dev", "Root"), account(payProd, "pay-prod", "Root")
	own.Spec.Roles.Audit, ack.Spec.Roles.AuditFromACK = "arn:aws:iam::111122226666:role/own/Audit", true
	w.create(organization(), own, ack)
	stdout, _, code := h.doctorOf(t, declaredOrganization, "--kubeconfig", w.kubeconfig)
	for _, want := range []string{
		"OK     AWSOrganization                     main; what follows is of /",
		"SKIP   audit role          111122223333: the audit role stands in ACK's map, which the manager alone reads\n",
		"OK     audit role          111122226666: arn:aws:iam::111122226666:role/own/Audit can be assumed and leads into the account\n",
	} {
		if !strings.Contains(stdout, want) || code != exitError { // the policies are not there
			t.Errorf("exit code %d, no line with %q:\n%s", code, want, stdout)
		}
	}
}
