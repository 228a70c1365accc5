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

// rowKey is what makes a row the same departure as before.
type rowKey struct{ control, region, resource, field string }

func keyOf(d v1alpha1.DriftRow) rowKey { return rowKey{d.Control, d.Region, d.Resource, d.Field} }

// stored are the rows that the status has of a check.
func (m *merge) stored(c *check) []v1alpha1.DriftRow {
	var mine []v1alpha1.DriftRow
	for _, d := range slices.Concat(m.account.Status.Drift, m.memory.rows) {
		if d.Control == c.id.Control && d.Region == c.id.Region {
			mine = append(mine, d)
		}
	}
	return mine
}

// freshRows are the rows of a departure: one per field, each since when it was first seen.
func (m *merge) freshRows(c *check, res *engine.Result, j engine.Judged) []v1alpha1.DriftRow {
	var rows []v1alpha1.DriftRow
	for _, f := range j.Fields {
		d := v1alpha1.DriftRow{
			Control: res.Control.ID, Region: res.Region, Resource: control.Bounded(j.Resource, maxMessage),
			Field: control.Bounded(f.Path, maxValue), Desired: control.Bounded(f.Want, maxValue), Observed: control.Bounded(f.Got, maxValue),
			Severity: res.Control.Severity, Reason: j.Reason, Message: control.Bounded(j.Message, maxMessage),
			Since: metav1.NewTime(res.At.UTC()).Rfc3339Copy(), Excepted: j.Excepted, Remediation: j.Record,
		}
		var before *v1alpha1.DriftRow
		if old, ok := m.before[keyOf(d)]; ok {
			before, d.Since, d.Attempts = &old, old.Since, old.Attempts
		}
		m.attribute(&d, before, c)
		if j.Failed {
			d.Attempts++
		}
		rows = append(rows, d)
	}
	return rows
}

// worstRows are the worst of the rows, and whether there were more.
func (m *merge) worstRows() (rows []v1alpha1.DriftRow, cut bool) {
	slices.SortFunc(m.rows, worse)
	if len(m.rows) > maxRows {
		return m.rows[:maxRows], true
	}
	return m.rows, false
}

// worse orders rows: what is not excused first, then severity, then what has stood longest, then by name.
func worse(a, b v1alpha1.DriftRow) int {
	return cmp.Or(
		cmp.Compare(btoi(a.Excepted != ""), btoi(b.Excepted != "")),
		severityRank(a.Severity)-severityRank(b.Severity),
		a.Since.Compare(b.Since.Time),
		strings.Compare(a.Control, b.Control), strings.Compare(a.Region, b.Region),
		strings.Compare(a.Resource, b.Resource), strings.Compare(a.Field, b.Field),
		strings.Compare(a.Desired, b.Desired), strings.Compare(a.Observed, b.Observed),
	)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fit cuts a status until it is within maxStatusSize: rows first, then messages, then the maps and lists of regions, which
// then say "*" for every region, and last what only explains. A map is cut to more than is true, never to less.
func fit(s *v1alpha1.AWSAccountStatus) {
	for size(s) > maxStatusSize && len(s.Drift) > 0 {
		s.Drift, s.Truncated = s.Drift[:len(s.Drift)/2], true
	}
	if size(s) <= maxStatusSize {
		return
	}
	s.Truncated = true
	s.Controls = slices.Clone(s.Controls)
	for i := range s.Controls {
		s.Controls[i].Message = control.Bounded(s.Controls[i].Message, 80)
	}
	for i := len(s.Controls) - 1; i >= 0 && size(s) > maxStatusSize; i-- {
		cutRegions(&s.Controls[i])
	}
	for i := len(s.Baselines) - 1; i >= 0 && size(s) > maxStatusSize; i-- {
		s.Baselines[i].Regions = nil // covered says what the row stands for
	}
	for i := len(s.Controls) - 1; i >= 0 && size(s) > maxStatusSize; i-- {
		s.Controls[i].Message = ""
	}
}

func cutRegions(c *v1alpha1.AccountControl) {
	for _, counts := range []*map[string]int32{&c.Drifted, &c.Unknown, &c.Excepted} {
		if len(*counts) > 1 {
			*counts = map[string]int32{everyRegion: total(*counts)}
		}
	}
	for _, regions := range []*[]string{&c.NotApplicable, &c.Failed} {
		if len(*regions) > 1 {
			*regions = []string{everyRegion}
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
