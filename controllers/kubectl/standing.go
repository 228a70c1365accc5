package kubectl

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// outcome is how an account stands to a control or a requirement.
type outcome int

// The outcomes, worst first: of several controls the worst one counts. notCovered is unknown because no baseline declares the
// control for the account; notApplicable says nothing, for the service does not exist there or the region is refused.
const (
	drifted outcome = iota
	unknown
	notCovered
	excepted
	compliant
	notApplicable
)

// Tally counts outcomes. Whoever reads it may take for compliant only what was seen to be so.
type Tally struct {
	// Of is the number of those that are counted: compliant, drifted, excepted and unknown.
	Of        int `json:"of"`
	Compliant int `json:"compliant"`
	Drifted   int `json:"drifted"`
	Excepted  int `json:"excepted"`
	Unknown   int `json:"unknown"`
	// NotCovered are those of unknown that are so because no baseline declares what is asked.
	NotCovered int `json:"notCovered"`
	// NotApplicable stand outside of.
	NotApplicable int `json:"notApplicable,omitempty"`
}

func (t *Tally) add(o outcome) {
	switch o {
	case drifted:
		t.Drifted++
	case unknown:
		t.Unknown++
	case notCovered:
		t.Unknown++
		t.NotCovered++
	case excepted:
		t.Excepted++
	case compliant:
		t.Compliant++
	default:
		t.NotApplicable++
		return
	}
	t.Of++
}

// Percent is how many of a hundred are compliant, rounded down so that 100 means all; nil where nothing is counted.
func (t Tally) Percent() *int {
	if t.Of == 0 {
		return nil
	}
	return new(t.Compliant * 100 / t.Of)
}

// outcomeOf is how the account stands to the control.
func outcomeOf(a surveyed, id string) outcome {
	n, declared := stateOfControl(a, id)
	if !declared {
		return notCovered
	}
	return outcomeOfChecks(n)
}

func outcomeOfChecks(n v1alpha1.CheckCounts) outcome {
	switch {
	case n.Drifted > 0:
		return drifted
	case n.Unknown > 0:
		return unknown
	case n.Excepted > 0:
		return excepted
	case n.Compliant > 0:
		return compliant
	}
	return notApplicable
}

// requirementIn is how the account stands to a requirement: as to the worst of the controls that are decided there. False where
// none is: a control of the whole organization is decided in one account.
func (s *survey) requirementIn(a surveyed, controls []control.Bound) (worst outcome, decided bool) {
	worst = notApplicable
	for _, b := range controls {
		if b.Scope == control.Organization && s.Deciding(b.Meta) != a.Name {
			continue
		}
		decided = true
		worst = min(worst, outcomeOf(a, b.ID))
	}
	return worst, decided
}

// nowhere says whether one of the controls is of the whole organization and is decided in an account that nobody looks at.
func (s *survey) nowhere(controls []control.Bound) bool {
	for _, b := range controls {
		if b.Scope != control.Organization {
			continue
		}
		looked := false
		for _, a := range s.kept() {
			looked = looked || a.Name == s.Deciding(b.Meta)
		}
		if !looked {
			return true
		}
	}
	return false
}
