package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// +kubebuilder:rbac:groups=plumbline.dev,resources=awsaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=plumbline.dev,resources=awsaccounts/status,verbs=update
// +kubebuilder:rbac:groups=plumbline.dev,resources=awsorganizations;guarddutybaselines;cloudtrailbaselines;s3baselines;iambaselines;encryptionbaselines;baselineexceptions,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// AccountReconciler works on one account at a time: the only unit of work. It observes what is due, has changes made, and
// writes the account's status once.
type AccountReconciler struct {
	// Client reads from the cache and writes; Live reads from the API server.
	Client client.Client
	Live   client.Reader
	Cloud  *cloud.Cloud
	Engine *engine.Engine
	// Kinds are the baseline kinds.
	Kinds []control.Kind
	// Directory knows what discovery read.
	Directory *Directory
	Record    *Record
	// ACKRole finds an account's role in ACK's role-account map; nil when the map is not in use.
	ACKRole func(account string) (string, error)
	// AllowWrites is the manager's --allow-writes.
	AllowWrites bool
	// Parallel is the number of accounts worked on at a time.
	Parallel int
	// Clock is time.Now except in tests.
	Clock func() time.Time

	memories memories
}

// SetupWithManager registers the reconciler. An account is looked at when its spec, labels or annotations change, when a
// baseline, an exception or the organization changes, and whenever something in it is due.
func (r *AccountReconciler) SetupWithManager(mgr ctrl.Manager) error {
	everyAccount := handler.EnqueueRequestsFromMapFunc(r.everyAccount)
	byPeople := builder.WithPredicates(predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	b := ctrl.NewControllerManagedBy(mgr).Named("account").
		For(&v1alpha1.AWSAccount{}, byPeople).
		Watches(&v1alpha1.AWSOrganization{}, everyAccount, byPeople).
		Watches(&v1alpha1.BaselineException{}, everyAccount, byPeople).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Parallel, 1)})
	for _, k := range r.Kinds {
		b = b.Watches(k.New().(client.Object), everyAccount, byPeople)
	}
	return b.Complete(r)
}

func (r *AccountReconciler) everyAccount(ctx context.Context, _ client.Object) []reconcile.Request {
	var accounts v1alpha1.AWSAccountList
	if err := r.Client.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing accounts")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(accounts.Items))
	for i := range accounts.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&accounts.Items[i])})
	}
	return requests
}

// errNoOrganization says that there is nothing yet that says how to enter an account.
var errNoOrganization = errors.New("there is no AWSOrganization")

// Reconcile looks at one account. It returns errors of the API server only: what AWS refuses is data in the status.
func (r *AccountReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	account := &v1alpha1.AWSAccount{}
	if err := r.Live.Get(ctx, req.NamespacedName, account); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading the account: %w", err)
	}
	w, org, err := r.gather(ctx, account)
	switch {
	case errors.Is(err, errNoOrganization):
		return r.finish(ctx, account, withoutOrganization(account, w.now), time.Time{}, w.now)
	case err != nil:
		return ctrl.Result{}, err
	case absent(account):
		r.Engine.Release(account.Name)
		return r.finish(ctx, account, absentStatus(account, w.now), time.Time{}, w.now)
	}
	return r.pass(withAccount(ctx, account), w, org)
}

func (r *AccountReconciler) forget(account string) {
	r.memories.forget(account)
	r.Engine.Release(account)
	r.Cloud.Forget(account)
	r.Record.Forget(account)
}

// pass enters the account, has what is due done, and writes what came of it.
func (r *AccountReconciler) pass(ctx context.Context, w world, org *v1alpha1.AWSOrganization) (ctrl.Result, error) {
	session, err := r.enter(w, org)
	if err == nil && r.mustReach(w) {
		err = session.Reach(ctx)
	}
	if err != nil {
		return r.unreachable(ctx, w, err)
	}
	w.recheck = w.memory.unreachable > 0 || w.account.Status.State == v1alpha1.AccountUnreachable
	w.memory.unreachable = 0
	var regionsErr error
	w.enabled, regionsErr = r.regions(ctx, session, w, org)

	p := makePlan(w)
	results := r.Engine.Run(ctx, engine.Pass{
		Account: w.account.Name, Partition: org.Spec.PartitionOrDefault(), Facts: r.facts(w, org),
		Reader: engine.Enter(r.Cloud, session), Tasks: p.due(w.now),
	})
	remember(w, &p, results)
	status := summarize(w, p, results)
	setConditions(&status, w, p, regionsErr)
	return r.finish(ctx, w.account, status, p.next(), w.now)
}

// gather reads what a plan is made from, out of the cache.
func (r *AccountReconciler) gather(ctx context.Context, account *v1alpha1.AWSAccount) (world, *v1alpha1.AWSOrganization, error) {
	w := world{account: account, memory: r.memories.of(account.Name), allowWrites: r.AllowWrites, now: r.Clock()}
	org, err := theOrganization(ctx, r.Client)
	if err != nil {
		return w, nil, err
	}
	w.organization = &org.Spec
	if w.baselines, err = listBaselines(ctx, r.Client, r.Kinds); err != nil {
		return w, nil, err
	}
	var exceptions v1alpha1.BaselineExceptionList
	if err := r.Client.List(ctx, &exceptions, client.UnsafeDisableDeepCopy); err != nil {
		return w, nil, fmt.Errorf("listing exceptions: %w", err)
	}
	for i := range exceptions.Items {
		w.exceptions = append(w.exceptions, &exceptions.Items[i])
	}
	for _, token := range w.newTokens() {
		r.Engine.Renew(token)
	}
	if w.askedAnew() {
		w.memory.denied = map[string]time.Time{}
		r.Cloud.Forget(account.Name)
	} else {
		for _, region := range account.Status.DeniedRegions {
			if _, known := w.memory.denied[region]; !known {
				w.memory.denied[region] = w.now // a restart forgot since when
			}
		}
	}
	return w, org, nil
}

// askedAnew says whether the account carries a token that was not seen before: then even regions and credentials are read
// again.
func (w world) askedAnew() bool {
	token := w.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt]
	return token != "" && token != w.account.Status.LastHandledReconcileAt && w.memory.requests[""].token != token
}

// newTokens are the tokens, of the account and of the baselines, that ask for a new look and were not seen before in this
// account.
func (w world) newTokens() []string {
	var tokens []string
	if w.askedAnew() {
		tokens = append(tokens, w.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt])
	}
	for _, d := range w.baselines {
		token, handled := d.object.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt], ""
		if stored := w.storedRow(d); stored != nil {
			handled = stored.HandledReconcileAt
		}
		if token != "" && token != handled && w.memory.requests[d.key()].token != token {
			tokens = append(tokens, d.key()+" "+token)
		}
	}
	return tokens
}

// theOrganization is the one organization: the oldest, should somebody have made a second.
func theOrganization(ctx context.Context, c client.Reader) (*v1alpha1.AWSOrganization, error) {
	var all v1alpha1.AWSOrganizationList
	if err := c.List(ctx, &all); err != nil {
		return nil, fmt.Errorf("listing organizations: %w", err)
	}
	if len(all.Items) == 0 {
		return nil, errNoOrganization
	}
	return oldest(all.Items), nil
}

func oldest(all []v1alpha1.AWSOrganization) *v1alpha1.AWSOrganization {
	first := slices.MinFunc(all, func(a, b v1alpha1.AWSOrganization) int {
		if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
			return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return &first
}

func listBaselines(ctx context.Context, c client.Reader, kinds []control.Kind) ([]declared, error) {
	var all []declared
	for _, k := range kinds {
		list := k.NewList().(client.ObjectList)
		if err := c.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %ss: %w", k.Name, err)
		}
		objects, err := extract(list)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if o.GetDeletionTimestamp() == nil {
				all = append(all, declared{k, o})
			}
		}
	}
	return all, nil
}

// enter opens a session for the account. Nothing is called yet.
func (r *AccountReconciler) enter(w world, org *v1alpha1.AWSOrganization) (*cloud.Session, error) {
	entry, err := r.Entry(org, w.account.Name, w.account.Spec.Roles)
	if err != nil {
		return nil, err
	}
	admins := map[string]cloud.Account{}
	known := administrators(&org.Spec)
	known["management"] = string(org.Spec.ManagementAccount)
	for service, id := range known {
		// An administrator's own AWSAccount may name other roles than the organization's.
		roles := v1alpha1.AccountRoles{}
		var admin v1alpha1.AWSAccount
		if err := r.Client.Get(context.Background(), client.ObjectKey{Name: id}, &admin); err == nil {
			roles = admin.Spec.Roles
		}
		if admins[service], err = r.Entry(org, id, roles); err != nil {
			return nil, err
		}
	}
	return r.Cloud.Session(entry, admins), nil
}

// Entry says how an account is entered: its own roles, else the organization's.
func (r *AccountReconciler) Entry(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles) (cloud.Account, error) {
	partition := org.Spec.PartitionOrDefault()
	arn := func(name string) string { return "arn:" + partition + ":iam::" + id + ":role/" + name }
	a := cloud.Account{
		ID: id, Partition: partition, ExternalID: org.Spec.Roles.ExternalID,
		AuditRole: own.Audit, EnforceRole: own.Enforce,
	}
	if a.EnforceRole == "" {
		a.EnforceRole = arn(org.Spec.Roles.EnforceOrDefault())
	}
	switch {
	case own.AuditFromACK && r.ACKRole == nil:
		return a, errors.New("spec.roles.auditFromACK is set and the manager runs without --ack-role-account-map")
	case own.AuditFromACK:
		role, err := r.ACKRole(id)
		if err != nil {
			return a, fmt.Errorf("looking up the account in ack-role-account-map: %w", err)
		}
		a.AuditRole = role
	case a.AuditRole == "":
		a.AuditRole = arn(org.Spec.Roles.AuditOrDefault())
	}
	return a, nil
}

// mustReach says whether this pass has to find out first that the account can be entered: when something is due, or when
// that is not known.
func (r *AccountReconciler) mustReach(w world) bool {
	reachable := findCondition(w.account.Status.Conditions, v1alpha1.ConditionReachable)
	if reachable == nil || reachable.Status != "True" || reachable.ObservedGeneration != w.account.Generation || w.memory.unreachable > 0 {
		return true
	}
	w.enabled = w.account.Status.Regions
	return len(makePlan(w).due(w.now)) > 0
}

// unreachable writes that the account could not be entered, and tries again after a while that doubles up to 15 minutes.
func (r *AccountReconciler) unreachable(ctx context.Context, w world, err error) (ctrl.Result, error) {
	r.Engine.Release(w.account.Name)
	r.Cloud.Forget(w.account.Name)
	wait := min(time.Minute<<min(w.memory.unreachable, 10), 15*time.Minute)
	w.memory.unreachable++
	w.enabled = w.account.Status.Regions
	if len(w.enabled) == 0 {
		w.enabled = regionNames(w.organization.Regions)
	}
	status := unreachableStatus(w, makePlan(w), err)
	return r.finish(ctx, w.account, status, w.now.Add(wait), w.now)
}

// regions are the account's enabled regions. Where they cannot be read, those read last stand in, or the organization's.
func (r *AccountReconciler) regions(ctx context.Context, s *cloud.Session, w world, org *v1alpha1.AWSOrganization) ([]string, error) {
	if !w.concerned() {
		return w.account.Status.Regions, nil // nothing asks for them
	}
	enabled, _, err := r.Cloud.Regions(ctx, s, w.now)
	if err == nil {
		return enabled, nil
	}
	if len(w.account.Status.Regions) > 0 {
		return w.account.Status.Regions, err
	}
	return regionNames(org.Spec.Regions), err
}

func regionNames(regions []v1alpha1.Region) []string {
	var names []string
	for _, r := range regions {
		names = append(names, string(r))
	}
	slices.Sort(names)
	return names
}

func (r *AccountReconciler) facts(w world, org *v1alpha1.AWSOrganization) control.Facts {
	entry, err := r.Entry(org, w.account.Name, w.account.Spec.Roles)
	if err != nil {
		entry = cloud.Account{} // entering would have failed already
	}
	member := r.Directory.member(w.account.Name)
	return control.Facts{
		OrganizationID: org.Status.OrganizationID, ManagementAccount: string(org.Spec.ManagementAccount),
		Administrators: maps.Clone(administrators(&org.Spec)), Email: member.Email, JoinedAt: joinedAt(w.account),
		AuditRole: entry.AuditRole, EnforceRole: entry.EnforceRole, ExternalID: entry.ExternalID,
	}
}

// observedEvery is how often the time of the last observation is written when nothing else is new.
const observedEvery = 15 * time.Minute

// statusTimeout bounds writing a status.
const statusTimeout = 15 * time.Second

// finish writes the status where it says something new, tells what changed, and comes back when something is next due. A
// zero next comes back only when something changes.
func (r *AccountReconciler) finish(ctx context.Context, account *v1alpha1.AWSAccount, status v1alpha1.AWSAccountStatus, next, now time.Time) (ctrl.Result, error) {
	// What was seen and done is written even when the manager has been told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	before := account.Status.DeepCopy()
	if worthWriting(before, &status) {
		if err := r.write(ctx, account, status); err != nil {
			return ctrl.Result{}, err
		}
		r.Record.Transitions(account, before, &status)
	}
	r.Record.Account(account.Name, &status)
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Second), Priority: ptr.To(handler.LowPriority)}, nil
}

// worthWriting says whether the new status says anything but a time a little later.
func worthWriting(before, after *v1alpha1.AWSAccountStatus) bool {
	if b, a := before.LastObservedTime, after.LastObservedTime; b == nil || a == nil || a.Sub(b.Time) >= observedEvery {
		return !equality.Semantic.DeepEqual(before, after)
	}
	return !equality.Semantic.DeepEqual(withoutTimes(before), withoutTimes(after))
}

func withoutTimes(s *v1alpha1.AWSAccountStatus) *v1alpha1.AWSAccountStatus {
	c := s.DeepCopy()
	c.LastObservedTime = nil
	for i := range c.Baselines {
		c.Baselines[i].LastObservedTime, c.Baselines[i].ResourcesObservedTime = nil, nil
	}
	return c
}

// write updates the status; on a conflict the object is read again and the same status written: AWS is not asked twice.
func (r *AccountReconciler) write(ctx context.Context, account *v1alpha1.AWSAccount, status v1alpha1.AWSAccountStatus) error {
	latest := account.DeepCopy()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		latest.Status = status
		err := r.Client.Status().Update(ctx, latest)
		if apierrors.IsConflict(err) {
			if getErr := r.Live.Get(ctx, client.ObjectKeyFromObject(account), latest); getErr != nil {
				return getErr
			}
		}
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing the account's status: %w", err)
	}
	return nil
}

func extract(list runtime.Object) ([]control.Baseline, error) {
	var all []control.Baseline
	err := meta.EachListItem(list, func(o runtime.Object) error {
		b, ok := o.(control.Baseline)
		if !ok {
			return fmt.Errorf("%T is no baseline", o)
		}
		all = append(all, b)
		return nil
	})
	return all, err
}
