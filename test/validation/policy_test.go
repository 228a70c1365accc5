package validation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// exceptionOf makes an exception that lasts so many days and seconds.
func exceptionOf(t *testing.T, name string, days, seconds int) manifestObject {
	t.Helper()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	expires := from.AddDate(0, 0, days).Add(time.Duration(seconds) * time.Second)
	return manifest(t, "BaselineException", name, fmt.Sprintf(`{%s, %s, %s, from: %q, expires: %q}`,
		what, who, at, from.Format(time.RFC3339), expires.Format(time.RFC3339)))
}

func longerThan(days int) string {
	return fmt.Sprintf("an exception lasts at most %d days here; write an earlier expires, and renew the exception when it ends if it is still needed", days)
}

func TestExceptionsLastAsLongAsThePolicySays(t *testing.T) {
	ctx := context.Background()
	old := exceptionOf(t, "older-than-the-policy", 200, 0)
	if err := strict.Create(ctx, old); err != nil {
		t.Fatal(err)
	}
	policy := installPolicy(t)
	t.Cleanup(func() { _ = strict.Delete(ctx, old) })

	within(t, "the policy is in force", func() bool { return createError(t, 366) != nil })
	for days, sentence := range map[int]string{1: "", 90: "", 91: longerThan(90), 100: longerThan(90)} {
		expect(t, createError(t, days), sentence)
	}
	expect(t, strict.Create(ctx, exceptionOf(t, "example", 90, 1), client.DryRunAll), longerThan(90))

	t.Run("an exception that is there already can be labelled, and not renewed beyond the bound", func(t *testing.T) {
		old.SetLabels(map[string]string{"team": "web"})
		expect(t, strict.Update(ctx, old), "")
		renewed := old.DeepCopy()
		set(renewed.Object, "2026-12-01T00:00:00Z", "spec", "expires")
		expect(t, strict.Update(ctx, renewed, client.DryRunAll), longerThan(90))
		shortened := old.DeepCopy()
		set(shortened.Object, "2026-02-01T00:00:00Z", "spec", "expires")
		expect(t, strict.Update(ctx, shortened, client.DryRunAll), "")
	})

	t.Run("the number stands in one place", func(t *testing.T) {
		patch := client.RawPatch("application/json-patch+json", []byte(`[{"op": "replace", "path": "/spec/variables/0/expression", "value": "30"}]`))
		if err := strict.Patch(ctx, policy, patch); err != nil {
			t.Fatal(err)
		}
		within(t, "the new number is in force", func() bool { return createError(t, 60) != nil })
		expect(t, createError(t, 31), longerThan(30))
		expect(t, createError(t, 30), "")
	})
}

// installPolicy applies config/policy for the length of the test and returns the policy.
func installPolicy(t *testing.T) manifestObject {
	t.Helper()
	ctx := context.Background()
	text, err := os.ReadFile(filepath.Join(repository, "config/policy/exception-length.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var policy manifestObject
	for _, document := range strings.Split(string(text), "\n---\n") {
		object := parse(t, []byte(document))
		if err := strict.Create(ctx, object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = strict.Delete(ctx, object) })
		if object.GetKind() == "ValidatingAdmissionPolicy" {
			policy = object
		}
	}
	// Registered last, run first: the other tests want the CRD's own 366 days back.
	t.Cleanup(func() {
		binding := &unstructured.Unstructured{}
		binding.SetGroupVersionKind(policy.GroupVersionKind().GroupVersion().WithKind("ValidatingAdmissionPolicyBinding"))
		binding.SetName(policy.GetName())
		_ = strict.Delete(ctx, binding)
		within(t, "the policy is no longer in force", func() bool { return createError(t, 366) == nil })
	})
	return policy
}

func createError(t *testing.T, days int) error {
	t.Helper()
	return strict.Create(context.Background(), exceptionOf(t, "example", days, 0), client.DryRunAll)
}

// expect fails the test unless the error is the policy's refusal with this sentence, or there is none where it is empty.
func expect(t *testing.T, err error, sentence string) {
	t.Helper()
	switch {
	case sentence == "" && err != nil:
		t.Errorf("refused: %v", err)
	case sentence != "" && (err == nil || !strings.HasSuffix(err.Error(), "denied request: "+sentence)):
		t.Errorf("want the refusal %q, got: %v", sentence, err)
	}
}

// within waits for the API server to take notice of a changed policy, which takes it a moment.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still waiting until %s", what)
		}
	}
}
