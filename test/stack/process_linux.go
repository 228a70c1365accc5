package stack

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C in a terminal reaches only the parent,
// which stops its children in order; and has the kernel end the child with its parent.
func childAttributes(outlive bool) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if !outlive {
		attributes.Pdeathsig = syscall.SIGKILL
	}
	return attributes
}
