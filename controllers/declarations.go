package controllers

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// declarations keeps what is made of each baseline's spec, which every pass of thousands of accounts asks for, for as long as the
// spec stays what it is. The zero value is ready.
type declarations struct {
	mu  sync.Mutex
	all map[types.UID]keptDeclaration
}

type keptDeclaration struct {
	generation int64
	declared
}

// of is the baseline with what is made of it.
func (m *declarations) of(k control.Kind, b control.Baseline) declared {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, known := m.all[b.GetUID()]
	if !known || kept.generation != b.GetGeneration() {
		kept = keptDeclaration{b.GetGeneration(), declare(k, b)}
		if m.all == nil {
			m.all = map[types.UID]keptDeclaration{}
		}
		m.all[b.GetUID()] = kept
	}
	d := kept.declared
	d.object = b // what is not of its spec may be newer
	return d
}

// keepOnly forgets the baselines that are not there any more.
func (m *declarations) keepOnly(there []declared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.all) <= len(there) {
		return
	}
	kept := make(map[types.UID]keptDeclaration, len(there))
	for _, d := range there {
		if one, known := m.all[d.object.GetUID()]; known {
			kept[d.object.GetUID()] = one
		}
	}
	m.all = kept
}

// list reads the baselines of all kinds, but those that are being deleted.
func (m *declarations) list(ctx context.Context, c client.Reader, kinds []control.Kind) ([]declared, error) {
	listed, err := ListBaselines(ctx, c, kinds, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, err
	}
	var all []declared
	for _, l := range listed {
		if l.GetDeletionTimestamp() == nil {
			all = append(all, m.of(l.Kind, l.Baseline))
		}
	}
	m.keepOnly(all)
	return all, nil
}

// Listed is a baseline with its kind.
type Listed struct {
	Kind control.Kind
	control.Baseline
}

// ListBaselines reads the baselines of all kinds, in the order of the kinds.
func ListBaselines(ctx context.Context, c client.Reader, kinds []control.Kind, options ...client.ListOption) ([]Listed, error) {
	var all []Listed
	for _, k := range kinds {
		list, ok := k.NewList().(client.ObjectList)
		if !ok {
			return nil, fmt.Errorf("%s has no list", k.Name)
		}
		if err := c.List(ctx, list, options...); err != nil {
			return nil, fmt.Errorf("listing %ss: %w", k.Name, err)
		}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			b, ok := o.(control.Baseline)
			if !ok {
				return fmt.Errorf("%T is no baseline", o)
			}
			all = append(all, Listed{k, b})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listExceptions reads the exceptions.
func listExceptions(ctx context.Context, c client.Reader, options ...client.ListOption) ([]*v1alpha1.BaselineException, error) {
	var list v1alpha1.BaselineExceptionList
	if err := c.List(ctx, &list, options...); err != nil {
		return nil, fmt.Errorf("listing exceptions: %w", err)
	}
	var all []*v1alpha1.BaselineException
	for i := range list.Items {
		all = append(all, &list.Items[i])
	}
	return all, nil
}
