package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// lists times how long the manager takes to list Remediations, all of which is in its cache.
type lists struct {
	mu   sync.Mutex
	took map[string][]time.Duration
}

// newClient makes the manager's client, with what it lists timed.
func (l *lists) newClient(cfg *rest.Config, o client.Options) (client.Client, error) {
	c, err := client.New(cfg, o)
	return listing{c, l}, err
}

type listing struct {
	client.Client
	lists *lists
}

// List lists, and times it where it is Remediations.
func (l listing) List(ctx context.Context, list client.ObjectList, o ...client.ListOption) error {
	if _, timed := list.(*v1alpha1.RemediationList); !timed {
		return l.Client.List(ctx, list, o...)
	}
	began := time.Now()
	err := l.Client.List(ctx, list, o...)
	took := time.Since(began)
	l.lists.mu.Lock()
	defer l.lists.mu.Unlock()
	by := "all"
	if selector := (&client.ListOptions{}).ApplyOptions(o).FieldSelector; selector != nil {
		by = selector.Requirements()[0].Field
	}
	if l.lists.took == nil {
		l.lists.took = map[string][]time.Duration{}
	}
	l.lists.took[by] = append(l.lists.took[by], took)
	return err
}

// listed is what some lists took.
type listed struct {
	N int
	// Mean, P99 and Total are in seconds.
	Mean, P99, Total float64
}

// take sums up the lists since it was asked last, by the field that they go by; "all" are those of all Remediations.
func (l *lists) take() map[string]listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := map[string]listed{}
	for by, took := range l.took {
		sums[by] = listedOf(took)
	}
	l.took = nil
	return sums
}

func listedOf(took []time.Duration) listed {
	slices.Sort(took)
	var sum time.Duration
	for _, t := range took {
		sum += t
	}
	n := len(took)
	return listed{N: n, Mean: sum.Seconds() / float64(n), P99: took[n*99/100].Seconds(), Total: sum.Seconds()}
}
