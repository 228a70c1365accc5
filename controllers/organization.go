package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Directory holds what discovery last read of the accounts. It is the only place that knows e-mail addresses.
type Directory struct {
	mu      sync.RWMutex
	members map[string]cloud.Member
}

func (d *Directory) member(id string) cloud.Member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.members[id]
}

func (d *Directory) replace(members []cloud.Member) {
	all := make(map[string]cloud.Member, len(members))
	for _, m := range members {
		all[m.ID] = m
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members = all
}

// +kubebuilder:rbac:groups=plumbline.dev,resources=awsaccounts,verbs=create;patch
// +kubebuilder:rbac:groups=plumbline.dev,resources=awsorganizations/status,verbs=update

// OrganizationReconciler discovers the accounts of the organization. It writes only metadata of AWSAccounts, by server-side
// apply and never forced, so that the same objects may stand in Git.
type OrganizationReconciler struct {
	Client    client.Client
	Live      client.Reader
	Directory *Directory
	Record    *Record
	// Read reads the organization, and Tags one account's tags, through the account it is read from.
	Read func(ctx context.Context, from cloud.Account) (*cloud.Organization, error)
	Tags func(ctx context.Context, from cloud.Account, account string) (map[string]string, error)
	// Entry says how an account is entered.
	Entry func(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles) (cloud.Account, error)
	Clock func() time.Time
	// Flow says whether events arrive; nil where none are received.
	Flow *Flow

	tags  tagCache
	heard heard
}

// SetupWithManager registers the reconciler.
func (r *OrganizationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("organization").
		For(&v1alpha1.AWSOrganization{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesRawSource(source.Func(r.heard.listen)).
		Complete(r)
}

// Reconcile reads the organization and brings the AWSAccounts into line with it.
func (r *OrganizationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	org := &v1alpha1.AWSOrganization{}
	err := r.Live.Get(ctx, req.NamespacedName, org)
	if err != nil || org.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	first, err := theOrganization(ctx, r.Live)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case first.UID != org.UID:
		return r.oneTooMany(ctx, org, first.Name)
	}
	before := org.Status.DeepCopy()
	c := conditions{&org.Status.Conditions, org.Generation, r.Clock()}
	events, flow := r.heard.take()
	r.flowing(c)
	wait := r.heard.until(org, r.Clock())
	if !flow || wait <= 0 {
		org.Status.ObservedGeneration = org.Generation
		r.tags.forget(events)
		if wait, err = r.discover(ctx, org, c); err != nil {
			r.heard.keep(events)
			return ctrl.Result{}, err
		}
		r.heard.discovered(org, r.Clock().Add(wait))
	}
	if stopped(ctx) {
		return ctrl.Result{}, nil // the messages of its events come back
	}
	if !equality.Semantic.DeepEqual(before, &org.Status) {
		if err := r.write(ctx, org); err != nil {
			r.heard.keep(events)
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the organization's status: %w", err))
		}
		r.Record.Organization(org, before)
	}
	events.done()
	return ctrl.Result{RequeueAfter: wait}, nil
}

// oneTooMany says that there is another organization. What asks for that one is left to it.
func (r *OrganizationReconciler) oneTooMany(ctx context.Context, org *v1alpha1.AWSOrganization, first string) (ctrl.Result, error) {
	before := org.Status.DeepCopy()
	c := conditions{&org.Status.Conditions, org.Generation, r.Clock()}
	org.Status.ObservedGeneration = org.Generation
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionEventsFlowing)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonOneOrganizationOnly,
		"there can be one AWSOrganization in a cluster, and "+first+" is older; delete one of them")
	if !equality.Semantic.DeepEqual(before, &org.Status) {
		if err := r.write(ctx, org); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the organization's status: %w", err))
		}
		r.Record.Organization(org, before)
	}
	return ctrl.Result{RequeueAfter: discoveryRetry}, nil
}

// flowing says whether events arrive.
func (r *OrganizationReconciler) flowing(c conditions) {
	if r.Flow == nil {
		meta.RemoveStatusCondition(c.all, v1alpha1.ConditionEventsFlowing)
		return
	}
	if is := r.Flow.condition(); is.Status != "" {
		c.set(v1alpha1.ConditionEventsFlowing, is.Status, is.Reason, is.Message)
	}
}

// write updates the status; where the object has changed meanwhile, the same status is written to what it is now: AWS is not
// asked twice.
func (r *OrganizationReconciler) write(ctx context.Context, org *v1alpha1.AWSOrganization) error {
	latest := org.DeepCopy()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		latest.Status = org.Status
		err := r.Client.Status().Update(ctx, latest)
		if !apierrors.IsConflict(err) {
			return err
		}
		if getErr := r.Live.Get(ctx, client.ObjectKeyFromObject(org), latest); getErr != nil {
			return getErr
		}
		return err
	})
}

// discoveryRetry is how soon a discovery that AWS refused is tried again, and how soon an organization that is one too many
// looks whether it is the only one by now.
const discoveryRetry = time.Minute

// discover does the work and says when to come back. Errors are of the API server only.
func (r *OrganizationReconciler) discover(ctx context.Context, org *v1alpha1.AWSOrganization, c conditions) (time.Duration, error) {
	from, read, err := r.readOrganization(ctx, org)
	if err != nil {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryFailed, whyNoDiscovery(err))
		return discoveryRetry, nil
	}
	accounts := &metav1.PartialObjectMetadataList{}
	accounts.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AWSAccountList"))
	if err := r.Live.List(ctx, accounts); err != nil {
		return 0, fmt.Errorf("listing accounts: %w", err)
	}
	d := newDiscovery(org, from, read, accounts.Items)
	if why := d.refuse(); why != "" {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryRefused, why)
		return org.Spec.DiscoverEvery(), nil
	}
	r.Directory.replace(read.Members)
	if err := r.apply(ctx, d); err != nil {
		return 0, err
	}
	d.report(c)
	return org.Spec.DiscoverEvery(), nil
}

func (r *OrganizationReconciler) readOrganization(ctx context.Context, org *v1alpha1.AWSOrganization) (cloud.Account, *cloud.Organization, error) {
	id := org.Spec.ReadFromOrDefault()
	var own v1alpha1.AWSAccount
	if err := r.Client.Get(ctx, client.ObjectKey{Name: id}, &own); err != nil && !apierrors.IsNotFound(err) {
		return cloud.Account{}, nil, err
	}
	return r.readThrough(ctx, org, own.Spec.Roles)
}

// readThrough reads the organization through the account it is read from, which may have roles of its own.
func (r *OrganizationReconciler) readThrough(ctx context.Context, org *v1alpha1.AWSOrganization, own v1alpha1.AccountRoles) (cloud.Account, *cloud.Organization, error) {
	from, err := r.Entry(org, org.Spec.ReadFromOrDefault(), own)
	if err != nil {
		return from, nil, err
	}
	read, err := r.Read(ctx, from)
	return from, read, err
}

func whyNoDiscovery(err error) string {
	_, message := control.Explain(err)
	return "the organization cannot be read: " + message
}

// discovery is one reading of the organization, beside the accounts that are known.
type discovery struct {
	org  *v1alpha1.AWSOrganization
	from cloud.Account
	read *cloud.Organization
	// known are the AWSAccounts that there are, by id.
	known map[string]*metav1.PartialObjectMetadata
	// wanted are the members that are taken in, vanished the accounts that discovery once took in and that the organization no
	// longer has.
	wanted   []cloud.Member
	vanished []*metav1.PartialObjectMetadata
	// excluded are the accounts that discovery once took in and that spec.discovery leaves out now.
	excluded []*metav1.PartialObjectMetadata
	// problems is what could not be written: because others own it, because it is no legal label or no account.
	problems []string
}

func newDiscovery(org *v1alpha1.AWSOrganization, from cloud.Account, read *cloud.Organization, accounts []metav1.PartialObjectMetadata) *discovery {
	d := &discovery{org: org, from: from, read: read, known: map[string]*metav1.PartialObjectMetadata{}}
	member := map[string]bool{}
	for _, m := range read.Members {
		member[m.ID] = true
		switch id := v1alpha1.AccountID(m.ID); {
		case !accountID.MatchString(m.ID):
			d.problems = append(d.problems, control.Bounded(m.ID, 32)+" (no account id)")
		case slices.Contains(org.Spec.Discovery.Exclude, id), len(org.Spec.Discovery.Include) > 0 && !slices.Contains(org.Spec.Discovery.Include, id):
		default:
			d.wanted = append(d.wanted, m)
		}
	}
	for i := range accounts {
		a := &accounts[i]
		d.known[a.Name] = a
		switch taken := a.Labels[v1alpha1.LabelOrganization] == org.Name; {
		case taken && !member[a.Name]:
			d.vanished = append(d.vanished, a)
		case taken && !slices.ContainsFunc(d.wanted, func(m cloud.Member) bool { return m.ID == a.Name }):
			d.excluded = append(d.excluded, a)
		}
	}
	return d
}

// What may vanish at once before discovery believes in a mistake rather than in the list.
const (
	maxVanished        = 5
	maxVanishedPercent = 2
)

// refuse says why the list is not to be acted on: it is empty, of another organization, not whole, or too many accounts
// would be gone.
func (d *discovery) refuse() string {
	declared := string(d.org.Spec.ManagementAccount)
	switch {
	case len(d.read.Members) == 0:
		return "AWS Organizations listed no account at all; nothing was changed — check that readFrom is the management account or a delegated administrator"
	case d.read.ManagementAccount != declared:
		return fmt.Sprintf("the organization that was read has the management account %q, and spec says %s; nothing was changed — mend managementAccount or readFrom",
			control.Bounded(d.read.ManagementAccount, 32), declared)
	case !slices.ContainsFunc(d.read.Members, func(m cloud.Member) bool { return m.ID == declared }):
		return "the list of accounts lacks the management account " + declared + ", so it is not whole; nothing was changed"
	}
	present, newly := 0, 0
	for _, a := range d.known {
		if a.Labels[v1alpha1.LabelOrganization] == d.org.Name && a.Annotations[v1alpha1.AnnotationState] != stateLeft {
			present++
		}
	}
	for _, a := range d.vanished {
		if a.Annotations[v1alpha1.AnnotationState] != stateLeft {
			newly++
		}
	}
	if newly > maxVanished && newly*100 > present*maxVanishedPercent {
		return fmt.Sprintf("%d of %d accounts would have left at once; nothing was changed — if they did leave, delete their AWSAccounts by hand",
			newly, present)
	}
	return ""
}

// report writes what discovery found into the organization's status.
func (d *discovery) report(c conditions) {
	s := &d.org.Status
	s.OrganizationID = d.read.ID
	s.LastHandledReconcileAt = d.org.Annotations[v1alpha1.AnnotationReconcileRequestedAt]
	s.Accounts, s.Suspended, s.Left = 0, 0, int32(len(d.vanished)) //nolint:gosec // an organization has at most 50,000 accounts
	for _, m := range d.wanted {
		if m.State == "ACTIVE" {
			s.Accounts++
		} else {
			s.Suspended++
		}
	}
	if at := s.LastDiscoveredTime; at == nil || at.After(c.now) || c.now.Sub(at.Time) >= d.org.Spec.DiscoverEvery()/2 {
		s.LastDiscoveredTime = &metav1.Time{Time: c.now.UTC().Truncate(time.Second)}
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, fmt.Sprintf("%d accounts were discovered", len(d.wanted)))
	slices.Sort(d.problems)
	c.only(len(d.problems) > 0, v1alpha1.ConditionLabelConflict, v1alpha1.ReasonOwnedByOthers,
		"not written, because somebody else owns it or because it is not legal: "+strings.Join(d.problems[:min(len(d.problems), 10)], ", "))
}
