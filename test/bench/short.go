package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// shortOf is the number of accounts of the short form.
const shortOf = 100

// requests is what test/bench/requests.json holds: the requests of one pass over 100 accounts, in which nothing was known
// before.
type requests struct {
	Accounts int `json:"accounts"`
	// ByControl and ByOperation are the sums over the accounts. They are counts, so that they are the same on every machine.
	ByControl   map[string]int64 `json:"byControl"`
	ByOperation map[string]int64 `json:"byOperation"`
	// Changes are the requests of one more pass over them, in which some settings are changed and others proposed.
	Changes changeCount `json:"changes"`
}

// changeCount is what changes cost.
type changeCount struct {
	// Records are the Remediations of what nobody was asked about, Documents those of them whose states lie in a Secret, Proposals
	// the others.
	Records   int64 `json:"records"`
	Documents int64 `json:"documents"`
	Proposals int64 `json:"proposals"`
	// AWS are the requests to AWS by operation, API those to the API server by kind.
	AWS map[string]int64 `json:"aws"`
	API map[string]int64 `json:"api"`
}

const accepted = "test/bench/requests.json"

// runShort looks at 100 accounts once, one after the other and without latency, then at drift that is changed and proposed, and
// compares the numbers of requests with what was accepted. Times are not looked at: they are of the machine.
func runShort(ctx context.Context, o *options) error {
	p := newProgress()
	plane, err := stack.StartControlPlane(stack.ControlPlaneOptions{CRDs: true})
	if err != nil {
		return err
	}
	now, err := count(ctx, task{Name: "short", Kubeconfig: plane.Kubeconfig, Accounts: shortOf})
	if err = errors.Join(err, plane.Stop()); err != nil {
		return err
	}
	root, err := stack.Root()
	if err != nil {
		return err
	}
	path := filepath.Join(root, filepath.FromSlash(accepted))
	if o.accept {
		p.say("writing %s", accepted)
		return writeJSON(path, now)
	}
	var was requests
	if err := readJSON(path, &was); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing: go run ./test/bench --short --accept writes it", accepted)
		}
		return err
	}
	grown, less := compare(was, now)
	for _, line := range less {
		fmt.Println(line)
	}
	if len(grown) > 0 {
		return fmt.Errorf("more is asked than before:\n  %s\nUsers pay for every request to AWS, and it is an event in their CloudTrail. "+
			"Share the read (control.Read, control.Shared) or leave it out; where it is worth it, say why in the commit and accept "+
			"it: go run ./test/bench --short --accept", strings.Join(grown, "\n  "))
	}
	p.say("%d accounts cost no more requests than %s accepts", shortOf, accepted)
	return nil
}

// count looks at every account once.
func count(ctx context.Context, t task) (requests, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // an API server that is watched takes a minute to end
	d, err := t.newDays(ctx, t.Accounts, &writes{})
	if err != nil {
		return requests{}, err
	}
	for _, next := range d.queue {
		if _, err := d.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: types.NamespacedName{Name: next.account}}); err != nil {
			return requests{}, fmt.Errorf("looking at %s: %w", next.account, err)
		}
	}
	r := requests{Accounts: t.Accounts, ByControl: requestsByControl(d.registry), ByOperation: calls(d.stage)}
	if err := d.allKnown(ctx); err != nil {
		return r, err
	}
	r.Changes, err = d.countChanges(ctx)
	return r, err
}

// allKnown is an error when a check could not be told: then requests are missing from the count.
func (d *days) allKnown(ctx context.Context) error {
	var accounts v1alpha1.AWSAccountList
	if err := d.client.List(ctx, &accounts); err != nil {
		return err
	}
	for _, a := range accounts.Items {
		if s := a.Status; s.Checks.Unknown == 0 && s.Checks.Total > 0 {
			continue
		}
		for _, c := range a.Status.Controls {
			if len(c.Unknown) > 0 {
				return fmt.Errorf("%s in %s is unknown: %s: %s", c.Control, a.Name, c.Reason, c.Message)
			}
		}
		return fmt.Errorf("account %s is %s: %v", a.Name, a.Status.State, a.Status.Conditions)
	}
	return nil
}

func requestsByControl(registry prometheus.Gatherer) map[string]int64 {
	all := map[string]int64{}
	families, err := registry.Gather()
	if err != nil {
		return all
	}
	for _, f := range families {
		if f.GetName() != controlRequests {
			continue
		}
		for _, m := range f.GetMetric() {
			all[label(m, "control")] += int64(m.GetCounter().GetValue())
		}
	}
	return all
}

// compare says, for people, what costs more requests than was accepted, and what costs less.
func compare(was, now requests) (grown, less []string) {
	for _, kind := range []struct {
		name     string
		was, now map[string]int64
	}{
		{"control", was.ByControl, now.ByControl}, {"operation", was.ByOperation, now.ByOperation},
		{"operation where there are changes:", was.Changes.AWS, now.Changes.AWS},
		{"API server where there are changes:", was.Changes.API, now.Changes.API},
	} {
		names := map[string]bool{}
		for name := range kind.was {
			names[name] = true
		}
		for name := range kind.now {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			before, after := kind.was[name], kind.now[name]
			line := fmt.Sprintf("%s %s: %.2f requests per account, accepted are %.2f", kind.name, name,
				float64(after)/float64(max(now.Accounts, 1)), float64(before)/float64(max(was.Accounts, 1)))
			switch {
			case after > before:
				grown = append(grown, line)
			case after < before:
				less = append(less, line)
			}
		}
	}
	return grown, less
}
