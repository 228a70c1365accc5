package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

const (
	// statusTimeout bounds writing a status.
	statusTimeout = 15 * time.Second
	// soonest is the shortest time between two passes of an account, so that nothing can be due in a loop.
	soonest = time.Second
)

// finish writes the status where it says something new, tells what changed, and comes back when something is next due. A
// zero next comes back only when something changes. What the pass learned is kept once the status stands: what was observed
// is read from there.
func (r *AccountReconciler) finish(ctx context.Context, w world, next time.Time, status func(world) v1alpha1.AWSAccountStatus) (ctrl.Result, error) {
	// What was seen and done is written even when the manager has been told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	written, err := r.write(ctx, w, status)
	switch {
	case apierrors.IsNotFound(err): // deleted meanwhile, or made anew
		r.forget(w.account.Name)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("writing the account's status: %w", err)
	}
	w.memory.written(basisOf(w.account.UID, &written.Status))
	r.memories.keep(w.account.Name, w.memory, written.ResourceVersion)
	r.Record.Account(w.account.Name, w.account.CreationTimestamp.Time, &written.Status)
	r.Record.Handled(w.handled)
	r.marks.done(w.account.Name, w.handled)
	by := w.nextAsker()
	r.urgency.next(w.account.Name, by, next)
	for _, c := range w.found {
		r.Flow.find(w.account.Name, c.id.Control, c.was)
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(w.now), soonest), Priority: new(priorities[by])}, nil
}

// nextAsker is what the account's next pass is for: events that this one left to be looked into, or a sweep.
func (w world) nextAsker() asker {
	if len(w.handled) < len(w.open) {
		return byEvent
	}
	return bySweep
}

// write brings the account's status up to date and returns the account. On a conflict the object is read again and the results are
// merged again with what it says by now: AWS is not asked twice.
func (r *AccountReconciler) write(ctx context.Context, w world, status func(world) v1alpha1.AWSAccountStatus) (*v1alpha1.AWSAccount, error) {
	planned := w.account
	latest := planned.DeepCopy()
	var before *v1alpha1.AWSAccountStatus
	changed := false
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		before = latest.Status.DeepCopy()
		w.account = planned.DeepCopy() // the results are of the spec, labels and annotations that were planned from
		w.account.Status = *before
		latest.Status = status(w)
		if changed = worthWriting(before, &latest.Status, w.refresh); !changed {
			return nil
		}
		err := r.Client.Status().Update(ctx, latest)
		if !apierrors.IsConflict(err) {
			return err
		}
		if getErr := r.Live.Get(ctx, client.ObjectKeyFromObject(planned), latest); getErr != nil {
			return getErr
		}
		if latest.UID != planned.UID {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("awsaccounts").GroupResource(), planned.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if changed {
		r.Record.Transitions(planned, before, &latest.Status)
	} else {
		latest.Status = *before
	}
	return latest, nil
}

// worthWriting says whether the new status says anything but a time that is later by less than refresh. A time that is earlier
// is written: the clock was set back, and what stands is of the future.
func worthWriting(before, after *v1alpha1.AWSAccountStatus, refresh time.Duration) bool {
	if b, a := before.LastObservedTime, after.LastObservedTime; b == nil || a == nil || a.Before(b) || a.Sub(b.Time) >= refresh {
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
