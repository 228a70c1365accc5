package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"k8s.io/client-go/util/workqueue"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// +kubebuilder:rbac:groups=plumbline.dev,resources=guarddutybaselines/status;cloudtrailbaselines/status;s3baselines/status;iambaselines/status;encryptionbaselines/status,verbs=update

// BaselineReconciler sums the accounts' results for every baseline of every kind. It never calls AWS.
type BaselineReconciler struct {
	Client      client.Client
	Kinds       []control.Kind
	Record      *Record
	AllowWrites bool
	Clock       func() time.Time
}

// rollUp is the one key of the controller: a single walk over the accounts serves all baselines.
type rollUp struct{}

// rollUpAfter gathers the changes of accounts that come close together into one walk.
const rollUpAfter = 2 * time.Second

// SetupWithManager registers the reconciler.
func (r *BaselineReconciler) SetupWithManager(mgr ctrl.Manager) error {
	c, err := controller.NewTyped("baseline", mgr, controller.TypedOptions[rollUp]{Reconciler: r, MaxConcurrentReconciles: 1})
	if err != nil {
		return err
	}
	accounts := source.TypedKind(mgr.GetCache(), &v1alpha1.AWSAccount{}, after[*v1alpha1.AWSAccount](rollUpAfter))
	if err := c.Watch(accounts); err != nil {
		return err
	}
	organizations := source.TypedKind(mgr.GetCache(), &v1alpha1.AWSOrganization{}, after[*v1alpha1.AWSOrganization](rollUpAfter),
		predicate.TypedGenerationChangedPredicate[*v1alpha1.AWSOrganization]{})
	if err := c.Watch(organizations); err != nil {
		return err
	}
	for _, k := range r.Kinds {
		changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
		src := source.TypedKind(mgr.GetCache(), k.New().(client.Object), after[client.Object](0), changed)
		if err := c.Watch(src); err != nil {
			return err
		}
	}
	return nil
}

// after queues the one key after a while, whatever happened to the object. A key that waits already keeps its time.
func after[O client.Object](wait time.Duration) handler.TypedEventHandler[O, rollUp] {
	add := func(q workqueue.TypedRateLimitingInterface[rollUp]) { q.AddAfter(rollUp{}, wait) }
	type queue = workqueue.TypedRateLimitingInterface[rollUp]
	return handler.TypedFuncs[O, rollUp]{
		CreateFunc:  func(_ context.Context, _ event.TypedCreateEvent[O], q queue) { add(q) },
		UpdateFunc:  func(_ context.Context, _ event.TypedUpdateEvent[O], q queue) { add(q) },
		DeleteFunc:  func(_ context.Context, _ event.TypedDeleteEvent[O], q queue) { add(q) },
		GenericFunc: func(_ context.Context, _ event.TypedGenericEvent[O], q queue) { add(q) },
	}
}

// Reconcile sums up all baselines and writes those whose numbers changed.
func (r *BaselineReconciler) Reconcile(ctx context.Context, _ rollUp) (reconcile.Result, error) {
	org, err := theOrganization(ctx, r.Client)
	if err != nil && err != errNoOrganization { //nolint:errorlint // it is returned as it is
		return reconcile.Result{}, err
	}
	baselines, err := listBaselines(ctx, r.Client, r.Kinds)
	if err != nil {
		return reconcile.Result{}, err
	}
	var accounts v1alpha1.AWSAccountList
	if err := r.Client.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing accounts: %w", err)
	}
	sums := newRollUps(org, baselines)
	for i := range accounts.Items {
		for _, s := range sums {
			s.add(&accounts.Items[i])
		}
	}
	for _, s := range sums {
		if err := r.write(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	r.Record.Baselines(sums)
	return reconcile.Result{}, nil
}

func (r *BaselineReconciler) write(ctx context.Context, s *sum) error {
	object := s.object.DeepCopyObject().(control.Baseline)
	_, status := object.Common()
	before := status.DeepCopy()
	s.status(status, object.GetGeneration(), r.AllowWrites, r.Clock())
	if equality.Semantic.DeepEqual(before, status) {
		return nil
	}
	if err := r.Client.Status().Update(ctx, object.(client.Object)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status of %s: %w", s.key(), err))
	}
	r.Record.Baseline(object, before, status)
	return nil
}

// sum gathers one baseline's numbers.
type sum struct {
	declared
	organization *v1alpha1.AWSOrganizationSpec
	controls     []control.Bound
	revision     string
	token        string

	selected, compliant, drifted, unknown int32
	pending, failed, unreachable          int32
	answered                              bool
	checks                                v1alpha1.CheckCounts
	perControl                            map[string]*v1alpha1.BaselineControlCount
	worst                                 []v1alpha1.BaselineAccountCount
	overriddenBy                          string
}

func newRollUps(org *v1alpha1.AWSOrganization, baselines []declared) []*sum {
	spec := &v1alpha1.AWSOrganizationSpec{}
	if org != nil {
		spec = &org.Spec
	}
	var all []*sum
	for _, d := range baselines {
		s := &sum{
			declared: d, organization: spec, revision: revisionOf(d.kind, d.object), answered: true,
			token:      d.object.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt],
			perControl: map[string]*v1alpha1.BaselineControlCount{},
		}
		s.controls = slices.DeleteFunc(d.kind.Controls(d.object), func(b control.Bound) bool { return !b.Managed() })
		all = append(all, s)
	}
	return all
}

// add counts one account. An account whose row does not carry today's revision has not been looked at with these settings
// and counts as unknown, whatever its numbers.
func (s *sum) add(a *v1alpha1.AWSAccount) {
	spec, _ := s.object.Common()
	mine := slices.ContainsFunc(s.controls, func(b control.Bound) bool { return concerns(s.organization, spec, b, a) })
	if !mine || absent(a) || s.organization.ManagementAccount == "" {
		return
	}
	s.selected++
	row := rowOf(a, s.kind.Name, s.object.GetName())
	if row != nil && row.HandledReconcileAt != s.token || row == nil && s.token != "" {
		s.answered = false
	}
	if row == nil || row.Revision != s.revision {
		s.pending++
		s.unknown++
		return
	}
	s.checks.Add(row.Checks)
	if row.OverriddenBy != "" {
		s.overriddenBy = row.OverriddenBy
	}
	switch {
	case a.Status.State == v1alpha1.AccountUnreachable:
		s.unreachable++
		s.unknown++
	case row.Checks.Drifted > 0:
		s.drifted++
	case row.Checks.Unknown > 0:
		s.unknown++
	case row.Checks.Total > 0:
		s.compliant++
	}
	if row.Failed > 0 {
		s.failed++
	}
	s.addControls(a)
	if row.Checks.Drifted+row.Checks.Unknown > 0 {
		s.worst = append(s.worst, v1alpha1.BaselineAccountCount{Account: a.Name, Drifted: row.Checks.Drifted, Unknown: row.Checks.Unknown})
	}
}

func rowOf(a *v1alpha1.AWSAccount, kind, name string) *v1alpha1.AccountBaseline {
	for i := range a.Status.Baselines {
		if b := &a.Status.Baselines[i]; b.Kind == kind && b.Name == name {
			return b
		}
	}
	return nil
}

func (s *sum) addControls(a *v1alpha1.AWSAccount) {
	for i := range a.Status.Controls {
		e := &a.Status.Controls[i]
		if e.Baseline != s.key() {
			continue
		}
		n := s.perControl[e.Control]
		if n == nil {
			n = &v1alpha1.BaselineControlCount{Control: e.Control}
			s.perControl[e.Control] = n
		}
		switch {
		case len(e.Drifted) > 0:
			n.Drifted++
		case len(e.Unknown) > 0:
			n.Unknown++
		case len(e.Excepted) > 0:
			n.Excepted++
		}
	}
}
