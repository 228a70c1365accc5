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

// SetupWithManager registers the reconciler.
func (r *RemediationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("remediation").For(&v1alpha1.Remediation{}).Complete(r)
}

// IndexRemediations makes the indexes by which an account's pass finds its Remediations, and all that are proposed.
func IndexRemediations(ctx context.Context, in client.FieldIndexer) error {
	for field, of := range map[string]func(*v1alpha1.Remediation) string{
		accountIndex: func(r *v1alpha1.Remediation) string { return r.Labels[v1alpha1.LabelAccount] },
		phaseIndex:   func(r *v1alpha1.Remediation) string { return string(r.Status.Phase) },
	} {
		err := in.IndexField(ctx, &v1alpha1.Remediation{}, field, func(o client.Object) []string {
			r, ok := o.(*v1alpha1.Remediation)
			if !ok {
				return nil
			}
			return []string{of(r)}
		})
		if err != nil {
			return fmt.Errorf("indexing remediations by %s: %w", field, err)
		}
	}
	return nil
}

// Reconcile looks at one Remediation, and again when it expires or is old enough to go.
func (r *RemediationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	rem := &v1alpha1.Remediation{}
	if err := r.Client.Get(ctx, req.NamespacedName, rem); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock()
	goes, err := r.goes(ctx, rem, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	if goes {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, rem, client.Preconditions{UID: &rem.UID, ResourceVersion: &rem.ResourceVersion}))
	}
	if r.judge(rem.DeepCopy(), now) { // what is cached is short of what must be kept
		if err := r.update(ctx, rem.Name, func(live *v1alpha1.Remediation) bool { return r.judge(live, now) }); err != nil {
			return ctrl.Result{}, err
		}
	}
	if !rem.Status.Phase.Open() {
		return ctrl.Result{RequeueAfter: max(keptUntil(rem).Sub(now), keptAgain) + time.Second}, nil
	}
	wait := unfinishedFor
	if e := rem.Status.Expires; e != nil && now.Before(e.Time) {
		wait = e.Sub(now)
	} else if e != nil {
		wait = keptAgain // begun, and nobody has looked since: what came of it is noted once somebody can
	}
	return ctrl.Result{RequeueAfter: wait + time.Second}, nil
}

// goes says whether a Remediation is to be taken away.
func (r *RemediationReconciler) goes(ctx context.Context, rem *v1alpha1.Remediation, now time.Time) (bool, error) {
	if rem.Status.Phase == "" {
		return now.Sub(rem.CreationTimestamp.Time) > unfinishedFor, nil
	}
	if rem.Status.Phase.Open() || now.Before(keptUntil(rem)) {
		return false, nil
	}
	listed, err := ListBaselines(ctx, r.Client, r.Kinds, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, err
	}
	needed, alive := standingOf(listed)
	withdrawn := rem.Status.Phase == v1alpha1.RemediationUndone && alive[rem.Status.BaselineUID]
	return !withdrawn && !needed[rem.Status.BaselineUID], nil
}

// keptUntil is until when a finished Remediation is kept. What was undone is kept for longer: it keeps Plumbline from making the
// change again.
func keptUntil(rem *v1alpha1.Remediation) time.Time {
	if rem.Status.FinishedAt == nil {
		return rem.CreationTimestamp.Add(finishedKept)
	}
	return rem.Status.FinishedAt.Add(finishedKept)
}

// standingOf are the baselines that are there, and among them those that put back what they changed when they are deleted: their
// Remediations are needed for that, however old they are and however many.
func standingOf(listed []Listed) (needed, alive map[types.UID]bool) {
	needed, alive = map[types.UID]bool{}, map[types.UID]bool{}
	for _, b := range listed {
		alive[b.GetUID()] = true
		if spec, _ := b.Common(); spec.DeletionPolicy == v1alpha1.DeletionRestore {
			needed[b.GetUID()] = true
		}
	}
	return needed, alive
}

// dropOldest takes the oldest finished ones of all Remediations away where there are too many. needed are the baselines whose
// Remediations are kept all the same.
func (s *Remediations) dropOldest(ctx context.Context, all []v1alpha1.Remediation, needed map[types.UID]bool) error {
	if len(all) <= maxFinished {
		return nil
	}
	finished := slices.DeleteFunc(slices.Clone(all), func(rem v1alpha1.Remediation) bool {
		return rem.Status.Phase.Open() || rem.Status.Phase == v1alpha1.RemediationUndone || isUndoing(&rem) || needed[rem.Status.BaselineUID]
	})
	if len(finished) <= maxFinished {
		return nil
	}
	slices.SortFunc(finished, func(a, b v1alpha1.Remediation) int { return keptUntil(&a).Compare(keptUntil(&b)) })
	for i := range finished[:len(finished)-maxFinished] {
		if err := s.Client.Delete(ctx, &finished[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("taking away remediation %s: %w", finished[i].Name, err)
		}
	}
	return nil
}

// judge takes in what people decided, and says whether the status is to be written.
func (r *RemediationReconciler) judge(rem *v1alpha1.Remediation, now time.Time) bool {
	before := rem.Status.DeepCopy()
	c := conditions{&rem.Status.Conditions, rem.Generation, now}
	if r.isLost(rem, now) && !r.observes() { // what the enforcer has begun, it ends
		r.giveUp(rem)
	}
	switch {
	case isWaiting(rem) && rem.Expired(now):
		r.end(rem, v1alpha1.RemediationExpired, whyExpired(rem))
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
	r.handOver(rem, now)
	return !equality.Semantic.DeepEqual(before, &rem.Status)
}

func whyExpired(rem *v1alpha1.Remediation) string {
	if isHanded(rem) {
		return "the enforcer did not make it in time: look whether it runs; handed over, or proposed, anew if it still departs"
	}
	return "nobody approved it in time; proposed anew if it still departs"
}

// isLost says whether a Remediation was begun so long ago that nobody will tell what came of it.
func (*Remediations) isLost(rem *v1alpha1.Remediation, now time.Time) bool {
	return rem.Status.Phase == v1alpha1.RemediationApplying && rem.Expired(now.Add(-unsettledFor))
}

// giveUp ends a Remediation of which nobody could tell what came of it.
func (s *Remediations) giveUp(rem *v1alpha1.Remediation) {
	for i := range rem.Status.Changes {
		if c := &rem.Status.Changes[i]; c.Outcome == "" {
			c.Outcome, c.Message = v1alpha1.ChangeUnverified, "nobody could look whether it was made"
		}
	}
	s.end(rem, v1alpha1.RemediationFailed, "nobody could tell in time what came of it; see status.changes")
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
