package stack

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// childAttributes puts a child into a process group of its own, so that Ctrl-C in a terminal reaches only the parent,
// which stops its children in order; and has the kernel end the child with its parent.
func childAttributes(outlive bool) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if !outlive {
		attributes.Pdeathsig = syscall.SIGKILL
	}
	return attributes
}

// children are the process ids of this process's children whose program has one of the names. A library starts some of them
// and does not say.
func children(names ...string) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil // the pattern is well-formed
	}
	var found []int
	for _, path := range stats {
		line, err := os.ReadFile(path) //nolint:gosec // a file of the kernel's
		if err != nil {
			continue // ended meanwhile
		}
		// pid (program) state parent ...; the program's name is cut at 15 bytes.
		pid, rest, _ := bytes.Cut(line, []byte(" ("))
		program, rest, _ := bytes.Cut(rest, []byte(") "))
		fields := bytes.Fields(rest)
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, name := range names {
			if id, err := strconv.Atoi(string(pid)); err == nil && string(program) == name {
				found = append(found, id)
			}
		}
	}
	return found
}
