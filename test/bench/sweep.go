package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// bench is a manager over the stand-in, in this process.
type bench struct {
	task
	progress
	stage  *scale.Cloud
	mgr    ctrl.Manager
	client client.Client
	// list reads the accounts every poll, out of the manager's cache where that is in this process; pid is the manager's process.
	list   client.Reader
	poll   time.Duration
	pid    int
	writes writes
	lists  lists
	memory memory
	// stopped has the error with which the manager ended.
	stopped chan error
}

// clock is the time by which the manager and the stand-in go.
func (t task) clock() time.Time {
	if t.Name == "events" {
		return time.Now().Add(dayLater)
	}
	return time.Now()
}

func (t task) stage() *scale.Cloud {
	return scale.New(scale.Options{
		Clock: t.clock, Accounts: t.Accounts, Drift: t.Drift, Drifts: t.Drifts, Latency: scale.Latency{Median: t.Median, P99: t.P99},
		Limited: t.Limited, ExternalID: externalID,
	})
}

// restConfig is access to the API server as the manager has it: without a rate limit on the client's side, since the server
// has priority and fairness.
func (t task) restConfig() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", t.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg.QPS = -1
	return cfg, nil
}

// start starts the manager.
func (t task) start(ctx context.Context) (*bench, error) {
	b := &bench{task: t, progress: newProgress(), stage: t.stage(), stopped: make(chan error, 1)}
	cfg, err := t.restConfig()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	// Another client than the manager's, so that what the bench itself does is not counted.
	if b.client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(b.writes.wrap)
	b.mgr, err = ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Cache: controllers.CacheOptions(),
		NewClient: b.lists.newClient,
	})
	if err != nil {
		return nil, err
	}
	err = controllers.Setup(b.mgr, controllers.Options{
		AWS: b.stage.Base(), Kinds: controls.Kinds(), Parallel: t.Concurrent, Clock: t.clock, Events: t.queue(b.stage),
		AllowWrites: t.Writes, Limits: engine.Limits{AccountsAtOnce: t.Concurrent},
	})
	if err != nil {
		return nil, err
	}
	go func() { b.stopped <- b.mgr.Start(ctx) }()
	b.list, b.pid, b.poll = b.mgr.GetClient(), os.Getpid(), 100*time.Millisecond
	if !b.mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the caches were not filled")
	}
	return b, nil
}

// sweep measures discovery, a first sweep and a steady one.
func (t task) sweep(ctx context.Context, r *result) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		if err := <-b.stopped; err != nil {
			b.say("the manager ended: %v", err) // what was measured stands
		}
	}()
	if r.Discovery, err = b.discover(ctx); err != nil {
		return err
	}
	if r.First, err = b.first(ctx, r); err != nil {
		return err
	}
	r.Memory = b.memory
	if t.Name == "full" {
		return nil // one sweep fills the statuses
	}
	if err := b.steady(ctx, r); err != nil {
		return err
	}
	r.Memory = b.memory
	return nil
}

func (b *bench) discover(ctx context.Context) (float64, error) {
	began := time.Now()
	if err := b.client.Create(ctx, organization()); err != nil {
		return 0, err
	}
	err := b.until(ctx, "discovering", func(accounts []v1alpha1.AWSAccount) int {
		seen := 0
		for i := range accounts {
			if accounts[i].Status.ObservedGeneration > 0 {
				seen++
			}
		}
		return seen
	})
	return time.Since(began).Seconds(), err
}

// declared are the baselines: one of each kind, or so many that statuses are full.
func (b *bench) declared(token string) ([]control.Baseline, error) {
	all, err := baselines(token)
	if b.Name == "full" {
		all = slices.Concat(perRegions(all)...)
	}
	return all, err
}

// first declares the baselines and waits until every account has been looked at.
func (b *bench) first(ctx context.Context, r *result) (float64, error) {
	all, err := b.declared("first")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, o := range all {
		if err := b.client.Create(ctx, o); err != nil {
			return 0, err
		}
	}
	err = b.until(ctx, "first sweep", answered("first"))
	took := time.Since(began).Seconds()
	return took, errors.Join(err, b.checks(ctx, r))
}

// steady asks for everything to be looked at again.
func (b *bench) steady(ctx context.Context, r *result) error {
	done, err := b.profileCPU()
	if err != nil {
		return err
	}
	before, began := b.reading(), time.Now()
	if err := b.ask(ctx, "steady"); err != nil {
		return err
	}
	err = b.until(ctx, "steady sweep", answered("steady"))
	r.Steady = time.Since(began).Seconds()
	b.difference(before, r)
	done()
	return errors.Join(err, b.checks(ctx, r))
}

// ask asks for all baselines to be looked at again.
func (b *bench) ask(ctx context.Context, token string) error {
	all, err := b.declared(token)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := b.client.Patch(ctx, o, client.Merge); err != nil {
			return fmt.Errorf("asking for a sweep: %w", err)
		}
	}
	return nil
}

// answered counts the accounts in which every baseline that concerns them has answered the token.
func answered(token string) func([]v1alpha1.AWSAccount) int {
	return func(accounts []v1alpha1.AWSAccount) int {
		n := 0
		for i := range accounts {
			rows := accounts[i].Status.Baselines
			done := 0
			for _, row := range rows {
				if row.HandledReconcileAt == token {
					done++
				}
			}
			// A CloudTrailBaseline concerns one account alone.
			if done == len(rows) && done >= len(controls.Kinds())-1 {
				n++
			}
		}
		return n
	}
}

// patience is how long the bench waits for a sweep while nothing goes on.
const patience = 10 * time.Minute

// until waits for every account to be done, and tells how it goes.
func (b *bench) until(ctx context.Context, what string, done func([]v1alpha1.AWSAccount) int) error {
	began, told, before := time.Now(), time.Now(), b.stage.Total().Calls
	for last, moved := 0, time.Now(); ; {
		var accounts v1alpha1.AWSAccountList
		if err := b.list.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		n := done(accounts.Items)
		b.memory.note()
		if n != last {
			last, moved = n, time.Now()
		}
		calls := b.stage.Total().Calls
		if n >= b.Accounts || time.Since(told) > 10*time.Second {
			b.say("%d accounts: %s: %d done, %d requests a second, %s", b.Accounts, what, n,
				int64(float64(calls-before)/time.Since(told).Seconds()), mib(usageOf(b.pid).RSS))
			told, before = time.Now(), calls
		}
		switch {
		case n >= b.Accounts:
			b.say("%d accounts: %s took %.1fs", b.Accounts, what, time.Since(began).Seconds())
			return nil
		case time.Since(moved) > patience:
			return fmt.Errorf("%s: %d of %d accounts were done, and no other for %s", what, n, b.Accounts, patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-b.stopped:
			b.stopped <- err
			return fmt.Errorf("%s: the manager stopped: %w", what, err)
		case <-time.After(b.poll):
		}
	}
}

// checks sums the checks of all accounts. One that could not be told without a fault in AWS is a fault of the bench or of
// the manager, and is named.
func (b *bench) checks(ctx context.Context, r *result) error {
	var accounts v1alpha1.AWSAccountList
	if err := b.list.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	r.Checks, r.Unknown = 0, 0
	example := ""
	for i := range accounts.Items {
		s := &accounts.Items[i].Status
		r.Checks += int64(s.Checks.Total)
		r.Unknown += int64(s.Checks.Unknown)
		for _, c := range s.Controls {
			if len(c.Unknown) > 0 && example == "" {
				example = fmt.Sprintf("%s in %s: %s", c.Control, accounts.Items[i].Name, c.Reason)
			}
		}
	}
	if r.Unknown > 0 {
		b.say("%d accounts: %d of %d checks are unknown, among them %s", b.Accounts, r.Unknown, r.Checks, example)
	}
	return nil
}

// profileCPU begins a profile of the processor where one is asked for; done ends it and writes one of the heap.
func (b *bench) profileCPU() (done func(), err error) {
	if b.Profile == "" {
		return func() {}, nil
	}
	open := func(kind string) (*os.File, error) {
		return os.Create(filepath.Join(b.Profile, fmt.Sprintf("%s-%d.%s.pprof", b.Name, b.Accounts, kind)))
	}
	cpu, err := open("cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	heap := func(kind, profile string) {
		if f, err := open(kind); err == nil {
			_ = pprof.Lookup(profile).WriteTo(f, 0)
			_ = f.Close()
		}
	}
	// What is held while calls are under way differs from what stays.
	midway := time.AfterFunc(20*time.Second, func() { heap("heap-midway", "heap") })
	return func() {
		midway.Stop()
		pprof.StopCPUProfile()
		_ = cpu.Close()
		heap("allocs", "allocs")
		runtime.GC()
		heap("heap-after", "heap")
	}, nil
}

// standIn measures the stand-in alone: as many calls under way as in the sweep, and nothing else.
func (t task) standIn(ctx context.Context, r *result) error {
	stage := t.stage()
	ctx, stop := context.WithTimeout(ctx, 15*time.Second)
	defer stop()
	ended := make(chan struct{})
	for i := range t.InFlight {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				call := scale.Call{Account: scale.Account(int(i) % t.Accounts), Region: "eu-central-1"}
				for _, in := range standInInputs() {
					_, _ = stage.Answer(ctx, call, in) // what it answers does not matter here
				}
			}
		}()
	}
	for range t.InFlight {
		<-ended
	}
	r.Requests = stage.Total().Calls
	return nil
}
