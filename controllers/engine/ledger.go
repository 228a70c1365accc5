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
	// Begin puts on record what is about to be written, and says for each change, in their order, whether it is to be written now
	// (Approved) or why not. An error keeps all of it from being written.
	Begin(ctx context.Context, p Plan) ([]Ruling, error)
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

// Ruling says what becomes of a change that waits for an approval, or of one that is about to be written.
type Ruling struct {
	// Approved is true when it may be made now.
	Approved bool
	// Reason is that of a change that is not written although it might be; Failed is true where it was tried and failed. Of Begin.
	Reason string
	Failed bool
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

// refuse notes what somebody has refused of that which waits for an approval, or which needs none: it is neither proposed nor made, and
// takes no place under a cap.
func (r *run) refuse() {
	all := r.awaiting()
	r.each(func(res *Result, j *Judged) {
		if j.due {
			all = append(all, change{res, j})
		}
	})
	order, by := plans(all)
	for _, g := range order {
		for i, ruling := range r.Ledger.Refused(planOf(g, by[g])) {
			if j := by[g][i].finding; ruling.Message != "" {
				j.Record = ruling.Record
				*j = j.because(v1alpha1.RowRejected, with(j.Message, ruling.Message))
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

// onRecord puts the changes on record and returns those that are to be written now: nothing else is.
func (r *run) onRecord(ctx context.Context, all []change) []change {
	if r.Ledger == nil {
		return all
	}
	order, by := plans(all)
	r.hands = map[*Judged]*hand{}
	for _, g := range order {
		r.begin(ctx, g, by[g])
	}
	return slices.DeleteFunc(all, func(c change) bool { return !c.finding.due })
}

// begin puts the changes of one plan on record.
func (r *run) begin(ctx context.Context, g group, changes []change) {
	opened, err := r.open(ctx, changes[0].result.Task)
	var rulings []Ruling
	reason, message := v1alpha1.RowNotRecorded, ""
	var refused *refusedError
	if errors.As(err, &refused) {
		reason, message = refused.reason, refused.message
	} else if rulings, err = r.Ledger.Begin(ctx, planOf(g, changes)); err != nil {
		message = "not written, because it could not be put on record before: " + control.Bounded(err.Error(), 256)
	}
	for i, c := range changes {
		switch {
		case err != nil:
			*c.finding = c.finding.because(reason, message)
		case !rulings[i].Approved:
			*c.finding = c.finding.ruled(rulings[i])
		case opened != nil:
			r.hands[c.finding], opened = opened, nil
		}
	}
}

// open enters the account for one change, where this process is the one that makes it. Where the role cannot be assumed, nothing
// will be written, and there is nothing to be put on record.
func (r *run) open(ctx context.Context, t *Task) (*hand, error) {
	if r.HandsOver {
		return nil, nil
	}
	return r.reach(ctx, t)
}

// ruled is a finding whose change is not written now although it might be.
func (j Judged) ruled(by Ruling) Judged {
	j.Failed, j.Record = by.Failed, by.Record
	if !by.Again.IsZero() {
		j.Again = by.Again
	}
	return j.because(orElse(by.Reason, v1alpha1.RowHandedOver), by.Message)
}
