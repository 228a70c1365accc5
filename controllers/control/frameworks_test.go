package control

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequirementsAreSortedAsPeopleDo(t *testing.T) {
	got := []string{"1.10", "IAM.22", "1.9", "1.2.1", "1.2", "IAM.3", "2.1", "1.02", "A"}
	slices.SortFunc(got, NaturalOrder)
	want := []string{"1.2", "1.02", "1.2.1", "1.9", "1.10", "2.1", "A", "IAM.3", "IAM.22"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFrameworksNameEveryControlOfARequirementOnce(t *testing.T) {
	named := func(id string, frameworks map[string][]string) Bound {
		return Bound{Meta: &Meta{ID: id, Frameworks: frameworks}}
	}
	got := Frameworks([]Bound{
		named("b", map[string][]string{"CIS-5.0": {"1.10", "1.9"}}),
		named("a", map[string][]string{"CIS-5.0": {"1.10"}, "CIS-3.0": {"2.1"}}),
		named("a", map[string][]string{"CIS-5.0": {"1.10"}}),
	})
	want := []Framework{
		{Name: "CIS-3.0", Requirements: []Requirement{{"2.1", []string{"a"}}}},
		{Name: "CIS-5.0", Requirements: []Requirement{{"1.9", []string{"b"}}, {"1.10", []string{"a", "b"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frameworks (-want +got):\n%s", diff)
	}
}
