package controllers

import (
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// declared is a baseline with its kind, its revision and its controls.
type declared struct {
	kind     control.Kind
	object   control.Baseline
	revision string
	controls []control.Bound
}

func declare(k control.Kind, b control.Baseline) declared {
	return declared{kind: k, object: b, revision: revisionOf(k, b), controls: k.Controls(b)}
}

func (d declared) key() string { return d.kind.Name + "/" + d.object.GetName() }

// keyed finds the baseline of a key.
func keyed(all []declared, key string) (declared, bool) {
	i := slices.IndexFunc(all, func(d declared) bool { return d.key() == key })
	if i < 0 {
		return declared{}, false
	}
	return all[i], true
}

// world is everything a plan is made from. Planning is pure: the same world gives the same plan.
type world struct {
	account      *v1alpha1.AWSAccount
	organization *v1alpha1.AWSOrganizationSpec
	baselines    []declared
	exceptions   []*v1alpha1.BaselineException
	// records are the account's Remediations.
	records []*v1alpha1.Remediation
	// invited are the plans that waited for a place among the proposals and may have one now, and since when.
	invited map[ticket]time.Time
	// enabled are the regions enabled in the account. Where they could not be read, regionsErr says why, and those read last
	// stand in.
	enabled     []string
	regionsErr  error
	memory      *memory
	allowWrites bool
	// handsOver is true where the enforcer makes the changes; stirred are the controls of which something that was handed over stands
	// otherwise than when they were last looked at.
	handsOver bool
	stirred   map[handedOf]bool
	// defaultSoak is how long the first account of a baseline without waves is watched before all others are changed.
	defaultSoak time.Duration
	// open are the events that are still to be looked into, recent those of the last hours, and handled, once the pass is over,
	// those of open that were.
	open, recent, handled []*mark
	// found are the checks, once the pass is over, in which a sweep found what no event has announced.
	found []check
	// refresh is how often a status is written that says nothing new but later times.
	refresh time.Duration
	// awaits is true, once the pass is over, when it left nothing undone but what waits for an answer that accounts share.
	awaits bool
	// undoAgain is when what is being undone is gone on with, once the pass is over; zero: nothing is.
	undoAgain time.Time
	// person is true when a person asked for the pass: then all that is due is looked at, not only what events tell of.
	person bool
	now    time.Time
}

// plan is what must be looked at in one account: a row per baseline that selects it.
type plan struct {
	rows []row
	// denied are the selected regions that a service control policy refuses.
	denied []string
	// turns is when an exception or the account's age next changes what is due; zero: never.
	turns time.Time
}

// row is one baseline's part of a plan.
type row struct {
	kind, name           string
	spec                 *v1alpha1.BaselineSpec
	revision, exceptions string
	token                string
	unknownRegions       []string
	// undone are the account's Remediations of the baseline that were undone, or are about to be.
	undone []*v1alpha1.Remediation
	// rollout is why the rollout holds the account's changes back, and caps what it bounds.
	rollout engine.Hold
	caps    engine.Caps
	// open are the selected regions that are not denied; regional is true when checks of regions are declared.
	open     []string
	regional bool
	// nowhere is true when not one region is selected: regions are named that the account does not have, or all are excluded.
	nowhere bool
	checks  []check
	// covered identifies the checks, as covering makes it.
	covered      string
	overridden   int32
	overriddenBy string
	// stored is the row as the account's status has it; nil when it has none.
	stored *v1alpha1.AccountBaseline
}

func (r *row) key() string { return r.kind + "/" + r.name }

// check is one check of a plan.
type check struct {
	id   checkID
	task *engine.Task
	// known is true when it was observed at today's revision; at is when, looked is when it was looked at (later than at where
	// what accounts share was read before), exceptions which were obeyed.
	known      bool
	at, looked time.Time
	exceptions string
	// was is when it had been observed before this pass.
	was time.Time
	// due is when it must be observed again; not after now means now.
	due time.Time
	// marked is true when an event tells of it that is still to be looked into.
	marked bool
}

// makePlan works out what must hold in the account and what of it is due.
func makePlan(w world) plan {
	var p plan
	active := slices.DeleteFunc(slices.Clone(w.exceptions), func(x *v1alpha1.BaselineException) bool { return !activeAt(x, w.now) })
	claimed := map[string]string{} // kind, control and region -> the baseline that won it
	denied := map[string]bool{}
	baselines := slices.Clone(w.baselines)
	slices.SortStableFunc(baselines, func(a, b declared) int { return precedence(a.object, b.object) })
	for _, d := range baselines {
		if r, ok := w.row(d, active, claimed, denied); ok {
			p.rows = append(p.rows, r)
		}
	}
	slices.SortFunc(p.rows, func(a, b row) int { return strings.Compare(a.key(), b.key()) })
	for region := range denied {
		p.denied = append(p.denied, region)
	}
	slices.Sort(p.denied)
	p.turns = w.turns(p)
	return p
}

// concerned says whether any baseline has checks in the account.
func (w world) concerned() bool {
	return slices.ContainsFunc(w.baselines, func(d declared) bool {
		spec, _ := d.object.Common()
		return slices.ContainsFunc(d.controls, func(b control.Bound) bool {
			return concerns(w.organization, spec, b, w.account)
		})
	})
}

// row plans one baseline; false when nothing of it concerns the account.
func (w world) row(d declared, active []*v1alpha1.BaselineException, claimed map[string]string, denied map[string]bool) (row, bool) {
	spec, _ := d.object.Common()
	regions, unknown := governedRegions(w.organization, spec, w.account, w.enabled)
	r := row{
		kind: d.kind.Name, name: d.object.GetName(), spec: spec, unknownRegions: unknown, stored: w.storedRow(d),
		nowhere: len(regions) == 0,
		undone:  w.undoneOf(d), rollout: w.rolloutHold(d), caps: capsOf(d),
		revision: d.revision, token: d.object.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt],
	}
	for _, region := range regions {
		if w.isDenied(region) {
			denied[region] = true
		} else {
			r.open = append(r.open, region)
		}
	}
	var ids []string
	for _, b := range d.controls {
		if concerns(w.organization, spec, b, w.account) {
			ids = append(ids, b.ID)
			r.regional = r.regional || b.Scope == control.Region
			w.claim(&r, b, claimed)
		}
	}
	r.exceptions, r.covered = exceptionsHash(active, ids, w.account), r.covering()
	for i := range r.checks {
		c := &r.checks[i]
		c.task.Excused = excuse(active, c.task.Control.Meta, c.id.Region, w.account)
		w.schedule(&r, c)
	}
	return r, len(ids) > 0
}

// claim gives the row the control's checks, but those that a baseline with precedence has claimed.
func (w world) claim(r *row, b control.Bound, claimed map[string]string) {
	for _, region := range regionsOf(b, r.open) {
		claim := r.kind + " " + b.ID + " " + region
		if winner, taken := claimed[claim]; taken {
			r.overridden++
			r.overriddenBy = winner
			continue
		}
		claimed[claim] = r.name
		r.checks = append(r.checks, check{id: checkID{Baseline: r.key(), Control: b.ID, Region: region}, task: w.task(r, b, region)})
	}
}

// regionsOf are the regions of a control's checks: those selected, or global.
func regionsOf(b control.Bound, selected []string) []string {
	if b.Scope == control.Region {
		return selected
	}
	return []string{v1alpha1.GlobalRegion}
}

func (w world) storedRow(d declared) *v1alpha1.AccountBaseline {
	for i, s := range w.account.Status.Baselines {
		if s.Kind == d.kind.Name && s.Name == d.object.GetName() {
			return &w.account.Status.Baselines[i]
		}
	}
	return nil
}

// deniedFor is how long a region that a service control policy refuses is left alone: as long as the list of regions lasts.
const deniedFor = 24 * time.Hour

func (w world) isDenied(region string) bool {
	since, ok := w.memory.denied[region]
	return ok && w.now.Sub(since) < deniedFor
}

func (w world) task(r *row, b control.Bound, region string) *engine.Task {
	id, looks := checkID{Baseline: r.key(), Control: b.ID, Region: region}, w.memory.looks
	return &engine.Task{
		Control: b, Baseline: r.key(), Region: region, Regions: r.open,
		Every: r.spec.ObserveEvery(b.PerResource), Mode: r.spec.EffectiveMode(b.Spec), Approval: r.spec.EffectiveApproval(b.Spec),
		Hold:      w.hold(r, b),
		Caps:      r.caps,
		Named:     w.named(b.Meta, region),
		Looks:     func(drift string) int { return looks[changedResource{id, drift}] },
		Withdrawn: w.withdrawn(r.undone, id),
	}
}

// hold says why nothing may be written for a control, whatever its mode: the baseline is suspended, the manager may not
// write, the account is the management account and was not named, or it is new.
func (w world) hold(r *row, b control.Bound) engine.Hold {
	spec := r.spec
	switch {
	case spec.Suspend:
		return engine.Hold{Reason: v1alpha1.RowSuspended, Message: "the baseline is suspended; reported as in Audit"}
	case !w.allowWrites:
		return writesDisabled
	case w.organization.Writes == v1alpha1.WritesStopped:
		return writesStopped
	case b.Scope == control.Organization:
		return engine.Hold{} // such a section is its own consent
	case w.account.Name == string(w.organization.ManagementAccount) && !named(spec.Accounts, w.account.Name):
		return engine.Hold{
			Reason:  v1alpha1.RowManagementAccount,
			Message: "the management account is changed only when its id stands in accounts.include",
		}
	case w.now.Before(w.enforceFrom()):
		return engine.Hold{
			Reason:  v1alpha1.RowNewAccount,
			Message: "the account is new and only observed until " + w.enforceFrom().UTC().Format(time.RFC3339),
		}
	}
	return r.rollout
}

// writesDisabled is why nothing is changed by a manager that may not write.
var writesDisabled = engine.Hold{Reason: v1alpha1.RowWritesDisabled, Message: "the manager runs without --allow-writes"}

// writesStopped is why nothing is changed while the organization's switch is off.
var writesStopped = engine.Hold{Reason: v1alpha1.RowWritesStopped, Message: "spec.writes of the AWSOrganization is Stopped"}

func named(s *v1alpha1.AccountSelector, id string) bool {
	return s != nil && slices.Contains(s.Include, v1alpha1.AccountID(id))
}

// enforceFrom is when the account is old enough to be written to.
func (w world) enforceFrom() time.Time {
	return joinedAt(w.account).Add(w.organization.EnforceAfter())
}

// covering identifies the row's checks: which controls in which regions, and the regions in which those that are of no one
// region look.
func (r *row) covering() string {
	lines := slices.Clone(r.open)
	for _, c := range r.checks {
		lines = append(lines, c.id.Control+"/"+c.id.Region)
	}
	slices.Sort(lines)
	return digestOf([]byte(strings.Join(lines, "\n")))[:12]
}

// size is the number of checks.
func (p plan) size() (n int) {
	for i := range p.rows {
		n += len(p.rows[i].checks)
	}
	return n
}

// all are the checks of the plan.
func (p plan) all() []checkID {
	all := make([]checkID, 0, p.size())
	for _, r := range p.rows {
		for _, c := range r.checks {
			all = append(all, c.id)
		}
	}
	return all
}

// longestPutOff is for how long what is due is put off for what events tell of. In an account where something happens all the
// time, or where looking into it takes minutes, nothing else would ever be looked at.
const longestPutOff = 5 * time.Minute

// eventsFirst says whether what events tell of goes before all else that is due: unless a person asked for the pass, or the
// rest has been put off for too long.
func (w world) eventsFirst() bool {
	return !w.person && (w.memory.behind.IsZero() || w.now.Sub(w.memory.behind) < longestPutOff)
}

// putOff notes since when something is due that no event tells of and that was not looked at.
func (w world) putOff(p *plan) {
	left := false
	p.each(func(_ *row, c *check) { left = left || !c.marked && !c.due.After(w.now) })
	switch {
	case !left:
		w.memory.behind = time.Time{}
	case w.memory.behind.IsZero(), w.memory.behind.After(w.now): // the latter where the clock was set back
		w.memory.behind = w.now
	}
}

// due are the tasks to run now, in list order. What events tell of mostly goes first and alone, so that nobody waits for a
// sweep to end; onlyEvents says so.
func (p plan) due(w world) (tasks []*engine.Task, onlyEvents bool) {
	var all, marked []*engine.Task
	for _, r := range p.rows {
		for _, c := range r.checks {
			if !c.due.After(w.now) {
				all = append(all, c.task)
			}
			if c.marked {
				marked = append(marked, c.task)
			}
		}
	}
	if len(marked) > 0 && w.eventsFirst() {
		return marked, true
	}
	return all, false
}

// next is when the plan must be looked at again; zero when never. What is due already, because the pass had no time for it,
// is due now.
func (p plan) next(now time.Time) time.Time {
	next := p.turns
	for _, r := range p.rows {
		for _, c := range r.checks {
			due := c.due
			if due.Before(now) {
				due = now
			}
			if next.IsZero() || due.Before(next) {
				next = due
			}
		}
	}
	return next
}
