package validation

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// samples reads config/samples, by file.
func samples(t *testing.T) map[string]manifestObject {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "config/samples/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sample found: %v", err)
	}
	all := map[string]manifestObject{}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = parse(t, text)
	}
	return all
}

func TestSamplesApplyAndAreStoredAsWritten(t *testing.T) {
	ctx := context.Background()
	for file, sample := range samples(t) {
		t.Run(file, func(t *testing.T) {
			stored := sample.DeepCopy()
			if err := strict.Create(ctx, stored); err != nil {
				t.Fatalf("creating: %v", err)
			}
			t.Cleanup(func() { _ = strict.Delete(ctx, stored) })
			if err := strict.Apply(ctx, client.ApplyConfigurationFromUnstructured(sample.DeepCopy()), client.FieldOwner("person"), client.ForceOwnership); err != nil {
				t.Fatalf("applying over it: %v", err)
			}
			if err := strict.Get(ctx, client.ObjectKeyFromObject(stored), stored); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sample.Object["spec"], stored.Object["spec"]); diff != "" {
				t.Errorf("the spec was changed on its way (-written +stored):\n%s", diff)
			}
			if stored.GetGeneration() != 1 {
				t.Errorf("applying the same again made generation %d", stored.GetGeneration())
			}
		})
	}
}

func TestSamplesAreSafeToCopy(t *testing.T) {
	ids := []string{"123456789012", "111122223333", "222233334444", "444455556666"}
	for file, sample := range samples(t) {
		text, err := json.Marshal(sample.Object)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`"mode":"Enforce"`)) || bytes.Contains(text, []byte(`"Disabled"`)) {
			t.Errorf("%s: a sample neither enforces nor turns anything off", file)
		}
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r < '0' || r > '9' }) {
			if len(word) == 12 && !slices.Contains(ids, word) {
				t.Errorf("%s: %s is no account id that AWS keeps for examples", file, word)
			}
		}
	}
}

func TestSamplesKnowOnlyFieldsOfTheGoTypes(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for file, sample := range samples(t) {
		kinds[sample.GetKind()] = true
		typed, err := scheme.New(sample.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(sample.Object)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, typed); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, c := range crds(t) {
		// Accounts are discovered, and Remediations proposed; there is nothing to apply.
		if kind := c.Spec.Names.Kind; kind != "AWSAccount" && kind != "Remediation" && !kinds[kind] {
			t.Errorf("%s has no sample", kind)
		}
	}
}

// kubectl runs kubectl against the API server of these tests, as an administrator.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	user, err := server.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append([]string{"--kubeconfig", file}, args...)...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

func TestKustomizationsApply(t *testing.T) {
	for _, folder := range []string{"crd", "policy", "samples"} {
		t.Run(folder, func(t *testing.T) {
			path := filepath.Join(repository, "config", folder)
			output := kubectl(t, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", path)
			files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			bases, err := filepath.Glob(filepath.Join(path, "bases", "*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			objects := 0
			for _, file := range append(files, bases...) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				objects += strings.Count("\n"+string(text), "\nkind: ") - strings.Count(string(text), "\nkind: Kustomization\n")
			}
			if applied := strings.Count(output, "serverside-applied"); applied != objects {
				t.Errorf("the files hold %d objects, kubectl applied %d:\n%s", objects, applied, output)
			}
		})
	}
}

func TestExplainIsTheManual(t *testing.T) {
	cases := map[string][]string{
		"s3baseline.spec":                          {"approval\t<string>", "defaultEncryption\t<Object>", "enum: Audit, Enforce"},
		"s3baseline.spec.defaultEncryption.kmsKey": {"alias/NAME", "Disruptive", "Example: alias/baseline"},
		"iambaseline.spec.userMFA":                 {"iam-user-mfa", "default 168h", "state must be Enabled"},
		"guarddutybaseline.spec.detector":          {"suspends it", "always waits for an approval"},
		"awsaccount.status.state":                  {"Unreachable"},
	}
	for path, wants := range cases {
		got := strings.Join(strings.Fields(kubectl(t, "explain", path)), " ")
		for _, want := range wants {
			if !strings.Contains(got, strings.ReplaceAll(want, "\t", " ")) {
				t.Errorf("kubectl explain %s does not say %q:\n%s", path, want, got)
			}
		}
	}
}
