package iam

import (
	"testing"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestUnusedCredentials(t *testing.T) {
	type settings = WithUsers[v1alpha1.UnusedCredentials]
	report := settings{Settings: v1alpha1.UnusedCredentials{ControlSpec: enabled}}
	act := settings{Settings: v1alpha1.UnusedCredentials{ControlSpec: enabled, Action: v1alpha1.UnusedDeactivateKeys}}
	const one, two = "AKIAONEONEONEONEONE1", "AKIATWOTWOTWOTWOTWO2"
	password := func(got string) control.Field {
		return control.Field{Path: "password.lastUsed", Want: "in the last 45 days", Got: got}
	}
	keyField := func(got string) control.Field {
		return control.Field{Path: "accessKeys[AKIA…ONE1].lastUsed", Want: "in the last 45 days", Got: got}
	}
	erin, first := userARN("erin"), userARN("erin")+"/access-key/ONE1"
	change := func(f control.Field) control.Finding {
		return control.Finding{Drift: control.Drift{Resource: first, Risk: control.Disruptive, Fields: []control.Field{f}}}
	}
	only := func(m member) account { m.name = "erin"; return account{members: []member{m}} }

	controltest.Run(t, UnusedCredentials, []controltest.Case[settings]{
		{
			Name: "credentials in use, and inactive keys, are compliant", Want: act,
			AWS: only(member{password: ago(500), passwordUsed: ago(45), keys: []key{
				active(one, 500, 45), {id: two, status: "Inactive", created: ago(500)},
			}}).stage,
		},
		{
			Name: "a password that nobody has used is reported and never changed", Want: act,
			AWS:      only(member{password: ago(500), passwordUsed: ago(100)}).stage,
			Findings: []control.Finding{reportOnly(erin, "", password("2025-11-21"))},
		},
		{
			Name: "a password that was never used counts from when it was made", Want: act,
			AWS:      only(member{password: ago(46)}).stage,
			Findings: []control.Finding{reportOnly(erin, "", password("never, made on 2026-01-14"))},
		},
		{
			Name: "the last use of a former password does not count", Want: act,
			AWS:      only(member{password: ago(60), passwordUsed: ago(400)}).stage,
			Findings: []control.Finding{reportOnly(erin, "", password("never, made on 2025-12-31"))},
		},
		{
			Name: "a young password of an old user is compliant", Want: act, AWS: only(member{password: ago(5), passwordUsed: ago(400)}).stage,
		},
		{
			Name: "an unused key is reported", Want: report, AWS: only(member{keys: []key{active(one, 500, 100)}}).stage,
			Findings: []control.Finding{reportOnly(first, "", keyField("2025-11-21"))},
		},
		{
			Name: "an unused key is deactivated where that is asked for, a used one is not", Want: act,
			AWS:      only(member{keys: []key{active(one, 500, 60), active(two, 500, 1)}}).stage,
			Findings: []control.Finding{change(keyField("2025-12-31"))},
		},
		{
			Name: "a key that was never used counts from when it was made", Want: act,
			AWS:      only(member{keys: []key{active(one, 60, -1)}}).stage,
			Findings: []control.Finding{change(keyField("never, made on 2025-12-31"))},
		},
		{
			Name: "a key is given its grace", Want: act, AWS: only(member{keys: []key{active(one, 500, 59)}}).stage,
			Findings: []control.Finding{reportOnly(first, ReasonGracePeriod, keyField("2026-01-01"))},
		},
		{
			Name: "the keys of an excluded path are reported and not deactivated",
			Want: settings{Settings: act.Settings, Users: &v1alpha1.UserSelector{ExcludePaths: []string{"/"}}},
			AWS:  only(member{keys: []key{active(one, 500, 100)}}).stage,
			Findings: []control.Finding{
				reportOnly(first, ReasonExcluded, keyField("2025-11-21")),
			},
		},
		{
			Name: "the key that Plumbline signs with is not deactivated", Want: act,
			AWS: func(c *cloudtest.Cloud) {
				a := only(member{keys: []key{active(one, 500, 100)}})
				a.roles = map[string]role{"PlumblineAudit": {trust: sprintf(trusting, erin)}}
				a.stage(c)
			},
			Findings: []control.Finding{reportOnly(first, ReasonOwnIdentity, keyField("2025-11-21"))},
		},
		{
			Name: "what an event tells of is seen, whatever the report says", Want: report, Target: naming("erin", "zoe"), AWS: account{
				members:  []member{{name: "erin", keys: []key{active(one, 500, 100)}}},
				reported: []member{{name: "erin", keys: []key{{id: one, status: "Inactive", created: ago(500)}}}},
			}.stage,
			Findings: []control.Finding{reportOnly(first, "", keyField("2025-11-21"))},
		},
		{
			Name: "what was used, closed or deleted since the report is no departure", Want: act,
			AWS: account{
				members: []member{{name: "erin", password: ago(500), passwordUsed: ago(0), keys: []key{active(one, 500, 0)}}, {name: "closed"}},
				reported: []member{
					{name: "erin", password: ago(500), passwordUsed: ago(100), keys: []key{active(one, 500, 100)}},
					{name: "closed", password: ago(500)}, {name: "deleted", password: ago(500)},
				},
			}.stage,
		},
		{
			Name: "a report that AWS makes at once is used", Want: act,
			AWS: func(c *cloudtest.Cloud) {
				a := only(member{password: ago(46)})
				a.reportErrors, a.generate = []string{"ReportExpired"}, "COMPLETE"
				a.stage(c)
			},
			Findings: []control.Finding{reportOnly(erin, "", password("never, made on 2026-01-14"))},
		},
	})
}
