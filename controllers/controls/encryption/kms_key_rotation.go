package encryption

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// KMSKeyRotation holds that customer managed keys rotate, in the declared period where one is declared.
var KMSKeyRotation = control.Control[v1alpha1.KMSRotation]{
	Meta: control.Meta{
		ID:    "kms-key-rotation",
		Title: "KMS keys rotate",
		Doc: "Rotation bounds how much data is under one key material; data encrypted before stays readable and the key's ARN " +
			"stays the same. Enforcing turns rotation on (Safe), off or to another period (Disruptive). Left alone are keys that " +
			"cannot rotate by themselves (not symmetric, imported material, custom key stores, not enabled), replicas of " +
			"multi-Region keys, which follow their primary, keys that AWS manages, and keys with an alias in exclude.",
		Scope:       control.Region,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Cost:        "The first and the second rotation of a key each raise its monthly price.",
		Frameworks: map[string][]string{
			"CIS-5.0": {"3.6"}, "CIS-3.0": {"3.6"}, "SecurityHub": {"KMS.4"},
		},
		Reads: []string{
			"kms:DescribeKey", "kms:GetKeyRotationStatus", "kms:ListAliases", "kms:ListKeys", "kms:ListResourceTags",
		},
		Writes: []string{"kms:DisableKeyRotation", "kms:EnableKeyRotation"},
		Events: []control.Event{
			{Source: "kms", Name: "CreateKey", Seen: control.SeenInRegion},
			{Source: "kms", Name: "EnableKeyRotation", Seen: control.SeenInRegion},
			{Source: "kms", Name: "DisableKeyRotation", Seen: control.SeenInRegion},
			{Source: "kms", Name: "UpdateAlias", Seen: control.SeenInRegion},
		},
	},
	Observe:   observeKMSKeyRotation,
	Remediate: remediateKMSKeyRotation,
	Undo:      undoKMSKeyRotation,
	Owner:     keyOwner,
}

// keysAtOnce is how many keys of a region are read side by side.
const keysAtOnce = 5

// rotation is a key's rotation. Without a period: any, or the one AWS gives (365 days).
type rotation struct {
	Enabled    bool  `json:"enabled"`
	PeriodDays int32 `json:"periodDays,omitempty"`
}

// is says whether a key that rotates as now rotates as r asks.
func (r rotation) is(now rotation) bool {
	return r.Enabled == now.Enabled && (!r.Enabled || r.PeriodDays == 0 || r.PeriodDays == now.PeriodDays)
}

func observeKMSKeyRotation(ctx context.Context, t *control.Target, want v1alpha1.KMSRotation) ([]control.Finding, error) {
	keys, err := customerKeys(ctx, t, want.Exclude)
	if err != nil {
		return nil, err
	}
	judged := make([][]control.Finding, len(keys))
	control.Each(keysAtOnce, len(keys), func(i int) { judged[i] = judgeKey(ctx, t, keys[i], want) })
	return slices.Concat(judged...), nil
}

func judgeKey(ctx context.Context, t *control.Target, arn string, want v1alpha1.KMSRotation) []control.Finding {
	can, err := canRotate(ctx, t, arn)
	if err != nil {
		return []control.Finding{control.Unreadable(arn, err)}
	}
	if !can {
		return nil
	}
	now, err := rotationOf(ctx, t, arn)
	if err != nil {
		return []control.Finding{control.Unreadable(arn, err)}
	}
	to := rotation{Enabled: want.State == v1alpha1.Enabled, PeriodDays: want.PeriodDays}
	if to.is(now) {
		return nil
	}
	d := control.Drift{Resource: arn, Risk: control.Disruptive, Before: control.JSON(now), After: control.JSON(to)}
	switch {
	case to.Enabled && !now.Enabled:
		d.Risk = control.Safe
		d.Fields = []control.Field{{Path: "state", Want: string(v1alpha1.Enabled), Got: string(v1alpha1.Disabled)}}
	case now.Enabled && !to.Enabled:
		d.Fields = []control.Field{{Path: "state", Want: string(v1alpha1.Disabled), Got: string(v1alpha1.Enabled)}}
	case now.PeriodDays == 0:
		return []control.Finding{control.Unreadable(arn, control.Unexpected("GetKeyRotationStatus", "RotationPeriodInDays"))}
	default:
		d.Weakens = to.PeriodDays > now.PeriodDays
		d.Fields = []control.Field{{Path: "periodDays", Want: days(to.PeriodDays), Got: days(now.PeriodDays)}}
	}
	return []control.Finding{{Drift: d}}
}

func days(n int32) string { return strconv.Itoa(int(n)) }

func rotationOf(ctx context.Context, t *control.Target, arn string) (rotation, error) {
	out, err := kms.NewFromConfig(t.AWS).GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &arn})
	if err != nil {
		return rotation{}, fmt.Errorf("reading the rotation of %s: %w", arn, err)
	}
	return rotation{Enabled: out.KeyRotationEnabled, PeriodDays: aws.ToInt32(out.RotationPeriodInDays)}, nil
}

func remediateKMSKeyRotation(ctx context.Context, t *control.Target, d control.Drift) error {
	to, err := control.Decode[rotation](d.After)
	if err != nil {
		return err
	}
	now, err := rotationOf(ctx, t, d.Resource)
	// A key that already rotates so is left alone: enabling it again would start its period anew.
	if err != nil || to.is(now) {
		return err
	}
	return setRotation(ctx, t, d.Resource, to)
}

func undoKMSKeyRotation(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[rotation](d.After)
	if err != nil {
		return err
	}
	before, err := control.Decode[rotation](d.Before)
	if err != nil {
		return err
	}
	now, err := rotationOf(ctx, t, d.Resource)
	if err != nil {
		return err
	}
	if !left.is(now) {
		return control.ErrChanged
	}
	return setRotation(ctx, t, d.Resource, before)
}

func setRotation(ctx context.Context, t *control.Target, arn string, to rotation) error {
	api := kms.NewFromConfig(t.AWS)
	var err error
	if to.Enabled {
		in := &kms.EnableKeyRotationInput{KeyId: &arn}
		if to.PeriodDays != 0 {
			in.RotationPeriodInDays = &to.PeriodDays
		}
		_, err = api.EnableKeyRotation(ctx, in)
	} else {
		_, err = api.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: &arn})
	}
	if err != nil {
		return fmt.Errorf("setting the rotation of %s: %w", arn, err)
	}
	return nil
}
