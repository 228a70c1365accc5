package controllers

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// schedule works out whether the check is known at today's revision and when it is due.
func (w world) schedule(r *row, c *check) {
	c.marked, c.task.Since = w.marked(c), w.settledBy(c)
	s, known := w.sightOf(r, c)
	if !known {
		return // never looked at: due at once
	}
	c.known, c.at, c.looked, c.was, c.exceptions = true, s.at.time(), s.looked(), s.at.time(), s.with.exceptions
	if c.marked {
		return // due at once
	}
	if w.decidedSince(c) {
		return
	}
	if c.exceptions != r.exceptions || c.looked.Before(w.memory.anew) || c.looked.Before(w.asked(r)) || w.released(c, s) {
		return
	}
	if c.at.After(w.now) {
		return // the clock was set back: until it caught up, the interval would never be over
	}
	c.due = w.dueAfter(r, c, s)
}

// dueAfter is when a check that was observed is next due.
func (w world) dueAfter(r *row, c *check, s sight) time.Time {
	every := r.spec.ObserveEvery(c.task.Control.PerResource)
	due := s.at.time().Add(every - jitter(w.account.Name, every))
	if retry := s.retry.time(); !retry.IsZero() && retry.Before(due) {
		return retry
	}
	return due
}

// sightOf is what is known of a check at today's revision: from memory, else from the account's status.
func (w world) sightOf(r *row, c *check) (sight, bool) {
	if s, seen := w.memory.seen[c.id]; seen && s.with.revision == r.revision && (c.ofOneRegion() || subset(r.open, s.with.regions)) {
		return s, true
	}
	if !r.covers(c) {
		return sight{}, false
	}
	at := r.storedTime(c.task.Control.PerResource)
	s := sight{with: &settings{r.revision, r.stored.Exceptions, r.open}, at: momentOf(at)}
	if e := findControl(w.memory.controls, c.id.Control, c.id.Baseline); e != nil && tallyOf(e, c.id.Region).State() != engine.Compliant {
		s.why, s.retry = &why{e.Reason, e.Message}, momentOf(storedRetry(e, c.id.Region, at))
	}
	return s, true
}

func (c *check) ofOneRegion() bool { return c.task.Control.Scope == control.Region }

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// covers says whether the stored row stands for the check at today's revision.
func (r *row) covers(c *check) bool {
	return r.stored != nil && r.stored.Revision == r.revision && r.stored.Covered == r.covered &&
		!r.storedTime(c.task.Control.PerResource).IsZero()
}

func (r *row) storedTime(perResource bool) time.Time {
	at := r.stored.LastObservedTime
	if perResource {
		at = r.stored.ResourcesObservedTime
	}
	if at == nil {
		return time.Time{}
	}
	return at.Time
}

// asked is since when somebody has asked for a new look, at the account or at the baseline; zero: nobody has.
func (w world) asked(r *row) time.Time {
	account := w.memory.request("", w.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt], w.account.Status.LastHandledReconcileAt, w.now)
	handled := ""
	if r.stored != nil {
		handled = r.stored.HandledReconcileAt
	}
	baseline := w.memory.request(r.key(), r.token, handled, w.now)
	if baseline.After(account) {
		return baseline
	}
	return account
}

// holdReasons are the reasons that a hold gives a drift.
var holdReasons = []string{
	v1alpha1.RowSuspended, v1alpha1.RowWritesDisabled, v1alpha1.RowWritesStopped, v1alpha1.RowManagementAccount, v1alpha1.RowNewAccount,
	v1alpha1.RowRolloutWaiting, v1alpha1.RowRolloutPaused,
}

// released says whether a drift of the check was held back for a reason that holds no longer.
func (w world) released(c *check, s sight) bool {
	return s.why != nil && slices.Contains(holdReasons, s.why.reason) && s.why.reason != c.task.Hold.Reason
}

// unsettled are the reasons after which a check is looked at again soon.
var unsettled = []string{
	v1alpha1.RowSettling, v1alpha1.RowContested, v1alpha1.RowCapReached, v1alpha1.RowRemediationFailed, v1alpha1.RowRoleMissing,
	v1alpha1.RowWaiting, v1alpha1.RowNotRecorded, v1alpha1.RowHandedOver,
}

// storedRetry stands in for a retry that a restart forgot. Where the counts were cut to fit, only a new look tells the
// regions apart: that is due at once.
func storedRetry(e *v1alpha1.AccountControl, region string, at time.Time) time.Time {
	switch {
	case isCut(e):
		return at
	case in(e.Unknown, region) > 0 || in(e.Drifted, region) > 0 && slices.Contains(unsettled, e.Reason):
		return at.Add(settleAfter)
	}
	return time.Time{}
}

func findControl(all []v1alpha1.AccountControl, id, baseline string) *v1alpha1.AccountControl {
	for i := range all {
		if all[i].Control == id && all[i].Baseline == baseline {
			return &all[i]
		}
	}
	return nil
}

// turns is when time alone next changes what is due: an exception begins or ends, or the account is old enough.
func (w world) turns(p plan) time.Time {
	var next time.Time
	earliest := func(at time.Time) {
		if at.After(w.now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, x := range w.exceptions {
		for _, r := range p.rows {
			if slices.ContainsFunc(r.checks, func(c check) bool { return excusesIn(x, c.id.Control, w.account) }) {
				earliest(nextTurn(x, w.now))
			}
		}
	}
	if len(p.rows) > 0 {
		earliest(w.enforceFrom())
	}
	return next
}

// jitter spreads the accounts over a tenth of an interval by their id, the same after every restart.
func jitter(account string, every time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account)) // never fails
	return time.Duration(uint64(every/10) * uint64(h.Sum32()%1000) / 1000)
}
