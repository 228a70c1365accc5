package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// user is a user as AWS says now.
type user struct {
	name, arn, path string
	// passwordLastUsed is zero when no password of the user was ever used.
	passwordLastUsed time.Time
}

// readUser reads a user; an error that isGone recognises when it was deleted.
func readUser(ctx context.Context, t *control.Target, name string) (user, error) {
	out, err := iam.NewFromConfig(t.AWS).GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if err != nil {
		return user{}, fmt.Errorf("reading user %s: %w", name, err)
	}
	if out.User == nil || aws.ToString(out.User.Arn) == "" || aws.ToString(out.User.Path) == "" {
		return user{}, control.Unexpected("GetUser", "the user's ARN and path")
	}
	return user{
		name: name, arn: *out.User.Arn, path: *out.User.Path, passwordLastUsed: aws.ToTime(out.User.PasswordLastUsed),
	}, nil
}

// readPassword says whether the user has a password for the console, and since when.
func readPassword(ctx context.Context, t *control.Target, name string) (created time.Time, ok bool, err error) {
	out, err := iam.NewFromConfig(t.AWS).GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &name})
	if isGone(err) { // the user or only the password
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading the login profile of %s: %w", name, err)
	}
	if out.LoginProfile == nil || out.LoginProfile.CreateDate == nil {
		return time.Time{}, false, control.Unexpected("GetLoginProfile", "the date it was made")
	}
	return *out.LoginProfile.CreateDate, true, nil
}

// hasMFA says whether the user has a device of any kind: the list holds apps, tokens and security keys.
func hasMFA(ctx context.Context, t *control.Target, name string) (bool, error) {
	api, devices := iam.NewFromConfig(t.AWS), 0
	err := pages("ListMFADevices", func(marker *string) (*string, bool, error) {
		out, err := api.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: &name, Marker: marker})
		if err != nil {
			return nil, false, fmt.Errorf("listing MFA devices of %s: %w", name, err)
		}
		devices += len(out.MFADevices)
		return out.Marker, out.IsTruncated, nil
	})
	return devices > 0, err
}

// attachedPolicies are the ARNs of the user's managed policies.
func attachedPolicies(ctx context.Context, t *control.Target, name string) ([]string, error) {
	var arns []string
	api := iam.NewFromConfig(t.AWS)
	err := pages("ListAttachedUserPolicies", func(marker *string) (*string, bool, error) {
		out, err := api.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &name, Marker: marker})
		if err != nil {
			return nil, false, fmt.Errorf("listing policies of %s: %w", name, err)
		}
		for _, p := range out.AttachedPolicies {
			arns = append(arns, aws.ToString(p.PolicyArn))
		}
		return out.Marker, out.IsTruncated, nil
	})
	return arns, err
}

// observeUsers reads the suspects live. live answers with an error that isGone recognises when the user was deleted meanwhile:
// then there is nothing to report of it.
func observeUsers(
	ctx context.Context, t *control.Target, wrong func(reportRow) bool, live func(context.Context, user) ([]control.Finding, error),
) ([]control.Finding, error) {
	s, err := suspectsOf(ctx, t, wrong)
	if err != nil {
		return nil, err
	}
	found := s.unseen
	for _, one := range s.users {
		u, err := readUser(ctx, t, one.name)
		var findings []control.Finding
		if err == nil {
			findings, err = live(ctx, u)
		}
		if isGone(err) {
			continue
		}
		if err != nil {
			findings = append(findings, control.Unreadable(one.arn, err))
		}
		found = append(found, findings...)
	}
	return found, nil
}

// excluded holds back every change of a user that the baseline protects. Names of IAM users differ in more than case.
func excluded(users *v1alpha1.UserSelector, u user) hold {
	if users == nil {
		return hold{}
	}
	if slices.ContainsFunc(users.Exclude, func(name string) bool { return strings.EqualFold(name, u.name) }) {
		return hold{ReasonExcluded, "users.exclude names the user; nothing of it is changed"}
	}
	for _, path := range users.ExcludePaths {
		if strings.HasPrefix(u.path, path) {
			return hold{ReasonExcluded, "the user is below " + path + " of users.excludePaths; nothing of it is changed"}
		}
	}
	return hold{}
}

// ownIdentity holds back every change of the user whose keys Plumbline itself signs with. Whom that is in this account the
// audit role's trust policy tells: a user it names, and any user where it trusts the account as a whole.
func ownIdentity(ctx context.Context, t *control.Target, u user) (hold, error) {
	trust, err := auditTrust.From(ctx, t)
	if err != nil {
		return hold{}, err
	}
	for _, p := range trust.principals() {
		switch p {
		case u.arn:
			return hold{ReasonOwnIdentity, "Plumbline's roles trust this user: it may be what Plumbline signs in with"}, nil
		case "*", t.Account, t.GlobalARN("iam", "root"):
			return hold{ReasonOwnIdentity, "Plumbline's audit role trusts the whole account, so this user may be what Plumbline " +
				"signs in with; let the role's trust policy name the one principal"}, nil
		}
	}
	return hold{}, nil
}

// auditTrust reads the trust policy of Plumbline's audit role.
var auditTrust = control.Read[policyDocument]{
	Key:     "iam.auditTrust",
	Actions: []string{"iam:GetRole"},
	Do: func(ctx context.Context, t *control.Target) (policyDocument, error) {
		role, err := readRole(ctx, t, t.Facts.AuditRole)
		if isGone(err) { // not to be taken for a user that was deleted
			err = control.Unexpected("GetRole", "the audit role "+t.Facts.AuditRole)
		}
		if err != nil {
			return policyDocument{}, err
		}
		return parsePolicy(*role.AssumeRolePolicyDocument)
	},
}

// readRole reads a role of the account, with its trust policy.
func readRole(ctx context.Context, t *control.Target, arn string) (types.Role, error) {
	name, err := roleName(t, arn)
	if err != nil {
		return types.Role{}, err
	}
	out, err := iam.NewFromConfig(t.AWS).GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		return types.Role{}, fmt.Errorf("reading role %s: %w", name, err)
	}
	if out.Role == nil || aws.ToString(out.Role.AssumeRolePolicyDocument) == "" {
		return types.Role{}, control.Unexpected("GetRole", "the trust policy")
	}
	return *out.Role, nil
}

// roleName is a role's name without its path.
func roleName(t *control.Target, arn string) (string, error) {
	prefix := t.GlobalARN("iam", "role/")
	if !strings.HasPrefix(arn, prefix) || strings.HasSuffix(arn, "/") {
		return "", fmt.Errorf("%w: %q is no role of account %s", control.ErrUnexpected, arn, t.Account)
	}
	return arn[strings.LastIndex(arn, "/")+1:], nil
}
