package stack

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const refuseForbiddenNames = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-forbidden-names}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"]}
  validations:
  - {expression: "object.metadata.name != 'forbidden'", message: "choose another name"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-forbidden-names}
spec: {policyName: no-forbidden-names, validationActions: [Deny]}
`

func TestControlPlane(t *testing.T) {
	plane, err := StartControlPlane(ControlPlaneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(plane.Dir); !os.IsNotExist(err) {
			t.Errorf("Stop left %s behind", plane.Dir)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)

	t.Run("kubectl reaches the server as administrator", func(t *testing.T) {
		out, err := plane.Kubectl(ctx, "get", "namespace", "default", "-o", "name")
		if err != nil || strings.TrimSpace(out) != "namespace/default" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("the servers' process ids are known on Linux", func(t *testing.T) {
		if pids := plane.PIDs(); runtime.GOOS == "linux" && len(pids) != 2 {
			t.Errorf("process ids %v, want those of etcd and kube-apiserver", pids)
		}
	})
	t.Run("another user may do what RBAC allows", func(t *testing.T) { checkServiceAccount(ctx, t, plane) })
	t.Run("admission policies refuse with their sentence", func(t *testing.T) { checkAdmissionPolicy(ctx, t, plane) })
}

func TestControlPlaneThatDoesNotStart(t *testing.T) {
	t.Run("without binaries the error names the command that builds them", func(t *testing.T) {
		_, err := StartControlPlane(ControlPlaneOptions{Assets: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "make controlplane") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a server that ends is an error with the end of its log", func(t *testing.T) {
		_, err := StartControlPlane(ControlPlaneOptions{Flags: map[string]string{"no-such-flag": "true"}})
		if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
			t.Errorf("got %v", err)
		}
	})
}

func checkServiceAccount(ctx context.Context, t *testing.T, plane *ControlPlane) {
	kubectl, err := plane.AsServiceAccount("default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kubectl.Run(ctx, "get", "configmaps"); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("before the role binding: want a refusal, got %v", err)
	}
	for _, args := range [][]string{
		{"create", "role", "reader", "--verb=get,list", "--resource=configmaps"},
		{"create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"},
	} {
		if _, err := plane.Kubectl(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	// The authorizer learns of a binding through a watch.
	for {
		_, err := kubectl.Run(ctx, "get", "configmaps")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("after the role binding: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func checkAdmissionPolicy(ctx context.Context, t *testing.T, plane *ControlPlane) {
	if _, err := plane.Admin().Apply(ctx, refuseForbiddenNames); err != nil {
		t.Fatal(err)
	}
	// A policy takes effect some seconds after it is stored.
	for {
		_, err := plane.Kubectl(ctx, "create", "configmap", "forbidden")
		if err != nil && strings.Contains(err.Error(), "choose another name") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("want the policy's sentence, got %v", err)
		}
		if _, err := plane.Kubectl(ctx, "delete", "configmap", "forbidden", "--ignore-not-found"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
