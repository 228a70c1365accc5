package main

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// dayResult is what a day at the default intervals costs an organization.
type dayResult struct {
	// Accounts is the size of the organization, Lived how many of its accounts were followed through the day.
	Accounts, Lived int
	// Own are the requests in and for the accounts that were followed, Shared those that answer for all of them: of GuardDuty's
	// administrator, of the trail, of AWS Organizations. Both by operation.
	Own, Shared map[string]int64
	// StatusWrites are those of the accounts that were followed; Passes how often they were looked at.
	StatusWrites, Passes int64
	// Often is the number of status writes per account and 15 minutes where the interval is the shortest one, 5 minutes.
	Often float64
}

// Total is the number of requests a day of the whole organization.
func (d *dayResult) Total() int64 {
	var own, shared int64
	for _, n := range d.Own {
		own += n
	}
	for _, n := range d.Shared {
		shared += n
	}
	return own*int64(d.Accounts)/int64(d.Lived) + shared
}

// Events is the number of CloudTrail events of these requests: one each, and for AssumeRole one in the caller's account and
// one in the role's ("Logging IAM and AWS STS API calls with AWS CloudTrail", IAM user guide).
func (d *dayResult) Events() int64 {
	return d.Total() + d.Own["STS.AssumeRole"]*int64(d.Accounts)/int64(d.Lived)
}

// shared says whether an operation answers for many accounts. The requests for the two accounts that administer GuardDuty and
// own the trail are few beside those.
func shared(operation string) bool {
	service, _, _ := strings.Cut(operation, ".")
	return slices.Contains([]string{"GuardDuty", "CloudTrail", "Organizations"}, service)
}

// days drives the account reconciler through virtual time: whatever it says is next to be looked at comes next.
type days struct {
	clock      atomic.Pointer[time.Time]
	reconciler *controllers.AccountReconciler
	registry   *prometheus.Registry
	client     client.Client
	indexer    client.FieldIndexer
	writes     *writes
	stage      *scale.Cloud
	queue      turns
	// assumed is since when an account's credentials have been in use: the SDK's cache goes by the real clock.
	assumed map[string]time.Time
	roles   int64
	passes  int64
}

func (d *days) now() time.Time { return *d.clock.Load() }

// turn is when an account is next to be looked at.
type turn struct {
	at      time.Time
	account string
}

type turns []turn

func (t turns) Len() int           { return len(t) }
func (t turns) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t turns) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *turns) Push(x any)        { *t = append(*t, x.(turn)) } //nolint:errcheck // only turns are pushed
func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// silent takes no events.
type silent struct{}

func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// warmUp is how long the accounts live before the day that counts: the first look at everything is not of every day.
const warmUp = 12 * time.Hour

// day lives through a day after a warm-up. It takes minutes, for reads that accounts share wait for the rate limits of the
// real clock.
func (t task) day(ctx context.Context, r *result) error {
	p := newProgress()
	lived := t.Concurrent
	var writes writes
	d, err := t.newDays(ctx, lived, &writes)
	if err != nil {
		return err
	}
	start := d.now()
	if err := d.live(ctx, p, start.Add(warmUp)); err != nil {
		return err
	}
	before, wrote, roles, passes := d.stage.Counts(), writes.status.Load(), d.roles, d.passes
	if err := d.live(ctx, p, start.Add(warmUp+24*time.Hour)); err != nil {
		return err
	}
	counts := d.stage.Counts()
	discovery, err := d.discover(ctx)
	if err != nil {
		return err
	}
	r.Day = &dayResult{
		Accounts: t.Accounts, Lived: lived, StatusWrites: writes.status.Load() - wrote, Passes: d.passes - passes,
		Own: map[string]int64{}, Shared: discovery,
	}
	for name, count := range counts {
		n := count.Calls - before[name].Calls
		switch {
		case name == "STS.AssumeRole" || n == 0:
		case shared(name):
			r.Day.Shared[name] = n
		default:
			r.Day.Own[name] = n
		}
	}
	r.Day.Own["STS.AssumeRole"] = d.roles - roles
	if r.Day.Often, err = d.often(ctx, p, &writes); err != nil {
		return err
	}
	p.say("a day of %d accounts: %d requests, %d CloudTrail events", t.Accounts, r.Day.Total(), r.Day.Events())
	return nil
}

func (t task) newDays(ctx context.Context, lived int, w *writes) (*days, error) {
	d := &days{assumed: map[string]time.Time{}, registry: prometheus.NewRegistry(), writes: w}
	start := time.Now().UTC().Truncate(time.Second).Add(time.Minute) // objects are not made in the future
	d.clock.Store(&start)
	d.stage = scale.New(scale.Options{
		Accounts: t.Accounts, Drift: 0.02, ExternalID: externalID, Clock: d.now,
		// In the short form they are there: accounts take turns with having them made, and one pass would leave checks open.
		ReportsExpire: t.Name != "short",
	})
	cfg, err := t.restConfig()
	if err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(w.wrap)
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	if d.client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	// What the reconciler reads besides the account itself comes out of a cache, as in the manager.
	cached, err := cluster.New(cfg, func(o *cluster.Options) { o.Scheme, o.Cache = scheme, controllers.CacheOptions() })
	if err != nil {
		return nil, err
	}
	d.indexer = cached.GetFieldIndexer()
	go func() { _ = cached.Start(ctx) }() // ends with ctx
	record := controllers.NewRecord(silent{}, d.registry, d.now)
	d.reconciler = &controllers.AccountReconciler{
		Client: cached.GetClient(), Live: d.client, Cloud: cloud.New(d.stage.Base(), record.AWSCall, d.now), Engine: engine.New(engine.Limits{}, record, d.now),
		Kinds: controls.Kinds(), Directory: &controllers.Directory{}, Record: record, Clock: d.now,
	}
	return d, d.declare(ctx, lived)
}

// declare makes the objects. The accounts that are followed are the first ones, the administrators among them.
func (d *days) declare(ctx context.Context, lived int) error {
	if err := d.client.Create(ctx, organization()); err != nil {
		return err
	}
	all, err := baselines("day")
	if err != nil {
		return err
	}
	for _, b := range all {
		if err := d.client.Create(ctx, b); err != nil {
			return err
		}
	}
	for i := range lived {
		a := &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{
			Name: scale.Account(i), Labels: map[string]string{v1alpha1.LabelOrganization: "bench"},
			Annotations: map[string]string{
				v1alpha1.AnnotationState: "ACTIVE", v1alpha1.AnnotationJoinedAt: "2020-01-01T00:00:00Z",
			},
		}}
		if err := d.client.Create(ctx, a); err != nil {
			return err
		}
		// Over an hour they start at different times, as the accounts of a large organization do after a while.
		heap.Push(&d.queue, turn{d.now().Add(time.Hour * time.Duration(i) / time.Duration(lived)), a.Name})
	}
	return nil
}

// live looks at every account as it is due until a time.
func (d *days) live(ctx context.Context, p progress, until time.Time) error {
	for told := time.Now(); len(d.queue) > 0 && d.queue[0].at.Before(until); {
		next := heap.Pop(&d.queue).(turn) //nolint:errcheck // only turns are in it
		now := next.at
		d.clock.Store(&now)
		calls := d.stage.Total().Calls
		after, err := d.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: types.NamespacedName{Name: next.account}})
		if err != nil {
			return fmt.Errorf("looking at %s: %w", next.account, err)
		}
		d.passes++
		// Credentials are good for an hour and asked for anew in their last minute.
		if since, ok := d.assumed[next.account]; d.stage.Total().Calls > calls && (!ok || now.Sub(since) >= 59*time.Minute) {
			d.assumed[next.account] = now
			d.roles++
		}
		// A queue that is told to come back at once does so a little later.
		heap.Push(&d.queue, turn{now.Add(max(after.RequeueAfter, time.Second)), next.account})
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			p.say("a day: %s to go, %d passes, %d requests", until.Sub(now).Round(time.Minute), d.passes, d.stage.Total().Calls)
		}
	}
	return nil
}

// oftenOf is how many accounts are followed at the shortest interval, and oftenFor for how long.
const (
	oftenOf  = 20
	oftenFor = 2 * time.Hour
)

// often counts the writes that say nothing new but the time: the most there can be of them is where the interval is shortest.
func (d *days) often(ctx context.Context, p progress, w *writes) (float64, error) {
	all, err := baselines("day")
	if err != nil {
		return 0, err
	}
	for _, b := range all {
		spec, _ := b.Common()
		spec.Interval = &metav1.Duration{Duration: 5 * time.Minute}
		if err := d.client.Patch(ctx, b, client.Merge); err != nil {
			return 0, fmt.Errorf("shortening an interval: %w", err)
		}
	}
	if err := pause(ctx, 5*time.Second); err != nil { // until the cache has it
		return 0, err
	}
	now := d.now()
	d.queue = d.queue[:min(len(d.queue), oftenOf)]
	for i := range d.queue {
		d.queue[i].at = now.Add(time.Duration(i) * time.Second) // who changes a baseline has every account looked at
	}
	heap.Init(&d.queue)
	if err := d.live(ctx, p, now.Add(time.Hour)); err != nil {
		return 0, err
	}
	before := w.status.Load()
	if err := d.live(ctx, p, now.Add(time.Hour+oftenFor)); err != nil {
		return 0, err
	}
	return float64(w.status.Load()-before) / float64(len(d.queue)) / (float64(oftenFor) / float64(15*time.Minute)), nil
}

// discover reads the organization once and says how many requests its readings make in a day, by operation. The tags of
// accounts are not among them: they are read once a day where the organization declares tagLabels.
func (d *days) discover(ctx context.Context) (map[string]int64, error) {
	org := organization()
	from, err := d.reconciler.Entry(org, org.Spec.ReadFromOrDefault(), v1alpha1.AccountRoles{})
	if err != nil {
		return nil, err
	}
	before := d.stage.Counts()
	if _, err := d.reconciler.Cloud.ReadOrganization(ctx, from); err != nil {
		return nil, err
	}
	perDay := map[string]int64{}
	for name, count := range d.stage.Counts() {
		if n := count.Calls - before[name].Calls; n > 0 && shared(name) {
			// Every reading is the same; the others would only wait for the rate limit.
			perDay[name] = n * int64(24*time.Hour/org.Spec.DiscoverEvery())
		}
	}
	return perDay, nil
}
