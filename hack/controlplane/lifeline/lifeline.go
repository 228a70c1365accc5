// Package lifeline ends a server together with the program that started it. A test that is killed cannot stop what it
// has started, and an API server that nobody knows of any more keeps its memory for days.
package lifeline

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Hold ties this process to its parent when PLUMBLINE_PARENT_PID names that parent. Without it, or where the value was
// inherited from further up, nothing changes.
func Hold() {
	parent := os.Getppid()
	if os.Getenv("PLUMBLINE_PARENT_PID") != strconv.Itoa(parent) {
		return
	}
	go func() {
		for os.Getppid() == parent {
			time.Sleep(500 * time.Millisecond)
		}
		fmt.Fprintf(os.Stderr, "the process %d that started this one is gone\n", parent)
		os.Exit(1)
	}()
}
