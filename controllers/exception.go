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
	now := r.Clock()
	before := x.Status.DeepCopy()
	r.judge(x, now)
	if !equality.Semantic.DeepEqual(before, &x.Status) {
		if err := r.Client.Status().Update(ctx, x); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the exception's status: %w", err))
		}
	}
	next := nextTurn(x, now)
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: next.Sub(now) + time.Second}, nil
}

func (r *ExceptionReconciler) judge(x *v1alpha1.BaselineException, now time.Time) {
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
	reason, message := v1alpha1.ReasonUnknownControl, "no such control: "+strings.Join(unknown, ", ")+" — docs/controls.md lists the ids"
	if len(unknown) == 0 {
		reason, message = v1alpha1.ReasonNotExcusable, "cannot be excused: "+strings.Join(never, ", ")
	}
	c.only(len(unknown)+len(never) > 0, v1alpha1.ConditionUnknownNames, reason, message)
}

// names are the ids that no control has, and those of controls that cannot be excused.
func (r *ExceptionReconciler) names(ids []string) (unknown, never []string) {
	for _, id := range ids {
		known := false
		for _, k := range r.Kinds {
			for _, b := range k.Catalogue() {
				if b.ID == id {
					known = true
					if b.NotExcusable {
						never = append(never, id)
					}
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
