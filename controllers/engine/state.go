package engine

import (
	"slices"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// State is the state of a check.
type State string

// The states, in the order of precedence. NotApplicable and RegionDenied stand outside the count of checks.
const (
	Drifted       State = "Drifted"
	Unknown       State = "Unknown"
	Excepted      State = "Excepted"
	Compliant     State = "Compliant"
	NotApplicable State = "NotApplicable"
	RegionDenied  State = "RegionDenied"
)

// Tally counts the findings of a check.
type Tally struct {
	Drifted, Unknown, Excepted, NotApplicable int32
}

// State is the state that the counts amount to.
func (t Tally) State() State {
	switch {
	case t.Drifted > 0:
		return Drifted
	case t.Unknown > 0:
		return Unknown
	case t.Excepted > 0:
		return Excepted
	case t.NotApplicable > 0:
		return NotApplicable
	}
	return Compliant
}

// Tally counts the result's findings.
func (r Result) Tally() Tally {
	var t Tally
	for _, j := range r.Findings {
		switch {
		case j.Outcome == control.NotApplicable:
			// One resource that the control does not concern says nothing of the others.
			if j.Resource == "" {
				t.NotApplicable++
			}
		case j.Outcome != control.Departs: // Unknown, Waiting and anything a control might invent
			t.Unknown++
		case j.Excepted != "":
			t.Excepted++
		default:
			t.Drifted++
		}
	}
	return t
}

// State is the result's state.
func (r Result) State() State {
	if r.Denied {
		return RegionDenied
	}
	return r.Tally().State()
}

// Judges says whether the look could tell of a resource: it departs, or it does not.
func (r Result) Judges(resource string) bool {
	return !r.blind && !slices.ContainsFunc(r.Findings, func(j Judged) bool {
		return j.Outcome != control.Departs && (j.Resource == resource || j.Resource == "")
	})
}
