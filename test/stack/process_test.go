package stack

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets this test program play a parent that is killed: with STACK_PARENT set it starts that and waits.
func TestMain(m *testing.M) {
	if os.Getenv("STACK_PARENT") == "" {
		os.Exit(m.Run())
	}
	if err := playParent(os.Getenv("STACK_PARENT")); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	select {}
}

// playParent starts something and prints its process id or address.
func playParent(kind string) error {
	if kind == "controlplane" {
		plane, err := StartControlPlane(ControlPlaneOptions{Dir: os.Getenv("STACK_DIR")})
		if err != nil {
			return err
		}
		address, err := url.Parse(plane.Config.Host)
		if err != nil {
			return err
		}
		fmt.Println("started", address.Host)
		return nil
	}
	child, err := startProcess(exec.Command("sleep", "300"), filepath.Join(os.Getenv("STACK_DIR"), "log"), false)
	if err != nil {
		return err
	}
	fmt.Println("started", child.cmd.Process.Pid)
	return nil
}

func TestChildrenEndWithTheirParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends every child with its parent")
	}
	t.Run("a process of ours", func(t *testing.T) {
		pid, err := strconv.Atoi(killParent(t, "process"))
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the process ends", func() bool { return !runs(pid) })
	})
	t.Run("the control plane", func(t *testing.T) {
		assets, err := findAssets("")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(assets, ".stamp")); err != nil {
			t.Skip("only the servers built from hack/controlplane watch their parent")
		}
		address := killParent(t, "controlplane")
		if _, _, err := net.SplitHostPort(address); err != nil {
			t.Fatal(err)
		}
		await(t, "the API server ends", func() bool {
			connection, err := net.Dial("tcp", address)
			if err == nil {
				_ = connection.Close()
			}
			return err != nil
		})
	})
}

// runs reports whether a process runs. One that has ended but whose new parent has not yet asked how does not.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// killParent has a parent start something, kills it and returns what it printed.
func killParent(t *testing.T, kind string) string {
	t.Helper()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "STACK_PARENT="+kind, "STACK_DIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "started ") {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	return strings.TrimSpace(strings.TrimPrefix(line, "started "))
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 100 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("waited 10 s: %s", what)
}
