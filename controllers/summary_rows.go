package controllers

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// What bounds a status: rows, and the bytes of strings that AWS or a person chose.
const (
	maxRows       = 20
	maxValue      = 256
	maxMessage    = 512
	maxStatusSize = 32 << 10
)

// reasonRank orders reasons by what a reader should hear of first.
var reasonRank = []string{
	v1alpha1.RowRemediationFailed, v1alpha1.RowRoleMissing, v1alpha1.RowSettling, v1alpha1.RowCapReached,
	v1alpha1.RowWritesDisabled, v1alpha1.RowManagementAccount, v1alpha1.RowNewAccount, v1alpha1.RowSuspended,
	couldNotTell,
	v1alpha1.RowAwaitingApproval, v1alpha1.RowAudit, v1alpha1.RowReportOnly, engine.RowExcepted,
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

// entry is the control's entry, made when it is not there yet.
func (m *merge) entry(c *check) *v1alpha1.AccountControl {
	key := [2]string{c.id.control, c.id.baseline}
	e := m.entries[key]
	if e == nil {
		e = &v1alpha1.AccountControl{Control: c.id.control, Baseline: c.id.baseline, Severity: c.task.Control.Severity}
		m.entries[key] = e
	}
	return e
}

// counts puts a check's numbers into its control's entry.
func (e *accountControl) counts(region string, t engine.Tally) {
	set := func(counts *map[string]int32, n int32) {
		if n > 0 {
			if *counts == nil {
				*counts = map[string]int32{}
			}
			(*counts)[region] = n
		}
	}
	set(&e.Drifted, t.Drifted)
	set(&e.Unknown, t.Unknown)
	set(&e.Excepted, t.Excepted)
	if t.State() == engine.NotApplicable {
		e.NotApplicable = append(e.NotApplicable, region)
	}
}

type accountControl v1alpha1.AccountControl

// note writes a fresh result into the control's entry; a compliant one leaves no trace.
func (m *merge) note(_ *row, c *check, t engine.Tally, res engine.Result) {
	if t.State() == engine.Compliant {
		return
	}
	e := m.entry(c)
	(*accountControl)(e).counts(c.id.region, t)
	for _, j := range res.Findings {
		if j.Outcome == control.NotApplicable && t.State() != engine.NotApplicable {
			continue
		}
		if e.Reason == "" || rank(j.Reason) < rank(e.Reason) {
			e.Reason, e.Message = j.Reason, control.Bounded(explained(j), maxMessage)
		}
		if j.Failed && !slices.Contains(e.Failed, c.id.region) {
			e.Failed = append(e.Failed, c.id.region)
		}
	}
}

// explained is a finding's message. What could not be judged has no row, so its message names the resource where AWS's own
// words do not.
func explained(j engine.Judged) string {
	if j.Outcome == control.Departs || strings.Contains(j.Message, j.Resource) {
		return j.Message
	}
	return j.Resource + ": " + j.Message
}

// keep carries a check that was not looked at over from the stored entry.
func (m *merge) keep(c *check, t engine.Tally, stored *v1alpha1.AccountControl) {
	if t.State() == engine.Compliant {
		return
	}
	e := m.entry(c)
	(*accountControl)(e).counts(c.id.region, t)
	if e.Reason == "" || rank(stored.Reason) < rank(e.Reason) {
		e.Reason, e.Message = stored.Reason, stored.Message
	}
	if slices.Contains(stored.Failed, c.id.region) && !slices.Contains(e.Failed, c.id.region) {
		e.Failed = append(e.Failed, c.id.region)
	}
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

// drift are the worst rows, the number of drifted resources, and whether rows were cut. Rows of checks that were not looked
// at are carried over.
func (m *merge) drift() (rows []v1alpha1.DriftRow, resources int32, cut bool) {
	previous := map[rowKey]v1alpha1.DriftRow{}
	for _, d := range m.account.Status.Drift {
		previous[keyOf(d)] = d
	}
	for _, e := range m.entries {
		for region, n := range e.Drifted {
			resources += n
			if _, fresh := m.fresh[checkID{e.Baseline, e.Control, region}]; fresh {
				continue
			}
			rows = append(rows, storedRows(m.account.Status.Drift, e.Control, region)...)
		}
		for region := range e.Excepted {
			if _, fresh := m.fresh[checkID{e.Baseline, e.Control, region}]; !fresh && e.Drifted[region] == 0 {
				rows = append(rows, storedRows(m.account.Status.Drift, e.Control, region)...)
			}
		}
	}
	for _, res := range m.fresh {
		for _, j := range res.Findings {
			if j.Outcome == control.Departs {
				rows = append(rows, m.freshRows(res, j, previous)...)
			}
		}
	}
	slices.SortFunc(rows, worse)
	if len(rows) > maxRows {
		return rows[:maxRows], resources, true
	}
	return rows, resources, false
}

func storedRows(all []v1alpha1.DriftRow, controlID, region string) []v1alpha1.DriftRow {
	var mine []v1alpha1.DriftRow
	for _, d := range all {
		if d.Control == controlID && d.Region == region {
			mine = append(mine, d)
		}
	}
	return mine
}

// rowKey is what makes a row the same departure as before.
type rowKey struct{ control, region, resource, field string }

func keyOf(d v1alpha1.DriftRow) rowKey { return rowKey{d.Control, d.Region, d.Resource, d.Field} }

func (m *merge) freshRows(res engine.Result, j engine.Judged, previous map[rowKey]v1alpha1.DriftRow) []v1alpha1.DriftRow {
	var rows []v1alpha1.DriftRow
	for _, f := range j.Fields {
		d := v1alpha1.DriftRow{
			Control: res.Control.ID, Region: res.Region, Resource: control.Bounded(j.Resource, maxMessage),
			Field: control.Bounded(f.Path, maxValue), Desired: control.Bounded(f.Want, maxValue), Observed: control.Bounded(f.Got, maxValue),
			Severity: res.Control.Severity, Reason: j.Reason, Message: control.Bounded(j.Message, maxMessage),
			Since: metav1.NewTime(res.At.UTC()).Rfc3339Copy(), Excepted: j.Excepted,
		}
		if old, ok := previous[keyOf(d)]; ok {
			d.Since, d.By, d.Event, d.Attempts = old.Since, old.By, old.Event, old.Attempts
		}
		if j.Failed {
			d.Attempts++
		}
		rows = append(rows, d)
	}
	return rows
}

// worse orders rows: what is not excused first, then severity, then what has stood longest, then by name.
func worse(a, b v1alpha1.DriftRow) int {
	return cmp.Or(
		cmp.Compare(btoi(a.Excepted != ""), btoi(b.Excepted != "")),
		severityRank(a.Severity)-severityRank(b.Severity),
		a.Since.Compare(b.Since.Time),
		strings.Compare(a.Control, b.Control), strings.Compare(a.Region, b.Region),
		strings.Compare(a.Resource, b.Resource), strings.Compare(a.Field, b.Field),
	)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fit cuts a status until it is within maxStatusSize: rows first, then messages, and last the maps of regions, which then
// say "*" for every region. A map is cut to more than is true, never to less.
func fit(s *v1alpha1.AWSAccountStatus) {
	for size(s) > maxStatusSize && len(s.Drift) > 0 {
		s.Drift, s.Truncated = s.Drift[:len(s.Drift)/2], true
	}
	if size(s) <= maxStatusSize {
		return
	}
	for i := range s.Controls {
		s.Controls[i].Message, s.Truncated = control.Bounded(s.Controls[i].Message, 80), true
	}
	for i := len(s.Controls) - 1; i >= 0 && size(s) > maxStatusSize; i-- {
		c := &s.Controls[i]
		for _, counts := range []*map[string]int32{&c.Drifted, &c.Unknown, &c.Excepted} {
			if len(*counts) > 1 {
				*counts = map[string]int32{everyRegion: total(*counts)}
			}
		}
	}
}

func total(counts map[string]int32) int32 {
	var sum int32
	for n := range maps.Values(counts) {
		sum += n
	}
	return sum
}

func size(s *v1alpha1.AWSAccountStatus) int {
	raw, err := json.Marshal(s)
	if err != nil {
		return 0 // a status always encodes
	}
	return len(raw)
}
