package controllers

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// declared is a baseline with its kind.
type declared struct {
	kind   control.Kind
	object control.Baseline
}

func (d declared) key() string { return d.kind.Name + "/" + d.object.GetName() }

// world is everything a plan is made from. Planning is pure: the same world gives the same plan.
type world struct {
	account      *v1alpha1.AWSAccount
	organization *v1alpha1.AWSOrganizationSpec
	baselines    []declared
	exceptions   []*v1alpha1.BaselineException
	// enabled are the regions enabled in the account.
	enabled     []string
	memory      *memory
	allowWrites bool
	// recheck makes every check due: the account could not be entered before.
	recheck bool
	now     time.Time
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
	checks               []check
	overridden           int32
	overriddenBy         string
	// stored is the row as the account's status has it; nil when it has none.
	stored *v1alpha1.AccountBaseline
}

func (r *row) key() string { return r.kind + "/" + r.name }

// check is one check of a plan.
type check struct {
	id   checkID
	task engine.Task
	// known is true when it was observed at today's revision; at is when.
	known bool
	at    time.Time
	// due is when it must be observed again; not after now means now.
	due time.Time
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
		return slices.ContainsFunc(d.kind.Controls(d.object), func(b control.Bound) bool {
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
		revision: revisionOf(d.kind, d.object), token: d.object.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt],
	}
	var ids []string
	var open []string // regions that are not denied
	for _, region := range regions {
		if w.isDenied(region) {
			denied[region] = true
		} else {
			open = append(open, region)
		}
	}
	concerned := false
	for _, b := range d.kind.Controls(d.object) {
		if !concerns(w.organization, spec, b, w.account) {
			continue
		}
		concerned = true
		ids = append(ids, b.ID)
		for _, region := range regionsOf(b, open) {
			claim := d.kind.Name + " " + b.ID + " " + region
			if winner, taken := claimed[claim]; taken {
				r.overridden++
				r.overriddenBy = winner
				continue
			}
			claimed[claim] = r.name
			r.checks = append(r.checks, check{id: checkID{r.key(), b.ID, region}, task: w.task(&r, b, region, open)})
		}
	}
	r.exceptions = exceptionsHash(active, ids, w.account)
	for i := range r.checks {
		c := &r.checks[i]
		c.task.Excused = excuse(active, c.task.Control.Meta, c.id.region, w.account)
		w.schedule(&r, c)
	}
	return r, concerned
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

func (w world) task(r *row, b control.Bound, region string, regions []string) engine.Task {
	id := checkID{r.key(), b.ID, region}
	return engine.Task{
		Control: b, Baseline: r.key(), Region: region, Regions: regions,
		Mode: r.spec.EffectiveMode(b.Spec), Approval: r.spec.EffectiveApproval(b.Spec),
		Hold:  w.hold(r.spec, b),
		Looks: func(resource string) int { return w.memory.looks[changedResource{id, resource}] },
	}
}

// hold says why nothing may be written for a control, whatever its mode: the baseline is suspended, the manager may not
// write, the account is the management account and was not named, or it is new.
func (w world) hold(spec *v1alpha1.BaselineSpec, b control.Bound) engine.Hold {
	switch {
	case spec.Suspend:
		return engine.Hold{Reason: v1alpha1.RowSuspended, Message: "the baseline is suspended; reported as in Audit"}
	case !w.allowWrites:
		return engine.Hold{Reason: v1alpha1.RowWritesDisabled, Message: "the manager runs without --allow-writes"}
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
	return engine.Hold{}
}

func named(s *v1alpha1.AccountSelector, id string) bool {
	return s != nil && slices.Contains(s.Include, v1alpha1.AccountID(id))
}

// enforceFrom is when the account is old enough to be written to.
func (w world) enforceFrom() time.Time {
	return joinedAt(w.account).Add(w.organization.EnforceAfter())
}

// schedule works out whether the check is known at today's revision and when it is due.
func (w world) schedule(r *row, c *check) {
	s, seen := w.memory.seen[c.id]
	switch {
	case seen && s.revision == r.revision:
		c.known, c.at = true, s.at
	case r.covers(c):
		c.known, c.at = true, r.storedTime(c.task.Control.PerResource)
		s = sight{at: c.at, exceptions: r.stored.Exceptions, retry: w.storedRetry(c)}
	default:
		return // never looked at: due at once
	}
	if w.recheck || s.exceptions != r.exceptions || c.at.Before(w.asked(r)) || w.released(r, c) {
		return
	}
	every := r.spec.ObserveEvery(c.task.Control.PerResource)
	c.due = c.at.Add(every - jitter(w.account.Name, every))
	if !s.retry.IsZero() && s.retry.Before(c.due) {
		c.due = s.retry
	}
}

// covers says whether the stored row stands for the check at today's revision.
func (r *row) covers(c *check) bool {
	return r.stored != nil && r.stored.Revision == r.revision && slices.Contains(r.stored.Regions, c.id.region) &&
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
	v1alpha1.RowSuspended, v1alpha1.RowWritesDisabled, v1alpha1.RowManagementAccount, v1alpha1.RowNewAccount,
}

// released says whether a drift of the check was held back for a reason that holds no longer.
func (w world) released(r *row, c *check) bool {
	e := findControl(w.account.Status.Controls, c.id.control, r.key())
	return e != nil && e.Drifted[c.id.region] > 0 && slices.Contains(holdReasons, e.Reason) && e.Reason != c.task.Hold.Reason
}

// unsettled are the reasons after which a check is looked at again soon.
var unsettled = []string{
	v1alpha1.RowSettling, v1alpha1.RowCapReached, v1alpha1.RowRemediationFailed, v1alpha1.RowRoleMissing, v1alpha1.RowWaiting,
}

// storedRetry stands in for a retry that a restart forgot.
func (w world) storedRetry(c *check) time.Time {
	e := findControl(w.account.Status.Controls, c.id.control, c.id.baseline)
	if e == nil || e.Unknown[c.id.region] == 0 && !(e.Drifted[c.id.region] > 0 && slices.Contains(unsettled, e.Reason)) {
		return time.Time{}
	}
	return c.at.Add(settleAfter)
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
			if slices.ContainsFunc(r.checks, func(c check) bool { return excusesIn(x, c.id.control, w.account) }) {
				earliest(nextTurn(x, w.now))
			}
		}
	}
	if len(p.rows) > 0 {
		earliest(w.enforceFrom())
	}
	return next
}

// due are the tasks to run now, in list order.
func (p plan) due(now time.Time) []engine.Task {
	var tasks []engine.Task
	for _, r := range p.rows {
		for _, c := range r.checks {
			if !c.due.After(now) {
				tasks = append(tasks, c.task)
			}
		}
	}
	return tasks
}

// next is when the plan must be looked at again.
func (p plan) next() time.Time {
	next := p.turns
	for _, r := range p.rows {
		for _, c := range r.checks {
			if next.IsZero() || c.due.Before(next) {
				next = c.due
			}
		}
	}
	return next
}

// jitter spreads the accounts over a tenth of an interval by their id, the same after every restart.
func jitter(account string, every time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account)) // never fails
	return time.Duration(uint64(every/10) * uint64(h.Sum32()%1000) / 1000)
}
