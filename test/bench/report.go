package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// line is one figure of a table: by size, with its target.
type line struct {
	figure, target string
	values         []string
}

// sizes are the accounts of each column.
func (all *results) sizes() []int {
	var n []int
	for _, r := range all.Sweeps {
		n = append(n, r.Task.Accounts)
	}
	return n
}

func of(results []*result, accounts int) *result {
	for _, r := range results {
		if r.Task.Accounts == accounts {
			return r
		}
	}
	return &result{}
}

func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// orNone is a value, or a dash for what was not measured.
func orNone(measured bool, format string, args ...any) string {
	if !measured {
		return "–"
	}
	return fmt.Sprintf(format, args...)
}

func (m memory) String() string {
	return orNone(m.Heap > 0, "%s, %s, %s", mib(m.Heap), mib(m.Stacks), number(m.Goroutines))
}

// lines are the figures of all sizes.
func (all *results) lines() []line {
	var lines []line
	figure := func(name, target string, value func(sweep, full, alone *result) string) {
		l := line{figure: name, target: target}
		for _, n := range all.sizes() {
			l.values = append(l.values, value(of(all.Sweeps, n), of(all.Full, n), of(all.StandIns, n)))
		}
		lines = append(lines, l)
	}
	seconds := func(of func(*result) float64) func(s, f, a *result) string {
		return func(s, _, _ *result) string { return orNone(of(s) > 0, "%.1f s", of(s)) }
	}
	figure("Measured at revision", "", func(s, _, _ *result) string { return orNone(s.Revision != "", "%s", s.Revision) })
	figure("Discovery", "", seconds(func(r *result) float64 { return r.Discovery }))
	figure("First sweep", "", seconds(func(r *result) float64 { return r.First }))
	figure("Full sweep, everything looked at again", "< 300 s at 5,000", seconds(func(r *result) float64 { return r.Steady }))
	figure("Checks", "", func(s, _, _ *result) string { return number(s.Checks) })
	figure("Checks that could not be told", "", func(s, _, _ *result) string { return number(s.Unknown) })
	figure("Requests of the full sweep", "", func(s, _, _ *result) string { return orNone(s.Requests > 0, "%s", number(s.Requests)) })
	figure("Requests per account", "", func(s, _, _ *result) string {
		return orNone(s.Requests > 0, "%.1f", float64(s.Requests)/float64(s.Task.Accounts))
	})
	figure("Throttled", "< 1 %", func(s, _, _ *result) string {
		return orNone(s.Requests > 0, "%.2f %%", 100*float64(s.Throttled)/math.Max(float64(s.Requests), 1))
	})
	figure("Calls under way, at most", "", func(s, _, _ *result) string { return orNone(s.MostInFlight > 0, "%d", s.MostInFlight) })
	figure("Processor time of the full sweep", "", seconds(func(r *result) float64 { return r.CPU }))
	figure("Peak memory, stand-in included", "", func(s, _, _ *result) string { return orNone(s.Peak > 0, "%s", mib(s.Peak)) })
	figure("— objects, stacks and goroutines, each at most", "", func(s, _, _ *result) string { return s.Memory.String() })
	figure("— while events are received during a sweep", "", func(s, _, _ *result) string { return orNone(s.EventsPeak > 0, "%s", mib(s.EventsPeak)) })
	figure("— the stand-in alone", "", func(_, _, a *result) string { return orNone(a.Peak > 0, "%s", mib(a.Peak)) })
	figure("Measured with full statuses at revision", "", func(_, f, _ *result) string { return orNone(f.Revision != "", "%s", f.Revision) })
	figure("Peak memory with full statuses", "< 512 MiB at 5,000", func(_, f, _ *result) string { return orNone(f.Peak > 0, "%s", mib(f.Peak)) })
	figure("— objects, stacks and goroutines, each at most", "", func(_, f, _ *result) string { return f.Memory.String() })
	figure("Status of an account: mean / largest", "≤ 32 KiB", func(s, _, _ *result) string {
		return orNone(s.StatusMost > 0, "%.1f / %.1f KiB", float64(s.StatusMean)/1024, float64(s.StatusMost)/1024)
	})
	figure("— where statuses are full", "", func(_, f, _ *result) string {
		return orNone(f.StatusMost > 0, "%.1f / %.1f KiB", float64(f.StatusMean)/1024, float64(f.StatusMost)/1024)
	})
	figure("Status writes of the full sweep, per account", "", func(s, _, _ *result) string {
		return orNone(s.StatusWrites > 0, "%.2f", float64(s.StatusWrites)/float64(s.Task.Accounts))
	})
	figure("Roll-ups: number, mean, at most", "", func(s, _, _ *result) string {
		return orNone(s.RollUps > 0, "%d, %.0f ms, %.0f ms", s.RollUps, s.RollUpSeconds*1000, s.RollUpWorst*1000)
	})
	figure("Event (EBS encryption by default is switched off) in the queue to drift in the status, 100 a second during a sweep: p50 / p99", "p99 < 5 s", func(s, _, _ *result) string {
		return orNone(s.Events > 0, "%.2f / %.2f s, %d of %d lost", s.EventP50, s.EventP99, s.EventsLost, s.Events)
	})
	figure("kube-apiserver: memory now / peak, processor time, where statuses are full", "", func(_, f, _ *result) string {
		return orNone(f.APIServer.RSS > 0, "%s / %s, %.0f s", mib(f.APIServer.RSS), mib(f.APIServer.Peak), f.APIServer.CPU)
	})
	figure("etcd: memory now / peak, processor time, where statuses are full", "", func(_, f, _ *result) string {
		return orNone(f.Etcd.RSS > 0, "%s / %s, %.0f s", mib(f.Etcd.RSS), mib(f.Etcd.Peak), f.Etcd.CPU)
	})
	return lines
}

// table is a table in Markdown.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	write := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	write(header)
	rule := make([]string, len(header))
	for i := range rule {
		if rule[i] = "---:"; i == 0 {
			rule[i] = "---"
		}
	}
	write(rule)
	for _, r := range rows {
		write(r)
	}
	return b.String()
}

func (all *results) sizeTable() string {
	header := []string{"figure"}
	for _, n := range all.sizes() {
		header = append(header, number(int64(n)))
	}
	header = append(header, "target")
	var rows [][]string
	for _, l := range all.lines() {
		rows = append(rows, append(append([]string{l.figure}, l.values...), l.target))
	}
	text := table(header, rows)
	if n := len(all.Full); n > 1 {
		before, last := all.Full[n-2], all.Full[n-1]
		text += fmt.Sprintf("\nPeak memory with full statuses grows %.1f times from %s to %s accounts (target: less than the number of accounts does).\n",
			float64(last.Peak)/float64(max(before.Peak, 1)), number(int64(before.Task.Accounts)), number(int64(last.Task.Accounts)))
	}
	return text
}

// requestTable are the requests of the largest sweep, by control and by operation.
func (all *results) requestTable() string {
	if len(all.Sweeps) == 0 {
		return ""
	}
	largest := all.Sweeps[len(all.Sweeps)-1]
	text := fmt.Sprintf("Requests of the full sweep of %s accounts, per account:\n\n", number(int64(largest.Task.Accounts)))
	for _, kind := range []struct {
		name string
		n    map[string]int64
	}{{"control", largest.ByControl}, {"operation", largest.ByOperation}} {
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(kind.n)) {
			rows = append(rows, []string{name, fmt.Sprintf("%.2f", float64(kind.n[name])/float64(largest.Task.Accounts))})
		}
		if len(rows) > 0 {
			text += table([]string{kind.name, "requests"}, rows) + "\n"
		}
	}
	return text
}

func (d *dayResult) table() string {
	if d == nil {
		return ""
	}
	rows := [][]string{
		{"AWS requests a day", number(d.Total()), "≤ 1,300,000"},
		{"CloudTrail events a day", number(d.Events()), ""},
		{"Status writes per account and 15 min, at the shortest interval of 5 min", fmt.Sprintf("%.2f", d.Often), "≤ 1"},
		{"Status writes per account and 15 min, at the default intervals", fmt.Sprintf("%.2f", float64(d.StatusWrites)/float64(d.Lived)/96), "≤ 1"},
		{"Passes per account and day", fmt.Sprintf("%.1f", float64(d.Passes)/float64(d.Lived)), ""},
	}
	text := fmt.Sprintf("A day of %s accounts in 17 regions at the default intervals:\n\n", number(int64(d.Accounts))) +
		table([]string{"figure", "measured", "target"}, rows) + "\nRequests of that day by operation, of all accounts together:\n\n"
	rows = nil
	for _, name := range slices.Sorted(maps.Keys(d.Own)) {
		rows = append(rows, []string{name, number(d.Own[name] * int64(d.Accounts) / int64(d.Lived))})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Shared)) {
		rows = append(rows, []string{name + " (shared)", number(d.Shared[name])})
	}
	return text + table([]string{"operation", "requests"}, rows)
}

func (all *results) planTable() string {
	if all.Plan == nil {
		return ""
	}
	return all.Plan.Plan.table(all.Plan.Revision)
}

// tlsTable is what the real binary cost over TLS.
func (all *results) tlsTable() string {
	r := all.TLS
	if r == nil || r.Requests == 0 {
		return ""
	}
	return fmt.Sprintf("The real binary (--concurrent-accounts %d) and %d accounts, over TLS on loopback:\n\n", r.Task.Concurrent, r.Task.Accounts) +
		table([]string{"figure", "measured"}, [][]string{
			{"First sweep", fmt.Sprintf("%.1f s", r.First)}, {"Checks", number(r.Checks)}, {"Checks that could not be told", number(r.Unknown)},
			{"Requests, discovery included", number(r.Requests)},
			{"TLS handshakes", number(r.Handshakes)}, {"Calls under way, at most", number(r.MostInFlight)},
			{"Peak memory", mib(r.Peak)}, {"Processor time", fmt.Sprintf("%.1f s", r.CPU)},
			{"Processor time per request", fmt.Sprintf("%.2f ms", 1000*r.CPU/float64(r.Requests))},
		}) + "\n"
}

// report prints what was measured and writes docs/benchmarks.md.
func (all *results) report(o *options) error {
	text := all.sizeTable() + "\n" + all.requestTable() + all.changesTable() + all.tlsTable() + all.planTable() + all.Day.table()
	fmt.Println(text)
	if o.noDocs || len(all.Sweeps) == 0 {
		return nil
	}
	root, err := stack.Root()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"benchmarks.md":  fmt.Sprintf(document, machine(), strings.Join(os.Args[1:], " "), o.median, o.p99, o.concurrent, o.drift*100, text),
		"benchmarks.svg": all.plot(),
	} {
		if err := os.WriteFile(filepath.Join(root, "docs", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const document = `<!-- Written by test/bench (make bench). Do not edit. -->
# Benchmarks

%s

Command: ` + "`go run ./test/bench %s`" + `. The reconcilers are the real ones over a real API server; AWS is a stand-in in the same
process that answers after a latency (log-normal, median %s, 99th percentile %s) and within AWS's rate limits. The manager
works on %d accounts at a time, and %.0f %% of all settings depart. Every account has 17 regions, 20 buckets, 10 users and one
customer managed key per region; every section of every baseline is on, in Audit; GuardDuty has a delegated administrator.
The stand-in has every credential report ready, so none is generated in a sweep, and no tags are read: both are excluded
from the time of a sweep, since AWS makes neither fast for thousands of accounts. A full sweep that ends in five minutes is a
capacity, not a recommended interval.

![Cost against size](benchmarks.svg)

%s`

// machine says on what and when it was measured.
func machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, l := range strings.Split(string(info), "\n") {
			if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("Measured on %s with %s on %d cores of %s, which the manager, the stand-in, kube-apiserver and etcd shared.",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), model)
}

// revision is the checkout's. What the bench has written to docs makes it no other one.
func revision() string {
	head, err := exec.Command("git", "describe", "--always").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + "-dirty"
	}
	return strings.TrimSpace(string(head))
}
