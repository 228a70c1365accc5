package iam

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// checkWork runs the manager with its service account's permissions over config/samples, so that it does everything it asks
// permissions for, and looks for refusals: of the API server, and of the emulator, where its audit roles have the generated
// policies and may do nothing else. Which policies allow an action is the emulator's own model of AWS.
func checkWork(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	e := startEmulator(ctx, t)
	files := policyFiles(t, "deny-data", "audit-*")
	if _, err := e.SeedOrganization(ctx, stack.OrganizationSeed{Accounts: []stack.AccountSeed{{ID: members[0], Name: "pay-prod"}},
		Roles: &stack.RoleSeed{ExternalID: externalID, AuditPolicies: files}}); err != nil {
		t.Fatal(err)
	}
	if err := e.SeedRoles(ctx, stack.ManagementAccount, stack.RoleSeed{ExternalID: externalID,
		AuditPolicies: policyFiles(t, "deny-data", "audit-*", "read-organization")}); err != nil {
		t.Fatal(err)
	}
	if err := e.SetState(ctx, map[string]any{"enforce_identity_policies": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := plane.Kubectl(ctx, "apply", "--server-side", "-k", repository(t, "config/samples")); err != nil {
		t.Fatal(err)
	}
	w := startManager(ctx, t, plane, e)

	eventually(ctx, t, "every object has a status of its generation", func() error { return stated(ctx, plane) })
	eventually(ctx, t, "the account was looked at, and an event says so", func() error {
		out, err := plane.Kubectl(ctx, "get", "events.events.k8s.io", "-n", "default", "-o",
			`jsonpath={range .items[*]}{.regarding.kind}/{.regarding.name}{"\n"}{end}`)
		if err == nil && !strings.Contains(out, "AWSAccount/"+members[0]) {
			err = fmt.Errorf("there are events about %q", out)
		}
		return err
	})
	eventually(ctx, t, "leader election says who leads", func() error {
		out, err := plane.Kubectl(ctx, "get", "lease", "-n", namespace, "plumbline.dev", "-o", "jsonpath={.spec.holderIdentity}")
		if err == nil && out == "" {
			err = fmt.Errorf("the lease has no holder")
		}
		if err != nil {
			return err
		}
		out, err = plane.Kubectl(ctx, "get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}")
		if err == nil && !strings.Contains(out, "LeaderElection") {
			err = fmt.Errorf("there are events %q", out)
		}
		return err
	})
	t.Run("metrics are for those who may read them", func(t *testing.T) { w.checkMetrics(ctx, t, plane) })

	log, err := os.ReadFile(w.manager.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(log), "\n") {
		if strings.Contains(line, "is forbidden") {
			t.Errorf("the API server refuses the manager: %s", line)
		}
	}
	calls, _, err := e.Requests(ctx, stack.Query{Account: []string{members[0], stack.ManagementAccount}})
	if err != nil {
		t.Fatal(err)
	}
	byManager := 0
	for _, call := range calls {
		if !strings.Contains(call.Principal, "PlumblineAudit") {
			continue // the test's own, and AssumeRole
		}
		if byManager++; call.Status == http.StatusForbidden {
			t.Errorf("the audit policies do not allow: %s", call)
		}
		if call.Write {
			t.Errorf("the manager writes in Audit: %s", call)
		}
	}
	if byManager < 20 {
		t.Errorf("the manager made only %d calls", byManager)
	}
}

// policyFiles are generated policies by name.
func policyFiles(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range patterns {
		found, err := filepath.Glob(repository(t, "config/iam/policies/"+pattern+".json"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no policy %s: %v", pattern, err)
		}
		for _, file := range found {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			all[name] = read(t, "config/iam/policies/"+name+".json")
		}
	}
	return all
}

// A worker is a running manager and where its metrics are.
type worker struct {
	manager *stack.Manager
	metrics string
}

func startManager(ctx context.Context, t *testing.T, plane *stack.ControlPlane, e *stack.Emulator) worker {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "plumbline")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = repository(t, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the manager: %v\n%s", err, out)
	}
	who, err := plane.AsServiceAccount(namespace, serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	health, err := stack.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := stack.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	manager, err := stack.StartManager(stack.ManagerOptions{Binary: binary, Kubeconfig: who.Kubeconfig, Emulator: e, Args: []string{
		"--leader-election-namespace=" + namespace, "--health-probe-bind-address=" + health, "--metrics-bind-address=" + metrics}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := manager.Stop(stop); err != nil {
			t.Error(err)
		}
	})
	for _, path := range []string{"/healthz", "/readyz"} {
		if err := manager.AwaitReady(ctx, "http://"+health+path); err != nil {
			t.Fatal(err)
		}
	}
	return worker{manager, "https://" + metrics + "/metrics"}
}

// stated says which object of Plumbline has no status of its generation yet.
func stated(ctx context.Context, plane *stack.ControlPlane) error {
	out, err := plane.Kubectl(ctx, "get", "awsorg,awsacct,baselines,blx", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			Kind     string
			Metadata struct {
				Name       string
				Generation int64
			}
			Status struct {
				ObservedGeneration int64
				State              string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return err
	}
	kinds := map[string]bool{}
	for _, o := range list.Items {
		kinds[o.Kind] = true
		if o.Status.ObservedGeneration != o.Metadata.Generation || o.Status.State == "Pending" {
			return fmt.Errorf("%s %s has observed generation %d of %d and is %q", o.Kind, o.Metadata.Name, o.Status.ObservedGeneration,
				o.Metadata.Generation, o.Status.State)
		}
	}
	if !kinds["AWSAccount"] || !kinds["BaselineException"] || !kinds["AWSOrganization"] {
		return fmt.Errorf("there are only %v", kinds)
	}
	return nil
}

// checkMetrics asks with tokens of two service accounts, of which one has the reader's role, and with none.
func (w worker) checkMetrics(ctx context.Context, t *testing.T, plane *stack.ControlPlane) {
	for _, args := range [][]string{
		{"create", "serviceaccount", "prometheus", "-n", namespace}, {"create", "serviceaccount", "curious", "-n", namespace},
		{"create", "clusterrolebinding", "prometheus", "--clusterrole=plumbline-metrics-reader", "--serviceaccount=" + namespace + ":prometheus"},
	} {
		if _, err := plane.Kubectl(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the manager signs its certificate itself
	for who, want := range map[string]int{"prometheus": http.StatusOK, "curious": http.StatusForbidden, "": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.metrics, nil)
		if err != nil {
			t.Fatal(err)
		}
		if who != "" {
			token, err := plane.Kubectl(ctx, "create", "token", who, "-n", namespace)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q gets %d, want %d", who, answer.StatusCode, want)
		}
	}
}

// eventually waits until something holds.
func eventually(ctx context.Context, t *testing.T, sentence string, holds func() error) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		if last = holds(); last == nil {
			return
		}
	}
	t.Errorf("%s: not within a minute: %v", sentence, last)
}
