package iam

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// PasswordPolicy holds that the account's password policy is at least as strict as declared.
var PasswordPolicy = control.Control[v1alpha1.PasswordPolicy]{
	Meta: control.Meta{
		ID:    "iam-password-policy",
		Title: "Password policy",
		Doc: "What IAM users may choose as a password. Raising the floor is Safe: it holds from the next change of a password on. " +
			"maxAgeDays and hardExpiry are Disruptive: passwords that are older expire at once. What is not declared is kept as it " +
			"is; an account that had no policy gets one in which users may change their own password and nothing else is asked.",
		Scope:    control.Account,
		Risk:     control.Disruptive,
		Severity: v1alpha1.SeverityMedium,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.7", "1.8"}, "CIS-3.0": {"1.8", "1.9"}, "SecurityHub": {"IAM.7", "IAM.10", "IAM.15", "IAM.16"},
		},
		Reads:  []string{"iam:GetAccountPasswordPolicy"},
		Writes: []string{"iam:UpdateAccountPasswordPolicy", "iam:DeleteAccountPasswordPolicy"},
		Events: homeEvents("UpdateAccountPasswordPolicy", "DeleteAccountPasswordPolicy"),
	},
	Observe:   observePasswordPolicy,
	Remediate: remediatePasswordPolicy,
	Undo:      undoPasswordPolicy,
}

// passwordChange is what a change writes: the settings that depart and no others, so that two changes of one policy do not
// write over each other.
type passwordChange struct {
	Settings passwordSettings `json:"settings"`
	// NoPolicy, in what was there before, says that the account had none.
	NoPolicy bool `json:"noPolicy,omitempty"`
	// Create lets the change make a policy where there is none.
	Create bool `json:"create,omitempty"`
}

func observePasswordPolicy(ctx context.Context, t *control.Target, want v1alpha1.PasswordPolicy) ([]control.Finding, error) {
	now, err := readPasswordPolicy(ctx, t)
	none := errors.Is(err, errNoPasswordPolicy)
	if err != nil && !none {
		return nil, err
	}
	// What is Safe comes first and alone makes a policy where there is none: the rest by itself would make a policy that is
	// weaker than AWS's default. What weakens is apart, for it waits for an approval in every mode and keeps nothing else
	// waiting.
	var found []control.Finding
	for _, kind := range []control.Drift{{Risk: control.Safe}, {Risk: control.Disruptive}, {Risk: control.Disruptive, Weakens: true}} {
		d := passwordDrift(now, want, kind, none)
		if len(d.Fields) > 0 {
			d.Resource = t.GlobalARN("iam", "account-password-policy")
			found = append(found, control.Finding{Drift: d})
		}
	}
	return found, nil
}

// passwordDrift is what departs and, when it is put right, carries the risk that d has and weakens or not as d does.
func passwordDrift(now passwordSettings, want v1alpha1.PasswordPolicy, d control.Drift, none bool) control.Drift {
	before := passwordChange{Settings: passwordSettings{}, NoPolicy: none}
	after := passwordChange{Settings: passwordSettings{}, Create: none && d.Risk == control.Safe}
	for _, r := range passwordRules {
		wanted, got := r.want(want), now[r.name]
		if wanted == unmanaged || r.holds(got, wanted) {
			continue
		}
		if risk, weakens := r.risk(wanted); risk != d.Risk || weakens != d.Weakens {
			continue
		}
		field := control.Field{Path: r.name, Want: r.text(wanted, true), Got: r.text(got, false)}
		if none {
			field.Got = "no policy"
		}
		d.Fields = append(d.Fields, field)
		before.Settings[r.name], after.Settings[r.name] = got, wanted
	}
	d.Before, d.After = control.JSON(before), control.JSON(after)
	return d
}

// errNoPasswordPolicy says that the account has no password policy of its own.
var errNoPasswordPolicy = errors.New("the account has no password policy")

// readPasswordPolicy reads the policy; where there is none, the one that a change would start from, with errNoPasswordPolicy.
func readPasswordPolicy(ctx context.Context, t *control.Target) (passwordSettings, error) {
	out, err := iam.NewFromConfig(t.Home().AWS).GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	switch {
	case isGone(err):
		return maps.Clone(newPasswordPolicy), errNoPasswordPolicy
	case err != nil:
		return nil, fmt.Errorf("reading the password policy: %w", err)
	case out.PasswordPolicy == nil || out.PasswordPolicy.MinimumPasswordLength == nil:
		return nil, control.Unexpected("GetAccountPasswordPolicy", "the least length")
	}
	p := out.PasswordPolicy
	return passwordSettings{
		minimumLength: *p.MinimumPasswordLength, reusePrevention: aws.ToInt32(p.PasswordReusePrevention),
		uppercase: number(p.RequireUppercaseCharacters), lowercase: number(p.RequireLowercaseCharacters),
		numbers: number(p.RequireNumbers), symbols: number(p.RequireSymbols),
		allowUsersToChange: number(p.AllowUsersToChangePassword),
		maxAgeDays:         aws.ToInt32(p.MaxPasswordAge), hardExpiry: number(aws.ToBool(p.HardExpiry)),
	}, nil
}

// writePasswordPolicy writes the whole policy: AWS sets what is left out to its default. What has no value is left out, for
// AWS refuses 0 ("UpdateAccountPasswordPolicy", IAM API reference).
func writePasswordPolicy(ctx context.Context, t *control.Target, s passwordSettings) error {
	in := &iam.UpdateAccountPasswordPolicyInput{
		MinimumPasswordLength: given(s[minimumLength]), PasswordReusePrevention: given(s[reusePrevention]),
		RequireUppercaseCharacters: s[uppercase] != 0, RequireLowercaseCharacters: s[lowercase] != 0,
		RequireNumbers: s[numbers] != 0, RequireSymbols: s[symbols] != 0, AllowUsersToChangePassword: s[allowUsersToChange] != 0,
		MaxPasswordAge: given(s[maxAgeDays]),
	}
	if s[hardExpiry] != 0 {
		in.HardExpiry = aws.Bool(true)
	}
	if _, err := iam.NewFromConfig(t.Home().AWS).UpdateAccountPasswordPolicy(ctx, in); err != nil {
		return fmt.Errorf("writing the password policy: %w", err)
	}
	return nil
}

func given(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}

func remediatePasswordPolicy(ctx context.Context, t *control.Target, d control.Drift) error {
	after, err := control.Decode[passwordChange](d.After)
	if err != nil {
		return err
	}
	now, err := readPasswordPolicy(ctx, t)
	if after.Create && errors.Is(err, errNoPasswordPolicy) {
		err = nil
	}
	if err != nil {
		return err
	}
	maps.Copy(now, after.Settings)
	return writePasswordPolicy(ctx, t, now)
}

func undoPasswordPolicy(ctx context.Context, t *control.Target, d control.Drift) error {
	before, err := control.Decode[passwordChange](d.Before)
	if err != nil {
		return err
	}
	after, err := control.Decode[passwordChange](d.After)
	if err != nil {
		return err
	}
	now, err := readPasswordPolicy(ctx, t)
	if errors.Is(err, errNoPasswordPolicy) {
		return control.ErrChanged
	}
	if err != nil {
		return err
	}
	for name, v := range after.Settings {
		if now[name] != v {
			return control.ErrChanged
		}
	}
	maps.Copy(now, before.Settings)
	if !before.NoPolicy || !maps.Equal(now, newPasswordPolicy) {
		return writePasswordPolicy(ctx, t, now)
	}
	// Nothing but what a policy of Plumbline's starts from is left: there was none.
	if _, err := iam.NewFromConfig(t.Home().AWS).DeleteAccountPasswordPolicy(ctx, &iam.DeleteAccountPasswordPolicyInput{}); err != nil {
		return fmt.Errorf("deleting the password policy: %w", err)
	}
	return nil
}
