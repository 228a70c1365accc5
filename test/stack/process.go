package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// process is one child: started with its output in a file, watched, and ended by its process id.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	err error
}

// startProcess starts cmd with its output appended to the file log. Unless it may outlive this program, the kernel ends
// it when this program is gone.
func startProcess(cmd *exec.Cmd, log string, outlive bool) (*process, error) {
	p := &process{name: cmd.Args[0], log: log, cmd: cmd, done: make(chan struct{})}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer output.Close() //nolint:errcheck // the child has its own handle
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = childAttributes(outlive)

	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that started it, so that thread is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.finish(cmd.Wait())
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	return p, nil
}

func (p *process) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	close(p.done)
}

// result is how the process ended: nil for exit code 0. It waits for the end, or for ctx.
func (p *process) result(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to end: %w", p.name, ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%s ended: %w; the end of its log %s:\n%s", p.name, p.err, p.log, tail(p.log, 20))
	}
	return nil
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// stop asks the process to end and waits; when ctx ends first, it is killed and that is an error.
func (p *process) stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.result(ctx)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stopping %s: it did not end in time: %w", p.name, ctx.Err()), p.kill())
	}
}

// tail returns the last lines of a file, for an error message.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path) //nolint:gosec // a log that this package wrote
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
