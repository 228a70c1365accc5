package stack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// standIn writes a shell script that stands in for the manager.
func standIn(t *testing.T, script string) ManagerOptions {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "manager")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return ManagerOptions{Binary: binary, Kubeconfig: "kubeconfig",
		Emulator: &Emulator{URL: "http://localhost:1", Proxy: "http://127.0.0.1:1", Dir: dir}}
}

func startStandIn(t *testing.T, script string, args ...string) *Manager {
	t.Helper()
	options := standIn(t, script)
	options.Args = args
	manager, err := StartManager(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Kill() })
	return manager
}

func awaitLine(t *testing.T, manager *Manager, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(manager.Tail(50), want) {
		if time.Now().After(deadline) {
			t.Fatalf("want %q in the log, got:\n%s", want, manager.Tail(50))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestManager(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)

	t.Run("Stop lets it end in order", func(t *testing.T) {
		manager := startStandIn(t, `trap 'echo in order; exit 0' TERM; echo "up $1"; while :; do sleep 0.05; done`, "--flag")
		awaitLine(t, manager, "up --flag")
		if err := manager.Stop(ctx); err != nil {
			t.Error(err)
		}
		awaitLine(t, manager, "in order")
	})
	t.Run("Stop kills what does not end in time, and says so", func(t *testing.T) {
		manager := startStandIn(t, `trap '' TERM; echo up; while :; do sleep 0.05; done`)
		awaitLine(t, manager, "up")
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if err := manager.Stop(short); err == nil || !strings.Contains(err.Error(), "did not end in time") {
			t.Errorf("got %v", err)
		}
		<-manager.Done()
	})
	t.Run("Kill is a crash", func(t *testing.T) {
		manager := startStandIn(t, `trap 'echo in order' TERM; echo up; while :; do sleep 0.05; done`)
		awaitLine(t, manager, "up")
		if err := manager.Kill(); err != nil {
			t.Error(err)
		}
		if err := manager.Wait(ctx); err == nil || !strings.Contains(err.Error(), "signal: killed") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Wait reports an exit code with the end of the log", func(t *testing.T) {
		manager := startStandIn(t, `echo what went wrong; exit 3`)
		err := manager.Wait(ctx)
		if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "what went wrong") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("AwaitReady waits for an answer of 200", func(t *testing.T) {
		var asked atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(server.Close)
		manager := startStandIn(t, `while :; do sleep 0.05; done`)
		if err := manager.AwaitReady(ctx, server.URL); err != nil || asked.Load() != 3 {
			t.Errorf("asked %d times, got %v", asked.Load(), err)
		}
	})
	t.Run("AwaitReady gives up on a manager that ended", func(t *testing.T) {
		manager := startStandIn(t, `echo no such flag; exit 2`)
		err := manager.AwaitReady(ctx, "http://127.0.0.1:1")
		if err == nil || !strings.Contains(err.Error(), "no such flag") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a missing binary names the command that makes it", func(t *testing.T) {
		options := standIn(t, "")
		options.Binary += "-not-there"
		if _, err := StartManager(options); err == nil || !strings.Contains(err.Error(), "make build") {
			t.Errorf("got %v", err)
		}
	})
}

func TestManagerSeesOnlyTheEmulator(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "real", "AWS_ENDPOINT_URL_S3": "https://example.com",
		"https_proxy": "http://elsewhere.example.com", "KUBECONFIG": "/real", "NO_PROXY": "*",
	} {
		t.Setenv(name, value)
	}
	options := standIn(t, "")
	env := append(cleanEnv(), managerEnv(options)...)
	for _, variable := range env {
		if strings.Contains(variable, "real") || strings.Contains(variable, "example.com") || strings.Contains(variable, "production") {
			t.Errorf("the manager is given %s", variable)
		}
	}
	for _, want := range []string{"KUBECONFIG=kubeconfig", "AWS_ENDPOINT_URL=http://localhost:1",
		"HTTP_PROXY=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=test", "AWS_REGION=us-east-1"} {
		if !slices.Contains(env, want) {
			t.Errorf("the manager is not given %s", want)
		}
	}
}
