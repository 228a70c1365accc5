package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// whatSeen is what a pass says of the results of a change on record.
type whatSeen int

const (
	// notSeen: its check was not looked at, or the resource could not be judged.
	notSeen whatSeen = iota
	// gone: what the change would put right departs no longer.
	gone
	// asRecorded: it departs exactly as it did.
	asRecorded
	// otherwise: it departs, and not as it did.
	otherwise
	// undeclared: no baseline asks for it any more.
	undeclared
)

// sighting is what a pass saw of the account.
type sighting struct {
	planned map[checkID]bool
	fresh   map[checkID]*engine.Result
}

func newSighting(p *plan, results []engine.Result) sighting {
	s := sighting{planned: map[checkID]bool{}, fresh: freshOf(results)}
	for _, id := range p.all() {
		s.planned[id] = true
	}
	return s
}

// of looks for a change of a record among the results, and returns the departure that is still there.
func (s sighting) of(r *v1alpha1.Remediation, c v1alpha1.RemediationChange) (whatSeen, *engine.Judged) {
	id := checkID{Baseline: r.Status.Baseline, Control: r.Status.Control, Region: c.Region}
	res := s.fresh[id]
	switch {
	case res == nil && !s.planned[id]:
		return undeclared, nil
	case res == nil || !res.Judges(c.Resource):
		return notSeen, nil
	}
	for i := range res.Findings {
		j := &res.Findings[i]
		if j.Outcome != control.Departs || j.Resource != c.Resource || !sharesField(c, j.Fields) {
			continue
		}
		if digestOf(j.Before) == c.BeforeDigest && digestOf(j.After) == c.AfterDigest {
			return asRecorded, j
		}
		return otherwise, j
	}
	return gone, nil
}

func sharesField(c v1alpha1.RemediationChange, fields []control.Field) bool {
	return slices.ContainsFunc(c.Fields, func(in v1alpha1.RemediationField) bool {
		return slices.ContainsFunc(fields, func(f control.Field) bool { return f.Path == in.Path })
	})
}

// settle compares what is on record for the account with what the pass saw: proposals that are no longer true are superseded,
// and of what was begun it is noted what came of it, also where a manager was interrupted between writing and noting.
func (l *ledger) settle(ctx context.Context, s sighting) error {
	var problems []error
	for _, r := range l.records {
		if !r.Status.Phase.Open() || r.Status.Phase == "" || l.held[r.Name] || !s.tells(r) {
			continue
		}
		again, err := l.settleOne(ctx, r.Name, s)
		if again || err != nil {
			l.again[[2]string{r.Status.Baseline, r.Status.Control}] = true
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// settleOne settles one record, and says whether it has made room for what waits.
func (l *ledger) settleOne(ctx context.Context, name string, s sighting) (room bool, err error) {
	err = l.update(ctx, name, func(now *v1alpha1.Remediation) bool {
		switch {
		case isWaiting(now):
			return l.settleWaiting(now, s)
		case now.Status.Phase == v1alpha1.RemediationApplying && !l.observes(): // the enforcer knows what it does
			changed := l.settleBegun(now, s)
			room = changed && !now.Status.Phase.Open() && s.othersWait(now)
			return changed
		}
		return false
	})
	return room, err
}

// othersWait says whether something of the record's control waits for an approval that there was no room for in a proposal: it is
// proposed as soon as the record is done.
func (s sighting) othersWait(r *v1alpha1.Remediation) bool {
	for id, res := range s.fresh {
		if id.Baseline == r.Status.Baseline && id.Control == r.Status.Control && slices.ContainsFunc(res.Findings, waitsUnproposed) {
			return true
		}
	}
	return false
}

func waitsUnproposed(j engine.Judged) bool {
	return j.Reason == v1alpha1.RowAwaitingApproval && j.Record == ""
}

// tells says whether the pass saw anything of the record's changes.
func (s sighting) tells(r *v1alpha1.Remediation) bool {
	return slices.ContainsFunc(r.Status.Changes, func(c v1alpha1.RemediationChange) bool {
		what, _ := s.of(r, c)
		return what != notSeen
	})
}

// settleWaiting ends a proposal when one of its changes is no longer what would be made. The rest is proposed anew.
func (l *ledger) settleWaiting(r *v1alpha1.Remediation, s sighting) bool {
	for _, c := range r.Status.Changes {
		why := ""
		switch what, j := s.of(r, c); what {
		case gone:
			why = "departs no longer"
		case otherwise:
			why = "is no longer as it was proposed"
		case undeclared:
			why = "is no longer asked for"
		case asRecorded:
			why = withdrawnBy(j)
		}
		if why != "" {
			l.end(r, v1alpha1.RemediationSuperseded, control.Bounded(c.Resource, 256)+" in "+c.Region+" "+why)
			l.again[[2]string{r.Status.Baseline, r.Status.Control}] = true
			return true
		}
	}
	return false
}

// withdrawnBy says why a departure that is as it was is not to be put right any more; empty where it is.
func withdrawnBy(j *engine.Judged) string {
	switch {
	case j.Excepted != "":
		return "is excused by the exception " + j.Excepted
	case j.Reason == v1alpha1.RowAudit:
		return "is only reported now: the mode is Audit"
	}
	return ""
}

// settleBegun notes what came of the changes of a record that was begun.
func (l *ledger) settleBegun(r *v1alpha1.Remediation, s sighting) bool {
	changed := false
	for i := range r.Status.Changes {
		c := &r.Status.Changes[i]
		if c.Outcome != "" {
			continue
		}
		if c.Outcome, c.Message = l.cameOf(r, *c, s); c.Outcome != "" {
			changed = true
		}
	}
	if !changed {
		return false
	}
	r.Status.Progress = progress(r.Status.Changes)
	l.finish(r)
	return true
}

// cameOf is what came of one change; nothing where that is not known yet.
func (l *ledger) cameOf(r *v1alpha1.Remediation, c v1alpha1.RemediationChange, s sighting) (v1alpha1.ChangeOutcome, string) {
	what, j := s.of(r, c)
	switch {
	case what == gone:
		return v1alpha1.ChangeApplied, ""
	case what == undeclared:
		return v1alpha1.ChangeUnverified, "no longer asked for, so nobody looks whether it was made"
	case what == notSeen:
		return "", ""
	case j.Failed:
		return v1alpha1.ChangeFailed, control.Bounded(j.Message, 512)
	case what == otherwise:
		return v1alpha1.ChangeLeft, "no longer as it was proposed"
	}
	return l.stillDeparts(r, j)
}

// stillDeparts is what came of a change whose resource departs as it did: most often nothing yet.
func (l *ledger) stillDeparts(r *v1alpha1.Remediation, j *engine.Judged) (v1alpha1.ChangeOutcome, string) {
	switch why := withdrawnBy(j); {
	case why != "":
		return v1alpha1.ChangeUnverified, why + "; AWS does not show that it was made"
	case !l.fits(r):
		return v1alpha1.ChangeUnverified, "the baseline, its settings or the role have changed since; AWS does not show that it was made"
	case r.Expired(l.now):
		return v1alpha1.ChangeFailed, "not made before it expired: " + control.Bounded(j.Message, 256)
	}
	return "", ""
}

// finish gives a record its last phase once something is known of each change.
func (l *ledger) finish(r *v1alpha1.Remediation) {
	n := map[v1alpha1.ChangeOutcome]int{}
	for _, c := range r.Status.Changes {
		n[c.Outcome]++
	}
	left := n[v1alpha1.ChangeLeft]
	switch {
	case n[""] > 0:
		return
	case n[v1alpha1.ChangeFailed] > 0:
		l.end(r, v1alpha1.RemediationFailed, fmt.Sprintf("%d of %d changes failed; see status.changes", n[v1alpha1.ChangeFailed], len(r.Status.Changes)))
	case n[v1alpha1.ChangeUnverified] > 0:
		l.end(r, v1alpha1.RemediationApplied, fmt.Sprintf("%d of %d changes may have been made, and nobody looks at them any more; see status.changes", n[v1alpha1.ChangeUnverified], len(r.Status.Changes)))
	case n[v1alpha1.ChangeApplied] == 0:
		l.end(r, v1alpha1.RemediationSuperseded, "nothing was made: what is there, or what is wanted, has changed since")
	case left > 0:
		l.end(r, v1alpha1.RemediationApplied, fmt.Sprintf("%d changes were left, for they were no longer as proposed", left))
	default:
		l.end(r, v1alpha1.RemediationApplied, "made, and AWS shows it")
	}
}
