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

func (n *narrator) chapter(title string) { n.printf("\n\033[1m== %s\033[0m\n", title) }

func (n *narrator) say(text string) { n.printf("   %s\n", text) }

// command shows what a person would type.
func (n *narrator) command(line string) { n.printf("\n\033[36m$ %s\033[0m\n", line) }

// printf writes to the audience; one that has gone away is no reason to stop.
func (n *narrator) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(n.out, format, args...)
}

// show runs kubectl and prints the command with what it says.
func (n *narrator) show(ctx context.Context, args ...string) error {
	n.command("kubectl " + shell(args))
	out, err := n.kubectl.Run(ctx, args...)
	n.printf("%s", indent(out))
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
