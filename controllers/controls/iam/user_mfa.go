package iam

import (
	"context"
	"maps"
	"slices"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// UserMFA holds that every user with a password for the console has MFA.
var UserMFA = control.Control[WithUsers[v1alpha1.UserMFA]]{
	Meta: control.Meta{
		ID:    "iam-user-mfa",
		Title: "MFA for console users",
		Doc: "A stolen password alone must not open the console. Every user with a password and no MFA device is reported, " +
			"always: only the user can enrol one. With guard, exactly those users get the managed policy " + GuardPath + "mfa-guard " +
			"(or mfa-guard-keys), which denies everything but enrolling a device and changing the password (Disruptive), and lose " +
			"it once they have one (Safe). The guard is attached to users only, never to a role or a group, and to nobody who could " +
			"then not enrol a device. A thief who knows the password can still enrol one: watch EnableMFADevice. Guards that were " +
			"attached stay when guard is turned to None. Users are found in AWS's credential report, which may be four hours old; a user " +
			"without a guard who has removed a device is seen at once where an event tells of it, and otherwise at the first look at " +
			"a report that was made since.",
		Scope:       control.Account,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityHigh,
		PerResource: true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.9"}, "CIS-3.0": {"1.10"}, "SecurityHub": {"IAM.5", "IAM.19"},
		},
		Reads: []string{
			"iam:GetCredentialReport", "iam:GenerateCredentialReport", "iam:ListUsers", "iam:GetLoginProfile", "iam:ListMFADevices",
			"iam:GetUser", "iam:ListEntitiesForPolicy", "iam:ListAttachedUserPolicies", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetAccountSummary",
			"iam:GetRole", "iam:ListAccessKeys", "iam:GetAccessKeyLastUsed", "iam:SimulatePrincipalPolicy",
		},
		Writes: GuardActions,
		Events: homeEvents("CreateLoginProfile", "DeleteLoginProfile", "EnableMFADevice", "DeactivateMFADevice", "AttachUserPolicy",
			"DetachUserPolicy", "CreatePolicyVersion", "SetDefaultPolicyVersion"),
	},
	Observe: observeUserMFA,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
		return setGuards(ctx, t.Home(), d.After)
	},
	Undo: func(ctx context.Context, t *control.Target, d control.Drift) error {
		return undoGuards(ctx, t.Home(), d)
	},
}

func observeUserMFA(ctx context.Context, t *control.Target, want WithUsers[v1alpha1.UserMFA]) ([]control.Finding, error) {
	t = t.Home()
	s, err := suspectsOf(ctx, t, func(row reportRow) bool { return row.password && !row.mfa })
	if err != nil {
		return nil, err
	}
	look := newGuardLook(t, want)
	arns, found := map[string]string{}, s.unseen
	for _, u := range s.users {
		arns[u.name] = u.arn
	}
	var guarded []string
	if s.indexed {
		var unread []control.Finding
		guarded, unread = look.guarded(ctx)
		found = append(found, unread...)
	}
	for _, name := range guarded {
		if arns[name] == "" {
			arns[name] = t.GlobalARN("iam", "user/"+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(arns)) {
		findings, err := look.observe(ctx, name, slices.Contains(guarded, name))
		if err != nil {
			findings = append(findings, control.Unreadable(arns[name], err))
		}
		found = append(found, findings...)
	}
	return found, nil
}

// mfaMissing is the departure that only the user can put right. A missing guard is a departure of its own beside it.
var mfaMissing = []control.Field{{Path: "mfa", Want: "a device", Got: "none"}}

// observe reads one user live and says what departs.
func (l *guardLook) observe(ctx context.Context, name string, guarded bool) ([]control.Finding, error) {
	u, err := l.read(ctx, name, guarded)
	switch {
	case isGone(err):
		return nil, nil
	case err != nil || !u.open && !guarded:
		return nil, err
	case l.guard == v1alpha1.MFAGuardNone:
		return []control.Finding{reported(u.arn, mfaMissing, hold{})}, nil
	case u.open:
		return l.attach(ctx, u)
	}
	return l.detach(u), nil
}
