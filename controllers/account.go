package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

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
	// Remediations keep on record what is changed; nil: nothing is, and what needs an approval is not made.
	Remediations *Remediations
	// ACKRole finds an account's role in ACK's role-account map; nil when the map is not in use.
	ACKRole func(account string) (string, error)
	// AllowWrites is the manager's --allow-writes.
	AllowWrites bool
	// DefaultSoak is how long the first account of a baseline without waves is watched before all others are changed.
	DefaultSoak time.Duration
	// Parallel is the number of accounts in which everything is looked at at a time. Beside them, up to kept others are looked at
	// because of an event, or because a person asks for that account.
	Parallel int
	// Clock is time.Now except in tests.
	Clock func() time.Time
	// Flow hears of changes that sweeps find; nil where no events are received.
	Flow *Flow

	memories     memories
	declarations declarations
	begun        sync.Once
	handed       handedStates
	marks        *marks
	urgency      *urgency
}

// begin makes what the reconciler keeps in memory.
func (r *AccountReconciler) begin() {
	r.begun.Do(func() { r.marks, r.urgency = newMarks(), newUrgency(r.Clock, r.Parallel) })
}

// SetupWithManager registers the reconciler. An account is looked at when its spec, labels or annotations change, when a
// baseline, an exception or the organization changes, when an event tells of it, and whenever something in it is due.
func (r *AccountReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.begin()
	itself := r.urgency.people(bySweep, byPerson, func(_ context.Context, o client.Object) []string { return []string{o.GetName()} })
	everyAccount := r.urgency.people(byEveryone, byEveryone, r.everyAccount)
	byPeople := builder.WithPredicates(predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	b := ctrl.NewControllerManagedBy(mgr).Named("account").
		Watches(&v1alpha1.AWSAccount{}, itself, byPeople).
		WatchesRawSource(source.Func(r.urgency.Start)).
		Watches(&v1alpha1.AWSOrganization{}, everyAccount, byPeople).
		Watches(&v1alpha1.BaselineException{}, everyAccount, byPeople).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Parallel, 1) + kept})
	for _, k := range r.Kinds {
		b = b.Watches(k.New(), everyAccount, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}, rolloutMoved)))
	}
	if r.Remediations != nil {
		its := r.urgency.people(bySweep, byPerson, func(_ context.Context, o client.Object) []string {
			rem, ok := o.(*v1alpha1.Remediation)
			if !ok {
				return nil
			}
			return r.concernedBy(rem)
		})
		b = b.Watches(&v1alpha1.Remediation{}, its, builder.WithPredicates(workFor))
	}
	return b.Complete(r)
}

func (r *AccountReconciler) everyAccount(ctx context.Context, _ client.Object) []string {
	var accounts v1alpha1.AWSAccountList
	if err := r.Client.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing accounts")
		return nil
	}
	names := make([]string, 0, len(accounts.Items))
	for i := range accounts.Items {
		names = append(names, accounts.Items[i].Name)
	}
	return names
}

// kept is how many passes are kept for events and for people who ask for one account: about what 100 events a second in as
// many accounts need, each of which has to be entered and asked. They are idle otherwise.
const kept = 128

// errNoOrganization says that there is nothing yet that says how to enter an account.
var errNoOrganization = errors.New("there is no AWSOrganization")

// Reconcile looks at one account. It returns errors of the API server only: what AWS refuses is data in the status.
func (r *AccountReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	r.begin()
	asker, end, begins := r.urgency.begin(req.Name)
	if !begins {
		return ctrl.Result{}, nil // it is queued again when its turn has come
	}
	defer end()
	result, err := r.turn(ctx, req, asker)
	if err != nil { // it is tried again, and is no less urgent then
		r.urgency.next(req.Name, asker, r.Clock())
	}
	return result, err
}

// turn is an account's turn.
func (r *AccountReconciler) turn(ctx context.Context, req ctrl.Request, asker asker) (ctrl.Result, error) {
	account, err := r.read(ctx, req.NamespacedName)
	switch {
	case apierrors.IsNotFound(err), err == nil && account.DeletionTimestamp != nil:
		r.forget(req.Name)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the account: %w", err)
	}
	w, org, err := r.gather(ctx, account)
	w.person = asker == byPerson || asker == byEveryone
	switch {
	case errors.Is(err, errNoOrganization):
		return r.rest(ctx, w, withoutOrganization)
	case err != nil:
		return ctrl.Result{}, err
	case absent(account):
		return r.rest(ctx, w, absentStatus)
	}
	return r.pass(withAccount(ctx, account), w, org)
}

// read reads the account, no older than the manager's cache has it and than this manager wrote it. The API server answers that
// from its own cache, at half of what it takes to ask etcd. Should what it has be older than what somebody else wrote last,
// writing the status is a conflict.
func (r *AccountReconciler) read(ctx context.Context, key client.ObjectKey) (*v1alpha1.AWSAccount, error) {
	account := &v1alpha1.AWSAccount{}
	if err := r.Client.Get(ctx, key, account, &client.GetOptions{UnsafeDisableDeepCopy: new(true)}); err != nil {
		return account, r.Live.Get(ctx, key, account) // what the cache does not know yet
	}
	version := account.ResourceVersion
	if written := r.memories.version(key.Name); isLater(written, version) {
		version = written
	}
	account = &v1alpha1.AWSAccount{} // what the cache gave is the cache's own
	err := r.Live.Get(ctx, key, account, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: version}})
	if apierrors.IsTimeout(err) { // etcd was restored from a backup, and its versions are older than what is known here
		return account, r.Live.Get(ctx, key, account)
	}
	return account, err
}

// isLater says whether one resource version of an object is later than another. One that is no number is not.
func isLater(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// rest writes the status of an account that is not worked on. What was known of it is forgotten: when it is worked on again,
// it is looked at anew.
func (r *AccountReconciler) rest(ctx context.Context, w world, status func(a *v1alpha1.AWSAccount, now time.Time) v1alpha1.AWSAccountStatus) (ctrl.Result, error) {
	r.Engine.Release(w.account.Name)
	w.memory = newMemory()
	w.memory.anew = w.now // the status may still have its rows
	w.handled = w.open
	return r.finish(ctx, w, time.Time{}, func(w world) v1alpha1.AWSAccountStatus { return status(w.account, w.now) })
}

func (r *AccountReconciler) forget(account string) {
	r.memories.forget(account)
	r.handed.forget(account)
	r.marks.forget(account)
	r.Engine.Release(account)
	r.Cloud.Forget(account)
	r.Record.Forget(account)
}

// enterFor bounds entering an account: assuming its role and listing its regions. One that does not answer keeps the others
// waiting no longer; the regions that were read last stand in.
const enterFor = 10 * time.Second

// pass enters the account, has what is due done, and writes what came of it.
func (r *AccountReconciler) pass(ctx context.Context, w world, org *v1alpha1.AWSOrganization) (ctrl.Result, error) {
	ctx, requests := cloud.CountRequests(ctx)
	defer func() { r.Record.Pass(requests.Load()) }()
	session, err := r.enter(ctx, org, w.account)
	call, planned := r.mustCall(w, org)
	anew := w.memory.anew
	entering, entered := context.WithTimeout(ctx, enterFor)
	defer entered()
	if err == nil && call {
		if err = session.Reach(entering); err == nil {
			w.memory.entry, err = r.Entry(org, w.account.Name, w.account.Spec.Roles)
		}
	}
	switch {
	case stopped(ctx):
		return ctrl.Result{}, nil // nothing was looked at
	case err != nil:
		return r.unreachable(ctx, w, err)
	}
	w.memory.entered(w.account, w.now)
	if w.enabled = w.account.Status.Regions; call && !w.hurries() {
		w.enabled, w.regionsErr = r.regions(entering, session, w, org)
	}
	if w.regionsErr != nil && stopped(ctx) {
		return ctrl.Result{}, nil
	}
	p := w.planAgain(planned, anew)
	tasks, onlyEvents := p.due(w)
	if onlyEvents {
		ctx = cloud.Urgent(ctx)
	}
	pass := engine.Pass{
		Account: w.account.Name, Partition: org.Spec.PartitionOrDefault(), Facts: r.facts(w, org),
		Reader: engine.Enter(r.Cloud, session), Planned: p.all(), Tasks: tasks,
		Yield: r.yields(w, p), Halted: r.halted(ctx),
	}
	book := r.open(w, &pass)
	results := r.Engine.Run(ctx, pass)
	w.found = w.unannounced(*p, results)
	remember(w, p, results)
	w.undoAgain = r.close(ctx, book, p, pass, results)
	r.keepHanded(w, book, results)
	w.handled, w.refresh, w.awaits = p.handled(w), refreshEvery(p.rows), awaits(results)
	return r.finish(ctx, w, w.next(*p), func(w world) v1alpha1.AWSAccountStatus { return w.status(*p, results) })
}

// planAgain is the plan that was made before the account was entered, or a new one where that changed what it was made from: the
// regions, or since when everything is to be looked at anew.
func (w world) planAgain(planned *plan, anew time.Time) *plan {
	if planned != nil && slices.Equal(w.enabled, w.account.Status.Regions) && w.memory.anew.Equal(anew) {
		return planned
	}
	return new(makePlan(w))
}

// hurries says whether events are to be looked into in the regions as they were read last, without asking for them first.
func (w world) hurries() bool {
	ready := findCondition(w.account.Status.Conditions, v1alpha1.ConditionReady)
	return len(w.open) > 0 && w.eventsFirst() && len(w.account.Status.Regions) > 0 &&
		ready != nil && ready.Reason != v1alpha1.ReasonRegionsUnreadable
}

// yields says what a pass gives way to: a sweep does to events that come meanwhile in the account. Nothing else does: a person
// goes before events, and what events tell of is begun in list order, so that whoever makes events of the first in the list all
// the time would keep the last from ever being looked at.
func (r *AccountReconciler) yields(w world, p *plan) func() bool {
	if !w.eventsFirst() || len(p.handled(w)) < len(w.open) {
		return nil
	}
	return func() bool { return r.marks.waits(w.account.Name, w.open) }
}

// stopped says whether the manager has been told to stop. What fails then says nothing of AWS.
func stopped(ctx context.Context) bool { return ctx.Err() != nil }

// gather reads what a plan is made from, out of the cache.
func (r *AccountReconciler) gather(ctx context.Context, account *v1alpha1.AWSAccount) (world, *v1alpha1.AWSOrganization, error) {
	w := world{
		account: account, memory: r.memories.of(account.Name), allowWrites: r.AllowWrites, handsOver: r.Remediations.observes(), defaultSoak: r.DefaultSoak,
		now: r.Clock(),
	}
	w.open, w.recent = r.marks.of(account.Name, w.now)
	org, err := theOrganization(ctx, r.Client)
	if err != nil {
		return w, nil, err
	}
	w.organization = &org.Spec
	if w.baselines, err = r.declarations.list(ctx, r.Client, r.Kinds); err != nil {
		return w, nil, err
	}
	if w.exceptions, err = listExceptions(ctx, r.Client, client.UnsafeDisableDeepCopy); err != nil {
		return w, nil, err
	}
	if w.records, err = r.Remediations.of(ctx, account.Name); err != nil {
		return w, nil, err
	}
	if w.handsOver {
		w.stirred = r.handed.stirred(account.Name, w.records)
	}
	if r.Remediations != nil {
		w.invited = r.Remediations.line.invitations(account.Name, w.now)
	}
	if !r.Remediations.enforces() {
		w.memory.faceStatus(account, w.now)
	}
	for _, token := range w.newTokens() {
		r.Engine.Renew(account.Name, token)
		r.Cloud.AskAnew(account.Name)
	}
	if w.askedAnew() {
		clear(w.memory.denied)
		r.Engine.Insist(account.Name)
		r.Cloud.Forget(account.Name)
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
	all.Items = slices.DeleteFunc(all.Items, func(o v1alpha1.AWSOrganization) bool { return o.DeletionTimestamp != nil })
	if len(all.Items) == 0 {
		return nil, errNoOrganization
	}
	first := slices.MinFunc(all.Items, func(a, b v1alpha1.AWSOrganization) int {
		if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
			return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return &first, nil
}
