package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// +kubebuilder:rbac:groups=plumbline.dev,resources=guarddutybaselines;cloudtrailbaselines;s3baselines;iambaselines;encryptionbaselines,verbs=patch

// A baseline with deletionPolicy: Restore has a finalizer, with which the API server keeps it until what it changed is put back. Each
// account's Remediations are taken back one after the other, the newest first, by the account's own passes.

// giveUpAfter is how long an account may be unreachable before what was changed in it is left as it is.
const giveUpAfter = time.Hour

// finalize keeps the finalizers of all baselines as their deletionPolicy wants them, and puts back what those changed that are being
// deleted.
func (r *BaselineReconciler) finalize(ctx context.Context, all []Listed, records []v1alpha1.Remediation) error {
	var problems []error
	for _, b := range all {
		problems = append(problems, client.IgnoreNotFound(r.finalizeOne(ctx, b, records)))
	}
	return errors.Join(problems...)
}

func (r *BaselineReconciler) finalizeOne(ctx context.Context, b Listed, records []v1alpha1.Remediation) error {
	spec, _ := b.Common()
	wants, has := spec.DeletionPolicy == v1alpha1.DeletionRestore, controllerutil.ContainsFinalizer(b, v1alpha1.FinalizerRestore)
	deleting := b.GetDeletionTimestamp() != nil
	switch {
	case !deleting && wants != has:
		return r.setFinalizer(ctx, b.Baseline, wants)
	case !deleting || !has:
		return nil
	}
	settle := r.restore
	if !wants {
		settle = r.callOff // somebody has thought better of it
	}
	left, err := settle(ctx, b.Baseline, records)
	switch {
	case err != nil:
		return err
	case len(left) == 0:
		return r.setFinalizer(ctx, b.Baseline, false)
	case wants:
		return r.sayRestoring(ctx, b, v1alpha1.ReasonRestore, fmt.Sprintf("%d Remediations are still to be taken back; next %s", len(left), left[0].Name))
	}
	return r.sayRestoring(ctx, b, v1alpha1.ReasonCalledOff, fmt.Sprintf(
		"deletionPolicy is Retain now: nothing more is taken back; %d Remediations had begun to be, and are looked at: %s", len(left), left[0].Name))
}

// setFinalizer writes nothing but the finalizers, and only of the object as it was read.
func (r *BaselineReconciler) setFinalizer(ctx context.Context, b control.Baseline, on bool) error {
	changed, ok := b.DeepCopyObject().(control.Baseline)
	if !ok {
		return fmt.Errorf("%T is no baseline", b)
	}
	if on {
		controllerutil.AddFinalizer(changed, v1alpha1.FinalizerRestore)
	} else {
		controllerutil.RemoveFinalizer(changed, v1alpha1.FinalizerRestore)
	}
	patch := client.MergeFromWithOptions(b, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch); err != nil && !apierrors.IsConflict(err) { // the newer object comes by itself
		return fmt.Errorf("setting the finalizer of %s: %w", b.GetName(), err)
	}
	return nil
}

// restore has the newest Remediation of each account taken back that was not yet, and returns what is left.
func (r *BaselineReconciler) restore(ctx context.Context, b control.Baseline, records []v1alpha1.Remediation) (left []*v1alpha1.Remediation, err error) {
	for i := range records {
		if rem := &records[i]; rem.Status.BaselineUID == b.GetUID() && restorable(rem) {
			left = append(left, rem)
		}
	}
	// Those that are equally old were made in one pass, in the order of their controls.
	slices.SortFunc(left, newestFirst)
	asked := map[string]bool{}
	for _, rem := range left {
		if id := rem.Status.Account; !asked[id] {
			asked[id] = true
			err = errors.Join(err, r.takeBack(ctx, rem))
		}
	}
	return left, err
}

// restorable says whether a Remediation has made something that is still to be put back, or is about to.
func restorable(rem *v1alpha1.Remediation) bool {
	refused := findCondition(rem.Status.Conditions, v1alpha1.ConditionDecisionRefused)
	given := refused != nil && slices.Contains(
		[]string{v1alpha1.ReasonChangedSince, v1alpha1.ReasonAccountGone, v1alpha1.ReasonNotDecidable, v1alpha1.ReasonIrreversible}, refused.Reason)
	switch rem.Status.Phase {
	case v1alpha1.RemediationApplying:
		return !given
	case v1alpha1.RemediationApplied, v1alpha1.RemediationFailed:
		return rem.Status.Reversible && !given
	}
	return false
}

// takeBack asks for one Remediation to be taken back, or gives it up, recorded, where its account is gone.
func (r *BaselineReconciler) takeBack(ctx context.Context, rem *v1alpha1.Remediation) error {
	gone, err := r.gone(ctx, rem.Status.Account)
	if err != nil {
		return err
	}
	return r.Remediations.update(ctx, rem.Name, func(now *v1alpha1.Remediation) bool {
		c := conditions{&now.Status.Conditions, now.Generation, r.Clock()}
		switch {
		case !restorable(now):
			return false
		case gone != "" || r.keptOut(now):
			endUndoing(c)
			c.set(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, v1alpha1.ReasonAccountGone, "nothing was put back: "+cmp.Or(gone, "the enforce role could not be assumed for an hour"))
		case now.Status.Phase == v1alpha1.RemediationApplying:
			return false
		case isUndoing(now):
			return false
		case !slices.ContainsFunc(now.Status.Changes, undoable):
			c.set(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, v1alpha1.ReasonChangedSince, "nothing of it is there to be put back")
		default:
			c.set(v1alpha1.ConditionUndoing, metav1.ConditionTrue, v1alpha1.ReasonRestore, "its baseline is deleted, with deletionPolicy: Restore")
		}
		return true
	})
}

// keptOut says whether a Remediation is being taken back for an hour in vain, because the account has no enforce role.
func (r *BaselineReconciler) keptOut(rem *v1alpha1.Remediation) bool {
	undoing := findCondition(rem.Status.Conditions, v1alpha1.ConditionUndoing)
	return undoing != nil && r.Clock().Sub(undoing.LastTransitionTime.Time) >= giveUpAfter &&
		slices.ContainsFunc(rem.Status.Changes, func(c v1alpha1.RemediationChange) bool {
			return undoable(c) && strings.HasPrefix(c.Message, v1alpha1.RowRoleMissing)
		})
}

// gone says why nothing can be put back in an account; empty where it can.
func (r *BaselineReconciler) gone(ctx context.Context, id string) (string, error) {
	a := &v1alpha1.AWSAccount{}
	err := r.Remediations.Live.Get(ctx, client.ObjectKey{Name: id}, a)
	switch {
	case apierrors.IsNotFound(err):
		return "there is no AWSAccount " + id + " any more", nil
	case err != nil:
		return "", fmt.Errorf("reading account %s: %w", id, err)
	case absent(a):
		return "account " + id + " left the organization, or is suspended", nil
	}
	reachable := findCondition(a.Status.Conditions, v1alpha1.ConditionReachable)
	if reachable != nil && reachable.Status == metav1.ConditionFalse && r.Clock().Sub(reachable.LastTransitionTime.Time) >= giveUpAfter {
		return "account " + id + " could not be entered for an hour: " + reachable.Message, nil
	}
	return "", nil
}

// callOff has nothing of the baseline taken back any more that was because it is being deleted, and returns the Remediations at which
// their accounts have still to look. Whatever the cache shows, each is read live: it may be undoing since a moment ago.
func (r *BaselineReconciler) callOff(ctx context.Context, b control.Baseline, records []v1alpha1.Remediation) (left []*v1alpha1.Remediation, err error) {
	for i := range records {
		rem := &records[i]
		if rem.Status.BaselineUID != b.GetUID() || !isUndoing(rem) && !restorable(rem) {
			continue
		}
		enterable, readErr := r.enterable(ctx, rem.Status.Account)
		later := false
		updateErr := r.Remediations.update(ctx, rem.Name, func(now *v1alpha1.Remediation) bool {
			if later = false; !slices.Contains([]string{v1alpha1.ReasonRestore, v1alpha1.ReasonCalledOff}, whyUndoing(now)) {
				return false
			}
			before := now.Status.DeepCopy()
			later = callOff(now, conditions{&now.Status.Conditions, now.Generation, r.Clock()}, enterable)
			return !equality.Semantic.DeepEqual(before, &now.Status)
		})
		if err = errors.Join(err, readErr, updateErr); later {
			left = append(left, rem)
		}
	}
	return left, err
}

// enterable says whether an account was entered the last time.
func (r *BaselineReconciler) enterable(ctx context.Context, id string) (bool, error) {
	a := &v1alpha1.AWSAccount{}
	if err := r.Remediations.Live.Get(ctx, client.ObjectKey{Name: id}, a); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("reading account %s: %w", id, err))
	}
	reachable := findCondition(a.Status.Conditions, v1alpha1.ConditionReachable)
	return !absent(a) && reachable != nil && reachable.Status == metav1.ConditionTrue, nil
}

// sayRestoring says on the baseline what it waits for.
func (r *BaselineReconciler) sayRestoring(ctx context.Context, b Listed, reason, message string) error {
	said, ok := b.DeepCopyObject().(control.Baseline) // b is the cache's own
	if !ok {
		return fmt.Errorf("%T is no baseline", b.Baseline)
	}
	_, status := said.Common()
	before := findCondition(status.Conditions, v1alpha1.ConditionRestoring)
	if before != nil && before.Message == message {
		return nil
	}
	conditions{&status.Conditions, b.GetGeneration(), r.Clock()}.set(v1alpha1.ConditionRestoring, metav1.ConditionTrue, reason, message)
	if err := r.Client.Status().Update(ctx, said); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("writing the status of %s %s: %w", b.Kind.Name, b.GetName(), err)
	}
	return nil
}
