package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// narrator tells what happens, and shows commands as a person would type them.
type narrator struct {
	out     io.Writer
	kubectl stack.Kubectl
	tail    func(lines int) string
}

func (n *narrator) chapter(title string) {
	fmt.Fprintf(n.out, "\n\033[1m== %s\033[0m\n", title)
}

func (n *narrator) say(text string) { fmt.Fprintln(n.out, "   "+text) }

// show runs kubectl and prints the command with what it says.
func (n *narrator) show(ctx context.Context, args ...string) error {
	fmt.Fprintf(n.out, "\n\033[36m$ kubectl %s\033[0m\n", shell(args))
	out, err := n.kubectl.Run(ctx, args...)
	fmt.Fprint(n.out, indent(out))
	return err
}

// shell quotes what a shell would take apart.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if strings.ContainsAny(a, " {}'\"$*?[]<>|&;()=@") && !strings.HasPrefix(a, "--") && !strings.HasPrefix(a, "plumbline.dev/") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

// patience is how long the demo waits for anything.
const patience = 90 * time.Second

// await asks kubectl until the answer is as wanted.
func (n *narrator) await(ctx context.Context, what string, done func(answer string) bool, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last string
	for {
		out, err := n.kubectl.Run(ctx, args...)
		if err == nil && done(out) {
			return nil
		}
		if err == nil {
			last = out
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: still %q after %s", what, strings.TrimSpace(last), patience)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// awaitNone waits until a jsonpath over the baselines has no line with any of the words.
func (n *narrator) awaitNone(ctx context.Context, what, jsonpath, resource string, words ...string) error {
	return n.await(ctx, what, func(answer string) bool {
		lines := strings.Fields(answer)
		if len(lines) == 0 {
			return false
		}
		for _, l := range lines {
			for _, w := range words {
				if l == w {
					return false
				}
			}
		}
		return true
	}, "get", resource, "-o", "jsonpath="+jsonpath)
}
