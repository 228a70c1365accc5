package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// What somebody else manages is not changed without an approval, in any mode. Who does is asked only about what this pass would
// change or propose: what complies, what is only reported, and what waits for its turn costs no request.

// MaxProposed is how many changes of a control a Ledger proposes at a time: the first by region and resource.
const MaxProposed = 100

// ownerAgain is when it is asked again who manages a resource, where that could not be read and may be read later.
const ownerAgain = 5 * time.Minute

// learnOwners finds out who manages what would be changed or proposed, and has what somebody manages wait for an approval.
func (r *run) learnOwners(ctx context.Context) {
	ctx, stop := watch(ctx, r.limits.StartFor)
	defer stop()
	memo := control.NewMemo(ctx)
	r.askOwners(ctx, r.proposable(), memo)
	for ctx.Err() == nil {
		next := r.nextDue()
		if len(next) == 0 {
			return
		}
		r.askOwners(ctx, next, memo)
	}
}

// awaiting is what waits for an approval and may be proposed, in list order.
func (r *run) awaiting() []change {
	var all []change
	r.each(func(res *Result, j *Judged) {
		if j.Reason == v1alpha1.RowAwaitingApproval && res.Hold.Reason == "" {
			all = append(all, change{res, j})
		}
	})
	return all
}

// proposable is as much of what waits for an approval as proposals hold. What was refused takes no place in one.
func (r *run) proposable() []change {
	if r.Ledger == nil {
		return nil
	}
	r.refuse()
	var all []change
	order, by := plans(r.awaiting())
	for _, g := range order {
		slices.SortStableFunc(by[g], func(a, b change) int {
			return cmp.Or(strings.Compare(a.result.Region, b.result.Region), strings.Compare(a.finding.Resource, b.finding.Resource))
		})
		all = append(all, by[g][:min(len(by[g]), MaxProposed)]...)
	}
	return all
}

// nextDue are the next changes to be asked about: of each baseline as many as one pass may make, less those that were asked about
// and are nobody's. Nothing is left when all that can be made was asked about.
func (r *run) nextDue() []change {
	made := map[string]int{}
	var next []change
	r.each(func(res *Result, j *Judged) {
		if !j.due || r.isContested(res.Task, *j) {
			return
		}
		most := r.limits.ChangesPerPass
		if of := res.Caps.Changes; of > 0 {
			most = min(most, of)
		}
		if made[res.Baseline]++; made[res.Baseline] <= most && !j.asked {
			next = append(next, change{res, j})
		}
	})
	return next
}

// unasked are the resources of a plan, by region, that would be changed and of which nobody was asked who manages them.
func (r *run) unasked(g group) map[[2]string]bool {
	all := map[[2]string]bool{}
	r.each(func(res *Result, j *Judged) {
		if j.due && !j.asked && res.Baseline == g.baseline && res.Control.ID == g.control {
			all[[2]string{res.Region, j.Resource}] = true
		}
	})
	return all
}

// askOwners asks about changes, side by side. The reads of one resource are shared.
func (r *run) askOwners(ctx context.Context, changes []change, memo *control.Memo) {
	control.Each(r.limits.Parallel, len(changes), func(i int) {
		c := changes[i]
		by, err := r.ownerOf(ctx, c.result.Task, c.finding.Resource, memo)
		if ctx.Err() != nil && !wasCutOff(ctx) {
			return // the manager is to stop: this says nothing
		}
		*c.finding = c.result.ownedBy(*c.finding, by)
		if err != nil {
			*c.finding = c.result.ownerUnread(*c.finding, err)
			if !control.IsAccessDenied(err) {
				c.finding.Again = r.clock().Add(ownerAgain)
			}
		}
	})
}

// ownerOf asks who manages a resource, with what the control may read.
func (r *run) ownerOf(ctx context.Context, t *Task, resource string, memo *control.Memo) (by string, err error) {
	defer func() {
		if p := recover(); p != nil {
			by, err = "", r.panicked(t, p)
		}
	}()
	return t.Control.OwnerOf(control.WithPurpose(ctx, t.Control.ID), r.target(t, r.Reader, t.Control.Reads, memo, false), resource)
}

// ownedBy is the finding with its owner; an empty one is nobody.
func (t *Task) ownedBy(j Judged, by string) Judged {
	j.asked, j.Owner = true, control.Bounded(by, 256)
	return t.judgeAgain(j)
}

// ownerUnread is the finding when its owner could not be read: nobody knows that there is none.
func (t *Task) ownerUnread(j Judged, err error) Judged {
	reason, message := control.Explain(err)
	j.asked, j.OwnerUnread = true, reason+": "+message
	return t.judgeAgain(j)
}

// judgeAgain says anew why a finding stands that was due or waits for an approval.
func (t *Task) judgeAgain(j Judged) Judged {
	if reason, message := t.heldBack(j); reason != "" {
		return j.because(reason, message)
	}
	return j
}

// owned says who manages the resource and what a change means to them; empty where nobody does.
func (j Judged) owned() string {
	switch {
	case j.Owner != "":
		return "managed by " + j.Owner + ": " + control.OwnerEffect(j.Owner)
	case j.OwnerUnread != "":
		return "who manages it could not be read (" + j.OwnerUnread + ")"
	}
	return ""
}

// notAsked takes away what nobody was asked about: it could be anybody's. Only what a person has approved is made all the same.
func notAsked(changes []change) []change {
	return slices.DeleteFunc(changes, func(c change) bool {
		put := !c.finding.asked && !c.finding.approved
		if put {
			*c.finding = c.finding.because(v1alpha1.RowCapReached, "there was no time to find out who manages it; made in a later pass")
		}
		return put
	})
}
