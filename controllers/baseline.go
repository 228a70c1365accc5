package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	Client client.Client
	Kinds  []control.Kind
	Record *Record
	// Remediations are what is proposed; nil: nothing is.
	Remediations *Remediations
	AllowWrites  bool
	// DefaultSoak is how long the first account of a baseline without waves is watched before all others are changed.
	DefaultSoak time.Duration
	Clock       func() time.Time

	declarations declarations
}

// rollUp is the one key of the controller: a single walk over the accounts serves all baselines.
type rollUp struct{}

// staleTick is how often is it looked for stale observations where nothing changes.
const staleTick = time.Minute

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
	if r.Remediations != nil {
		remediations := source.TypedKind(mgr.GetCache(), &v1alpha1.Remediation{}, after[*v1alpha1.Remediation](rollUpAfter))
		if err := c.Watch(remediations); err != nil {
			return err
		}
	}
	organizations := source.TypedKind(mgr.GetCache(), &v1alpha1.AWSOrganization{}, after[*v1alpha1.AWSOrganization](rollUpAfter),
		predicate.TypedGenerationChangedPredicate[*v1alpha1.AWSOrganization]{})
	if err := c.Watch(organizations); err != nil {
		return err
	}
	for _, k := range r.Kinds {
		changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
		src := source.TypedKind[client.Object](mgr.GetCache(), k.New(), after[client.Object](0), changed)
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

// Reconcile sums up all baselines and writes those whose numbers changed. One that cannot be written keeps none of the others
// from it.
func (r *BaselineReconciler) Reconcile(ctx context.Context, _ rollUp) (reconcile.Result, error) {
	org, err := theOrganization(ctx, r.Client)
	if err != nil && !errors.Is(err, errNoOrganization) {
		return reconcile.Result{}, err
	}
	baselines, err := r.declarations.list(ctx, r.Client, r.Kinds)
	if err != nil {
		return reconcile.Result{}, err
	}
	var accounts v1alpha1.AWSAccountList
	if err := r.Client.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing accounts: %w", err)
	}
	sums := newRollUps(org, baselines, r.Clock())
	for i := range accounts.Items {
		for _, s := range sums {
			s.add(&accounts.Items[i])
		}
	}
	for _, s := range sums {
		s.rollOut(r.DefaultSoak)
	}
	r.Record.Baselines(sums)
	if err := r.decide(ctx, sums); err != nil {
		return reconcile.Result{}, err
	}
	return r.writeAll(ctx, sums)
}

// decide has done what baselines say about Remediations: batches are approved, and what a deleted one has changed is put back.
func (r *BaselineReconciler) decide(ctx context.Context, sums []*sum) error {
	if r.Remediations == nil {
		return nil
	}
	var remediations v1alpha1.RemediationList
	if err := r.Client.List(ctx, &remediations, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing remediations: %w", err)
	}
	listed, err := ListBaselines(ctx, r.Client, r.Kinds, client.UnsafeDisableDeepCopy)
	if err != nil {
		return err
	}
	needed, _ := standingOf(listed)
	problems := []error{r.finalize(ctx, listed, remediations.Items), r.Remediations.dropOldest(ctx, remediations.Items, needed)}
	for _, s := range sums {
		s.records = remediations.Items
		var err error
		s.refused, err = s.approve(ctx, r.Remediations)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func (r *BaselineReconciler) writeAll(ctx context.Context, sums []*sum) (reconcile.Result, error) {
	var errs []error
	var again reconcile.Result
	for _, s := range sums {
		err := r.write(ctx, s)
		if apierrors.IsConflict(err) {
			again.RequeueAfter = rollUpAfter // the cache is behind; it will have the newer object by then
			continue
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	if again.RequeueAfter == 0 {
		again.RequeueAfter = staleTick // what is stale becomes so without anything being written
	}
	return again, nil
}

func (r *BaselineReconciler) write(ctx context.Context, s *sum) error {
	object, ok := s.object.DeepCopyObject().(control.Baseline)
	if !ok {
		return fmt.Errorf("%T is no baseline", s.object)
	}
	_, status := object.Common()
	before := status.DeepCopy()
	status.Rollout = s.rolled
	s.status(status, object.GetGeneration(), r.AllowWrites, r.Clock())
	if equality.Semantic.DeepEqual(before, status) {
		return nil
	}
	if err := r.Client.Status().Update(ctx, object); err != nil {
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
	pending, failed, unreachable, stale   int32
	now                                   time.Time
	answered                              bool
	checks                                v1alpha1.CheckCounts
	perControl                            map[string]*v1alpha1.BaselineControlCount
	worst                                 []v1alpha1.BaselineAccountCount
	overriddenBy                          string
	// deciding has the accounts in which organization-wide settings are decided, and whether they are there.
	deciding map[string]bool
	// regions are those enabled in one of the selected accounts.
	regions map[string]bool
	// records are the Remediations of all baselines, and refused says why entries of spec.approvals do not count.
	records []v1alpha1.Remediation
	refused []refusal
	// members are the selected accounts, and rolled how far the settings are rolled out over them, with the manager's own soak.
	members []enrolled
	rolled  *v1alpha1.RolloutStatus
	soak    time.Duration
	// awaiting counts, by control, the accounts in which something waits for an approval.
	awaiting map[string]int32
}

func newRollUps(org *v1alpha1.AWSOrganization, baselines []declared, now time.Time) []*sum {
	spec := &v1alpha1.AWSOrganizationSpec{}
	if org != nil {
		spec = &org.Spec
	}
	var all []*sum
	for _, d := range baselines {
		s := &sum{
			declared: d, organization: spec, revision: d.revision, answered: true, now: now,
			token:      d.object.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt],
			perControl: map[string]*v1alpha1.BaselineControlCount{}, deciding: map[string]bool{}, regions: map[string]bool{},
			awaiting: map[string]int32{},
		}
		s.controls = slices.DeleteFunc(slices.Clone(d.controls), func(b control.Bound) bool { return !b.Managed() })
		for _, b := range s.controls {
			if b.Scope == control.Organization && org != nil {
				s.deciding[deciding(spec, b.Meta)] = false
			}
		}
		all = append(all, s)
	}
	return all
}

// add counts one account. An account whose row does not carry today's revision has not been looked at with these settings
// and counts as unknown, whatever its numbers.
func (s *sum) add(a *v1alpha1.AWSAccount) {
	if absent(a) || s.organization.ManagementAccount == "" {
		return
	}
	if _, decides := s.deciding[a.Name]; decides {
		s.deciding[a.Name] = true
	}
	spec, _ := s.object.Common()
	if !slices.ContainsFunc(s.controls, func(b control.Bound) bool { return concerns(s.organization, spec, b, a) }) {
		return
	}
	s.selected++
	for _, r := range a.Status.Regions {
		s.regions[r] = true
	}
	row := rowOf(a, s.kind.Name, s.object.GetName())
	if row == nil {
		row = &v1alpha1.AccountBaseline{}
	}
	if !staleRow(spec, row, s.now).IsZero() {
		s.stale++
	}
	away := a.Status.State == v1alpha1.AccountUnreachable
	s.members = append(s.members, enrolled{account: a, row: row, busy: s.busy(a), away: away})
	if away {
		// It is not about to be looked at; waiting for it would make the baseline reconcile for ever.
		s.unreachable++
		s.unknown++
		s.checks.Add(row.Checks.Unlooked())
		return
	}
	s.answered = s.answered && row.HandledReconcileAt == s.token
	if row.Revision != s.revision {
		s.pending++
		s.unknown++
		s.checks.Add(row.Checks.Unlooked())
		return
	}
	s.addRow(a, row)
	s.addControls(a)
}

// busy says whether something of the baseline is left to change in the account.
func (s *sum) busy(a *v1alpha1.AWSAccount) bool {
	return slices.ContainsFunc(a.Status.Controls, func(e v1alpha1.AccountControl) bool {
		return e.Baseline == s.key() && slices.Contains(underWay, e.Reason)
	})
}

// addRow counts an account that was looked at with today's settings.
func (s *sum) addRow(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
	s.checks.Add(row.Checks)
	if row.OverriddenBy != "" {
		s.overriddenBy = row.OverriddenBy
	}
	switch {
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
		if e.Reason == v1alpha1.RowAwaitingApproval {
			s.awaiting[e.Control]++
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
