package controllers

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

const (
	// settleAfter is when a check is looked at again whose change is not to be seen yet, waits for a cap, or for something
	// that must come first.
	settleAfter = time.Minute
	// retryFirst is when a check that could not be told, or put right, is first tried again; each further try waits twice as
	// long, up to the interval.
	retryFirst = 5 * time.Minute
	// afterChange is when a check is looked at again that waits for what may have been made in this very pass.
	afterChange = 2 * time.Second
	// longestWait bounds how long an account waits for a place among those that are changed.
	longestWait = 16 * time.Minute
	// suspectedFor is how long a region is not suspected again after all of its checks were made due for it.
	suspectedFor = time.Hour
)

// remember takes what the results say into the account's memory and back into the plan, so that both know when each check
// was last observed and is next due.
func remember(w world, p *plan, results []engine.Result) {
	fresh := freshOf(results)
	changed := slices.ContainsFunc(results, func(r engine.Result) bool { return r.Changed > 0 })
	for _, res := range results {
		if res.Denied {
			w.memory.denied[res.Region] = w.now
		}
	}
	p.dropDenied(w)
	for i := range p.rows {
		r := &p.rows[i]
		with := &settings{r.revision, r.exceptions, r.open}
		for k := range r.checks {
			if res, ok := fresh[r.checks[k].id]; ok {
				w.remember(r, &r.checks[k], with, result{res, changed})
			}
		}
	}
	p.suspect(w, fresh)
	w.putOff(p)
	w.memory.prune(p)
}

// freshOf are the results that say something, by check.
func freshOf(results []engine.Result) map[checkID]*engine.Result {
	fresh := make(map[checkID]*engine.Result, len(results))
	for i := range results {
		res := &results[i]
		if !res.Skipped && !res.Denied {
			fresh[res.ID()] = res
		}
	}
	return fresh
}

// result is a check's result in a pass that changed something or not.
type result struct {
	*engine.Result
	changed bool
}

func (w world) remember(r *row, c *check, with *settings, res result) {
	s := sight{with: with, at: momentOf(res.At), failures: w.memory.seen[c.id].failures, age: milliseconds(res.Age)}
	if reason, message := worst(res.Result); reason != "" {
		s.why = &why{reason, message}
	}
	wait := retryAfter(res.Result, res.changed, int(s.failures))
	s.failures = failuresAfter(s, wait)
	if wait.after == 0 && c.marked && w.asStored(c, res.Result) {
		wait.after = settleAfter // AWS may show only later what the event tells of
	}
	if wait.after > 0 {
		s.retry = momentOf(s.looked().Add(wait.after))
	}
	if again := w.renewed(c, res.Result); !again.IsZero() && (s.retry == 0 || again.Before(s.retry.time())) {
		s.retry = momentOf(again)
	}
	w.memory.seen[c.id] = s
	w.rememberLooks(c.id, res.Result)
	c.known, c.at, c.looked, c.exceptions, c.marked = true, s.at.time(), s.looked(), r.exceptions, false
	c.due = w.dueAfter(r, c, s)
}

// failuresAfter counts the tries in a row that came to nothing, after one more look.
func failuresAfter(s sight, wait wait) int32 {
	switch {
	case s.why != nil && s.why.reason == v1alpha1.RowHandedOver: // it is tried at this moment, and may fail again
		return s.failures
	case wait.after == 0:
		return 0
	case wait.grows:
		return s.failures + 1
	}
	return s.failures
}

// renewed is when a check is looked at again that rests on an index which AWS made before an event came: once there is a newer
// one. Zero: it rests on none, or on one that shows whatever events tell of.
func (w world) renewed(c *check, res *engine.Result) time.Time {
	if res.Index.Renewed.IsZero() || !w.told(c).After(res.Index.Made) {
		return time.Time{}
	}
	soonest := res.At.Add(res.Age + retryFirst) // where AWS is late with it
	if res.Index.Renewed.Before(soonest) {
		return soonest
	}
	return res.Index.Renewed
}

// milliseconds rounds up: a check is never remembered as looked at before it was.
func milliseconds(age time.Duration) int32 {
	return int32(min((age+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

func (w world) rememberLooks(id checkID, res *engine.Result) {
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

// wait is how long after a result its check is tried again before its interval is over; 0: not before. It grows with every
// time that it comes to nothing.
type wait struct {
	after time.Duration
	grows bool
}

// retryAfter is the shortest wait that one of the findings asks for.
func retryAfter(res *engine.Result, changed bool, failures int) wait {
	var shortest wait
	for _, j := range res.Findings {
		one := retryOf(j, changed, failures)
		if !j.Again.IsZero() {
			one = wait{after: max(j.Again.Sub(res.At.Add(res.Age)), afterChange)}
		}
		if one.after > 0 && (shortest.after == 0 || one.after < shortest.after) {
			shortest = one
		}
	}
	return shortest
}

func retryOf(j engine.Judged, changed bool, failures int) wait {
	doubled := func(first, most time.Duration) wait { return wait{min(first<<min(failures, 12), most), true} }
	switch {
	case j.Outcome == control.NotApplicable, j.Reason == control.ReasonManagedByOrganizationPolicy, j.Reason == v1alpha1.RowHandedOver:
		return wait{} // nothing changes before somebody changes it
	case j.Outcome == control.Waiting && changed:
		return wait{after: afterChange}
	case j.Outcome == control.Departs && j.Reason == v1alpha1.RowWaiting: // two changes that undo each other must not chase each other
		return doubled(afterChange, longestWait)
	case j.Outcome == control.Waiting: // for a person, perhaps, and in thousands of accounts
		return doubled(settleAfter, 24*time.Hour)
	case j.Reason == v1alpha1.RowSettling, j.Reason == v1alpha1.RowNotRecorded, j.Reason == v1alpha1.RowCapReached && changed:
		return wait{after: settleAfter}
	case j.Reason == v1alpha1.RowCapReached: // no place among the accounts that are changed, for thousands at a time
		return doubled(settleAfter, longestWait)
	case j.Failed, j.Reason == v1alpha1.RowRoleMissing, j.Outcome != control.Departs:
		return doubled(retryFirst, 24*time.Hour)
	}
	return wait{}
}

// dropDenied takes the regions that turned out to be denied out of the plan, and out of memory what was seen there.
func (p *plan) dropDenied(w world) {
	for i := range p.rows {
		r := &p.rows[i]
		r.open = slices.DeleteFunc(slices.Clone(r.open), w.isDenied)
		r.checks = slices.DeleteFunc(r.checks, func(c check) bool {
			if !w.isDenied(c.id.Region) {
				return false
			}
			p.denied = append(p.denied, c.id.Region)
			return true
		})
	}
	slices.Sort(p.denied)
	p.denied = slices.Compact(p.denied)
}

// suspect makes every check of a region due in which a service control policy refused one while others were not looked at:
// only together do they tell whether the policy refuses the region. Once an hour at most.
func (p *plan) suspect(w world, fresh map[checkID]*engine.Result) {
	refused, unseen := map[string]bool{}, map[string]bool{}
	p.each(func(_ *row, c *check) {
		if res, looked := fresh[c.id]; !looked {
			unseen[c.id.Region] = true
		} else if res.Refused && c.ofOneRegion() {
			refused[c.id.Region] = true
		}
	})
	maps.DeleteFunc(refused, func(region string, _ bool) bool {
		at, before := w.memory.suspected[region]
		return !unseen[region] || before && w.now.Sub(at) < suspectedFor
	})
	for region := range refused {
		w.memory.suspected[region] = w.now
	}
	p.each(func(_ *row, c *check) {
		if s, seen := w.memory.seen[c.id]; seen && refused[c.id.Region] {
			s.retry = momentOf(w.now)
			w.memory.seen[c.id], c.due = s, w.now
		}
	})
}

// each calls f for every check.
func (p *plan) each(f func(r *row, c *check)) {
	for i := range p.rows {
		for k := range p.rows[i].checks {
			f(&p.rows[i], &p.rows[i].checks[k])
		}
	}
}
