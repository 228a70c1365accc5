package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ManagerOptions say how the manager is started. Kubeconfig and Emulator are required.
type ManagerOptions struct {
	// Binary is the manager. Default: bin/plumbline.
	Binary string
	// Args are its flags.
	Args []string
	// Env are further variables, "NAME=value"; they win over those below.
	Env []string
	// Kubeconfig is its access to the API server.
	Kubeconfig string
	// Emulator is its AWS. Its credentials are those of the management account.
	Emulator *Emulator
	// Region is its own region. Default: us-east-1.
	Region string
	// Log is the file its output is appended to. Default: manager.log in the emulator's folder.
	Log string
	// Outlive leaves the manager running when this program ends.
	Outlive bool
}

// A Manager is the running binary.
type Manager struct {
	// Log is the file with its output.
	Log string

	process *process
}

// StartManager starts the manager. It does not wait until it is ready: only its flags know where it can be asked.
func StartManager(options ManagerOptions) (*Manager, error) {
	if options.Kubeconfig == "" || options.Emulator == nil {
		return nil, errors.New("starting the manager: it needs a kubeconfig and an emulator")
	}
	binary, err := binaryOf(options)
	if err != nil {
		return nil, err
	}
	log := options.Log
	if log == "" {
		log = filepath.Join(options.Emulator.Dir, "manager.log")
	}
	cmd := exec.Command(binary, options.Args...) //nolint:gosec // the program under test
	cmd.Dir = filepath.Dir(log)
	cmd.Env = append(append(cleanEnv(), managerEnv(options)...), options.Env...)
	process, err := startProcess(cmd, log, options.Outlive)
	if err != nil {
		return nil, err
	}
	return &Manager{Log: log, process: process}, nil
}

// binaryOf is the manager's binary, which must be there.
func binaryOf(options ManagerOptions) (string, error) {
	binary := options.Binary
	if binary == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		binary = filepath.Join(root, "bin", "plumbline")
	}
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("starting the manager (make build makes it): %w", err)
	}
	return binary, nil
}

// Output is what a run of the binary that ended by itself left.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// RunManager runs the binary once, with the environment that StartManager gives it, until it ends by itself; when ctx ends
// first, it is interrupted as Ctrl-C does. Input is what it reads from standard input. An exit code other than 0 is no error.
func RunManager(ctx context.Context, options ManagerOptions, input string) (*Output, error) {
	binary, err := binaryOf(options)
	if err != nil {
		return nil, err
	}
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, binary, options.Args...) //nolint:gosec // the program under test
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = options.Emulator.Dir, strings.NewReader(input), &stdout, &stderr
	cmd.Env = append(append(cleanEnv(), managerEnv(options)...), options.Env...)
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 10*time.Second
	if err := cmd.Run(); cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		return nil, fmt.Errorf("running %s: %w; it said:\n%s", binary, err, stderr.String())
	}
	return &Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}, nil
}

// managerEnv leads every AWS call to the emulator. The settings files and the metadata service of the machine are closed
// off, and so is the way out for a call that forgets the endpoint.
func managerEnv(options ManagerOptions) []string {
	region := options.Region
	if region == "" {
		region = DefaultRegion
	}
	return []string{
		"KUBECONFIG=" + options.Kubeconfig,
		"AWS_ENDPOINT_URL=" + options.Emulator.URL,
		"HTTP_PROXY=" + options.Emulator.Proxy,
		"HTTPS_PROXY=http://127.0.0.1:1",
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// PID is the manager's process id.
func (m *Manager) PID() int { return m.process.cmd.Process.Pid }

// Kill ends the manager as a crash would, with SIGKILL, and returns when it is gone.
func (m *Manager) Kill() error { return m.process.kill() }

// Stop asks the manager to end with SIGTERM, as Kubernetes does, and waits. An exit code other than 0 is an error, and so
// is a ctx that ends first; then the manager is killed.
func (m *Manager) Stop(ctx context.Context) error { return m.process.stop(ctx) }

// Wait waits until the manager ends by itself. An exit code other than 0 is an error.
func (m *Manager) Wait(ctx context.Context) error { return m.process.result(ctx) }

// AwaitReady waits until an address of the manager answers 200, "http://127.0.0.1:PORT/readyz" as its flags have it. A
// manager that ends meanwhile is an error with the end of its log.
func (m *Manager) AwaitReady(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 5 * time.Second}
	for {
		if answers(ctx, client, url) {
			return nil
		}
		select {
		case <-m.process.done:
			return errors.Join(errors.New("the manager ended before it was ready"), m.process.result(ctx))
		case <-ctx.Done():
			return fmt.Errorf("waiting for the manager to be ready: %w; the end of its log:\n%s", ctx.Err(), m.Tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Done is closed when the manager has ended.
func (m *Manager) Done() <-chan struct{} { return m.process.done }

// Tail returns the last lines of the manager's output.
func (m *Manager) Tail(lines int) string { return tail(m.Log, lines) }
