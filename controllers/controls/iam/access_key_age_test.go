package iam

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func active(id string, created, used int) key {
	k := key{id: id, status: "Active", created: ago(created)}
	if used >= 0 {
		k.used = ago(used)
	}
	return k
}

func TestAccessKeyAge(t *testing.T) {
	type settings = WithUsers[v1alpha1.AccessKeyAge]
	report := settings{Settings: v1alpha1.AccessKeyAge{ControlSpec: enabled}}
	act := settings{Settings: v1alpha1.AccessKeyAge{ControlSpec: enabled, Action: v1alpha1.KeyAgeDeactivate}}
	const one, two = "AKIAONEONEONEONEONE1", "AKIATWOTWOTWOTWOTWO2"
	field := func(masked, created string) control.Field {
		return control.Field{Path: "accessKeys[" + masked + "].created", Want: "at most 90 days ago", Got: created}
	}
	first := userARN("dave") + "/access-key/ONE1"
	dave := func(keys ...key) account { return account{members: []member{{name: "dave", keys: keys}}} }
	change := func(resource string, f control.Field) control.Finding {
		return control.Finding{Drift: control.Drift{Resource: resource, Risk: control.Disruptive, Fields: []control.Field{f}}}
	}

	controltest.Run(t, AccessKeyAge, []controltest.Case[settings]{
		{
			Name: "young and inactive keys are compliant", Want: act,
			AWS: dave(active(one, 90, 1), key{id: two, status: "Inactive", created: ago(500)}).stage,
		},
		{
			Name: "an old key is reported with its date", Want: report, AWS: dave(active(one, 200, 1)).stage,
			Findings: []control.Finding{reportOnly(first, "", field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "an old key that nobody uses is deactivated, the young one is left alone", Want: act,
			AWS:      dave(active(one, 200, 31), active(two, 10, 1)).stage,
			Findings: []control.Finding{change(first, field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "each key is a departure of its own, a third one that the report leaves out too", Want: act,
			AWS: dave(active(two, 1, 1), active("AKIATWOTWOTWOTWOTWO3", 1, 1), active(one, 200, -1)).stage,
			Findings: []control.Finding{
				change(first, field("AKIA…ONE1", "2025-08-13")),
			},
		},
		{
			Name: "a key is given its grace", Want: act, AWS: dave(active(one, 104, -1)).stage,
			Findings: []control.Finding{reportOnly(first, ReasonGracePeriod, field("AKIA…ONE1", "2025-11-17"))},
		},
		{
			Name: "a key that was used lately is not deactivated", Want: act, AWS: dave(active(one, 200, 29)).stage,
			Findings: []control.Finding{reportOnly(first, ReasonKeyInUse, field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "unless use protects none and there is no grace", AWS: dave(active(one, 91, 0)).stage,
			Want: settings{Settings: v1alpha1.AccessKeyAge{
				ControlSpec: enabled, Action: v1alpha1.KeyAgeDeactivate, GraceDays: aws.Int32(0), ProtectUsedWithinDays: aws.Int32(0),
			}},
			Findings: []control.Finding{change(first, field("AKIA…ONE1", "2025-11-30"))},
		},
		{
			Name: "the keys of an excluded user are reported and not deactivated", AWS: dave(active(one, 200, -1)).stage,
			Want:     settings{Settings: act.Settings, Users: &v1alpha1.UserSelector{Exclude: []string{"dave"}}},
			Findings: []control.Finding{reportOnly(first, ReasonExcluded, field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "the key that Plumbline signs with is not deactivated", Want: act,
			AWS: func(c *cloudtest.Cloud) {
				a := dave(active(one, 200, -1))
				a.roles = map[string]role{"PlumblineAudit": {trust: sprintf(trusting, userARN("dave"))}}
				a.stage(c)
			},
			Findings: []control.Finding{reportOnly(first, ReasonOwnIdentity, field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "a key that was rotated, a user that was deleted since the report are no departures", Want: act,
			AWS: account{
				members: []member{{name: "dave", keys: []key{active(two, 0, -1)}}},
				reported: []member{
					{name: "dave", keys: []key{active(one, 200, -1)}}, {name: "deleted", keys: []key{active(one, 200, -1)}},
				},
			}.stage,
		},
		{
			Name: "an old key that an event tells of is seen, whatever the report says", Want: report, Target: naming("dave"),
			AWS: account{
				members:  []member{{name: "dave", keys: []key{active(one, 200, 1)}}},
				reported: []member{{name: "dave", keys: []key{{id: one, status: "Inactive", created: ago(200)}}}},
			}.stage,
			Findings: []control.Finding{reportOnly(first, "", field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "so is one that departed before, of a user whom the report does not know", Want: report, Target: naming(first),
			AWS:      account{members: []member{{name: "dave", keys: []key{active(one, 200, 1)}}}, reported: []member{}}.stage,
			Findings: []control.Finding{reportOnly(first, "", field("AKIA…ONE1", "2025-08-13"))},
		},
		{
			Name: "a key in a state that nobody knows is unknown", Want: act,
			AWS: account{
				members:  []member{{name: "dave", keys: []key{{id: one, status: "Frozen", created: ago(200)}}}},
				reported: []member{{name: "dave", keys: []key{active(one, 200, -1)}}},
			}.stage,
			Findings: []control.Finding{unknown(userARN("dave"), control.ReasonUnexpectedData)},
		},
		{
			Name: "without a role to ask, a key is reported and not deactivated", Want: act,
			AWS: func(c *cloudtest.Cloud) {
				a := dave(active(one, 200, -1))
				a.roles = map[string]role{}
				a.stage(c)
			},
			Findings: []control.Finding{
				reportOnly(first, "", field("AKIA…ONE1", "2025-08-13")), unknown(first, control.ReasonUnexpectedData),
			},
		},
		{
			Name: "a report that AWS makes at once is used", Want: report,
			AWS: func(c *cloudtest.Cloud) {
				a := dave(active(one, 200, 1))
				a.reportErrors, a.generate = []string{"ReportNotPresent"}, "COMPLETE"
				a.stage(c)
			},
			Findings: []control.Finding{reportOnly(first, "", field("AKIA…ONE1", "2025-08-13"))},
		},
	})
}
