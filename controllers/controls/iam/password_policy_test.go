package iam

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const policyARN = "arn:aws:iam::111122223333:account-password-policy"

func TestPasswordPolicy(t *testing.T) {
	floor := v1alpha1.PasswordPolicy{ControlSpec: enabled}
	all := v1alpha1.PasswordPolicy{
		ControlSpec: enabled, MinimumLength: 16, ReusePrevention: 5, Uppercase: "Enabled", Lowercase: "Enabled", Numbers: "Enabled",
		Symbols: "Enabled", AllowUsersToChange: "Enabled", MaxAgeDays: 90, HardExpiry: "Enabled",
	}
	off := v1alpha1.PasswordPolicy{
		ControlSpec: enabled, MinimumLength: 6, ReusePrevention: 1, Symbols: "Disabled", AllowUsersToChange: "Disabled", HardExpiry: "Disabled",
	}
	strict := types.PasswordPolicy{
		MinimumPasswordLength: aws.Int32(20), PasswordReusePrevention: aws.Int32(24), RequireUppercaseCharacters: true,
		RequireLowercaseCharacters: true, RequireNumbers: true, RequireSymbols: true, AllowUsersToChangePassword: true,
		MaxPasswordAge: aws.Int32(30), ExpirePasswords: true, HardExpiry: aws.Bool(true),
	}
	weak := types.PasswordPolicy{MinimumPasswordLength: aws.Int32(8)}
	drift := func(risk control.Risk, weakens bool, fields ...control.Field) control.Finding {
		return control.Finding{Drift: control.Drift{Resource: policyARN, Risk: risk, Weakens: weakens, Fields: fields}}
	}
	raised := func(got string) []control.Field {
		return []control.Field{{Path: "minimumLength", Want: "at least 14", Got: got}, {Path: "reusePrevention", Want: "at least 24", Got: "none"}}
	}
	onOff := func(name, want, got string) control.Field { return control.Field{Path: name, Want: want, Got: got} }
	none := raised("no policy")
	none[1].Got = "no policy"

	controltest.Run(t, PasswordPolicy, []controltest.Case[v1alpha1.PasswordPolicy]{
		{Name: "what is stricter is compliant", Want: all, AWS: account{password: &strict}.stage},
		{
			Name: "a lower floor is raised, which is Safe", Want: floor, AWS: account{password: &weak}.stage,
			Findings: []control.Finding{drift(control.Safe, false, raised("8")...)},
		},
		{
			Name: "where there is no policy one is made, and undone by deleting it", Want: floor, AWS: account{}.stage,
			Findings: []control.Finding{drift(control.Safe, false, none...)},
		},
		{
			Name: "what makes passwords expire is apart, because it is Disruptive", Want: all, AWS: account{password: &weak}.stage,
			Findings: []control.Finding{
				drift(control.Safe, false, onOff("minimumLength", "at least 16", "8"), onOff("reusePrevention", "at least 5", "none"),
					onOff("uppercase", "Enabled", "Disabled"), onOff("lowercase", "Enabled", "Disabled"), onOff("numbers", "Enabled", "Disabled"),
					onOff("symbols", "Enabled", "Disabled"), onOff("allowUsersToChange", "Enabled", "Disabled")),
				drift(control.Disruptive, false, onOff("maxAgeDays", "at most 90", "none"), onOff("hardExpiry", "Enabled", "Disabled")),
			},
		},
		{
			Name: "both are made, and undone, where there is no policy", AWS: account{}.stage,
			Want: v1alpha1.PasswordPolicy{ControlSpec: enabled, MaxAgeDays: 90},
			Findings: []control.Finding{
				drift(control.Safe, false, none...), drift(control.Disruptive, false, onOff("maxAgeDays", "at most 90", "no policy")),
			},
		},
		{
			Name: "asking for less weakens, and is never Safe", Want: off, AWS: account{password: &strict}.stage,
			Findings: []control.Finding{
				drift(control.Safe, false, onOff("hardExpiry", "Disabled", "Enabled")),
				drift(control.Disruptive, false, onOff("allowUsersToChange", "Disabled", "Enabled")),
				drift(control.Disruptive, true, onOff("symbols", "Disabled", "Enabled")),
			},
		},
		{
			Name: "what weakens keeps nothing else waiting", AWS: account{password: &types.PasswordPolicy{
				MinimumPasswordLength: aws.Int32(8), PasswordReusePrevention: aws.Int32(24), RequireSymbols: true,
			}}.stage,
			Want: v1alpha1.PasswordPolicy{ControlSpec: enabled, MaxAgeDays: 90, Symbols: "Disabled"},
			Findings: []control.Finding{
				drift(control.Safe, false, onOff("minimumLength", "at least 14", "8")),
				drift(control.Disruptive, false, onOff("maxAgeDays", "at most 90", "none")),
				drift(control.Disruptive, true, onOff("symbols", "Disabled", "Enabled")),
			},
		},
		{
			Name: "a longer age departs, 0 is none", Want: v1alpha1.PasswordPolicy{ControlSpec: enabled, MaxAgeDays: 90},
			AWS: account{password: &types.PasswordPolicy{
				MinimumPasswordLength: aws.Int32(14), PasswordReusePrevention: aws.Int32(24), MaxPasswordAge: aws.Int32(0),
			}}.stage,
			Findings: []control.Finding{drift(control.Disruptive, false, onOff("maxAgeDays", "at most 90", "none"))},
		},
		{
			Name: "a policy without a length is not judged", Want: floor, AWS: account{password: &types.PasswordPolicy{}}.stage,
			Err: "the least length",
		},
	})
}

func TestPasswordPolicyKeepsWhatIsNotDeclared(t *testing.T) {
	now := types.PasswordPolicy{
		MinimumPasswordLength: aws.Int32(8), RequireSymbols: true, AllowUsersToChangePassword: true, MaxPasswordAge: aws.Int32(365),
		ExpirePasswords: true, HardExpiry: aws.Bool(true),
	}
	var c cloudtest.Cloud
	account{password: &now}.stage(&c)
	target := targetOf(&c, PasswordPolicy.Actions())
	found, err := PasswordPolicy.Observe(context.Background(), target, v1alpha1.PasswordPolicy{ControlSpec: enabled})
	if err != nil || len(found) != 1 {
		t.Fatalf("Observe: %v, %v", found, err)
	}
	if err := PasswordPolicy.Remediate(context.Background(), target, found[0].Drift); err != nil {
		t.Fatal(err)
	}
	out, err := iam.NewFromConfig(target.AWS).GetAccountPasswordPolicy(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := now
	want.MinimumPasswordLength, want.PasswordReusePrevention = aws.Int32(14), aws.Int32(24)
	if diff := cmp.Diff(want, *out.PasswordPolicy, cmpopts.IgnoreUnexported(types.PasswordPolicy{})); diff != "" {
		t.Errorf("after Remediate (-want +got):\n%s", diff)
	}
}

func TestPasswordExpiryAloneMakesNoPolicy(t *testing.T) {
	var c cloudtest.Cloud
	account{}.stage(&c)
	target := targetOf(&c, PasswordPolicy.Actions())
	found, err := PasswordPolicy.Observe(context.Background(), target, v1alpha1.PasswordPolicy{ControlSpec: enabled, MaxAgeDays: 90})
	if err != nil || len(found) != 2 {
		t.Fatalf("Observe: %v, %v", found, err)
	}
	if err := PasswordPolicy.Remediate(context.Background(), target, found[1].Drift); err == nil {
		t.Error("a policy that only makes passwords expire is weaker than AWS's default; it must not be made")
	}
}
