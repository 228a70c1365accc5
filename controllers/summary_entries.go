package controllers

import (
	"cmp"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// everyRegion is the key of a map that was cut: it stands for every region.
const everyRegion = "*"

// in is a region's count in a map that may have been cut.
func in(counts map[string]int32, region string) int32 {
	if n, ok := counts[region]; ok {
		return n
	}
	if counts[everyRegion] > 0 {
		return 1
	}
	return 0
}

// isCut says whether the entry no longer tells its regions apart.
func isCut(e *v1alpha1.AccountControl) bool {
	for _, counts := range []map[string]int32{e.Drifted, e.Unknown, e.Excepted} {
		if counts[everyRegion] > 0 {
			return true
		}
	}
	return slices.Contains(e.NotApplicable, everyRegion) || slices.Contains(e.Failed, everyRegion)
}

// tallyOf is what an entry says of a region.
func tallyOf(e *v1alpha1.AccountControl, region string) engine.Tally {
	t := engine.Tally{Drifted: in(e.Drifted, region), Unknown: in(e.Unknown, region), Excepted: in(e.Excepted, region)}
	if slices.Contains(e.NotApplicable, region) {
		t.NotApplicable = 1
	}
	return t
}

// reasonRank orders reasons by what a reader should hear of first.
var reasonRank = []string{
	v1alpha1.RowRemediationFailed, v1alpha1.RowRoleMissing, v1alpha1.RowSettling, v1alpha1.RowContested, v1alpha1.RowCapReached, v1alpha1.RowHandedOver,
	v1alpha1.RowNotRecorded, v1alpha1.RowWritesDisabled, v1alpha1.RowWritesStopped, v1alpha1.RowManagementAccount, v1alpha1.RowNewAccount, v1alpha1.RowSuspended,
	v1alpha1.RowRolloutPaused, v1alpha1.RowRolloutWaiting,
	couldNotTell,
	v1alpha1.RowAwaitingApproval, v1alpha1.RowRejected, v1alpha1.RowAudit, v1alpha1.RowReportOnly, engine.RowExcepted,
}

// couldNotTell stands in reasonRank for every reason that is not named there: those for which a resource could not be judged.
// What was only reported must not hide them.
const couldNotTell = ""

func rank(reason string) int {
	if i := slices.Index(reasonRank, reason); i >= 0 {
		return i
	}
	return slices.Index(reasonRank, couldNotTell)
}

// worst is the reason and the message of the finding that a reader should hear of first; nothing where all is well.
func worst(res *engine.Result) (reason, message string) {
	na := res.Tally().State() == engine.NotApplicable
	for _, j := range res.Findings {
		if j.Outcome == control.NotApplicable && !na {
			continue
		}
		if reason == "" || rank(j.Reason) < rank(reason) {
			reason, message = j.Reason, control.Bounded(explained(j), maxMessage)
		}
	}
	return reason, message
}

// explained is a finding's message. What could not be judged has no row, so its message names the resource where AWS's own
// words do not.
func explained(j engine.Judged) string {
	if j.Outcome == control.Departs || strings.Contains(j.Message, j.Resource) {
		return j.Message
	}
	return j.Resource + ": " + j.Message
}

// entry is the control's entry, made when it is not there yet.
func (m *merge) entry(c *check) *v1alpha1.AccountControl {
	key := [2]string{c.id.Control, c.id.Baseline}
	e := m.entries[key]
	if e == nil {
		e = &v1alpha1.AccountControl{Control: c.id.Control, Baseline: c.id.Baseline, Severity: c.task.Control.Severity}
		m.entries[key] = e
	}
	return e
}

// put writes a check's numbers into its control's entry, and why the worst of it stands.
func (m *merge) put(c *check, t engine.Tally, reason, message string, failed bool) {
	if t.State() == engine.Compliant {
		return
	}
	e := m.entry(c)
	set := func(counts *map[string]int32, n int32) {
		if n > 0 {
			if *counts == nil {
				*counts = map[string]int32{}
			}
			(*counts)[c.id.Region] = n
		}
	}
	set(&e.Drifted, t.Drifted)
	set(&e.Unknown, t.Unknown)
	set(&e.Excepted, t.Excepted)
	if t.State() == engine.NotApplicable {
		e.NotApplicable = append(e.NotApplicable, c.id.Region)
	}
	if failed {
		e.Failed = append(e.Failed, c.id.Region)
	}
	if e.Reason == "" || rank(reason) < rank(e.Reason) {
		e.Reason, e.Message = reason, message
	}
}

// note takes a fresh result in; a compliant one leaves no trace.
func (m *merge) note(c *check, res *engine.Result) engine.State {
	t := res.Tally()
	reason, message := worst(res)
	m.put(c, t, reason, message, slices.ContainsFunc(res.Findings, func(j engine.Judged) bool { return j.Failed }))
	m.resources += t.Drifted
	for _, j := range res.Findings {
		if j.Outcome == control.Departs {
			m.rows = append(m.rows, m.freshRows(c, res, j)...)
		}
	}
	return t.State()
}

// keep carries a check that was not looked at over. What an exception excused that is over by now has drifted.
func (m *merge) keep(c *check) engine.State {
	stored := findControl(m.memory.controls, c.id.Control, c.id.Baseline)
	if stored == nil {
		return engine.Compliant
	}
	t := tallyOf(stored, c.id.Region)
	reason, message := stored.Reason, stored.Message
	if s, ok := m.memory.seen[c.id]; ok && s.why != nil {
		reason, message = s.why.reason, s.why.message
	}
	over := t.Excepted > 0 && c.task.Excused == nil
	if over {
		t.Drifted, t.Excepted = t.Drifted+t.Excepted, 0
		reason, message = v1alpha1.RowPending, "the exception is over; looked at again soon"
	}
	m.put(c, t, reason, message, slices.Contains(stored.Failed, c.id.Region))
	m.resources += t.Drifted
	for _, d := range m.stored(c) {
		if over && d.Excepted != "" {
			d.Excepted, d.Reason, d.Message = "", reason, message
		}
		m.rows = append(m.rows, d)
	}
	return t.State()
}

// controls are the entries, worst first, in a stable order.
func (m *merge) controls() []v1alpha1.AccountControl {
	var all []v1alpha1.AccountControl
	for _, e := range m.entries {
		slices.Sort(e.NotApplicable)
		slices.Sort(e.Failed)
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b v1alpha1.AccountControl) int {
		return cmp.Or(severityRank(a.Severity)-severityRank(b.Severity), strings.Compare(a.Control, b.Control), strings.Compare(a.Baseline, b.Baseline))
	})
	return all
}

func severityRank(s v1alpha1.Severity) int {
	return slices.Index([]v1alpha1.Severity{
		v1alpha1.SeverityCritical, v1alpha1.SeverityHigh, v1alpha1.SeverityMedium, v1alpha1.SeverityLow,
	}, s)
}
