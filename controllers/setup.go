package controllers

import (
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
	// Parallel is the number of accounts worked on at a time.
	Parallel int
	// ACKRoles follows ACK's role-account map.
	ACKRoles bool
	// Clock is time.Now except in tests.
	Clock func() time.Time
}

// Setup wires the reconcilers into a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	record := NewRecord(mgr.GetEventRecorder("plumbline"), o.Registry, o.Clock)
	entrance := cloud.New(o.AWS, record.AWSCall, o.Clock)
	directory := &Directory{}
	accounts := &AccountReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cloud: entrance, Engine: engine.New(o.Limits, record, o.Clock),
		Kinds: o.Kinds, Directory: directory, Record: record,
		AllowWrites: o.AllowWrites, Parallel: o.Parallel, Clock: o.Clock,
	}
	if o.ACKRoles {
		ack, err := NewACKRoles(mgr, ctrl.Log)
		if err != nil {
			return err
		}
		accounts.ACKRole = ack.Role
	}
	reconcilers := []interface{ SetupWithManager(ctrl.Manager) error }{
		accounts,
		&OrganizationReconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Directory: directory, Record: record,
			Read: entrance.ReadOrganization, Tags: entrance.ReadTags, Entry: accounts.Entry, Clock: o.Clock,
		},
		&BaselineReconciler{Client: mgr.GetClient(), Kinds: o.Kinds, Record: record, AllowWrites: o.AllowWrites, Clock: o.Clock},
		&ExceptionReconciler{Client: mgr.GetClient(), Kinds: o.Kinds, Clock: o.Clock},
	}
	for _, r := range reconcilers {
		if err := r.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("setting up %T: %w", r, err)
		}
	}
	return nil
}

// CacheOptions are what a manager's cache needs so that it stays small.
func CacheOptions() cache.Options {
	return cache.Options{ByObject: map[client.Object]cache.ByObject{&v1alpha1.AWSAccount{}: {Transform: SlimAccount}}}
}
