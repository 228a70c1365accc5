// Package stack starts what the end-to-end tests and the demo stand on: a real Kubernetes API server, the AWS emulator
// with an organization in it, and the manager's binary between them. It knows no test framework; what goes wrong is an
// error.
//
// Everything listens on loopback only, on ports that are free, is stopped by its process id, and ends with the program
// that started it even when that one is killed. Nothing started here sees the developer's own AWS or Kubernetes
// settings.
package stack

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const module = "github.com/plumbline-dev/plumbline"

// Root returns the folder of the repository: the nearest one above the working directory that holds the module.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		if declares(filepath.Join(dir, "go.mod"), module) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding the repository: the working directory is not inside it")
		}
		dir = parent
	}
}

// declares reports whether a go.mod declares this module and not one nested in it.
func declares(path, module string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name) == module
		}
	}
	return false
}

// FreeAddress returns a loopback address whose port was free a moment ago, for servers that cannot be asked which port
// they took.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nobody has connected
	return listener.Addr().String(), nil
}

// workDir returns a folder for logs and kubeconfigs, and whether it is ours to remove: a given one stays.
func workDir(given string) (dir string, remove bool, err error) {
	if given != "" {
		if err := os.MkdirAll(given, 0o700); err != nil {
			return "", false, fmt.Errorf("making the folder for logs: %w", err)
		}
		return given, false, nil
	}
	dir, err = os.MkdirTemp("", "plumbline-")
	if err != nil {
		return "", false, fmt.Errorf("making the folder for logs: %w", err)
	}
	return dir, true, nil
}

// cleanEnv returns this process's environment without what would lead a child to a real cluster or a real AWS account.
func cleanEnv() []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "AWS_"), strings.HasPrefix(upper, "PLUMBLINE_"):
		case upper == "KUBECONFIG", upper == "HTTP_PROXY", upper == "HTTPS_PROXY", upper == "ALL_PROXY", upper == "NO_PROXY":
		default:
			env = append(env, variable)
		}
	}
	return env
}
