package controllers

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// marked says whether an event tells of the check that is still to be looked into.
func (w world) marked(c *check) bool {
	return slices.ContainsFunc(w.open, func(m *mark) bool { return m.concerns(w.account.Name, c.task.Control.Meta, c.id.Region) })
}

// settledBy is since when an answer that accounts share must have been read at least to show what events tell of: since they
// came, and for the second look a while later, as what was read when they came may have been read too soon. Zero: any will
// do, as it does after half an hour. The answers of the other accounts stay good: an event in one must not make all of them be
// read anew.
func (w world) settledBy(c *check) time.Time {
	var since time.Time
	for _, m := range w.open {
		if m.received.After(since) && m.concerns(w.account.Name, c.task.Control.Meta, c.id.Region) {
			since = m.received
		}
	}
	for _, m := range w.recent {
		at := m.received.Add(settleAfter / 2)
		if at.After(since) && !at.After(w.now) && w.now.Sub(m.received) <= recentFor && m.concerns(w.account.Name, c.task.Control.Meta, c.id.Region) {
			since = at
		}
	}
	return since
}

// told is when the latest event came that tells of the check; zero: none has in the last hours.
func (w world) told(c *check) time.Time {
	var latest time.Time
	for _, m := range slices.Concat(w.recent, w.open) {
		if m.received.After(latest) && m.concerns(w.account.Name, c.task.Control.Meta, c.id.Region) {
			latest = m.received
		}
	}
	return latest
}

// named are the resources that a check is to read live: those that events name, the latest first, and those that departed when
// it was last looked at. An index of AWS's may not show for hours what has become of them.
func (w world) named(c *control.Meta, region string) func() []string {
	account, memory, open, recent := w.account, w.memory, w.open, w.recent
	return func() []string {
		var all []string
		add := func(name string) {
			if name != "" && len(all) < control.NamedMost && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		for _, m := range slices.Backward(slices.Concat(recent, open)) {
			if m.concerns(account.Name, c, region) {
				for _, name := range m.Resources {
					add(name)
				}
			}
		}
		for _, d := range slices.Concat(account.Status.Drift, memory.rows) {
			if d.Control == c.ID && d.Region == region {
				add(d.Resource)
			}
		}
		return all
	}
}

// handled are the open events that were looked into: no check that they concern is still to be looked at for them.
func (p *plan) handled(w world) []*mark {
	return slices.DeleteFunc(slices.Clone(w.open), func(m *mark) bool {
		left := false
		p.each(func(_ *row, c *check) {
			left = left || c.marked && m.concerns(w.account.Name, c.task.Control.Meta, c.id.Region)
		})
		return left
	})
}

// asStored says whether a result counts what the status has of the check.
func (w world) asStored(c *check, res *engine.Result) bool {
	e := findControl(w.memory.controls, c.id.Control, c.id.Baseline)
	if e == nil {
		return res.Tally() == engine.Tally{}
	}
	return tallyOf(e, c.id.Region) == res.Tally()
}

// unannounced are the checks in which this pass found more to depart than before, though it looked there only because it
// was time to.
func (w world) unannounced(p plan, results []engine.Result) []check {
	fresh := freshOf(results)
	var all []check
	p.each(func(r *row, c *check) {
		if res, looked := fresh[c.id]; looked && w.swept(r, c) && res.Changed == 0 && w.departsMore(c, res) {
			all = append(all, *c)
		}
	})
	return all
}

// swept says whether the check was due for nothing but its interval, and is one of whose changes events tell. What departs
// by the passing of time alone changes without anybody's call.
func (w world) swept(r *row, c *check) bool {
	asked := c.marked || c.looked.Before(w.memory.anew) || c.looked.Before(w.asked(r)) || c.exceptions != r.exceptions
	return c.known && !asked && len(c.task.Control.Events) > 0 && !c.task.Control.Ages
}

// departsMore says whether more departs than the status has, as far as that can be told.
func (w world) departsMore(c *check, res *engine.Result) bool {
	var before engine.Tally
	if e := findControl(w.memory.controls, c.id.Control, c.id.Baseline); e != nil {
		if isCut(e) {
			return false
		}
		before = tallyOf(e, c.id.Region)
	}
	after := res.Tally()
	return before.Unknown+after.Unknown == 0 && after.Drifted+after.Excepted > before.Drifted+before.Excepted
}

// clockSkew is how far the clocks of AWS's services and ours may be apart.
const clockSkew = 2 * time.Minute

// attribute writes onto a row who made the change, where an event tells: the latest that may have changed this check since it
// was last observed and that names the resource, or no resource at all. before is the row as it stood, nil when it is new.
func (m *merge) attribute(d *v1alpha1.DriftRow, before *v1alpha1.DriftRow, c *check) {
	stood := before != nil && before.Observed == d.Observed
	if stood {
		d.By, d.Event, d.EventTime = before.By, before.Event, before.EventTime
		if d.Event != "" {
			return
		}
	}
	if author := m.author(d, stood, c); author != nil {
		at := metav1.NewTime(author.Time.UTC()).Rfc3339Copy()
		d.By, d.Event, d.EventTime = control.Bounded(author.Actor, maxActor), control.Bounded(author.Name, maxActor), &at
	}
}

// author is the latest event that may have made a row what it is; nil when there is none. stood is true when the row says
// what it said before.
func (m *merge) author(d *v1alpha1.DriftRow, stood bool, c *check) *mark {
	var latest *mark
	for _, n := range m.recent {
		if !n.concerns(m.account.Name, c.task.Control.Meta, c.id.Region) || !n.names(d.Resource) {
			continue
		}
		late := n.Time.Before(d.Since.Add(clockSkew)) && !n.received.Before(d.Since.Time) // arrived after what it did was seen
		between := !n.Time.Before(c.was.Add(-clockSkew))                                  // made since the last look
		if (stood && late || !stood && between) && (latest == nil || n.Time.After(latest.Time)) {
			latest = n
		}
	}
	return latest
}

// maxActor bounds the names that CloudTrail gives, which whoever made the call has chosen.
const maxActor = 128
