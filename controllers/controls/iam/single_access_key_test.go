package iam

import (
	"testing"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestSingleAccessKey(t *testing.T) {
	want := v1alpha1.SingleAccessKey{ControlSpec: enabled}
	one, two := active("AKIAONEONEONEONEONE1", 5, 1), active("AKIATWOTWOTWOTWOTWO2", 5, 1)
	off := key{id: "AKIAOFFOFFOFFOFFOFF3", status: "Inactive", created: ago(5)}
	carol := member{name: "carol", keys: []key{one, two}}
	drift := reportOnly(userARN("carol"), "", control.Field{Path: "accessKeys.active", Want: "at most 1", Got: "2 (AKIA…ONE1, AKIA…TWO2)"})

	controltest.Run(t, SingleAccessKey, []controltest.Case[v1alpha1.SingleAccessKey]{
		{
			Name: "one active key, beside an inactive one, is compliant", Want: want,
			AWS: account{members: []member{{name: "dora", keys: []key{one, off}}, {name: "emil"}}}.stage,
		},
		{
			Name: "two active keys are reported, masked", Want: want, AWS: account{members: []member{carol}}.stage,
			Findings: []control.Finding{drift},
		},
		{
			Name: "a third key that the report leaves out is seen", Want: want,
			AWS:      account{members: []member{{name: "carol", keys: []key{off, one, two}}}}.stage,
			Findings: []control.Finding{drift},
		},
		{
			Name: "a key that was deactivated, a user that was deleted since the report are no departures", Want: want,
			AWS: account{
				members:  []member{{name: "carol", keys: []key{one, off}}},
				reported: []member{carol, {name: "deleted", keys: []key{one, two}}},
			}.stage,
		},
		{
			Name: "a key that an event tells of is seen, whatever the report says", Want: want, Target: naming("carol"),
			AWS:      account{members: []member{carol}, reported: []member{{name: "carol", keys: []key{one}}}}.stage,
			Findings: []control.Finding{drift},
		},
		{
			Name: "so are the keys of a user who was made since the report", Want: want, Target: naming("carol"),
			AWS:      account{members: []member{carol}, reported: []member{}}.stage,
			Findings: []control.Finding{drift},
		},
		{
			Name: "a report that AWS makes at once is used", Want: want,
			AWS:      account{members: []member{carol}, reportErrors: []string{"ReportNotPresent"}, generate: "COMPLETE"}.stage,
			Findings: []control.Finding{drift},
		},
	})
}
