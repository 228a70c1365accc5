package iam

import (
	"fmt"
	"testing"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	auditARN   = "arn:aws:iam::111122223333:role/plumbline/PlumblineAudit"
	enforceARN = "arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce"
)

var sprintf = fmt.Sprintf

func TestPlumblineRoles(t *testing.T) {
	want := v1alpha1.PlumblineRoles{ControlSpec: enabled}
	type fields = []control.Field
	// changed is the enforce role with something about it changed.
	changed := func(name string, change func(*role), departs fields) controltest.Case[v1alpha1.PlumblineRoles] {
		roles := ownRoles()
		r := roles["PlumblineEnforce"]
		change(&r)
		roles["PlumblineEnforce"] = r
		c := controltest.Case[v1alpha1.PlumblineRoles]{Name: name, Want: want, AWS: account{roles: roles}.stage}
		if len(departs) > 0 {
			c.Findings = []control.Finding{reportOnly(enforceARN, "", departs...)}
		}
		return c
	}
	trust := func(document string) func(*role) { return func(r *role) { r.trust = document } }
	who := func(got string) control.Field {
		return control.Field{Path: "trust.principal", Want: "exactly one user or role", Got: got}
	}
	id := func(got string) control.Field {
		return control.Field{Path: "trust.externalId", Want: "the installation's", Got: got}
	}
	statement := func(principal, action, condition string) string {
		return `{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `,"Condition":` + condition + `}`
	}
	document := func(statements string) func(*role) {
		return trust(`{"Version":"2012-10-17","Id":"x","Statement":[` + statements + `]}`)
	}
	// separate are both roles, with whom each trusts, where the enforcer has an identity of its own.
	const enforcer = "arn:aws:iam::444455556666:role/plumbline-enforcer"
	separate := func(name, audit, enforce string, found ...control.Finding) controltest.Case[v1alpha1.PlumblineRoles] {
		roles := ownRoles()
		for of, who := range map[string]string{"PlumblineAudit": audit, "PlumblineEnforce": enforce} {
			r := roles[of]
			r.trust = `{"Version":"2012-10-17","Statement":[` + statement(who, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":"example"}}`) + `]}`
			roles[of] = r
		}
		return controltest.Case[v1alpha1.PlumblineRoles]{
			Name: name, Want: want, AWS: account{roles: roles}.stage, Findings: found,
			Target: func(t *control.Target) { t.Facts.EnforcerPrincipal = enforcer },
		}
	}
	one, example := `{"AWS":["`+plumbline+`"]}`, `{"StringEquals":{"STS:ExternalID":["example"]}}`

	controltest.Run(t, PlumblineRoles, []controltest.Case[v1alpha1.PlumblineRoles]{
		{Name: "roles as the template makes them are compliant", Want: want, AWS: account{}.stage},
		changed("a trust that is narrower, spelled otherwise, is compliant", document(
			statement(one, `["sts:assumeRole","sts:SetSourceIdentity"]`, `{"StringEquals":{"STS:ExternalID":["example"],"aws:PrincipalOrgID":"o-exampleorg"}}`)+
				`,{"Sid":"Not others","Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}`), nil),
		changed("anyone is not one principal", document(statement(`"*"`, `"sts:AssumeRole"`, example)), fields{who("*")}),
		changed("a whole account is not one principal", trust(sprintf(trusting, "arn:aws:iam::222233334444:root")),
			fields{who("arn:aws:iam::222233334444:root")}),
		changed("two principals are not one", document(statement(one, `"sts:AssumeRole"`, example)+","+
			statement(`{"AWS":"arn:aws:iam::999999999999:user/mallory"}`, `"sts:AssumeRole"`, example)),
			fields{who(plumbline + ", arn:aws:iam::999999999999:user/mallory")}),
		changed("a service is not the principal", document(statement(`{"Service":"lambda.amazonaws.com"}`, `"sts:AssumeRole"`, example)),
			fields{who("lambda.amazonaws.com")}),
		changed("everyone but some is not one principal", document(
			statement(one, `"sts:AssumeRole"`, example)+`,{"Effect":"Allow","NotPrincipal":{"AWS":"`+plumbline+`"},"Action":"sts:AssumeRole","Condition":`+example+`}`),
			fields{who(plumbline + ", everyone but some")}),
		changed("another ExternalId is not shown", document(statement(one, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":"secret"}}`)), fields{id("another")}),
		changed("one ExternalId more is another", document(statement(one, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":["example","secret"]}}`)), fields{id("another")}),
		changed("an ExternalId that need not be there is none", document(statement(one, `"sts:AssumeRole"`, `{"StringEqualsIfExists":{"sts:ExternalId":"example"}}`)), fields{id("none")}),
		changed("other ways into the role are reported", document(statement(one, `["sts:AssumeRole","sts:AssumeRoleWithSAML"]`, example)),
			fields{{Path: "trust.action", Want: "sts:AssumeRole", Got: "sts:assumerolewithsaml"}}),
		changed("nobody is not one principal", document(""), fields{who("nobody")}),
		changed("policies of others and inline ones are reported, wherever in the list", func(r *role) {
			r.attached = append(r.attached, "arn:aws:iam::111122223333:policy/plumbline/x", "arn:aws:iam::aws:policy/AdministratorAccess")
			r.inline = []string{"backdoor"}
		}, fields{
			{Path: "policies.attached", Want: "only below arn:aws:iam::111122223333:policy/plumbline/", Got: "arn:aws:iam::aws:policy/AdministratorAccess"},
			{Path: "policies.inline", Want: "none", Got: "backdoor"},
		}),
		changed("a role of that name in another place is another", func(r *role) { r.path = "/" },
			fields{{Path: "arn", Want: enforceARN, Got: "arn:aws:iam::111122223333:role/PlumblineEnforce"}}),
		separate("an enforcer of its own is trusted by both roles beside the manager", `{"AWS":["`+plumbline+`","`+enforcer+`"]}`, `{"AWS":"`+enforcer+`"}`),
		separate("the audit role need not trust the enforcer", one, `{"AWS":"`+enforcer+`"}`),
		separate("the enforce role trusts nobody but the enforcer", one, one,
			reportOnly(enforceARN, "", control.Field{Path: "trust.principal", Want: enforcer, Got: plumbline})),
		separate("nor the manager beside the enforcer", one, `{"AWS":["`+plumbline+`","`+enforcer+`"]}`,
			reportOnly(enforceARN, "", control.Field{Path: "trust.principal", Want: enforcer, Got: plumbline + ", " + enforcer})),
		separate("nor does the audit role trust a third", `{"AWS":["`+plumbline+`","`+enforcer+`","arn:aws:iam::999999999999:user/mallory"]}`, `{"AWS":"`+enforcer+`"}`,
			reportOnly(auditARN, "", control.Field{
				Path: "trust.principal", Want: "exactly one user or role, and " + enforcer,
				Got: plumbline + ", arn:aws:iam::444455556666:role/plumbline-enforcer, arn:aws:iam::999999999999:user/mallory",
			})),
		{
			Name: "an account that is only audited has no enforce role", Want: want,
			AWS: account{roles: map[string]role{"PlumblineAudit": ownRoles()["PlumblineAudit"]}}.stage,
			Findings: []control.Finding{{
				Drift: control.Drift{Resource: enforceARN}, Outcome: control.NotApplicable, Reason: "NoEnforceRole",
			}},
		},
		{
			Name: "an audit role that does not exist is reported", Want: want,
			AWS:      account{roles: map[string]role{"PlumblineEnforce": ownRoles()["PlumblineEnforce"]}}.stage,
			Findings: []control.Finding{reportOnly(auditARN, "", control.Field{Path: "role", Want: "exists", Got: "does not exist"})},
		},
		{
			Name: "an installation without an ExternalId demands none", Want: want,
			AWS: account{roles: map[string]role{
				"PlumblineAudit": {trust: `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + plumbline + `"},"Action":"sts:AssumeRole"}}`},
			}}.stage,
			Target: func(t *control.Target) { t.Facts.ExternalID, t.Facts.EnforceRole = "", "" },
		},
		{
			Name: "a trust policy that cannot be read is unknown", Want: want,
			AWS: account{roles: map[string]role{"PlumblineAudit": {trust: "{}}"}, "PlumblineEnforce": {trust: `{"Statement":[{"Efect":"Allow"}]}`}}}.stage,
			Findings: []control.Finding{
				unknown(auditARN, control.ReasonUnexpectedData), unknown(enforceARN, control.ReasonUnexpectedData),
			},
		},
		{
			Name: "a role of another account is not read", Want: want, AWS: account{}.stage,
			Target: func(t *control.Target) {
				t.Facts.AuditRole = "arn:aws:iam::999999999999:role/plumbline/PlumblineAudit"
			},
			Findings: []control.Finding{unknown("arn:aws:iam::999999999999:role/plumbline/PlumblineAudit", control.ReasonUnexpectedData)},
		},
	})
}
