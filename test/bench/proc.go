package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is what a process costs.
type usage struct {
	// RSS is its resident memory now, Peak the most it has had, in bytes.
	RSS, Peak int64
	// CPU is the processor time it has had, in seconds.
	CPU float64
}

// ticksPerSecond is the unit of the times in /proc, which is the same on every Linux (sysconf(_SC_CLK_TCK)).
const ticksPerSecond = 100

// usageOf reads what the kernel keeps of a process; zero where there is no such process or no /proc.
func usageOf(pid int) usage {
	var u usage
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status")) //nolint:gosec // a file of the kernel's
	if err != nil {
		return u
	}
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.RSS = kib << 10
		case "VmHWM":
			u.Peak = kib << 10
		}
	}
	if fields := statOf(pid); len(fields) > 12 {
		user, _ := strconv.ParseFloat(string(fields[11]), 64)
		system, _ := strconv.ParseFloat(string(fields[12]), 64)
		u.CPU = (user + system) / ticksPerSecond
	}
	return u
}

// statOf are the fields of /proc/PID/stat after the program's name.
func statOf(pid int) [][]byte {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat")) //nolint:gosec // a file of the kernel's
	if err != nil {
		return nil
	}
	_, rest, _ := bytes.Cut(line, []byte(") "))
	return bytes.Fields(rest)
}

// childNamed is the process id of this process's child with that program; 0: it has none.
func childNamed(program string) int {
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is well-formed
	for _, path := range names {
		name, err := os.ReadFile(path) //nolint:gosec // a file of the kernel's
		// The kernel cuts names at 15 bytes.
		if err != nil || strings.TrimSpace(string(name)) != program[:min(len(program), 15)] {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields := statOf(pid); len(fields) > 1 && string(fields[1]) == strconv.Itoa(os.Getpid()) {
			return pid
		}
	}
	return 0
}

// loadAverage is how many processes wanted a core over the last minute; zero where there is no /proc.
func loadAverage() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<19)>>20) }
