package controllers

import (
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// summarize makes the account's new status from the one it had, the plan and this pass's results, but its conditions, and
// before it is cut to fit. It is pure: nothing is read but its arguments. fallen are the drift rows of checks that are to be
// looked at anew.
func summarize(w world, p plan, results []engine.Result) (s v1alpha1.AWSAccountStatus, fallen []v1alpha1.DriftRow) {
	prev := &w.account.Status
	s = v1alpha1.AWSAccountStatus{
		ObservedGeneration:     w.account.Generation,
		Name:                   nameOf(w.account),
		OrganizationPath:       pathOf(w.account),
		Regions:                w.enabled,
		DeniedRegions:          p.denied,
		LastHandledReconcileAt: prev.LastHandledReconcileAt,
		Conditions:             slices.Clone(prev.Conditions),
	}
	if w.regionsErr != nil {
		s.Regions = prev.Regions // what stands in was not read
	}
	m := newMerge(w, results)
	asked := true
	for i := range p.rows {
		r := &p.rows[i]
		out := m.row(r)
		s.Baselines = append(s.Baselines, out)
		s.Checks.Add(out.Checks)
		asked = asked && r.lookedSince(w.asked(r))
	}
	if asked {
		s.LastHandledReconcileAt = w.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt]
	}
	s.Controls = m.controls()
	s.Drift, s.Truncated = m.worstRows()
	s.DriftedResources = m.resources
	s.Summary = strconv.Itoa(int(s.Checks.Compliant)) + "/" + strconv.Itoa(int(s.Checks.Total))
	s.LastObservedTime = lastObserved(prev, p)
	return s, m.fallen
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

// lookedSince says whether every check was looked at since then.
func (r *row) lookedSince(at time.Time) bool {
	return !slices.ContainsFunc(r.checks, func(c check) bool { return c.looked.Before(at) })
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
	fresh   map[checkID]*engine.Result
	entries map[[2]string]*v1alpha1.AccountControl
	// before are the rows that stood; rows are those that stand now, and fallen those of checks that are to be looked at anew.
	before       map[rowKey]v1alpha1.DriftRow
	rows, fallen []v1alpha1.DriftRow
	// resources is the number of departing resources.
	resources int32
}

func newMerge(w world, results []engine.Result) *merge {
	m := &merge{
		world: w, fresh: freshOf(results), entries: map[[2]string]*v1alpha1.AccountControl{}, before: map[rowKey]v1alpha1.DriftRow{},
	}
	for _, d := range slices.Concat(w.memory.rows, w.account.Status.Drift) {
		m.before[keyOf(d)] = d
	}
	return m
}

// row makes a baseline's row: its counts, and a new revision, regions and times only when every one of its checks is known
// at that revision.
func (m *merge) row(r *row) v1alpha1.AccountBaseline {
	out := v1alpha1.AccountBaseline{Kind: r.kind, Name: r.name}
	if r.stored != nil {
		out = *r.stored
	}
	out.OverriddenBy, out.Checks, out.Failed = r.overriddenBy, v1alpha1.CheckCounts{Overridden: r.overridden}, 0
	complete, excused := true, true
	for i := range r.checks {
		c := &r.checks[i]
		count(&out.Checks, m.check(c))
		complete, excused = complete && c.known, excused && c.exceptions == r.exceptions
		if e := m.entries[[2]string{c.id.Control, c.id.Baseline}]; e != nil && slices.Contains(e.Failed, c.id.Region) {
			out.Failed++
		}
	}
	if r.regional && (m.regionsErr != nil || r.nowhere) {
		count(&out.Checks, engine.Unknown) // there may be a region that nobody knows of, or only regions that do not exist
	}
	out.Regions = spelt(out.Regions, m.account.Status.Regions, m.enabled)
	if complete {
		m.cover(&out, r, excused)
	}
	return out
}

// spelt are a row's regions with those in place of "*" that were enabled when it was written: what is enabled since was not looked
// at.
func spelt(regions, enabled, now []string) []string {
	if slices.Equal(enabled, now) || !slices.Contains(regions, everyRegion) {
		return regions
	}
	all := slices.Concat(enabled, slices.DeleteFunc(slices.Clone(regions), func(r string) bool { return r == everyRegion }))
	slices.Sort(all)
	return slices.Compact(all)
}

// cover makes the row stand for all of its checks. excused is true when all of them obeyed the exceptions of today.
func (m *merge) cover(out *v1alpha1.AccountBaseline, r *row, excused bool) {
	out.Revision, out.Regions, out.Covered = r.revision, r.regions(m.enabled), r.covering()
	out.LastObservedTime, out.ResourcesObservedTime = stamp(r.oldest(false)), stamp(r.oldest(true))
	if excused {
		out.Exceptions = r.exceptions
	}
	if r.lookedSince(m.asked(r)) {
		out.HandledReconcileAt = r.token
	}
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

// regions are where the row looks, short where that is everywhere: the API server checks each string of a list by itself, which
// was a fifth of what writing a status cost it.
func (r *row) regions(enabled []string) []string {
	all := slices.Clone(r.open)
	everywhere := len(all) > 1 && len(all) == len(enabled) && subset(all, enabled)
	if everywhere {
		all = []string{everyRegion}
	}
	for _, c := range r.checks {
		if !everywhere || !c.ofOneRegion() {
			all = append(all, c.id.Region)
		}
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

// check says what state a check is in, and notes what is not compliant. A check that is not known is unknown; one that was
// not looked at is as it was.
func (m *merge) check(c *check) engine.State {
	if res, ok := m.fresh[c.id]; ok {
		return m.note(c, res)
	}
	if !c.known {
		m.fallen = append(m.fallen, m.stored(c)...)
		return engine.Unknown
	}
	return m.keep(c)
}
