package main

import (
	"fmt"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// scpLimit is AWS's limit for a service control policy, white space counted.
const scpLimit = 5120

// deployers are the roles through which a StackSet creates and updates the member roles: with permissions of the service,
// and with permissions of its own.
var deployers = values{"arn:*:iam::*:role/stacksets-exec-*", "arn:*:iam::*:role/AWSCloudFormationStackSetExecutionRole"}

// assumeRoles is all that the manager's own identity may do.
var assumeRoles = documentOf(statement{Sid: "AssumePlumblinesRoles", Effect: "Allow", Action: values{"sts:AssumeRole"},
	Resource: values{plain.iam("role/plumbline/*")}})

// assumeAudit is all that the observer's identity may do where hands are separate: its own half of what the roles' trust keeps
// apart as well.
var assumeAudit = documentOf(statement{Sid: "AssumePlumblinesAuditRole", Effect: "Allow", Action: values{"sts:AssumeRole"},
	Resource: values{plain.iam("role/plumbline/PlumblineAudit")}})

// protect keeps everybody in an account, its administrators included, from changing Plumbline's roles and policies, and from
// making a role that would pass for one of those that may. Attaching a guard is an action on a user and is not concerned;
// neither are service-linked roles, through which a StackSet makes its own roles.
var protect = documentOf(
	statement{Sid: "PlumblinesRoles", Effect: "Deny", Resource: values{"arn:*:iam::*:role/plumbline/*"},
		Action: values{
			"iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePermissionsBoundary", "iam:DeleteRolePolicy",
			"iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole",
			"iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
		},
		Condition: map[string]map[string]values{"ArnNotLike": {"aws:PrincipalArn": deployers}}},
	statement{Sid: "PlumblinesPolicies", Effect: "Deny", Resource: values{"arn:*:iam::*:policy/plumbline/*"},
		Action: values{
			"iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion",
			"iam:TagPolicy", "iam:UntagPolicy",
		},
		Condition: map[string]map[string]values{"ArnNotLike": {"aws:PrincipalArn": deployers}}},
	statement{Sid: "NobodyPosesAsTheStackSet", Effect: "Deny", Resource: deployers,
		Action: values{"iam:CreateRole", "iam:UpdateAssumeRolePolicy"}},
)

// killSwitch stops every change of Plumbline in the accounts it is attached to, sessions that are open already included.
var killSwitch = documentOf(statement{Sid: "PlumblineChangesNothing", Effect: "Deny", Action: values{"*"}, Resource: values{"*"},
	Condition: map[string]map[string]values{"ArnLike": {"aws:PrincipalArn": {"arn:*:iam::*:role/plumbline/PlumblineEnforce"}}}})

// addOthers adds the policies that stand outside the accounts' roles.
func addOthers(made files, _ []control.Kind) error {
	made["config/iam/manager.json"] = assumeRoles.json()
	made["config/iam/observer.json"] = assumeAudit.json()
	for name, scp := range map[string]document{"scp-protect-plumbline": protect, "scp-kill-switch": killSwitch} {
		text := scp.json()
		if len(text) > scpLimit {
			return fmt.Errorf("%s has %d characters; AWS allows %d", name, len(text), scpLimit)
		}
		made["config/iam/"+name+".json"] = text
	}
	return nil
}
