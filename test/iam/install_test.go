package iam

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	namespace      = "plumbline-system"
	serviceAccount = "plumbline-manager"
)

// TestInstall installs config/default in a real API server. No controller of a cluster runs there: a Deployment makes no
// pods, and roles are aggregated by the test.
func TestInstall(t *testing.T) {
	plane, err := stack.StartControlPlane(stack.ControlPlaneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	everything := repository(t, "config/default")
	if _, err := plane.Kubectl(ctx, "create", "namespace", namespace); err != nil {
		t.Fatal(err) // a dry run creates none, and everything else is to lie in it
	}
	t.Run("a dry run is taken whole", func(t *testing.T) {
		for _, how := range [][]string{{}, {"--server-side"}} {
			out, err := plane.Kubectl(ctx, append([]string{"apply", "--dry-run=server", "-k", everything}, how...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
				if !strings.HasSuffix(line, "(server dry run)") {
					t.Errorf("%v: %s", how, line)
				}
			}
			if !strings.Contains(out, "validatingadmissionpolicy.admissionregistration.k8s.io/plumbline-exception-length ") ||
				!strings.Contains(out, "s3baselines.plumbline.dev") {
				t.Errorf("policy or kinds are missing, or have other names:\n%s", out)
			}
		}
	})
	// As `make deploy` does.
	if _, err := plane.Kubectl(ctx, "apply", "--server-side", "-k", everything); err != nil {
		t.Fatal(err)
	}
	t.Run("the manager's pod keeps to the restricted standard", func(t *testing.T) { checkPod(ctx, t, plane) })
	t.Run("the components can be added", func(t *testing.T) { checkComponents(ctx, t, plane) })
	t.Run("the manager may do what the code's markers say and no more", func(t *testing.T) { checkManager(ctx, t, plane) })
	t.Run("the enforcer may write the status of Remediations and nothing else", func(t *testing.T) { checkEnforcer(ctx, t, plane) })
	t.Run("people may do what their role says and no more", func(t *testing.T) { checkPeople(ctx, t, plane) })
	t.Run("the manager works with these permissions", func(t *testing.T) { checkWork(ctx, t, plane) })
}

// checkPod asks admission for the pod that the Deployment would make: the namespace enforces the restricted standard.
func checkPod(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	out, err := plane.Kubectl(ctx, "get", "deployment", "-n", namespace, "plumbline-manager", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Replicas int
			Template struct {
				Metadata map[string]any
				Spec     map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &deployment); err != nil {
		t.Fatal(err)
	}
	if deployment.Spec.Replicas != 2 {
		t.Errorf("%d replicas", deployment.Spec.Replicas)
	}
	template := deployment.Spec.Template
	create := func(change func(spec, container map[string]any)) error {
		spec := copied(t, template.Spec)
		change(spec, spec["containers"].([]any)[0].(map[string]any))
		pod, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": spec,
			"metadata": map[string]any{"name": "plumbline-manager", "namespace": namespace, "labels": template.Metadata["labels"]}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = plane.Admin().RunWithInput(ctx, string(pod), "create", "--dry-run=server", "-f", "-")
		return err
	}
	if err := create(func(_, _ map[string]any) {}); err != nil {
		t.Errorf("the pod is refused: %v", err)
	}
	if err := create(func(_, container map[string]any) { delete(container, "securityContext") }); err == nil || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a pod without its security context is let in: %v", err)
	}
	container := template.Spec["containers"].([]any)[0].(map[string]any)
	if on, _ := container["securityContext"].(map[string]any)["readOnlyRootFilesystem"].(bool); !on {
		t.Error("the root file system can be written to")
	}
}

func copied(t *testing.T, from map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	var to map[string]any
	if err := json.Unmarshal(raw, &to); err != nil {
		t.Fatal(err)
	}
	return to
}

// checkComponents builds on config/default as a user would: with both components, and with the example in its own comment.
func checkComponents(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	if _, err := plane.Kubectl(ctx, "create", "namespace", "ack-system"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kustomization string
		parts         []string
	}{
		"components": {
			"resources: [REPOSITORY/config/default]\ncomponents: [REPOSITORY/config/rbac/ack-roles, REPOSITORY/config/manager/network-policy]\n",
			[]string{"kind: NetworkPolicy", "namespace: ack-system", "- --ack-role-account-map"},
		},
		"separate hands": {
			"resources: [REPOSITORY/config/default]\ncomponents: [REPOSITORY/config/separate-hands]\n",
			[]string{"- --role=observer", "- --role=enforcer", "name: plumbline-enforcer",
				"plumbline-system:plumbline-enforcer'']"},
		},
		"example": {example(t), []string{"eks.amazonaws.com/role-arn: arn:aws:iam::", "- --allow-writes"}},
	} {
		folder := t.TempDir()
		up, err := filepath.Rel(folder, repository(t, "."))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(c.kustomization, "REPOSITORY", filepath.ToSlash(up))
		if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := plane.Kubectl(ctx, "apply", "--dry-run=server", "--server-side", "-k", folder, "-o", "yaml")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.parts {
			if !strings.Contains(out, part) {
				t.Errorf("%s: there is no %q", name, part)
			}
		}
	}
}

// example is the kustomization in the comment of config/default, on this repository.
func example(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(read(t, "config/default/kustomization.yaml"), "\n") {
		if text, ok := strings.CutPrefix(line, "#   "); ok {
			lines = append(lines, text)
		}
	}
	url := regexp.MustCompile(`https://github.com/plumbline-dev/plumbline//(\S+)\?ref=\S+`)
	text := strings.Join(lines, "\n") + "\n"
	if !url.MatchString(text) {
		t.Fatalf("the example names no resource:\n%s", text)
	}
	return url.ReplaceAllString(text, "REPOSITORY/$1")
}

// checkManager compares what the manager's service account may do with the markers in the code, and with what leader
// election and the protection of metrics need.
func checkManager(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(read(t, "config/rbac/role.yaml")), &role); err != nil {
		t.Fatal(err)
	}
	declared := markers(t)
	if diff := cmp.Diff(declared, permissions(policyRules(role.Rules))); diff != "" {
		t.Errorf("config/rbac/role.yaml (-markers +role):\n%s", diff)
	}
	everywhere := sorted(append(slices.Clone(declared),
		"create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews"))
	leader := []string{
		"create /secrets", "get /secrets", // what is there before and after a change
		"create /events", "patch /events", "create coordination.k8s.io/leases",
		"get coordination.k8s.io/leases plumbline.dev", "update coordination.k8s.io/leases plumbline.dev",
	}
	manager, err := plane.AsServiceAccount(namespace, serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string][]string{namespace: sorted(append(leader, everywhere...)), "default": everywhere} {
		if diff := cmp.Diff(want, mayDo(ctx, t, plane, manager, in)); diff != "" {
			t.Errorf("in namespace %s (-needed +allowed):\n%s", in, diff)
		}
	}
	for _, no := range [][]string{
		{"list", "secrets"}, {"delete", "secrets"}, {"create", "pods"}, {"update", "awsaccounts.plumbline.dev"}, {"delete", "awsaccounts.plumbline.dev"},
		{"update", "s3baselines.plumbline.dev"}, {"patch", "remediations.plumbline.dev"}, {"update", "awsorganizations.plumbline.dev"}, {"create", "clusterroles.rbac.authorization.k8s.io"},
		{"update", "leases.coordination.k8s.io/another"}, {"get", "/metrics"},
	} {
		refused(ctx, t, manager, no...)
	}
}

// checkEnforcer compares what the enforcer's service account may do with what making and taking back what was handed over needs.
func checkEnforcer(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	if _, err := plane.Kubectl(ctx, "apply", "--server-side", "-f", repository(t, "config/separate-hands/rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	enforcer, err := plane.AsServiceAccount(namespace, "plumbline-enforcer")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, kind := range []string{
		"awsaccounts", "awsorganizations", "baselineexceptions", "cloudtrailbaselines", "encryptionbaselines", "guarddutybaselines", "iambaselines",
		"remediations", "s3baselines",
	} {
		for _, verb := range []string{"get", "list", "watch"} {
			want = append(want, verb+" plumbline.dev/"+kind)
		}
	}
	want = append(want, "update plumbline.dev/remediations/status", "create events.k8s.io/events", "patch events.k8s.io/events",
		"create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews")
	leader := []string{
		"get /secrets", "create /events", "patch /events", "create coordination.k8s.io/leases",
		"get coordination.k8s.io/leases enforcer.plumbline.dev", "update coordination.k8s.io/leases enforcer.plumbline.dev",
	}
	for in, want := range map[string][]string{namespace: sorted(append(leader, want...)), "default": sorted(want)} {
		if diff := cmp.Diff(want, mayDo(ctx, t, plane, enforcer, in)); diff != "" {
			t.Errorf("in namespace %s (-needed +allowed):\n%s", in, diff)
		}
	}
}

// refused fails the test if kubectl auth can-i says yes.
func refused(ctx context.Context, t *testing.T, who stack.Kubectl, what ...string) {
	t.Helper()
	out, err := who.Run(ctx, append([]string{"auth", "can-i", "-n", namespace}, what...)...)
	if err == nil || strings.TrimSpace(out) != "no" {
		t.Errorf("can-i %v: %q, %v", what, out, err)
	}
}

// granted fails the test unless kubectl auth can-i says yes.
func granted(ctx context.Context, t *testing.T, who stack.Kubectl, what ...string) {
	t.Helper()
	if out, err := who.Run(ctx, append([]string{"auth", "can-i", "-n", namespace}, what...)...); err != nil {
		t.Errorf("can-i %v: %q, %v", what, out, err)
	}
}

var marker = regexp.MustCompile(`(?m)^\s*// \+kubebuilder:rbac:groups=([^,]*),resources=([^,]*),verbs=(\S*)$`)

// namespaced are the markers of what is asked for in the manager's own namespace.
var namespaced = regexp.MustCompile(`(?m)^\s*// \+kubebuilder:rbac:groups="",namespace=plumbline-system,resources=secrets,verbs=create;get$`)

// markers are the permissions that the code asks for.
func markers(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(repository(t, "controllers/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := marker.FindAllStringSubmatch(string(text), -1)
		if len(found)+len(namespaced.FindAllString(string(text), -1)) != strings.Count(string(text), "+kubebuilder:rbac") {
			t.Errorf("%s has a marker that this test cannot read", filepath.Base(file))
		}
		for _, m := range found {
			rules = append(rules, rule{groups: strings.Split(m[1], ";"), resources: strings.Split(m[2], ";"), verbs: strings.Split(m[3], ";")})
		}
	}
	if len(rules) == 0 {
		t.Fatal("the code has no markers")
	}
	return permissions(rules)
}

// A rule is one of RBAC, wherever it was read.
type rule struct{ groups, resources, names, verbs []string }

func policyRules(list []rbacv1.PolicyRule) []rule {
	var rules []rule
	for _, r := range list {
		rules = append(rules, rule{r.APIGroups, r.Resources, r.ResourceNames, r.Verbs})
	}
	return rules
}

// permissions are rules one by one, "get plumbline.dev/awsaccounts" and with a name "get plumbline.dev/awsaccounts NAME".
func permissions(rules []rule) []string {
	var all []string
	for _, r := range rules {
		for _, group := range r.groups {
			for _, resource := range r.resources {
				for _, verb := range r.verbs {
					one := verb + " " + group + "/" + resource
					for _, name := range r.names {
						all = append(all, one+" "+name)
					}
					if len(r.names) == 0 {
						all = append(all, one)
					}
				}
			}
		}
	}
	return sorted(all)
}

// mayDo asks the API server what somebody may do in a namespace, less what every user may.
func mayDo(ctx context.Context, t *testing.T, plane *stack.ControlPlane, who stack.Kubectl, in string) []string {
	t.Helper()
	anybody, err := plane.As("anybody")
	if err != nil {
		t.Fatal(err)
	}
	common := reviewed(ctx, t, anybody, in)
	return slices.DeleteFunc(reviewed(ctx, t, who, in), func(p string) bool { return slices.Contains(common, p) })
}

func reviewed(ctx context.Context, t *testing.T, who stack.Kubectl, in string) []string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", who.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: in}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, r := range review.Status.ResourceRules {
		rules = append(rules, rule{r.APIGroups, r.Resources, r.ResourceNames, r.Verbs})
	}
	return permissions(rules)
}

// resources are the plural names of the kinds, and of those among them that are baselines.
func resources(t *testing.T) (all, baselines []string) {
	t.Helper()
	files, err := filepath.Glob(repository(t, "config/crd/bases/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var crd struct {
			Spec struct {
				Names struct {
					Plural     string
					Categories []string
				}
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, "config/crd/bases/"+filepath.Base(file))), &crd); err != nil {
			t.Fatal(err)
		}
		all = append(all, crd.Spec.Names.Plural)
		if slices.Contains(crd.Spec.Names.Categories, "baselines") {
			baselines = append(baselines, crd.Spec.Names.Plural)
		}
	}
	if len(baselines) != len(controls.Kinds()) {
		t.Errorf("the category baselines has %v; there are %d kinds of baseline", baselines, len(controls.Kinds()))
	}
	return all, baselines
}

// checkPeople compares the aggregated roles with what each is for.
func checkPeople(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	all, baselines := resources(t)
	verbs := func(resources []string, verbs ...string) []string {
		return permissions([]rule{{groups: []string{"plumbline.dev"}, resources: resources, verbs: verbs}})
	}
	view := verbs(all, "get", "list", "watch")
	write := func(resources ...string) []string {
		return sorted(append(verbs(resources, "create", "update", "patch", "delete", "deletecollection"), view...))
	}
	want := map[string][]string{
		"plumbline-viewer":           view,
		"plumbline-approver":         sorted(append(verbs([]string{"remediations"}, "update", "patch"), view...)),
		"plumbline-editor":           write(baselines...),
		"plumbline-exception-editor": write("baselineexceptions"),
		// Nobody makes Remediations.
		"plumbline-admin": sorted(append(verbs([]string{"remediations"}, "update", "patch", "delete", "deletecollection"),
			write(slices.DeleteFunc(slices.Clone(all), func(r string) bool { return r == "remediations" })...)...)),
	}
	roles := aggregate(ctx, t, plane)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	for _, role := range roles {
		user := "with-" + role
		if _, err := plane.Kubectl(ctx, "create", "clusterrolebinding", user, "--clusterrole="+role, "--user="+user); err != nil {
			t.Fatal(err)
		}
		who, err := plane.As(user)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[role], mayDo(ctx, t, plane, who, "default")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
		granted(ctx, t, who, "get", "awsaccounts.plumbline.dev/111122223333")
		refused(ctx, t, who, "update", "awsaccounts.plumbline.dev", "--subresource=status")
		refused(ctx, t, who, "get", "secrets")
	}
	t.Run("nobody gets them with Kubernetes' own roles", func(t *testing.T) {
		for _, file := range []string{"people", "metrics", "leader-election"} {
			for _, line := range strings.Split(read(t, "config/rbac/"+file+".yaml"), "\n") {
				if !strings.HasPrefix(line, "#") && strings.Contains(line, "rbac.authorization.k8s.io/aggregate-to-") {
					t.Errorf("%s.yaml: %s", file, line)
				}
			}
		}
	})
}

// aggregate does what the cluster's own controller does: it fills the roles that collect others' rules. It returns their names.
func aggregate(ctx context.Context, t *testing.T, plane *stack.ControlPlane) []string {
	t.Helper()
	client, err := kubernetes.NewForConfig(plane.Config)
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=plumbline"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, role := range all.Items {
		if role.AggregationRule == nil {
			continue
		}
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			matching, err := metav1.LabelSelectorAsSelector(&selector)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range all.Items {
				if part.AggregationRule == nil && matching.Matches(labels.Set(part.Labels)) {
					role.Rules = append(role.Rules, part.Rules...)
				}
			}
		}
		if _, err := client.RbacV1().ClusterRoles().Update(ctx, &role, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		names = append(names, role.Name)
	}
	return names
}
