package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

// countChanges puts baselines that enforce in the place of those that only looked, and passes over every account once more.
func (d *days) countChanges(ctx context.Context) (changeCount, error) {
	c := changeCount{}
	if err := d.enforce(ctx); err != nil {
		return c, err
	}
	aws, api := calls(d.stage), d.writes.kinds()
	for _, next := range d.queue {
		if _, err := d.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: types.NamespacedName{Name: next.account}}); err != nil {
			return c, fmt.Errorf("changing %s: %w", next.account, err)
		}
	}
	c.AWS, c.API = since(aws, calls(d.stage)), since(api, d.writes.kinds())
	maps.DeleteFunc(c.API, func(kind string, _ int64) bool { // what fills the cache is not of the passes
		return strings.HasPrefix(kind, "watch ") || strings.HasPrefix(kind, "list ")
	})
	var records v1alpha1.RemediationList
	if err := d.client.List(ctx, &records); err != nil {
		return c, err
	}
	for _, r := range records.Items {
		switch {
		case r.Status.Phase == v1alpha1.RemediationProposed:
			c.Proposals++
		case r.Status.Phase != v1alpha1.RemediationApplied:
			return c, fmt.Errorf("%s is %s: %s", r.Name, r.Status.Phase, r.Status.Message)
		default:
			c.Records++
			if r.Status.Secret != "" {
				c.Documents++
			}
		}
	}
	return c, errors.Join(c.exact(), d.allKnown(ctx))
}

// exact is an error when what is put on record costs other writes than those it takes: a change is recorded before it is made and noted
// after it, a proposal is written once, and policies lie in one Secret each.
func (c *changeCount) exact() error {
	for kind, want := range map[string]int64{
		"create remediations": c.Records + c.Proposals, "update remediations/status": 2*c.Records + c.Proposals, "create secrets": c.Documents,
	} {
		if got := c.API[kind]; got != want {
			return fmt.Errorf("%d times %s for %d changes on record (%d with a Secret) and %d proposals, want %d", got, kind, c.Records, c.Documents, c.Proposals, want)
		}
	}
	if c.Records == 0 || c.Documents == 0 || c.Proposals == 0 {
		return fmt.Errorf("nothing was changed or proposed: %+v", *c)
	}
	return nil
}

// enforce declares what is changed and what is proposed, and lets the reconciler write.
func (d *days) enforce(ctx context.Context) error {
	if err := controllers.IndexRemediations(ctx, d.indexer); err != nil {
		return err
	}
	d.reconciler.AllowWrites = true
	d.reconciler.Remediations = &controllers.Remediations{
		Client: d.reconciler.Client, Live: d.client, Namespace: controllers.DefaultNamespace, Record: d.reconciler.Record, Clock: d.now,
		Kinds: controls.Kinds(),
	}
	if err := d.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controllers.DefaultNamespace}}); err != nil {
		return err
	}
	there, err := controllers.ListBaselines(ctx, d.client, controls.Kinds())
	if err != nil {
		return err
	}
	for _, b := range there {
		if err := d.client.Delete(ctx, b.Baseline); err != nil {
			return err
		}
	}
	wanted := append(automatic(v1alpha1.ModeEnforce, ""), proposed("")...)
	for _, o := range wanted {
		if err := d.client.Create(ctx, o); err != nil {
			return err
		}
	}
	return d.sees(ctx, wanted)
}

// sees waits until the cache has the baselines that are wanted, and no others.
func (d *days) sees(ctx context.Context, wanted []control.Baseline) error {
	for began := time.Now(); ; {
		cached, err := controllers.ListBaselines(ctx, d.reconciler.Client, controls.Kinds(), client.UnsafeDisableDeepCopy)
		missing := len(wanted)
		for _, b := range cached {
			for _, o := range wanted {
				if b.GetUID() == o.GetUID() {
					missing--
				}
			}
		}
		switch {
		case err != nil:
			return err
		case missing == 0 && len(cached) == len(wanted):
			return nil
		case time.Since(began) > patience:
			return fmt.Errorf("the cache does not have the %d baselines", len(wanted))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
