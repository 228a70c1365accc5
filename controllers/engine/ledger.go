package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Ledger keeps on record what is to be changed, before it is, and knows what people have decided about it.
type Ledger interface {
	// Refused is told what of a control waits for an approval, and says for each change, in their order, whether somebody has refused
	// it as it is: why stands in the Message, which is empty where nobody has. Of the others is proposed.
	Refused(p Plan) []Ruling
	// Propose is told what of a control waits for an approval, and says for each change, in their order, what becomes of it.
	Propose(ctx context.Context, p Plan) []Ruling
	// Begin puts on record what is about to be written. An error keeps all of it from being written.
	Begin(ctx context.Context, p Plan) error
}

// Plan is what is to be changed for one control of a baseline in the pass's account.
type Plan struct {
	Baseline string
	Control  control.Bound
	// Approved is true where a person has approved of it; otherwise nobody has to. Of Begin.
	Approved bool
	// Changes are in list order.
	Changes []Planned
	// Saw says whether the pass could judge a resource: what it did not see may be as it was. Of Propose.
	Saw func(region, resource string) bool
}

// Planned is one change of a Plan.
type Planned struct {
	Region string
	Drift  control.Drift
	// Owner is who else manages the resource; empty: nobody. OwnerUnread says why that could not be read.
	Owner, OwnerUnread string
}

// Ruling says what becomes of a change that waits for an approval.
type Ruling struct {
	// Approved is true when it may be made now.
	Approved bool
	// Record names what has it on record, where anything does.
	Record string
	// Message says otherwise what more it waits for, and Again when it is worth looking again, if that is known.
	Message string
	Again   time.Time
}

// group names the plan that a finding belongs to.
type group struct {
	baseline, control string
	approved          bool
}

// plans gathers changes by control, in list order.
func plans(all []change) (order []group, by map[group][]change) {
	by = map[group][]change{}
	for _, c := range all {
		g := group{c.result.Baseline, c.result.Control.ID, c.finding.approved}
		if by[g] == nil {
			order = append(order, g)
		}
		by[g] = append(by[g], c)
	}
	return order, by
}

func planOf(g group, changes []change) Plan {
	p := Plan{Baseline: g.baseline, Control: changes[0].result.Control, Approved: g.approved}
	for _, c := range changes {
		p.Changes = append(p.Changes, Planned{
			Region: c.result.Region, Drift: c.finding.Drift, Owner: c.finding.Owner, OwnerUnread: c.finding.OwnerUnread,
		})
	}
	return p
}

// refuse notes what of that which waits for an approval somebody has refused: it waits no longer.
func (r *run) refuse() {
	order, by := plans(r.awaiting())
	for _, g := range order {
		for i, ruling := range r.Ledger.Refused(planOf(g, by[g])) {
			if j := by[g][i].finding; ruling.Message != "" {
				j.Reason, j.Record, j.Message = v1alpha1.RowRejected, ruling.Record, with(j.Message, ruling.Message)
			}
		}
	}
}

// propose has what waits for an approval put on record, and makes due what was approved. What could not be made even then
// is not proposed.
func (r *run) propose(ctx context.Context) {
	if r.Ledger == nil {
		return
	}
	r.refuse() // what waits only since its owner is known
	order, by := plans(r.awaiting())
	for _, g := range order {
		p := planOf(g, by[g])
		p.Saw = r.saw(g)
		for i, ruling := range r.Ledger.Propose(ctx, p) {
			j := by[g][i].finding
			j.Record = ruling.Record
			if !ruling.Again.IsZero() {
				j.Again = ruling.Again
			}
			if ruling.Approved {
				j.approved = true
				*j = by[g][i].result.dueNow(*j)
			} else {
				j.Message = with(j.Message, ruling.Message)
			}
		}
	}
}

// saw says of a control's resources whether this pass could judge them. What would be made and was not asked about may be
// somebody's, and wait for an approval as before.
func (r *run) saw(g group) func(region, resource string) bool {
	looked, unasked := map[string]*Result{}, r.unasked(g)
	for i := range r.results {
		res := &r.results[i]
		if res.Baseline == g.baseline && res.Control.ID == g.control && !res.Skipped && !res.Denied {
			looked[res.Region] = res
		}
	}
	return func(region, resource string) bool {
		return looked[region] != nil && looked[region].Judges(resource) && !unasked[[2]string{region, resource}]
	}
}

// each calls f for every finding of what was looked at.
func (r *run) each(f func(res *Result, j *Judged)) {
	for i := range r.results {
		res := &r.results[i]
		if res.Skipped || res.Denied {
			continue
		}
		for k := range res.Findings {
			f(res, &res.Findings[k])
		}
	}
}

// onRecord puts the changes on record and returns those for which that has worked: nothing else is written.
func (r *run) onRecord(ctx context.Context, all []change) []change {
	if r.Ledger == nil {
		return all
	}
	order, by := plans(all)
	r.hands = map[*Judged]*hand{}
	for _, g := range order {
		first := by[g][0]
		// Where the role cannot be assumed, nothing will be written, and there is nothing to be put on record.
		opened, err := r.reach(ctx, first.result.Task)
		reason, message := v1alpha1.RowNotRecorded, ""
		var refused *refusedError
		if errors.As(err, &refused) {
			reason, message = refused.reason, refused.message
		} else if err = r.Ledger.Begin(ctx, planOf(g, by[g])); err != nil {
			message = "not written, because it could not be put on record before: " + control.Bounded(err.Error(), 256)
		}
		if err == nil {
			r.hands[first.finding] = opened
			continue
		}
		for _, c := range by[g] {
			*c.finding = c.finding.because(reason, message)
		}
	}
	return slices.DeleteFunc(all, func(c change) bool { return !c.finding.due })
}
