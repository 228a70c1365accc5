package iam

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// PlumblineRoles holds that Plumbline's own roles are as config/iam creates them.
var PlumblineRoles = control.Control[v1alpha1.PlumblineRoles]{
	Meta: control.Meta{
		ID:    "iam-plumbline-roles",
		Title: "Plumbline's roles are intact",
		Doc: "Whoever can assume Plumbline's roles, or widens them, has Plumbline's hands. Each role must trust exactly one user or " +
			"role, demand the installation's ExternalId, and have no permissions but managed policies below " + GuardPath + "; a " +
			"permissions boundary is fine. Where the AWSOrganization names an enforcerPrincipal, the enforce role must trust " +
			"that one, and the audit role may trust it beside the manager. An account without the enforce role is one that is only audited. Only reported, and no " +
			"exception excuses it: deploy the template of the member roles again, and find out who changed them.",
		Scope:        control.Account,
		Risk:         control.ReportOnly,
		Severity:     v1alpha1.SeverityCritical,
		NotExcusable: true,
		Reads:        []string{"iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"},
		Events: homeEvents("CreateRole", "DeleteRole", "UpdateAssumeRolePolicy", "AttachRolePolicy", "DetachRolePolicy",
			"PutRolePolicy", "DeleteRolePolicy", "CreatePolicyVersion", "SetDefaultPolicyVersion"),
	},
	Observe: observePlumblineRoles,
}

func observePlumblineRoles(ctx context.Context, t *control.Target, _ v1alpha1.PlumblineRoles) ([]control.Finding, error) {
	t = t.Home()
	var found []control.Finding
	roles := []string{t.Facts.AuditRole}
	if t.Facts.EnforceRole != "" {
		roles = append(roles, t.Facts.EnforceRole)
	}
	for _, arn := range roles {
		fields, err := compareRole(ctx, t, arn)
		switch {
		case isGone(err) && arn == t.Facts.EnforceRole:
			found = append(found, control.Finding{
				Drift: control.Drift{Resource: arn}, Outcome: control.NotApplicable, Reason: "NoEnforceRole",
				Message: "the account has no enforce role: it is only audited",
			})
		case isGone(err):
			found = append(found, reported(arn, []control.Field{{Path: "role", Want: "exists", Got: "does not exist"}}, hold{}))
		case err != nil:
			found = append(found, control.Unreadable(arn, err))
		case len(fields) > 0:
			found = append(found, reported(arn, fields, hold{}))
		}
	}
	return found, nil
}

// compareRole says in what a role differs from the one that the template makes.
func compareRole(ctx context.Context, t *control.Target, arn string) ([]control.Field, error) {
	role, err := readRole(ctx, t, arn)
	if err != nil {
		return nil, err
	}
	trust, err := parsePolicy(*role.AssumeRolePolicyDocument)
	if err != nil {
		return nil, err
	}
	attached, err := attachedToRole(ctx, t, arn)
	if err != nil {
		return nil, err
	}
	inline, err := inlineOfRole(ctx, t, arn)
	if err != nil {
		return nil, err
	}
	var fields []control.Field
	add := func(path, want string, others []string) {
		if len(others) > 0 {
			got := control.Bounded(strings.Join(slices.Compact(slices.Sorted(slices.Values(others))), ", "), 200)
			fields = append(fields, control.Field{Path: path, Want: want, Got: got})
		}
	}
	add("arn", arn, other(aws.ToString(role.Arn), arn))
	who, others := principalsOf(t, arn, trust)
	add("trust.principal", who, others)
	add("trust.action", "sts:AssumeRole", otherActions(trust))
	add("trust.externalId", "the installation's", otherExternalIDs(trust, t.Facts.ExternalID))
	own := t.GlobalARN("iam", "policy"+GuardPath)
	add("policies.attached", "only below "+own, slices.DeleteFunc(attached, func(p string) bool { return strings.HasPrefix(p, own) }))
	add("policies.inline", "none", inline)
	return fields, nil
}

func other(got, want string) []string {
	if got == want {
		return nil
	}
	return []string{got}
}

// onePrincipal are the ARNs that stand for one user or role; the root ARN of an account stands for all of them.
var onePrincipal = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[^*?]+$`)

// principalsOf says whom a role may let in, and whom it does unless it is as it should be. What is denied besides does not matter.
func principalsOf(t *control.Target, arn string, trust policyDocument) (want string, others []string) {
	who, enforcer := trust.principals(), t.Facts.EnforcerPrincipal
	for _, s := range trust.allowing() {
		if len(s.NotPrincipal) > 0 {
			who = append(who, "everyone but some")
		}
	}
	want = "exactly one user or role"
	rest := who
	switch {
	case enforcer == "":
	case arn == t.Facts.EnforceRole:
		if want = enforcer; len(who) == 1 && who[0] == enforcer {
			return want, nil
		}
		rest = nil
	default:
		want += ", and " + enforcer
		rest = slices.DeleteFunc(slices.Clone(who), func(p string) bool { return p == enforcer })
	}
	switch {
	case len(who) == 0:
		return want, []string{"nobody"}
	case len(rest) == 1 && onePrincipal.MatchString(rest[0]):
		return want, nil
	}
	return want, who
}

// otherActions are what a trust policy allows beyond assuming the role and naming and tagging the session.
func otherActions(trust policyDocument) []string {
	var others []string
	for _, s := range trust.allowing() {
		for _, a := range s.Action {
			if a != "sts:assumerole" && a != "sts:setsourceidentity" && a != "sts:tagsession" {
				others = append(others, a)
			}
		}
		if len(s.NotAction) > 0 {
			others = append(others, "all but some")
		}
	}
	return others
}

// otherExternalIDs says what is demanded in place of the installation's ExternalId, which itself is never shown. Further
// conditions narrow the trust and are fine.
func otherExternalIDs(trust policyDocument, id string) []string {
	var others []string
	for _, s := range trust.allowing() {
		demanded := s.Condition["StringEquals"]["sts:externalid"]
		switch {
		case id == "" || slices.Equal(demanded, values{id}):
		case len(demanded) == 0:
			others = append(others, "none")
		default:
			others = append(others, "another")
		}
	}
	return others
}

func attachedToRole(ctx context.Context, t *control.Target, arn string) ([]string, error) {
	name, err := roleName(t, arn)
	if err != nil {
		return nil, err
	}
	var arns []string
	api := iam.NewFromConfig(t.AWS)
	err = pages("ListAttachedRolePolicies", func(marker *string) (*string, bool, error) {
		out, err := api.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name, Marker: marker})
		if err != nil {
			return nil, false, fmt.Errorf("listing policies of role %s: %w", name, err)
		}
		for _, p := range out.AttachedPolicies {
			arns = append(arns, aws.ToString(p.PolicyArn))
		}
		return out.Marker, out.IsTruncated, nil
	})
	return arns, err
}

func inlineOfRole(ctx context.Context, t *control.Target, arn string) ([]string, error) {
	name, err := roleName(t, arn)
	if err != nil {
		return nil, err
	}
	var names []string
	api := iam.NewFromConfig(t.AWS)
	err = pages("ListRolePolicies", func(marker *string) (*string, bool, error) {
		out, err := api.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &name, Marker: marker})
		if err != nil {
			return nil, false, fmt.Errorf("listing inline policies of role %s: %w", name, err)
		}
		names = append(names, out.PolicyNames...)
		return out.Marker, out.IsTruncated, nil
	})
	return names, err
}
