package iam

import (
	"context"
	"fmt"
	"slices"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// AccessKeyAge holds that no active access key is older than declared.
var AccessKeyAge = control.Control[WithUsers[v1alpha1.AccessKeyAge]]{
	Meta: control.Meta{
		ID:    "iam-access-key-age",
		Title: "Access keys are rotated",
		Doc: "The older a long-term key, the more places it has leaked to. With action: Deactivate a key is made inactive graceDays " +
			"after it is too old (Disruptive: whatever signs with it stops; can be undone); never one used in the last " +
			"protectUsedWithinDays, never one of users.exclude or of the user that Plumbline signs in with. Keys are never deleted.",
		Scope:       control.Account,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Ages:        true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.13"}, "CIS-3.0": {"1.14"}, "SecurityHub": {"IAM.3"},
		},
		Reads: []string{
			"iam:GetCredentialReport", "iam:GenerateCredentialReport", "iam:ListUsers", "iam:GetUser", "iam:ListAccessKeys",
			"iam:GetAccessKeyLastUsed", "iam:GetRole",
		},
		Writes: []string{"iam:UpdateAccessKey"},
		Events: homeEvents("CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"),
	},
	Observe:   observeAccessKeyAge,
	Remediate: deactivateKey,
	Undo:      reactivateKey,
}

func observeAccessKeyAge(
	ctx context.Context, t *control.Target, want WithUsers[v1alpha1.AccessKeyAge],
) ([]control.Finding, error) {
	t = t.Home()
	days := want.Settings.MaxDaysOrDefault()
	oldest := t.Now.Add(-daysLong(days))
	wrong := func(row reportRow) bool {
		// A key without a date is looked at: it is never taken for a young one.
		return row.more || slices.ContainsFunc(row.keys[:], func(k reportKey) bool { return k.active && k.rotated.Before(oldest) })
	}
	return observeUsers(ctx, t, wrong, func(ctx context.Context, u user) ([]control.Finding, error) {
		keys, err := readKeys(ctx, t, u.name)
		var found []control.Finding
		for _, k := range keys {
			if !k.active() || !k.created.Before(oldest) {
				continue
			}
			field := control.Field{
				Path: "accessKeys[" + k.masked() + "].created", Want: fmt.Sprintf("at most %d days ago", days), Got: day(k.created),
			}
			act := want.Settings.ActionOrDefault() == v1alpha1.KeyAgeDeactivate
			found = append(found, keyFindings(u, k, field, act, func() (hold, error) { return keepOldKey(ctx, t, want, u, k) })...)
		}
		return found, err
	})
}

// keepOldKey says what speaks against deactivating a key that is too old.
func keepOldKey(
	ctx context.Context, t *control.Target, want WithUsers[v1alpha1.AccessKeyAge], u user, k accessKey,
) (hold, error) {
	end := k.created.Add(daysLong(want.Settings.MaxDaysOrDefault() + want.Settings.GraceDaysOrDefault()))
	if !t.Now.After(end) {
		return hold{ReasonGracePeriod, k.masked() + " is too old; it is due to be deactivated after " + day(end)}, nil
	}
	if why, err := protected(ctx, t, want.Users, u); err != nil || why.reason != "" {
		return why, err
	}
	if within := want.Settings.ProtectUsedWithinDaysOrDefault(); within > 0 {
		return usedWithin(ctx, t, k, within)
	}
	return hold{}, nil
}
