package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Options are what the reconcilers are made from.
type Options struct {
	// AWS is the manager's own configuration: its credential chain, transport and endpoint.
	AWS aws.Config
	// Kinds are the baseline kinds.
	Kinds []control.Kind
	// Registry takes the metrics; nil: controller-runtime's.
	Registry ctrlmetrics.RegistererGatherer
	// Limits bound passes and writes.
	Limits engine.Limits
	// AllowWrites lets baselines in mode Enforce change AWS.
	AllowWrites bool
	// DefaultSoak is how long the first account of a baseline without waves is watched before all others are changed; zero: all are
	// changed at once.
	DefaultSoak time.Duration
	// Parallel is the number of accounts in which everything is looked at at a time.
	Parallel int
	// Events is where events come from; nil: none are received. It is made for the catalogue and the accounts at hand.
	Events func(EventFilter) (EventSource, error)
	// EventGrace is how much later than a sweep's finding its event may arrive; zero: EventGrace.
	EventGrace time.Duration
	// Namespace is the manager's own: the Secrets of Remediations lie there. Empty: plumbline-system.
	Namespace string
	// Hands says what of the work this process does; empty: all of it.
	Hands Hands
	// ACKRoles follows ACK's role-account map.
	ACKRoles bool
	// Clock is time.Now except in tests.
	Clock func() time.Time
}

// DefaultNamespace is where config/default puts the manager.
const DefaultNamespace = "plumbline-system"

// Setup wires the reconcilers into a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	record := NewRecord(mgr.GetEventRecorder("plumbline"), o.Registry, o.Clock)
	entrance := cloud.New(o.AWS, record.AWSCall, o.Clock)
	record.WatchCircuits(o.Registry, entrance.OpenCircuits)
	directory := &Directory{}
	remediations := &Remediations{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: cmp.Or(o.Namespace, DefaultNamespace), Record: record, Clock: o.Clock,
		Kinds: o.Kinds, Hands: o.Hands, AllowWrites: o.AllowWrites,
	}
	if err := IndexRemediations(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	accounts := &AccountReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cloud: entrance, Engine: engine.New(o.Limits, record, o.Clock),
		Kinds: o.Kinds, Directory: directory, Record: record, Remediations: remediations,
		AllowWrites: o.AllowWrites, DefaultSoak: o.DefaultSoak, Parallel: o.Parallel, Clock: o.Clock,
	}
	if o.ACKRoles {
		ack, err := NewACKRoles(mgr, ctrl.Log)
		if err != nil {
			return err
		}
		accounts.ACKRole = ack.Role
	}
	if o.Hands == EnforcingHand {
		return register(mgr, &EnforcerReconciler{Accounts: accounts})
	}
	organization := &OrganizationReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Directory: directory, Record: record,
		Read: entrance.ReadOrganization, Tags: entrance.ReadTags, Entry: accounts.Entry, Clock: o.Clock,
	}
	if o.Events != nil {
		if err := receiveEvents(mgr, o, accounts, organization); err != nil {
			return fmt.Errorf("setting up the event queue: %w", err)
		}
	}
	return register(mgr,
		accounts, organization,
		&BaselineReconciler{Client: mgr.GetClient(), Kinds: o.Kinds, Record: record, Remediations: remediations, AllowWrites: o.AllowWrites,
			DefaultSoak: o.DefaultSoak, Clock: o.Clock},
		&ExceptionReconciler{Client: mgr.GetClient(), Kinds: o.Kinds, Clock: o.Clock},
		&RemediationReconciler{remediations},
	)
}

// register wires reconcilers into a manager.
func register(mgr ctrl.Manager, reconcilers ...interface{ SetupWithManager(ctrl.Manager) error }) error {
	for _, r := range reconcilers {
		if err := r.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("setting up %T: %w", r, err)
		}
	}
	return nil
}

// EventFilter says which events are of use, and hears what becomes of messages.
type EventFilter struct {
	// Wanted says whether anything is done about an event, OwnRole whether a role may be one of Plumbline's.
	Wanted  func(source, name string) bool
	OwnRole func(arn string) bool
	// Own says whether a request was this manager's own.
	Own func(requestID string) bool
	// Observe counts messages and events by what became of them.
	Observe func(outcome string, n int)
}

// receiveEvents has events make due what they tell of.
func receiveEvents(mgr ctrl.Manager, o Options, accounts *AccountReconciler, organization *OrganizationReconciler) error {
	grace := o.EventGrace
	if grace == 0 {
		grace = EventGrace
	}
	flow := NewFlow(grace, o.Clock)
	flow.changed = organization.flowChanged
	accounts.Flow, organization.Flow = flow, flow
	receiver := &EventReceiver{
		Client: mgr.GetClient(), Accounts: accounts, Organization: organization, Record: accounts.Record, Own: accounts.Cloud,
		Flow: flow, Clock: o.Clock,
	}
	source, err := o.Events(EventFilter{Wanted: Wanted(o.Kinds), OwnRole: receiver.mayBeOwnRole, Own: receiver.Own.Own, Observe: accounts.Record.Messages})
	if err != nil {
		return err
	}
	receiver.Source = source
	return mgr.Add(receiver)
}

// CacheOptions are what a manager's cache needs so that it stays small.
func CacheOptions() cache.Options {
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&v1alpha1.AWSAccount{}:  {Transform: SlimAccount},
		&v1alpha1.Remediation{}: {Transform: SlimRemediation},
	}}
}
