package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// results are what a run has measured, by size.
type results struct {
	Sweeps, Full, StandIns []*result
	Changes                []*result
	TLS, Plan              *result
	Day                    *dayResult
}

// runAll measures everything that is asked for. What fails ends it, with what was seen until then.
func runAll(ctx context.Context, o *options) error {
	for _, dir := range []string{o.out, o.profile} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	p := newProgress()
	var all results
	err := measureAll(ctx, o, p, &all)
	if werr := all.report(o); err == nil {
		err = werr
	}
	p.say("results are in %s", o.out)
	return err
}

func measureAll(ctx context.Context, o *options, p progress, all *results) error {
	for _, n := range o.sizes {
		if n <= 0 {
			continue
		}
		if err := all.measureSize(ctx, o, p, n); err != nil {
			return err
		}
	}
	if o.tls {
		var err error
		if all.TLS, err = measure(ctx, o, p, task{
			Name: "tls", Accounts: tlsOf, Concurrent: 20, Drift: o.drift, Median: o.median, P99: o.p99, Limited: true,
		}); err != nil {
			return err
		}
	}
	if o.planOf > 0 {
		var err error
		if all.Plan, err = measure(ctx, o, p, task{Name: "plan", Accounts: 3, Buckets: o.planOf, Drift: 1}); err != nil {
			return err
		}
	}
	if !o.day {
		return nil
	}
	r, err := measure(ctx, o, p, task{Name: "day", Accounts: 1000, Concurrent: o.dayOf})
	if r != nil {
		all.Day = r.Day
	}
	return err
}

// measureSize measures an organization of n accounts.
func (all *results) measureSize(ctx context.Context, o *options, p progress, n int) error {
	base := task{Accounts: n, Concurrent: o.concurrent, Drift: o.drift, Median: o.median, P99: o.p99, Limited: true, Profile: o.profile}
	sweep, alone, full := base, base, base
	sweep.Name = "sweep"
	r, err := measure(ctx, o, p, sweep)
	all.Sweeps = add(all.Sweeps, r)
	if err != nil {
		return err
	}
	alone.Name, alone.InFlight, alone.Limited = "stand-in", r.MostInFlight, false
	if r, err = measure(ctx, o, p, alone); err != nil {
		return err
	}
	all.StandIns = add(all.StandIns, r)
	if n <= o.changesTo {
		r, err = measure(ctx, o, p, base.withChanges())
		all.Changes = add(all.Changes, r)
		if err != nil {
			return err
		}
	}
	if o.full {
		full.Name, full.Drift = "full", 1
		r, err = measure(ctx, o, p, full)
		all.Full = add(all.Full, r)
	}
	return err
}

func add(all []*result, r *result) []*result {
	if r == nil {
		return all
	}
	return append(all, r)
}

// measure has a child measure one thing, over an API server of its own where it needs one.
func measure(ctx context.Context, o *options, p progress, t task) (*result, error) {
	t.Result = filepath.Join(o.out, fmt.Sprintf("%s-%d.json", t.Name, cmp.Or(t.Buckets, t.Accounts)))
	var r result
	if o.resume && readJSON(t.Result, &r) == nil {
		p.say("%s of %d accounts: taken over from %s", t.Name, t.Accounts, t.Result)
		return &r, nil
	}
	if err := os.Remove(t.Result); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p.say("%s of %d accounts", t.Name, t.Accounts)
	var err error
	if t.Name == "stand-in" || t.Name == "plan" { // these need no API server
		if err = t.spawn(ctx); err == nil {
			return &r, readJSON(t.Result, &r)
		}
	} else {
		err = t.overAPIServer(ctx, &r, filepath.Join(o.out, fmt.Sprintf("%s-%d", t.Name, t.Accounts)))
		if err == nil {
			return &r, writeJSON(t.Result, &r)
		}
	}
	_ = os.Rename(t.Result, t.Result+".failed") // not to be taken over
	return &r, err
}

// overAPIServer starts an API server, has a child measure over it, and adds what only the parent sees.
func (t task) overAPIServer(ctx context.Context, r *result, dir string) error {
	if err := os.RemoveAll(dir); err != nil { // what an earlier run left there that was killed
		return err
	}
	plane, err := stack.StartControlPlane(stack.ControlPlaneOptions{Dir: dir, CRDs: true})
	if err != nil {
		return err
	}
	t.Kubeconfig = plane.Kubeconfig
	err = t.spawn(ctx)
	if rerr := readJSON(t.Result, r); rerr != nil {
		return errors.Join(err, rerr, plane.Stop())
	}
	r.APIServer, r.Etcd = usageOf(childNamed("kube-apiserver")), usageOf(childNamed("etcd"))
	if err = errors.Join(err, r.sizes(ctx)); err == nil && t.Name == "sweep" {
		err = r.withEvents(ctx, t)
	}
	return errors.Join(err, plane.Stop())
}

// withEvents has another child measure events over the accounts of a sweep.
func (r *result) withEvents(ctx context.Context, t task) error {
	t.Name, t.Result = "events", strings.TrimSuffix(t.Result, ".json")+"-events.json"
	err := t.spawn(ctx)
	var e result
	if rerr := readJSON(t.Result, &e); rerr != nil {
		return errors.Join(err, rerr)
	}
	r.Events, r.EventsLost, r.EventP50, r.EventP99, r.EventsPeak = e.Events, e.EventsLost, e.EventP50, e.EventP99, e.Peak
	return err
}

// asDeployed is the environment that config/manager gives the manager. The API server and etcd must not have it: under the
// manager's memory limit an API server with thousands of full statuses does little but collect garbage.
var asDeployed = []string{"GOGC=75", "GOMEMLIMIT=430MiB"}

// spawn runs the bench itself for one task, as a manager is deployed. Its progress goes to standard error.
func (t task) spawn(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "--child", string(raw)) //nolint:gosec // this program itself
	cmd.Env = append(os.Environ(), asDeployed...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("measuring %s of %d accounts: %w", t.Name, t.Accounts, err)
	}
	return nil
}

// sizes reads how large the statuses became.
func (r *result) sizes(ctx context.Context) error {
	cfg, err := r.Task.restConfig()
	if err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	var sum, count int64
	for next := ""; ; {
		var page v1alpha1.AWSAccountList
		if err := c.List(ctx, &page, client.Limit(200), client.Continue(next)); err != nil {
			return fmt.Errorf("reading the sizes of statuses: %w", err)
		}
		for i := range page.Items {
			raw, err := json.Marshal(&page.Items[i].Status)
			if err != nil {
				return err
			}
			sum, count = sum+int64(len(raw)), count+1
			r.StatusMost = max(r.StatusMost, int64(len(raw)))
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	if count > 0 {
		r.StatusMean = sum / count
	}
	return nil
}
