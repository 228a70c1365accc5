package controllers

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// gatherFor is how long it is waited for more events before the organization is read again: accounts are made, moved and
// tagged in batches.
const gatherFor = 5 * time.Second

// told are events of AWS Organizations after which the organization is to be read again.
type told []toldEvent

type toldEvent struct {
	event *cloud.Event
	done  func()
}

// done ends the events: what they tell of was read.
func (t told) done() {
	for _, e := range t {
		e.done()
	}
}

// heard is what asks for the organization beside its object: events, and whether events arrive at all. The zero value is ready.
type heard struct {
	mu    sync.Mutex
	queue accountQueue
	// name is the organization's.
	name   string
	events told
	// flow is true when the flow of events has changed.
	flow bool
	// next is when the organization is to be read again by itself, generation and token for what it was read last.
	next       time.Time
	generation int64
	token      string
}

// listen is a source of the controller: it only remembers the queue.
func (h *heard) listen(_ context.Context, q accountQueue) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = q
	return nil
}

// add queues the organization. The lock is held.
func (h *heard) add(after time.Duration) {
	if h.queue != nil && h.name != "" {
		h.queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKey{Name: h.name}}, after)
	}
}

// take hands out the events, and says whether the flow of events is all that asks.
func (h *heard) take() (events told, onlyFlow bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events, onlyFlow = h.events, h.flow && len(h.events) == 0
	h.events, h.flow = nil, false
	return events, onlyFlow
}

// keep takes events back that came to nothing.
func (h *heard) keep(events told) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(events, h.events...)
}

// until is how long it is until the organization is to be read again, if nothing but time asks for it.
func (h *heard) until(org *v1alpha1.AWSOrganization, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name = org.Name
	if h.generation != org.Generation || h.token != org.Annotations[v1alpha1.AnnotationReconcileRequestedAt] {
		return 0
	}
	return h.next.Sub(now)
}

// discovered notes that the organization was read, and when it is to be read again.
func (h *heard) discovered(org *v1alpha1.AWSOrganization, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.generation, h.token, h.next = org.Generation, org.Annotations[v1alpha1.AnnotationReconcileRequestedAt], next
}

// hear has the organization read again because of an event.
func (r *OrganizationReconciler) hear(done func(), e *cloud.Event) {
	r.heard.mu.Lock()
	defer r.heard.mu.Unlock()
	r.heard.events = append(r.heard.events, toldEvent{e, done})
	r.heard.add(gatherFor)
}

// flowChanged has the organization's status say whether events arrive.
func (r *OrganizationReconciler) flowChanged() {
	r.heard.mu.Lock()
	defer r.heard.mu.Unlock()
	r.heard.flow = true
	r.heard.add(0)
}
