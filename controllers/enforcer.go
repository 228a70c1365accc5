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
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// EnforcerReconciler makes, account by account, the changes that an observer has handed over, and takes back what people want undone.
// It believes the observer nothing that it can see for itself: it observes what it is to change afresh, decides from the baselines
// whether that may be done without asking, and looks for the approval where people write it. It writes no status but that of
// Remediations.
type EnforcerReconciler struct {
	// Accounts has all that a pass over an account needs.
	Accounts *AccountReconciler

	mu sync.Mutex
	// tried has, by account and name, the Remediations that a pass has looked at everything of, as they were decided about then.
	tried map[string]map[string]string
	// asked is when AWS Organizations was last asked for the accounts' e-mail addresses.
	asked time.Time
}

// SetupWithManager registers the reconciler. It works on an account when something was handed over or decided there, and when what
// bounds changes is changed: the baselines, their rollouts, the exceptions, the organization's switch.
func (r *EnforcerReconciler) SetupWithManager(mgr ctrl.Manager) error {
	all := handler.EnqueueRequestsFromMapFunc(r.withWork)
	byPeople := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, rolloutMoved))
	b := ctrl.NewControllerManagedBy(mgr).Named("enforcer").
		Watches(&v1alpha1.Remediation{}, handler.EnqueueRequestsFromMapFunc(accountOf), builder.WithPredicates(workForEnforcer)).
		Watches(&v1alpha1.AWSAccount{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.AnnotationChangedPredicate{})).
		Watches(&v1alpha1.AWSOrganization{}, all, byPeople).
		Watches(&v1alpha1.BaselineException{}, all, byPeople).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Accounts.Parallel, 1)})
	for _, k := range r.Accounts.Kinds {
		b = b.Watches(k.New(), all, byPeople)
	}
	return b.Complete(r)
}

func accountOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.GetLabels()[v1alpha1.LabelAccount]}}}
}

// workForEnforcer lets those changes of a Remediation through after which the enforcer may have something to do.
var workForEnforcer = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return isWork(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		if was, ok := e.ObjectOld.(*v1alpha1.Remediation); ok && isWork(was) && was.Generation == e.ObjectNew.GetGeneration() {
			return !isWork(e.ObjectNew) || isUndoing(was) != undoes(e.ObjectNew) // what it wrote itself is nothing new
		}
		return isWork(e.ObjectNew)
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

func undoes(o client.Object) bool {
	r, ok := o.(*v1alpha1.Remediation)
	return ok && isUndoing(r)
}

// isWork says whether a Remediation is one that the enforcer makes or takes back.
func isWork(o client.Object) bool {
	r, ok := o.(*v1alpha1.Remediation)
	return ok && isHanded(r) && (isUndoing(r) || isBeingMade(r))
}

// withWork are the accounts in which something is handed over.
func (r *EnforcerReconciler) withWork(ctx context.Context, _ client.Object) []reconcile.Request {
	var all v1alpha1.RemediationList
	if err := r.Accounts.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing remediations")
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		if rem := &all.Items[i]; isWork(rem) {
			requests = append(requests, accountOf(ctx, rem)...)
		}
	}
	slices.SortFunc(requests, func(a, b reconcile.Request) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(requests)
}

// Reconcile makes what is handed over in one account. It returns errors of the API server only: what AWS refuses is noted on the
// Remediation.
func (r *EnforcerReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := r.Accounts
	a.begin()
	account, err := a.read(ctx, req.NamespacedName)
	switch {
	case apierrors.IsNotFound(err), err == nil && account.DeletionTimestamp != nil:
		a.forget(req.Name)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the account: %w", err)
	}
	w, org, err := a.gather(ctx, account)
	if err != nil {
		return ctrl.Result{}, ignoreNoOrganization(err) // without one, nothing is known of how to enter
	}
	work := slices.DeleteFunc(slices.Clone(w.records), func(rem *v1alpha1.Remediation) bool { return !isWork(rem) })
	if len(work) == 0 || absent(account) {
		r.rest(account.Name)
		return ctrl.Result{}, nil
	}
	// The account's status says what the observer has seen. Here, nothing has been seen.
	w.enabled, account.Status.Baselines = account.Status.Regions, nil
	next, err := r.pass(withAccount(ctx, account), w, org, work)
	a.memories.keep(account.Name, w.memory, account.ResourceVersion)
	if err != nil || next.IsZero() {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(w.now), soonest)}, nil
}

// rest forgets an account in which nothing is to be made. Who contests what in it is kept.
func (r *EnforcerReconciler) rest(account string) {
	r.Accounts.memories.forget(account)
	r.Accounts.Engine.Rest(account)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tried, account)
}

func ignoreNoOrganization(err error) error {
	if errors.Is(err, errNoOrganization) {
		return nil
	}
	return err
}

// pass enters the account, makes what was handed over as far as it may be made now, and notes what came of it. It returns when it is
// to be gone on with; zero: nothing is left.
func (r *EnforcerReconciler) pass(ctx context.Context, w world, org *v1alpha1.AWSOrganization, work []*v1alpha1.Remediation) (time.Time, error) {
	a := r.Accounts
	ctx, requests := cloud.CountRequests(ctx)
	defer func() { a.Record.Pass(requests.Load()) }()
	l := newLedger(a.Remediations, w, "")
	l.records = work
	session, err := a.enter(ctx, org, w.account)
	if err == nil {
		entering, entered := context.WithTimeout(ctx, enterFor)
		err = session.Reach(entering)
		entered()
	}
	switch {
	case stopped(ctx):
		return time.Time{}, nil
	case err != nil:
		return r.unreachable(ctx, l, err)
	}
	w.memory.unreachable = 0
	p := makePlan(w)
	seen := newSighting(&p, nil)
	p.narrow(work)
	r.untried(w.account.Name, work).makeDue(&p)
	r.learnEmails(ctx, w, org, p)
	tasks, _ := p.due(w)
	pass := engine.Pass{
		Account: w.account.Name, Partition: org.Spec.PartitionOrDefault(), Facts: a.facts(w, org),
		Reader: engine.Enter(a.Cloud, session), Planned: p.all(), Tasks: tasks, Halted: a.halted(ctx),
	}
	if l.inBatch, err = a.Remediations.inBatches(ctx, work); err != nil {
		return time.Time{}, err
	}
	l.role, pass.Ledger = pass.Facts.EnforceRole, enforcing{l}
	results := a.Engine.Run(ctx, pass)
	remember(w, &p, results)
	seen.fresh = freshOf(results)
	again, err := r.close(ctx, l, pass, seen)
	l.lookAgain(&p)
	r.try(w.account.Name, work, seen)
	next := p.next(w.now)
	if !again.IsZero() && (next.IsZero() || again.Before(next)) {
		next = again
	}
	return next, err
}

// checkSet are checks.
type checkSet map[checkID]bool

// checksOf are the checks of what was handed over.
func checksOf(work ...*v1alpha1.Remediation) checkSet {
	of := checkSet{}
	for _, rem := range work {
		for _, c := range rem.Status.Changes {
			of[checkID{Baseline: rem.Status.Baseline, Control: rem.Status.Control, Region: c.Region}] = true
		}
	}
	return of
}

// makeDue makes the checks due at once.
func (s checkSet) makeDue(p *plan) {
	p.each(func(_ *row, c *check) {
		if s[c.id] {
			c.due = time.Time{}
		}
	})
}

// decidedAs is a Remediation as it was decided about: another decision, or another try, is another one.
func decidedAs(rem *v1alpha1.Remediation) string {
	return fmt.Sprint(rem.Status.Phase, " ", rem.Status.Digest, " ", rem.Generation, " ", isUndoing(rem))
}

// untried are the checks of what no pass has looked at as it is now, whatever the clocks of two processes say.
func (r *EnforcerReconciler) untried(account string, work []*v1alpha1.Remediation) checkSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return checksOf(slices.DeleteFunc(slices.Clone(work), func(rem *v1alpha1.Remediation) bool {
		return r.tried[account][rem.Name] == decidedAs(rem)
	})...)
}

// try notes of what a pass has looked at everything.
func (r *EnforcerReconciler) try(account string, work []*v1alpha1.Remediation, s sighting) {
	tried := map[string]string{}
	for _, rem := range work {
		seen := true
		for id := range checksOf(rem) {
			seen = seen && (s.fresh[id] != nil || !s.planned[id])
		}
		if seen {
			tried[rem.Name] = decidedAs(rem)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, as := range r.tried[account] {
		still := slices.ContainsFunc(work, func(rem *v1alpha1.Remediation) bool { return rem.Name == name })
		if _, known := tried[name]; !known && still {
			tried[name] = as
		}
	}
	if r.tried == nil {
		r.tried = map[string]map[string]string{}
	}
	r.tried[account] = tried
}

// narrow leaves the checks of what was handed over.
func (p *plan) narrow(work []*v1alpha1.Remediation) {
	of := checksOf(work...)
	p.turns = time.Time{}
	for i := range p.rows {
		p.rows[i].checks = slices.DeleteFunc(p.rows[i].checks, func(c check) bool { return !of[c.id] })
	}
}

// close notes what came of what was handed over, and takes back what people want undone. It returns when undoing goes on.
func (r *EnforcerReconciler) close(ctx context.Context, l *ledger, pass engine.Pass, s sighting) (again time.Time, err error) {
	a := r.Accounts
	// What was done is noted even when the manager has been told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	err = errors.Join(l.settle(ctx, s), l.noteHeld(ctx, s), l.giveUpLost(ctx))
	if !slices.ContainsFunc(l.records, isUndoing) {
		return time.Time{}, err
	}
	return a.takeBack(ctx, l, pass), err
}

// unreachable notes that the account could not be entered, and tries again after a while that doubles up to 15 minutes.
func (r *EnforcerReconciler) unreachable(ctx context.Context, l *ledger, err error) (time.Time, error) {
	r.Accounts.Cloud.Forget(l.account.Name)
	r.Accounts.Engine.Rest(l.account.Name)
	wait := min(time.Minute<<min(l.memory.unreachable, 10), 15*time.Minute)
	l.memory.unreachable++
	_, message := whyUnreachable(err)
	message = "the enforcer cannot enter the account: " + message
	var problems []error
	for _, rem := range l.records {
		switch {
		case isUndoing(rem):
			problems = append(problems, l.update(ctx, rem.Name, func(now *v1alpha1.Remediation) bool { return keptFromUndoing(now, message) }))
		case rem.Status.Phase == v1alpha1.RemediationApproved:
			problems = append(problems, l.sayHeld(ctx, rem, v1alpha1.RowRoleMissing, message))
		}
	}
	return l.now.Add(wait), errors.Join(append(problems, l.giveUpLost(ctx))...)
}

// giveUpLost ends what was begun so long ago that nobody will tell what came of it.
func (l *ledger) giveUpLost(ctx context.Context) error {
	var problems []error
	for _, rem := range l.records {
		if l.isLost(rem, l.now) {
			problems = append(problems, l.update(ctx, rem.Name, func(now *v1alpha1.Remediation) bool {
				lost := l.isLost(now, l.now)
				if lost {
					l.giveUp(now)
				}
				return lost
			}))
		}
	}
	return errors.Join(problems...)
}

// keptFromUndoing says on what is to be taken back why it is not; who deletes a baseline with deletionPolicy: Restore waits for that.
func keptFromUndoing(r *v1alpha1.Remediation, message string) bool {
	changed := false
	message = v1alpha1.RowRoleMissing + ": " + control.Bounded(message, 512)
	for i := range r.Status.Changes {
		if c := &r.Status.Changes[i]; undoable(*c) && c.Message != message {
			c.Message, changed = message, true
		}
	}
	return changed
}

// emailsEvery is how often AWS Organizations is asked for e-mail addresses at most.
const emailsEvery = 15 * time.Minute

// learnEmails asks AWS Organizations for the e-mail addresses of the accounts, where a change needs the account's and it is not
// known: they stand in no cluster. That it cannot be asked is the answer of the control that needs it.
func (r *EnforcerReconciler) learnEmails(ctx context.Context, w world, org *v1alpha1.AWSOrganization, p plan) {
	a, needed := r.Accounts, false
	p.each(func(_ *row, c *check) { needed = needed || c.task.Control.NeedsEmail })
	if !needed || a.Directory.member(w.account.Name).Email != "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.now.Sub(r.asked) < emailsEvery {
		return
	}
	r.asked = w.now
	readFrom := &v1alpha1.AWSAccount{}
	if err := a.Client.Get(ctx, client.ObjectKey{Name: org.Spec.ReadFromOrDefault()}, readFrom); err != nil && !apierrors.IsNotFound(err) {
		ctrl.LoggerFrom(ctx).Error(err, "reading the account that the organization is read from")
		return
	}
	members, err := ReadMembers(ctx, a.Cloud, org, []*v1alpha1.AWSAccount{readFrom})
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("reading the accounts' e-mail addresses", "problem", err.Error())
		return
	}
	a.Directory.replace(members)
}
