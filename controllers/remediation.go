package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// RemediationReconciler accepts or refuses what people decide about a Remediation, lets it expire, and takes away what was
// finished long ago. The change itself is the account's pass.
type RemediationReconciler struct {
	*Remediations
}

const (
	// finishedKept and maxFinished bound the finished Remediations that are kept.
	finishedKept = 30 * 24 * time.Hour
	maxFinished  = 2000
	// unsettledFor is how long after its expiry a Remediation may be Applying: its account cannot be looked at.
	unsettledFor = 24 * time.Hour
	// keptAgain is how often it is looked whether a Remediation that was kept for longer can go.
	keptAgain = time.Hour
	// unfinishedFor is how long a Remediation may be without a status before it is taken for one that a crash left behind.
	unfinishedFor = 10 * time.Minute
)

// SetupWithManager registers the reconciler and the index by which an account's pass finds its Remediations.
func (r *RemediationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.Remediation{}, accountIndex, func(o client.Object) []string {
		return []string{o.GetLabels()[v1alpha1.LabelAccount]}
	})
	if err != nil {
		return fmt.Errorf("indexing remediations: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("remediation").For(&v1alpha1.Remediation{}).Complete(r)
}

// Reconcile looks at one Remediation, and again when it expires or is old enough to go.
func (r *RemediationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	rem := &v1alpha1.Remediation{}
	if err := r.Client.Get(ctx, req.NamespacedName, rem); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock()
	needed, alive, err := r.baselines(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.old(rem, now, alive) && !needed[rem.Status.BaselineUID] {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, rem, client.Preconditions{UID: &rem.UID, ResourceVersion: &rem.ResourceVersion}))
	}
	if r.judge(rem.DeepCopy(), now) { // what is cached is short of what must be kept
		if err := r.update(ctx, rem.Name, func(live *v1alpha1.Remediation) bool { return r.judge(live, now) }); err != nil {
			return ctrl.Result{}, err
		}
	}
	if !rem.Status.Phase.Open() {
		return ctrl.Result{RequeueAfter: max(r.keptUntil(rem).Sub(now), keptAgain) + time.Second}, r.dropOldest(ctx, needed)
	}
	wait := unfinishedFor
	if e := rem.Status.Expires; e != nil && now.Before(e.Time) {
		wait = e.Sub(now)
	} else if e != nil {
		wait = keptAgain // begun, and nobody has looked since: what came of it is noted once somebody can
	}
	return ctrl.Result{RequeueAfter: wait + time.Second}, nil
}

// old says whether a Remediation is to be taken away.
func (r *RemediationReconciler) old(rem *v1alpha1.Remediation, now time.Time, alive map[types.UID]bool) bool {
	if rem.Status.Phase == "" {
		return now.Sub(rem.CreationTimestamp.Time) > unfinishedFor
	}
	withdrawn := rem.Status.Phase == v1alpha1.RemediationUndone && alive[rem.Status.BaselineUID]
	return !rem.Status.Phase.Open() && !now.Before(r.keptUntil(rem)) && !withdrawn
}

// keptUntil is until when a finished Remediation is kept. What was undone is kept for longer: it keeps Plumbline from making the
// change again.
func (*RemediationReconciler) keptUntil(rem *v1alpha1.Remediation) time.Time {
	if rem.Status.FinishedAt == nil {
		return rem.CreationTimestamp.Add(finishedKept)
	}
	return rem.Status.FinishedAt.Add(finishedKept)
}

// baselines are those that are there, and among them those that put back what they changed when they are deleted: their Remediations
// are needed for that, however old they are and however many.
func (r *RemediationReconciler) baselines(ctx context.Context) (needed, alive map[types.UID]bool, err error) {
	needed, alive = map[types.UID]bool{}, map[types.UID]bool{}
	for _, k := range r.Kinds {
		list, ok := k.NewList().(client.ObjectList)
		if !ok {
			return nil, nil, fmt.Errorf("%s has no list", k.Name)
		}
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, nil, fmt.Errorf("listing %ss: %w", k.Name, err)
		}
		objects, err := extract(list)
		if err != nil {
			return nil, nil, err
		}
		for _, o := range objects {
			alive[o.GetUID()] = true
			if spec, _ := o.Common(); spec.DeletionPolicy == v1alpha1.DeletionRestore {
				needed[o.GetUID()] = true
			}
		}
	}
	return needed, alive, nil
}

// dropOldest takes the oldest finished Remediations away where there are too many.
func (r *RemediationReconciler) dropOldest(ctx context.Context, needed map[types.UID]bool) error {
	var all v1alpha1.RemediationList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing remediations: %w", err)
	}
	finished := slices.DeleteFunc(all.Items, func(rem v1alpha1.Remediation) bool {
		return rem.Status.Phase.Open() || rem.Status.Phase == v1alpha1.RemediationUndone || isUndoing(&rem) || needed[rem.Status.BaselineUID]
	})
	if len(finished) <= maxFinished {
		return nil
	}
	slices.SortFunc(finished, func(a, b v1alpha1.Remediation) int { return r.keptUntil(&a).Compare(r.keptUntil(&b)) })
	for i := range finished[:len(finished)-maxFinished] {
		if err := r.Client.Delete(ctx, &finished[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("taking away remediation %s: %w", finished[i].Name, err)
		}
	}
	return nil
}

// judge takes in what people decided, and says whether the status is to be written.
func (r *RemediationReconciler) judge(rem *v1alpha1.Remediation, now time.Time) bool {
	before := rem.Status.DeepCopy()
	c := conditions{&rem.Status.Conditions, rem.Generation, now}
	if rem.Status.Phase == v1alpha1.RemediationApplying && expired(rem, now.Add(-unsettledFor)) {
		r.giveUp(rem)
	}
	switch {
	case isWaiting(rem) && expired(rem, now):
		r.end(rem, v1alpha1.RemediationExpired, "nobody approved it in time; proposed anew if it still departs")
	case rem.Spec.Rejected != nil && isWaiting(rem):
		if r.accepts(c, rem, rem.Spec.Rejected) {
			r.end(rem, v1alpha1.RemediationRejected, "rejected; not proposed again until what is there, or what is wanted, changes, or this Remediation is deleted")
			rem.Status.Decided = decided(rem.Spec.Rejected, now)
		}
	case rem.Spec.Approval != nil && rem.Status.Phase == v1alpha1.RemediationProposed:
		if r.accepts(c, rem, rem.Spec.Approval) {
			rem.Status.Phase, rem.Status.Message = v1alpha1.RemediationApproved, "approved; observed afresh, then made"
			rem.Status.Decided = decided(rem.Spec.Approval, now)
		}
	}
	r.judgeUndo(rem, c)
	return !equality.Semantic.DeepEqual(before, &rem.Status)
}

// giveUp ends a Remediation of which nobody could tell what came of it.
func (r *RemediationReconciler) giveUp(rem *v1alpha1.Remediation) {
	for i := range rem.Status.Changes {
		if c := &rem.Status.Changes[i]; c.Outcome == "" {
			c.Outcome, c.Message = v1alpha1.ChangeUnverified, "nobody could look whether it was made"
		}
	}
	r.end(rem, v1alpha1.RemediationFailed, "nobody could tell in time what came of it; see status.changes")
}

func decided(d *v1alpha1.Decision, now time.Time) *v1alpha1.Decided {
	return &v1alpha1.Decided{By: d.By, At: metav1.NewTime(now.UTC().Truncate(time.Second)), Reason: d.Reason, Via: d.Via}
}

// accepts says whether a decision is about this Remediation as it is.
func (r *RemediationReconciler) accepts(c conditions, rem *v1alpha1.Remediation, d *v1alpha1.Decision) bool {
	refused := findCondition(*c.all, v1alpha1.ConditionDecisionRefused)
	switch {
	case d.Digest != rem.Status.Digest:
		c.set(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, v1alpha1.ReasonOtherDigest, fmt.Sprintf(
			"%s decided about digest %s, and this is %s; look at status.changes again, and name status.digest", d.By, d.Digest, rem.Status.Digest))
		return false
	case refused != nil && refused.Reason == v1alpha1.ReasonOtherDigest:
		c.only(false, v1alpha1.ConditionDecisionRefused, "", "")
	}
	return true
}

// judgeUndo takes in that somebody wants the change taken back.
func (r *RemediationReconciler) judgeUndo(rem *v1alpha1.Remediation, c conditions) {
	d, phase := rem.Spec.Undo, rem.Status.Phase
	if d == nil || isUndoing(rem) || slices.Contains([]v1alpha1.RemediationPhase{v1alpha1.RemediationUndone, v1alpha1.RemediationApplying, ""}, phase) {
		return // what is being made is taken back once that is over
	}
	made := slices.ContainsFunc(rem.Status.Changes, undoable) || len(rem.Status.Changes) == 0 // the cache has none of what is finished
	refuse := func(reason, message string) {
		c.set(v1alpha1.ConditionDecisionRefused, metav1.ConditionTrue, reason, message)
	}
	switch {
	case !slices.Contains([]v1alpha1.RemediationPhase{v1alpha1.RemediationApplied, v1alpha1.RemediationFailed}, phase):
		refuse(v1alpha1.ReasonNotDecidable, "nothing was made that could be undone: the phase is "+string(phase))
	case !rem.Status.Reversible:
		refuse(v1alpha1.ReasonIrreversible, "the changes of "+rem.Status.Control+" cannot be undone")
	case r.accepts(c, rem, d) && made:
		c.set(v1alpha1.ConditionUndoing, metav1.ConditionTrue, v1alpha1.ReasonRequested, d.By+" wants it taken back")
	case d.Digest == rem.Status.Digest:
		refuse(v1alpha1.ReasonChangedSince, "nothing was undone: every resource has changed since; see status.changes")
	}
}
