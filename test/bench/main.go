// Bench measures what Plumbline costs at the size of an organization: the time of a sweep, requests to AWS, memory, writes to
// the API server. The reconcilers are the real ones, over a real API server; AWS is controllers/cloud/cloudtest/scale.
//
// It starts kube-apiserver and etcd, and for each size a child process of its own in which the reconcilers run, so that what
// is measured is one process that did nothing else. It prints a table and writes docs/benchmarks.md with a plot.
//
//	go run ./test/bench                     # everything; about an hour on 2 quiet cores
//	go run ./test/bench --sizes 100 --no-docs
//	go run ./test/bench --short             # 100 accounts, no latency: counts requests and compares them
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options are the bench's flags.
type options struct {
	sizes      []int
	concurrent int
	drift      float64
	median     time.Duration
	p99        time.Duration
	full, day  bool
	changesTo  int
	planOf     int
	tls        bool
	short      bool
	accept     bool
	resume     bool
	noDocs     bool
	dayOf      int
	out        string
	profile    string
	child      string
}

func main() {
	o := &options{}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.IntSliceVar(&o.sizes, "sizes", []int{100, 1000, 5000}, "Accounts of the organizations to measure; 0: none.")
	f.IntVar(&o.concurrent, "concurrent-accounts", 80, "The manager's --concurrent-accounts.")
	f.Float64Var(&o.drift, "drift", 0.02, "Share of settings that depart in the sweeps that are timed.")
	f.DurationVar(&o.median, "latency", 130*time.Millisecond, "Median latency of an AWS call; 0: none.")
	f.DurationVar(&o.p99, "latency-p99", time.Second, "99th percentile of the latency.")
	f.BoolVar(&o.full, "full", true, "Measure every size once more with statuses that are full.")
	f.IntVar(&o.changesTo, "changes-up-to", 1000, "Largest of the sizes at which changes are proposed, approved and made as well; 0: none.")
	f.BoolVar(&o.tls, "tls", true, "Measure bin/plumbline against the stand-in behind HTTPS.")
	f.IntVar(&o.planOf, "plan", 20_000, "Buckets of the account over which bin/plumbline plan is measured; 0: none.")
	f.BoolVar(&o.day, "day", true, "Count the requests of a day at the default intervals.")
	f.IntVar(&o.dayOf, "day-accounts", 60, "Accounts that live through that day, of an organization of 1,000.")
	f.BoolVar(&o.short, "short", false, "Only count the requests of 100 accounts, without latency, and compare them with test/bench/requests.json.")
	f.BoolVar(&o.accept, "accept", false, "With --short: write test/bench/requests.json anew.")
	f.BoolVar(&o.resume, "resume", false, "Take over what an earlier run left in --out and measure the rest.")
	f.BoolVar(&o.noDocs, "no-docs", false, "Do not write docs/benchmarks.md.")
	f.StringVar(&o.out, "out", filepath.Join(os.TempDir(), "plumbline-bench"), "Folder for results and logs.")
	f.StringVar(&o.profile, "profile", "", "Folder for CPU and heap profiles of the children; empty: none.")
	f.StringVar(&o.child, "child", "", "Used by the bench itself: what a child measures.")
	if err := f.Parse(os.Args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	switch {
	case o.child != "":
		var t task
		if err := json.Unmarshal([]byte(o.child), &t); err != nil {
			return fmt.Errorf("reading what to measure: %w", err)
		}
		return t.run(ctx)
	case o.short:
		return runShort(ctx, o)
	}
	return runAll(ctx, o)
}

// progress tells on standard error how a long piece of work goes, with the time since it began.
type progress struct{ began time.Time }

func newProgress() progress { return progress{time.Now()} }

func (p progress) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}
