package stack

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Kubectl is the kubectl binary with the access of one user.
type Kubectl struct {
	// Path is the binary.
	Path string
	// Kubeconfig is the user's access.
	Kubeconfig string
	// CacheDir keeps what kubectl learned about the server, apart from the developer's own cache.
	CacheDir string
}

// Run runs kubectl and returns its standard output. The error of a command that failed carries what kubectl printed to
// standard error, the API server's sentences included.
func (k Kubectl) Run(ctx context.Context, args ...string) (string, error) {
	return k.RunWithInput(ctx, "", args...)
}

// Apply applies a manifest server-side.
func (k Kubectl) Apply(ctx context.Context, manifest string) (string, error) {
	return k.RunWithInput(ctx, manifest, "apply", "--server-side", "-f", "-")
}

// RunWithInput runs kubectl with standard input.
func (k Kubectl) RunWithInput(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.Path, args...) //nolint:gosec // a test's own arguments
	cmd.Env = append(cleanEnv(), "KUBECONFIG="+k.Kubeconfig, "KUBECACHEDIR="+k.CacheDir, "KUBERC=off")
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
