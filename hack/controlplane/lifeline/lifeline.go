// Package lifeline ends a server together with the program that started it. A test that is killed cannot stop what it
// has started, and an API server that nobody knows of any more keeps its memory for days.
package lifeline

import (
	"fmt"
	"os"
	"time"
)

// Hold ties this process to its parent, unless PLUMBLINE_OUTLIVE is 1.
func Hold() {
	parent := os.Getppid()
	if os.Getenv("PLUMBLINE_OUTLIVE") == "1" {
		return
	}
	go func() {
		for os.Getppid() == parent {
			time.Sleep(500 * time.Millisecond)
		}
		fmt.Fprintf(os.Stderr, "the process %d that started this one is gone; PLUMBLINE_OUTLIVE=1 lets it stay\n", parent)
		os.Exit(1)
	}()
}
