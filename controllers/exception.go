package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// +kubebuilder:rbac:groups=plumbline.dev,resources=baselineexceptions/status,verbs=update

// ExceptionReconciler says of each BaselineException whether it is active and whether it names controls that exist. The
// accounts obey the exceptions by themselves.
type ExceptionReconciler struct {
	Client client.Client
	Kinds  []control.Kind
	Clock  func() time.Time
}

// SetupWithManager registers the reconciler.
func (r *ExceptionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("exception").
		For(&v1alpha1.BaselineException{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile looks at one exception, and again when it begins or ends.
func (r *ExceptionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	x := &v1alpha1.BaselineException{}
	if err := r.Client.Get(ctx, req.NamespacedName, x); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var accounts v1alpha1.AWSAccountList
	if err := r.Client.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing accounts: %w", err)
	}
	now := r.Clock()
	before := x.Status.DeepCopy()
	r.judge(x, unknownRegions(x, accounts.Items), now)
	if !equality.Semantic.DeepEqual(before, &x.Status) {
		if err := r.Client.Status().Update(ctx, x); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the exception's status: %w", err))
		}
	}
	// Regions become known as accounts are looked at.
	wait := regionsAgain
	if next := nextTurn(x, now); !next.IsZero() && next.Sub(now) < wait {
		wait = next.Sub(now) + time.Second
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// regionsAgain is how often the regions that an exception names are compared with those that the accounts have.
const regionsAgain = time.Hour

// unknownRegions are the regions that the exception names and that no account has. Before one was looked at, none is known
// to be wrong.
func unknownRegions(x *v1alpha1.BaselineException, accounts []v1alpha1.AWSAccount) []string {
	known := map[string]bool{}
	for i := range accounts {
		for _, r := range accounts[i].Status.Regions {
			known[r] = true
		}
	}
	var unknown []string
	for _, r := range x.Spec.Regions {
		if len(known) > 0 && !known[string(r)] {
			unknown = append(unknown, string(r))
		}
	}
	slices.Sort(unknown)
	return unknown
}

func (r *ExceptionReconciler) judge(x *v1alpha1.BaselineException, regions []string, now time.Time) {
	c := conditions{&x.Status.Conditions, x.Generation, now}
	x.Status.ObservedGeneration = x.Generation
	switch {
	case activeAt(x, now):
		c.set(v1alpha1.ConditionActive, metav1.ConditionTrue, v1alpha1.ReasonActive, "excuses until "+x.Spec.Expires.UTC().Format(time.RFC3339))
	case x.Spec.From != nil && now.Before(x.Spec.From.Time):
		c.set(v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.ReasonNotYetActive, "begins "+x.Spec.From.UTC().Format(time.RFC3339))
	default:
		c.set(v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.ReasonExpired, "excuses nothing any more; delete it, or renew it with a later expires")
	}
	unknown, never := r.names(x.Spec.Controls)
	switch {
	case len(unknown) > 0:
		c.only(true, v1alpha1.ConditionUnknownNames, v1alpha1.ReasonUnknownControl,
			"no such control: "+strings.Join(unknown, ", ")+" — docs/controls.md lists the ids")
	case len(never) > 0:
		c.only(true, v1alpha1.ConditionUnknownNames, v1alpha1.ReasonNotExcusable, "cannot be excused: "+strings.Join(never, ", "))
	default:
		c.only(len(regions) > 0, v1alpha1.ConditionUnknownNames, v1alpha1.ReasonUnknownRegion,
			"enabled in no account: "+strings.Join(regions, ", ")+" — mend regions")
	}
}

// names are the ids that no control has, and those of controls that cannot be excused.
func (r *ExceptionReconciler) names(ids []string) (unknown, never []string) {
	for _, id := range ids {
		known := false
		for _, k := range r.Kinds {
			for _, b := range k.Catalogue() {
				known = known || b.ID == id
				if b.ID == id && b.NotExcusable {
					never = append(never, id)
				}
			}
		}
		if !known {
			unknown = append(unknown, id)
		}
	}
	slices.Sort(unknown)
	return unknown, never
}
