//go:build !linux

package stack

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C in a terminal reaches only the parent,
// which stops its children in order. Only Linux can end a child with its parent.
func childAttributes(_ bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// children cannot be told here without a library.
func children(...string) []int { return nil }
