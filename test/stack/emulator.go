package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ManagementAccount is the emulator's account of every access key that it does not know.
const ManagementAccount = "123456789012"

// EmulatorOptions say how the AWS emulator is started. The zero value will do.
type EmulatorOptions struct {
	// Python is the interpreter. Default: EMULATOR_PYTHON, else what hack/emulator-python.sh chooses.
	Python string
	// Dir takes the logs emulator.log and requests.jsonl and is kept. Default: a temporary folder that Stop removes.
	Dir string
	// Args are further flags of the emulator.
	Args []string
	// Outlive leaves the emulator running when this program ends.
	Outlive bool
}

// An Emulator is a running AWS emulator, empty at first. Its methods reach the control endpoints described in
// test/emulator/README.md.
type Emulator struct {
	// URL is what AWS_ENDPOINT_URL is set to, "http://localhost:PORT".
	URL string
	// Proxy is what HTTP_PROXY is set to: S3 Control puts the account before the host name, which resolves nowhere.
	Proxy string
	// Dir holds the logs.
	Dir string

	process   *process
	client    *http.Client
	removeDir bool
}

// StartEmulator starts the emulator and waits until it accepts connections, about 2 seconds.
func StartEmulator(ctx context.Context, options EmulatorOptions) (*Emulator, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	python, err := findPython(ctx, root, options.Python)
	if err != nil {
		return nil, err
	}
	dir, remove, err := workDir(options.Dir)
	if err != nil {
		return nil, err
	}
	e := &Emulator{Dir: dir, removeDir: remove, client: &http.Client{Transport: &http.Transport{Proxy: nil}}}
	if err := e.start(ctx, emulatorCommand(python, root, dir, options), options.Outlive); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func emulatorCommand(python, root, dir string, options EmulatorOptions) *exec.Cmd {
	args := []string{"-m", "test.emulator", "--host", "127.0.0.1", "--port", "0",
		"--log", filepath.Join(dir, "requests.jsonl")}
	if !options.Outlive {
		args = append(args, "--parent", strconv.Itoa(os.Getpid()))
	}
	cmd := exec.Command(python, append(args, options.Args...)...) //nolint:gosec // the interpreter chosen above
	cmd.Dir = root
	cmd.Env = append(cleanEnv(), "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// findPython returns the interpreter that has the pinned moto.
func findPython(ctx context.Context, root, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if python := os.Getenv("EMULATOR_PYTHON"); python != "" {
		return python, nil
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "hack", "emulator-python.sh")) //nolint:gosec // our own script
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("choosing the emulator's Python: %w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("choosing the emulator's Python: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (e *Emulator) start(ctx context.Context, cmd *exec.Cmd, outlive bool) error {
	log := filepath.Join(e.Dir, "emulator.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("emptying the emulator's log: %w", err)
	}
	process, err := startProcess(cmd, log, outlive)
	if err != nil {
		return err
	}
	e.process = process
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	port, err := awaitReady(ctx, process)
	if err != nil {
		return err
	}
	e.URL = "http://localhost:" + port
	e.Proxy = "http://127.0.0.1:" + port
	return nil
}

var readyLine = regexp.MustCompile(`(?m)^ready (http://\S+)\s*$`)

// awaitReady waits for the line that says where the emulator listens. It goes to the log, not through a pipe, so that an
// emulator that outlives this program does not write into nothing.
func awaitReady(ctx context.Context, p *process) (port string, err error) {
	for {
		content, err := os.ReadFile(p.log)
		if err != nil {
			return "", fmt.Errorf("waiting for the emulator: %w", err)
		}
		if found := readyLine.FindSubmatch(content); found != nil {
			address, err := url.Parse(string(found[1]))
			if err != nil {
				return "", fmt.Errorf("reading the emulator's address: %w", err)
			}
			return address.Port(), nil
		}
		select {
		case <-p.done:
			return "", errors.Join(errors.New("the emulator ended before it was ready"), p.result(ctx))
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for the emulator: %w; the end of its log:\n%s", ctx.Err(), tail(p.log, 20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Alive reports whether the emulator runs.
func (e *Emulator) Alive() bool {
	select {
	case <-e.process.done:
		return false
	default:
		return true
	}
}

// Stop ends the emulator; everything in it is gone.
func (e *Emulator) Stop() error {
	var problems []error
	if e.process != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		problems = append(problems, e.process.stop(ctx))
	}
	if e.removeDir {
		problems = append(problems, os.RemoveAll(e.Dir))
	}
	return errors.Join(problems...)
}

// PID is the emulator's process id.
func (e *Emulator) PID() int { return e.process.cmd.Process.Pid }
