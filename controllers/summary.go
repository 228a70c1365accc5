package controllers

import (
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// settleAfter is when a check is looked at again whose change is not to be seen yet, waits for a cap, or for something that
// must come first.
const settleAfter = time.Minute

// retryFirst is when a check that could not be told, or put right, is first tried again; each further try waits twice as
// long, up to the interval.
const retryFirst = 5 * time.Minute

// remember takes what the results say into the account's memory and back into the plan, so that both know when each check
// was last observed and is next due.
func remember(w world, p *plan, results []engine.Result) {
	fresh := map[checkID]engine.Result{}
	changed := false
	for _, res := range results {
		id := checkID{res.Baseline, res.Control.ID, res.Region}
		if res.Denied {
			w.memory.denied[res.Region] = w.now
		}
		if !res.Skipped && !res.Denied {
			fresh[id] = res
			changed = changed || res.Changed > 0
		}
	}
	planned := map[checkID]bool{}
	for i := range p.rows {
		r := &p.rows[i]
		for k := range r.checks {
			c := &r.checks[k]
			planned[c.id] = true
			if res, ok := fresh[c.id]; ok {
				w.remember(r, c, res, changed)
			}
		}
	}
	w.memory.prune(planned)
	p.dropDenied(w)
}

func (w world) remember(r *row, c *check, res engine.Result, changed bool) {
	every := r.spec.ObserveEvery(res.Control.PerResource)
	s := sight{revision: r.revision, exceptions: r.exceptions, at: res.At, failures: w.memory.seen[c.id].failures}
	if wait, failed := retryAfter(res, changed, s.failures, every); wait > 0 {
		s.retry = res.At.Add(wait)
		if failed {
			s.failures++
		}
	} else {
		s.failures = 0
	}
	w.memory.seen[c.id] = s
	w.rememberLooks(c.id, res)
	c.known, c.at = true, res.At
	c.due = res.At.Add(every - jitter(w.account.Name, every))
	if !s.retry.IsZero() && s.retry.Before(c.due) {
		c.due = s.retry
	}
}

func (w world) rememberLooks(id checkID, res engine.Result) {
	for r := range w.memory.looks {
		if r.check == id {
			delete(w.memory.looks, r)
		}
	}
	for _, j := range res.Findings {
		if j.Reason == v1alpha1.RowSettling {
			w.memory.looks[changedResource{id, j.ID()}] = j.Looks
		}
	}
}

// retryAfter is how long after a result its check is tried again before its interval is over; 0: not before. failed is true
// when the wait grows with every failure.
func retryAfter(res engine.Result, changed bool, failures int, every time.Duration) (wait time.Duration, failed bool) {
	for _, j := range res.Findings {
		switch {
		case j.Reason == v1alpha1.RowWaiting && changed:
			return 2 * time.Second, false // what it waits for may have been made in this very pass
		case j.Reason == v1alpha1.RowSettling, j.Reason == v1alpha1.RowCapReached, j.Reason == v1alpha1.RowWaiting:
			return settleAfter, false
		case j.Reason == control.ReasonManagedByOrganizationPolicy:
			// The policy decides; nothing changes before somebody changes it.
		case j.Failed, j.Reason == v1alpha1.RowRoleMissing, j.Outcome == control.Unknown:
			failed = true
		}
	}
	if !failed {
		return 0, false
	}
	return min(retryFirst<<min(failures, 10), every), true
}

// dropDenied takes the checks of regions that turned out to be denied out of the plan.
func (p *plan) dropDenied(w world) {
	for i := range p.rows {
		r := &p.rows[i]
		r.checks = slices.DeleteFunc(r.checks, func(c check) bool {
			if !w.isDenied(c.id.region) {
				return false
			}
			if !slices.Contains(p.denied, c.id.region) {
				p.denied = append(p.denied, c.id.region)
			}
			return true
		})
	}
	slices.Sort(p.denied)
}

// summarize makes the account's new status from the one it had, the plan and this pass's results. It is pure: nothing is
// read but its arguments.
func summarize(w world, p plan, results []engine.Result) v1alpha1.AWSAccountStatus {
	prev := &w.account.Status
	s := v1alpha1.AWSAccountStatus{
		ObservedGeneration:     w.account.Generation,
		Name:                   w.account.Annotations[v1alpha1.AnnotationName],
		OrganizationPath:       w.account.Annotations[v1alpha1.AnnotationOUPath],
		Regions:                w.enabled,
		DeniedRegions:          p.denied,
		LastHandledReconcileAt: prev.LastHandledReconcileAt,
		Conditions:             slices.Clone(prev.Conditions),
	}
	m := merge{world: w, fresh: map[checkID]engine.Result{}, entries: map[[2]string]*v1alpha1.AccountControl{}}
	for _, res := range results {
		if !res.Skipped && !res.Denied {
			m.fresh[checkID{res.Baseline, res.Control.ID, res.Region}] = res
		}
	}
	asked := true
	for i := range p.rows {
		r := &p.rows[i]
		out := m.row(r)
		s.Baselines = append(s.Baselines, out)
		s.Checks.Add(out.Checks)
		asked = asked && !r.oldest(false).Before(w.asked(r)) && !r.oldest(true).Before(w.asked(r))
	}
	if asked {
		s.LastHandledReconcileAt = w.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt]
	}
	s.Controls = m.controls()
	s.Drift, s.DriftedResources, s.Truncated = m.drift()
	s.Summary = strconv.Itoa(int(s.Checks.Compliant)) + "/" + strconv.Itoa(int(s.Checks.Total))
	s.LastObservedTime = lastObserved(prev, p)
	fit(&s)
	return s
}

// oldest is when the row's oldest check of the sort was observed; far in the future when it has none, and zero when one was
// never observed.
func (r *row) oldest(perResource bool) time.Time {
	oldest := never
	for _, c := range r.checks {
		if c.task.Control.PerResource != perResource {
			continue
		}
		if !c.known {
			return time.Time{}
		}
		if c.at.Before(oldest) {
			oldest = c.at
		}
	}
	return oldest
}

// lastObserved is when anything was last observed; the stored time where nothing was.
func lastObserved(prev *v1alpha1.AWSAccountStatus, p plan) *metav1.Time {
	var latest time.Time
	for _, r := range p.rows {
		for _, c := range r.checks {
			if c.at.After(latest) {
				latest = c.at
			}
		}
	}
	if latest.IsZero() {
		return prev.LastObservedTime
	}
	return stamp(latest)
}

// merge joins fresh results with what the stored status says of checks that were not looked at in this pass.
type merge struct {
	world
	fresh   map[checkID]engine.Result
	entries map[[2]string]*v1alpha1.AccountControl
}

// row makes a baseline's row: its counts, and a new revision, regions and times only when every one of its checks is known
// at that revision.
func (m *merge) row(r *row) v1alpha1.AccountBaseline {
	out := v1alpha1.AccountBaseline{Kind: r.kind, Name: r.name, OverriddenBy: r.overriddenBy}
	if r.stored != nil {
		out.Revision, out.Regions, out.Exceptions = r.stored.Revision, r.stored.Regions, r.stored.Exceptions
		out.LastObservedTime, out.ResourcesObservedTime = r.stored.LastObservedTime, r.stored.ResourcesObservedTime
		out.HandledReconcileAt = r.stored.HandledReconcileAt
	}
	complete := true
	for i := range r.checks {
		c := &r.checks[i]
		state := m.check(r, c)
		count(&out.Checks, state)
		complete = complete && c.known
		if e := m.entries[[2]string{c.id.control, c.id.baseline}]; e != nil && slices.Contains(e.Failed, c.id.region) {
			out.Failed++
		}
	}
	out.Checks.Overridden = r.overridden
	if complete {
		out.Revision, out.Regions, out.Exceptions = r.revision, r.regions(), r.exceptions
		out.LastObservedTime = stamp(r.oldest(false))
		out.ResourcesObservedTime = stamp(r.oldest(true))
		if asked := m.asked(r); !r.oldest(false).Before(asked) && !r.oldest(true).Before(asked) {
			out.HandledReconcileAt = r.token
		}
	}
	return out
}

// never is the time that oldest gives a row without such checks.
var never = time.Unix(1<<40, 0)

// stamp is an observation time as the status holds it: whole seconds, nil when there was nothing to observe.
func stamp(observed time.Time) *metav1.Time {
	if observed.Equal(never) {
		return nil
	}
	t := metav1.NewTime(observed.UTC().Truncate(time.Second))
	return &t
}

func (r *row) regions() []string {
	var all []string
	for _, c := range r.checks {
		all = append(all, c.id.region)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func count(n *v1alpha1.CheckCounts, state engine.State) {
	switch state {
	case engine.Compliant:
		n.Compliant++
	case engine.Drifted:
		n.Drifted++
	case engine.Excepted:
		n.Excepted++
	case engine.NotApplicable:
		n.NotApplicable++
		return
	default:
		n.Unknown++
	}
	n.Total++
}

// check says what state a check is in, and notes what is not compliant. A check that is not known is unknown.
func (m *merge) check(r *row, c *check) engine.State {
	if res, ok := m.fresh[c.id]; ok {
		t := res.Tally()
		m.note(r, c, t, res)
		return t.State()
	}
	if !c.known {
		return engine.Unknown
	}
	stored := findControl(m.account.Status.Controls, c.id.control, c.id.baseline)
	if stored == nil {
		return engine.Compliant
	}
	t := engine.Tally{
		Drifted: in(stored.Drifted, c.id.region), Unknown: in(stored.Unknown, c.id.region), Excepted: in(stored.Excepted, c.id.region),
	}
	if slices.Contains(stored.NotApplicable, c.id.region) {
		t.NotApplicable = 1
	}
	m.keep(c, t, stored)
	return t.State()
}

// everyRegion is the key of a map that was cut: it stands for every region.
const everyRegion = "*"

func in(counts map[string]int32, region string) int32 {
	if n, ok := counts[region]; ok {
		return n
	}
	if counts[everyRegion] > 0 {
		return 1
	}
	return 0
}
