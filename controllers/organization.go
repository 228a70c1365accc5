package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

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

	tags tagCache
}

// SetupWithManager registers the reconciler.
func (r *OrganizationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("organization").
		For(&v1alpha1.AWSOrganization{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Complete(r)
}

// stateLeft marks an account that is no longer in the organization.
const stateLeft = "LEFT"

// discoveryOwner is the field manager of what discovery writes.
const discoveryOwner = client.FieldOwner("plumbline-discovery")

// Reconcile reads the organization and brings the AWSAccounts into line with it.
func (r *OrganizationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	org := &v1alpha1.AWSOrganization{}
	if err := r.Live.Get(ctx, req.NamespacedName, org); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := org.Status.DeepCopy()
	c := conditions{&org.Status.Conditions, org.Generation, r.Clock()}
	org.Status.ObservedGeneration = org.Generation
	wait, err := r.discover(ctx, org, c)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !equality.Semantic.DeepEqual(before, &org.Status) {
		if err := r.Client.Status().Update(ctx, org); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the organization's status: %w", err))
		}
		r.Record.Organization(org, before)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// discoveryRetry is how soon a discovery that AWS refused is tried again.
const discoveryRetry = time.Minute

// discover does the work and says when to come back. Errors are of the API server only.
func (r *OrganizationReconciler) discover(ctx context.Context, org *v1alpha1.AWSOrganization, c conditions) (time.Duration, error) {
	first, err := theOrganization(ctx, r.Live)
	if err != nil {
		return 0, err
	}
	if first.UID != org.UID {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonOneOrganizationOnly,
			"there can be one AWSOrganization in a cluster, and "+first.Name+" is older; delete one of them")
		return 0, nil
	}
	from, read, err := r.readOrganization(ctx, org)
	if err != nil {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryFailed, whyNoDiscovery(err))
		return discoveryRetry, nil
	}
	r.Directory.replace(read.Members)
	accounts := &v1alpha1.AWSAccountList{}
	if err := r.Live.List(ctx, accounts); err != nil {
		return 0, fmt.Errorf("listing accounts: %w", err)
	}
	wanted := wantedMembers(org.Spec.Discovery, read.Members)
	vanished := vanishedAccounts(org.Name, accounts.Items, read.Members)
	if why := refuse(org, read, accounts.Items, vanished); why != "" {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryRefused, why)
		return org.Spec.DiscoverEvery(), nil
	}
	problems, err := r.apply(ctx, org, from, wanted, vanished)
	if err != nil {
		return 0, err
	}
	report(org, read, wanted, len(vanished), problems, c)
	return org.Spec.DiscoverEvery(), nil
}

func (r *OrganizationReconciler) readOrganization(ctx context.Context, org *v1alpha1.AWSOrganization) (cloud.Account, *cloud.Organization, error) {
	id := org.Spec.ReadFromOrDefault()
	var own v1alpha1.AWSAccount
	if err := r.Client.Get(ctx, client.ObjectKey{Name: id}, &own); err != nil && !apierrors.IsNotFound(err) {
		return cloud.Account{}, nil, err
	}
	from, err := r.Entry(org, id, own.Spec.Roles)
	if err != nil {
		return from, nil, err
	}
	read, err := r.Read(ctx, from)
	return from, read, err
}

func whyNoDiscovery(err error) string {
	if errors.Is(err, cloud.ErrWrongAccount) {
		return control.Bounded(err.Error(), 400)
	}
	_, message := control.Explain(err)
	return "the organization cannot be read: " + message
}

// wantedMembers are the members that discovery takes in.
func wantedMembers(d v1alpha1.Discovery, all []cloud.Member) []cloud.Member {
	return slices.DeleteFunc(slices.Clone(all), func(m cloud.Member) bool {
		id := v1alpha1.AccountID(m.ID)
		return slices.Contains(d.Exclude, id) || len(d.Include) > 0 && !slices.Contains(d.Include, id)
	})
}

// vanishedAccounts are the accounts that discovery once took in, and that the organization no longer has.
func vanishedAccounts(org string, known []v1alpha1.AWSAccount, members []cloud.Member) []v1alpha1.AWSAccount {
	return slices.DeleteFunc(slices.Clone(known), func(a v1alpha1.AWSAccount) bool {
		return a.Labels[v1alpha1.LabelOrganization] != org ||
			slices.ContainsFunc(members, func(m cloud.Member) bool { return m.ID == a.Name })
	})
}

// What may vanish at once before discovery believes in a mistake rather than in the list.
const (
	maxVanished        = 5
	maxVanishedPercent = 2
)

// refuse says why the list is not to be acted on: it is empty, of another organization, or too many accounts would be gone.
func refuse(org *v1alpha1.AWSOrganization, read *cloud.Organization, known, vanished []v1alpha1.AWSAccount) string {
	if len(read.Members) == 0 {
		return "AWS Organizations listed no account at all; nothing was changed — check that readFrom is the management account or a delegated administrator"
	}
	if read.ManagementAccount != "" && read.ManagementAccount != string(org.Spec.ManagementAccount) {
		return "the organization that was read has the management account " + read.ManagementAccount + ", and spec says " +
			string(org.Spec.ManagementAccount) + "; nothing was changed — mend managementAccount or readFrom"
	}
	newly := slices.DeleteFunc(slices.Clone(vanished), func(a v1alpha1.AWSAccount) bool {
		return a.Annotations[v1alpha1.AnnotationState] == stateLeft
	})
	if len(newly) > maxVanished && len(newly)*100 > len(known)*maxVanishedPercent {
		return fmt.Sprintf("%d of %d accounts would have left at once; nothing was changed — if they did leave, delete their AWSAccounts by hand",
			len(newly), len(known))
	}
	return ""
}

// apply writes the metadata of every account. It returns what could not be written because others own it or because a tag
// is no label.
func (r *OrganizationReconciler) apply(ctx context.Context, org *v1alpha1.AWSOrganization, from cloud.Account, wanted []cloud.Member, vanished []v1alpha1.AWSAccount) ([]string, error) {
	var problems []string
	for _, m := range wanted {
		labels := map[string]string{v1alpha1.LabelOrganization: org.Name}
		for _, ou := range m.OUs {
			labels[v1alpha1.LabelOUPrefix+ou] = ""
		}
		tagged, notes := r.tagLabels(ctx, org, from, m)
		maps.Copy(labels, tagged)
		problems = append(problems, notes...)
		annotations := map[string]string{
			v1alpha1.AnnotationName: control.Bounded(m.Name, 256), v1alpha1.AnnotationOUPath: control.Bounded(m.Path, 1024),
			v1alpha1.AnnotationState: m.State,
		}
		if !m.JoinedAt.IsZero() {
			annotations[v1alpha1.AnnotationJoinedAt] = m.JoinedAt.UTC().Format(time.RFC3339)
		}
		note, err := r.applyOne(ctx, m.ID, labels, annotations)
		if err != nil {
			return nil, err
		}
		problems = append(problems, note...)
	}
	for _, a := range vanished {
		labels := map[string]string{v1alpha1.LabelOrganization: org.Name}
		annotations := map[string]string{v1alpha1.AnnotationState: stateLeft}
		for _, kept := range []string{v1alpha1.AnnotationName, v1alpha1.AnnotationJoinedAt} {
			if v := a.Annotations[kept]; v != "" {
				annotations[kept] = v
			}
		}
		note, err := r.applyOne(ctx, a.Name, labels, annotations)
		if err != nil {
			return nil, err
		}
		problems = append(problems, note...)
	}
	return problems, nil
}

// applyOne applies one account's metadata. What somebody else owns is left to them and noted.
func (r *OrganizationReconciler) applyOne(ctx context.Context, id string, labels, annotations map[string]string) ([]string, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AWSAccount"))
	u.SetName(id)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), discoveryOwner)
	if !apierrors.IsConflict(err) {
		if err != nil {
			return nil, fmt.Errorf("applying account %s: %w", id, err)
		}
		return nil, nil
	}
	// Leave out, once, what others own; the rest is still ours to write.
	notes := dropOwned(err, labels, annotations, id)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), discoveryOwner)
	if err != nil && !apierrors.IsConflict(err) {
		return nil, fmt.Errorf("applying account %s: %w", id, err)
	}
	return notes, nil
}

// dropOwned takes the labels and annotations out that the conflict names.
func dropOwned(err error, labels, annotations map[string]string, id string) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return []string{id}
	}
	var notes []string
	for _, cause := range status.Status().Details.Causes {
		for _, m := range []map[string]string{labels, annotations} {
			for k := range m {
				if strings.HasSuffix(cause.Field, "."+k) || strings.Contains(cause.Field, `"`+k+`"`) {
					delete(m, k)
					notes = append(notes, id+": "+k)
				}
			}
		}
	}
	return notes
}

// report writes what discovery found into the organization's status.
func report(org *v1alpha1.AWSOrganization, read *cloud.Organization, wanted []cloud.Member, left int, problems []string, c conditions) {
	s := &org.Status
	s.OrganizationID = read.ID
	s.Accounts, s.Suspended, s.Left = 0, 0, int32(left) //nolint:gosec // an organization has at most 50,000 accounts
	for _, m := range wanted {
		if m.State == "ACTIVE" {
			s.Accounts++
		} else {
			s.Suspended++
		}
	}
	if at := s.LastDiscoveredTime; at == nil || c.now.Sub(at.Time) >= org.Spec.DiscoverEvery()/2 {
		s.LastDiscoveredTime = &metav1.Time{Time: c.now.UTC().Truncate(time.Second)}
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, fmt.Sprintf("%d accounts were discovered", len(wanted)))
	slices.Sort(problems)
	c.only(len(problems) > 0, v1alpha1.ConditionLabelConflict, v1alpha1.ReasonOwnedByOthers,
		"not written, because somebody else owns it or because it is no legal label: "+strings.Join(problems[:min(len(problems), 10)], ", "))
	if len(problems) == 0 {
		meta.RemoveStatusCondition(c.all, v1alpha1.ConditionLabelConflict)
	}
}

// tagCache holds the accounts' tags for a day.
type tagCache struct {
	mu   sync.Mutex
	tags map[string]tagEntry
}

type tagEntry struct {
	tags map[string]string
	at   time.Time
}

const tagsMaxAge = 24 * time.Hour

// tagLabels are the labels that an account's AWS tags become, and what could not become one. Where tags cannot be read, the
// ones read last stand.
func (r *OrganizationReconciler) tagLabels(ctx context.Context, org *v1alpha1.AWSOrganization, from cloud.Account, m cloud.Member) (map[string]string, []string) {
	if len(org.Spec.TagLabels) == 0 || m.State != "ACTIVE" {
		return nil, nil
	}
	var notes []string
	tags, err := r.accountTags(ctx, from, m.ID)
	if err != nil {
		_, message := control.Explain(err)
		notes = append(notes, m.ID+": tags: "+control.Bounded(message, 120))
	}
	labels := map[string]string{}
	for _, key := range org.Spec.TagLabels {
		value, ok := tags[key]
		if !ok {
			continue
		}
		if len(validation.IsValidLabelValue(value)) > 0 {
			notes = append(notes, m.ID+": tag "+key)
			continue
		}
		labels[key] = value
	}
	return labels, notes
}

func (r *OrganizationReconciler) accountTags(ctx context.Context, from cloud.Account, id string) (map[string]string, error) {
	r.tags.mu.Lock()
	known, ok := r.tags.tags[id]
	r.tags.mu.Unlock()
	if ok && r.Clock().Sub(known.at) < tagsMaxAge {
		return known.tags, nil
	}
	tags, err := r.Tags(ctx, from, id)
	if err != nil {
		return known.tags, err
	}
	r.tags.mu.Lock()
	defer r.tags.mu.Unlock()
	if r.tags.tags == nil {
		r.tags.tags = map[string]tagEntry{}
	}
	r.tags.tags[id] = tagEntry{tags, r.Clock()}
	return tags, nil
}
