package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/iam"
)

// What is more than a list of actions: those that are allowed only under a condition, those that write policies, and those
// that are denied. All of it is data of IAM, not of controls.

// A place is what stands for partition and account in the ARNs of a policy.
type place struct{ partition, account string }

// The places that a policy is written for. In plain JSON the account stays open: an IAM action reaches only its own account,
// and only a policy of the same account can be attached.
var (
	plain          = place{"aws", "*"}
	cloudFormation = place{"${AWS::Partition}", "${AWS::AccountId}"}
	terraform      = place{"${local.partition}", "${local.account}"}
)

func (p place) iam(resource string) string {
	return "arn:" + p.partition + ":iam::" + p.account + ":" + resource
}

// principals are the service principals by which AWS knows a service: those of the roles it makes for itself, of the roles
// passed to it and of its trusted access to the organization.
var principals = map[string]values{
	"cloudtrail": {"cloudtrail.amazonaws.com"},
	"guardduty":  {"guardduty.amazonaws.com", "malware-protection.guardduty.amazonaws.com"},
}

// A limit narrows an action that would be too much without it.
type limit struct {
	sid      string
	resource func(p place, services values) values
	operator string
	key      string
	value    func(p place, services values) values
}

func everything(place, values) values             { return values{"*"} }
func theServices(_ place, services values) values { return services }

// limits are the actions that no policy allows without a condition. Each condition key stands in the Service Authorization
// Reference for its action. An action granted behind a control's calls must be about the services that the control works
// on.
var limits = func() map[string]limit {
	organizations := limit{sid: "TrustedAccess", resource: everything, operator: "StringEquals",
		key: "organizations:ServicePrincipal", value: theServices}
	all := map[string]limit{
		"iam:PassRole": {sid: "PassRole", resource: roles, operator: "StringEquals", key: "iam:PassedToService", value: theServices},
		"iam:CreateServiceLinkedRole": {sid: "ServiceLinkedRole", resource: serviceLinkedRoles, operator: "StringEquals",
			key: "iam:AWSServiceName", value: theServices},
		"organizations:EnableAWSServiceAccess":         organizations,
		"organizations:RegisterDelegatedAdministrator": organizations,
	}
	for _, action := range iam.GuardActions {
		all[action] = limit{sid: "OnlyTheGuard", resource: users, operator: "ArnEquals", key: "iam:PolicyARN", value: guards}
	}
	return all
}()

func users(p place, _ values) values { return values{p.iam("user/*")} }
func roles(p place, _ values) values { return values{p.iam("role/*")} }
func guards(p place, _ values) values {
	return iam.GuardARNs(p.partition, p.account)
}

func serviceLinkedRoles(p place, services values) values {
	var arns values
	for _, s := range services {
		arns = append(arns, p.iam("role/aws-service-role/"+s+"/*"))
	}
	return arns
}

// servicesOf are the service principals of the services that a control changes.
func servicesOf(m *control.Meta) values {
	var all values
	for _, action := range m.Writes {
		service, _, _ := strings.Cut(action, ":")
		all = append(all, principals[service]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// statementFor is the statement in which an action of a control stands; sid is that of actions without a limit.
func statementFor(m *control.Meta, action, sid string, p place) (statement, error) {
	l, limited := limits[action]
	if !limited {
		return statement{Sid: sid, Effect: "Allow", Action: values{action}, Resource: values{"*"}}, nil
	}
	value := l.value(p, servicesOf(m))
	if len(value) == 0 {
		return statement{}, fmt.Errorf("control %s: %s is only allowed under a condition on %s, and the service it is for is "+
			"not known; add it to principals in hack/generate/limits.go", m.ID, action, l.key)
	}
	return statement{Sid: l.sid, Effect: "Allow", Action: values{action}, Resource: l.resource(p, servicesOf(m)),
		Condition: map[string]map[string]values{l.operator: {l.key: value}}}, nil
}

// policyWriting are the actions that write policies: whoever has them can give themselves anything that the policy's
// resource has. They stand in policies of their own, which are not attached unless asked for.
var policyWriting = []string{
	"*:Put*ResourcePolicy", "iam:*PolicyVersion", "iam:CreatePolicy", "iam:Put*Policy", "iam:UpdateAssumeRolePolicy",
	"kms:PutKeyPolicy", "s3:DeleteBucketPolicy", "s3:PutAccessPointPolicy", "s3:PutBucketPolicy",
}

func writesPolicies(action string) bool {
	return slices.ContainsFunc(policyWriting, func(pattern string) bool {
		match, _ := path.Match(pattern, action) // the patterns are above
		return match
	})
}

// dataAndSecrets are denied to both roles, whatever else is attached to them, and whatever the resource's own policy says.
// These are the only wildcards in a policy of an account: an action that AWS adds to a family is denied as well.
var dataAndSecrets = values{
	"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:GetRecords", "dynamodb:PartiQLSelect", "dynamodb:Query", "dynamodb:Scan",
	"kms:Decrypt",
	"lambda:GetFunction*",
	"logs:FilterLogEvents", "logs:GetLogEvents", "logs:GetLogRecord", "logs:GetQueryResults", "logs:StartLiveTail", "logs:StartQuery",
	"s3:GetObject*",
	"secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue",
	"sqs:ReceiveMessage",
	"ssm:GetParameter*",
}
