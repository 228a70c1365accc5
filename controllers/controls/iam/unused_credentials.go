package iam

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// UnusedCredentials holds that passwords and active access keys are in use.
var UnusedCredentials = control.Control[WithUsers[v1alpha1.UnusedCredentials]]{
	Meta: control.Meta{
		ID:    "iam-unused-credentials",
		Title: "No unused credentials",
		Doc: "Nobody misses a credential that nobody uses, nor notices who else does. One that was never used counts from when it " +
			"was made. With action: DeactivateKeys a key is made inactive graceDays later (Disruptive; can be undone), never one of " +
			"users.exclude or of the user that Plumbline signs in with. Passwords are only reported: deleting one cannot be undone.",
		Scope:       control.Account,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Ages:        true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.11"}, "CIS-3.0": {"1.12"}, "SecurityHub": {"IAM.8", "IAM.22"},
		},
		Reads: []string{
			"iam:GetCredentialReport", "iam:GenerateCredentialReport", "iam:ListUsers", "iam:GetUser", "iam:GetLoginProfile",
			"iam:ListAccessKeys", "iam:GetAccessKeyLastUsed", "iam:GetRole",
		},
		Writes: []string{"iam:UpdateAccessKey"},
		Events: homeEvents("CreateLoginProfile", "DeleteLoginProfile", "CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"),
	},
	Observe:   observeUnusedCredentials,
	Remediate: deactivateKey,
	Undo:      reactivateKey,
}

func observeUnusedCredentials(
	ctx context.Context, t *control.Target, want WithUsers[v1alpha1.UnusedCredentials],
) ([]control.Finding, error) {
	t = t.Home()
	days := want.Settings.MaxDaysOrDefault()
	oldest := t.Now.Add(-daysLong(days))
	wrong := func(row reportRow) bool {
		// The report has no date of the password itself; it is no older than the user.
		return row.more || row.password && latest(row.passwordLastUsed, row.created).Before(oldest) ||
			slices.ContainsFunc(row.keys[:], func(k reportKey) bool { return k.active && latest(k.lastUsed, k.rotated).Before(oldest) })
	}
	inTime := fmt.Sprintf("in the last %d days", days)
	return observeUsers(ctx, t, wrong, func(ctx context.Context, u user) ([]control.Finding, error) {
		found, err := unusedPassword(ctx, t, u, oldest, inTime)
		if err != nil {
			return nil, err
		}
		keys, err := readKeys(ctx, t, u.name)
		for _, k := range keys {
			if !k.active() || !k.created.Before(oldest) {
				continue
			}
			used, err := readLastUsed(ctx, t, k)
			if err != nil {
				found = append(found, control.Unreadable(k.arn(u), err))
				continue
			}
			since := latest(used, k.created)
			if !since.Before(oldest) {
				continue
			}
			field := control.Field{Path: "accessKeys[" + k.masked() + "].lastUsed", Want: inTime, Got: lastUse(used, k.created)}
			act := want.Settings.ActionOrDefault() == v1alpha1.UnusedDeactivateKeys
			found = append(found, keyFindings(u, k, field, act, func() (hold, error) {
				return keepUnusedKey(ctx, t, want, u, since)
			})...)
		}
		return found, err
	})
}

// unusedPassword is the departure of a password that nobody has used.
func unusedPassword(ctx context.Context, t *control.Target, u user, oldest time.Time, want string) ([]control.Finding, error) {
	made, ok, err := readPassword(ctx, t, u.name)
	if err != nil || !ok || !latest(u.passwordLastUsed, made).Before(oldest) {
		return nil, err
	}
	used := u.passwordLastUsed
	if used.Before(made) { // that was another password
		used = time.Time{}
	}
	return []control.Finding{reported(u.arn, []control.Field{{Path: "password.lastUsed", Want: want, Got: lastUse(used, made)}}, hold{})}, nil
}

// keepUnusedKey says what speaks against deactivating a key that was not used since then.
func keepUnusedKey(
	ctx context.Context, t *control.Target, want WithUsers[v1alpha1.UnusedCredentials], u user, since time.Time,
) (hold, error) {
	end := since.Add(daysLong(want.Settings.MaxDaysOrDefault() + want.Settings.GraceDaysOrDefault()))
	if !t.Now.After(end) {
		return hold{ReasonGracePeriod, "the key is not used; it is due to be deactivated after " + day(end)}, nil
	}
	return protected(ctx, t, want.Users, u)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastUse is a last use for people.
func lastUse(used, made time.Time) string {
	if used.IsZero() {
		return "never, made on " + day(made)
	}
	return day(used)
}
