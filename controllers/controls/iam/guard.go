package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// The guard is a managed policy that leaves a user without MFA just enough to enrol a device. It is made by the template of
// the member roles and by nothing else: whoever may write a policy is an administrator, whoever may attach just this one is
// not. The enforce role therefore gets GuardActions with a condition on iam:PolicyARN and no action that writes a policy.

// Guards are the variants of the guard.
var Guards = []v1alpha1.MFAGuard{v1alpha1.MFAGuardConsoleOnly, v1alpha1.MFAGuardConsoleAndKeys}

// GuardPath is the path of the guard policies.
const GuardPath = "/plumbline/"

// GuardName is the name of a variant's policy; empty for a guard that is none.
func GuardName(variant v1alpha1.MFAGuard) string {
	switch variant {
	case v1alpha1.MFAGuardConsoleOnly:
		return "mfa-guard"
	case v1alpha1.MFAGuardConsoleAndKeys:
		return "mfa-guard-keys"
	}
	return ""
}

// GuardARN is the ARN of a variant's policy in an account.
func GuardARN(variant v1alpha1.MFAGuard, partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":policy" + GuardPath + GuardName(variant)
}

// GuardARNs are the ARNs of all guard policies in an account: the only values of the condition key iam:PolicyARN with which
// the enforce role may use GuardActions.
func GuardARNs(partition, account string) []string {
	arns := make([]string, len(Guards))
	for i, variant := range Guards {
		arns[i] = GuardARN(variant, partition, account)
	}
	return arns
}

// GuardActions are the actions that the enforce role gets only on users ("user/*") and only with a condition ArnEquals on
// iam:PolicyARN that names GuardARNs. Source: "Actions, resources, and condition keys for AWS Identity and Access
// Management", Service Authorization Reference.
var GuardActions = []string{"iam:AttachUserPolicy", "iam:DetachUserPolicy"}

// guardDocument is the guard with its partition and its last condition left open. ConsoleOnly uses Bool, which a request
// signed with a long-term access key does not match, for it carries no aws:MultiFactorAuthPresent; ConsoleAndKeys uses
// BoolIfExists, which it does match ("AWS global condition context keys", IAM User Guide). Services that act for the user are
// let through. DeactivateMFADevice and DeleteVirtualMFADevice stay denied: enrolling is all there is to do.
const guardDocument = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "List",
      "Effect": "Allow",
      "Action": ["iam:ListVirtualMFADevices", "iam:GetAccountPasswordPolicy"],
      "Resource": "*"
    },
    {
      "Sid": "CreateDevice",
      "Effect": "Allow",
      "Action": ["iam:CreateVirtualMFADevice"],
      "Resource": "arn:PARTITION:iam::*:mfa/*"
    },
    {
      "Sid": "OwnUser",
      "Effect": "Allow",
      "Action": [
        "iam:EnableMFADevice", "iam:GetMFADevice", "iam:ListMFADevices", "iam:ResyncMFADevice", "iam:GetUser", "iam:ChangePassword"
      ],
      "Resource": ["arn:PARTITION:iam::*:user/${aws:username}", "arn:PARTITION:iam::*:user/*/${aws:username}"]
    },
    {
      "Sid": "DenyUnlessMFA",
      "Effect": "Deny",
      "NotAction": [
        "iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:GetMFADevice", "iam:ListMFADevices",
        "iam:ListVirtualMFADevices", "iam:ResyncMFADevice", "iam:GetUser", "iam:ChangePassword",
        "iam:GetAccountPasswordPolicy", "sts:GetSessionToken", "sts:GetCallerIdentity"
      ],
      "Resource": "*",
      "Condition": CONDITION
    }
  ]
}
`

// GuardDocument is the policy document of a variant; empty for a guard that is none. A template that substitutes ${...}
// itself must escape the policy variable ${aws:username} in it.
func GuardDocument(variant v1alpha1.MFAGuard, partition string) string {
	condition := `{"Bool": {"aws:MultiFactorAuthPresent": "false", "aws:ViaAWSService": "false"}}`
	switch variant {
	case v1alpha1.MFAGuardConsoleOnly:
	case v1alpha1.MFAGuardConsoleAndKeys:
		condition = `{"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}, "Bool": {"aws:ViaAWSService": "false"}}`
	default:
		return ""
	}
	return strings.NewReplacer("PARTITION", partition, "CONDITION", condition).Replace(guardDocument)
}

// guardIntact holds a guard back that is missing in the account or is not the one Plumbline ships: to attach a policy that
// somebody has rewritten would be to give away what it allows.
func guardIntact(ctx context.Context, t *control.Target, variant v1alpha1.MFAGuard) (hold, error) {
	api, arn := iam.NewFromConfig(t.AWS), GuardARN(variant, t.Partition, t.Account)
	policy, err := api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if isGone(err) {
		return hold{ReasonGuardPolicyMissing, arn + " does not exist: deploy the template of the member roles"}, nil
	}
	if err != nil {
		return hold{}, fmt.Errorf("reading the guard policy: %w", err)
	}
	if policy.Policy == nil || aws.ToString(policy.Policy.DefaultVersionId) == "" {
		return hold{}, control.Unexpected("GetPolicy", "the default version")
	}
	version, err := api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: policy.Policy.DefaultVersionId})
	if err != nil {
		return hold{}, fmt.Errorf("reading the guard policy's default version: %w", err)
	}
	if version.PolicyVersion == nil || aws.ToString(version.PolicyVersion.Document) == "" {
		return hold{}, control.Unexpected("GetPolicyVersion", "the document")
	}
	if !samePolicy(*version.PolicyVersion.Document, GuardDocument(variant, t.Partition)) {
		return hold{ReasonGuardModified, arn + " is not the policy that Plumbline ships: find out who changed it, then deploy the " +
			"template of the member roles again"}, nil
	}
	return hold{}, nil
}

// guardedUsers are the names of the users that a variant is attached to; none where the policy does not exist.
func guardedUsers(ctx context.Context, t *control.Target, variant v1alpha1.MFAGuard) ([]string, error) {
	var names []string
	api, arn := iam.NewFromConfig(t.AWS), GuardARN(variant, t.Partition, t.Account)
	err := pages("ListEntitiesForPolicy", func(marker *string) (*string, bool, error) {
		out, err := api.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{
			PolicyArn: &arn, EntityFilter: "User", PolicyUsageFilter: "PermissionsPolicy", Marker: marker,
		})
		if err != nil {
			return nil, false, fmt.Errorf("listing users of the guard policy: %w", err)
		}
		for _, u := range out.PolicyUsers {
			names = append(names, aws.ToString(u.UserName))
		}
		return out.Marker, out.IsTruncated, nil
	})
	if isGone(err) {
		return nil, nil
	}
	return names, err
}

// userGuards is what a change of a user's guard writes.
type userGuards struct {
	User string `json:"user"`
	// Guards are the ARNs of the guard policies attached to the user.
	Guards []string `json:"guards"`
}

// guardsAmong are those of a user's policies that are guards, sorted.
func guardsAmong(t *control.Target, attached []string) []string {
	guards := []string{}
	for _, arn := range attached {
		if slices.Contains(GuardARNs(t.Partition, t.Account), arn) {
			guards = append(guards, arn)
		}
	}
	slices.Sort(guards)
	return guards
}

// setGuards attaches what is to be attached and then detaches the rest, so that a user is at no time without a guard that is
// to have one. Other policies are left alone. A user that was deleted has none, and needs none.
func setGuards(ctx context.Context, t *control.Target, to []byte) error {
	want, err := control.Decode[userGuards](to)
	if err != nil {
		return err
	}
	attached, err := attachedPolicies(ctx, t, want.User)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	now := guardsAmong(t, attached)
	for _, variant := range Guards {
		arn := GuardARN(variant, t.Partition, t.Account)
		if slices.Contains(want.Guards, arn) && !slices.Contains(now, arn) {
			if err := attachGuard(ctx, t, want.User, variant); err != nil {
				return err
			}
		}
	}
	return detachGuards(ctx, t, want.User, slices.DeleteFunc(now, func(arn string) bool { return slices.Contains(want.Guards, arn) }))
}

func detachGuards(ctx context.Context, t *control.Target, name string, arns []string) error {
	for _, arn := range arns {
		in := &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: &arn}
		if _, err := iam.NewFromConfig(t.AWS).DetachUserPolicy(ctx, in); err != nil && !isGone(err) {
			return fmt.Errorf("detaching the guard: %w", err)
		}
	}
	return nil
}

// attachGuard attaches a guard that is as Plumbline ships it.
func attachGuard(ctx context.Context, t *control.Target, name string, variant v1alpha1.MFAGuard) error {
	why, err := guardIntact(ctx, t, variant)
	if err != nil {
		return err
	}
	if why.reason != "" {
		return fmt.Errorf("attaching the guard: %s: %s", why.reason, why.message)
	}
	arn := GuardARN(variant, t.Partition, t.Account)
	if _, err := iam.NewFromConfig(t.AWS).AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &arn}); err != nil {
		return fmt.Errorf("attaching the guard: %w", err)
	}
	return nil
}

func undoGuards(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[userGuards](d.After)
	if err != nil {
		return err
	}
	attached, err := attachedPolicies(ctx, t, left.User)
	if isGone(err) {
		return control.ErrChanged
	}
	if err != nil {
		return err
	}
	if !slices.Equal(guardsAmong(t, attached), left.Guards) {
		return control.ErrChanged
	}
	return setGuards(ctx, t, d.Before)
}
