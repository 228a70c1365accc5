// Package validation asks a real API server what it refuses: every rule of the CRDs and of the admission policy, each with
// its sentence, and beside it the nearest manifest that is right.
package validation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

const repository = "../.."

var (
	// server is the API server with the CRDs installed, config how to reach it.
	server *envtest.Environment
	config *rest.Config
	// strict creates as `kubectl create` does: unknown and repeated fields are refused.
	strict client.Client
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set, so there is no API server to ask; run `make test`, which builds one and sets it")
		return 1
	}
	server = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(repository, "config/crd/bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	// Installing the CRDs is a test by itself: the API server compiles every rule and estimates its cost.
	if config, err = server.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server with the CRDs:", err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	plain, err := client.New(config, client.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	strict = client.WithFieldValidation(plain, metav1.FieldValidationStrict)
	return m.Run()
}

// manifest makes an object of our group from the YAML of its spec.
func manifest(t *testing.T, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %q}\n", v1alpha1.GroupVersion, kind, name)
	if spec != "" {
		text += "spec: " + spec + "\n"
	}
	return parse(t, []byte(text))
}

// parse reads one YAML document as the API server would: integers stay integers.
func parse(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	json, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	return object
}

// accept fails the test unless the API server takes the object; nothing is stored.
func accept(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if err := strict.Create(context.Background(), object.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the manifest that is right was refused: %v", err)
	}
}

// refuse fails the test unless the API server refuses the object for this one reason; nothing is stored.
func refuse(t *testing.T, object *unstructured.Unstructured, sentence string) {
	t.Helper()
	err := strict.Create(context.Background(), object.DeepCopy(), client.DryRunAll)
	if diff := cmp.Diff([]string{sentence}, reasons(err)); diff != "" {
		t.Errorf("refused for (-want +got):\n%s\n%v", diff, err)
	}
}

// reasons are the sentences of a refusal, without the API server's words around them.
func reasons(err error) []string {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Details == nil {
		return nil
	}
	var sentences []string
	for _, cause := range status.ErrStatus.Details.Causes {
		sentence := strings.TrimPrefix(cause.Message, "Invalid value: ")
		// The value itself is shown for what is not an object: `Invalid value: "4m": sentence`.
		if strings.HasPrefix(sentence, `"`) {
			if _, after, found := strings.Cut(sentence[1:], `": `); found {
				sentence = after
			}
		}
		sentences = append(sentences, sentence)
	}
	return sentences
}
