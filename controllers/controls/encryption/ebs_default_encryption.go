package encryption

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

// EBSDefaultEncryption holds that new EBS volumes are encrypted, under the declared key where one is declared.
var EBSDefaultEncryption = control.Control[v1alpha1.EBSDefault]{
	Meta: control.Meta{
		ID:       "ebs-default-encryption",
		Protects: true,
		Title:    "EBS encryption by default",
		Doc: "New EBS volumes and copies of snapshots are encrypted, whoever creates them. Enforcing turns the region's default " +
			"on (Safe; existing volumes stay as they are, instance types that cannot attach encrypted volumes no longer launch) " +
			"and, where kmsKey is declared, sets the default key (Disruptive: launches fail where the launcher may not use it).",
		Scope:    control.Region,
		Risk:     control.Disruptive,
		Severity: v1alpha1.SeverityMedium,
		Frameworks: map[string][]string{
			"CIS-5.0": {"5.1.1"}, "CIS-3.0": {"2.2.1"}, "SecurityHub": {"EC2.7"},
		},
		Reads: []string{"ec2:GetEbsEncryptionByDefault", "ec2:GetEbsDefaultKmsKeyId", "kms:ListAliases", "kms:DescribeKey"},
		Writes: []string{
			"ec2:EnableEbsEncryptionByDefault", "ec2:DisableEbsEncryptionByDefault",
			"ec2:ModifyEbsDefaultKmsKeyId", "ec2:ResetEbsDefaultKmsKeyId",
		},
		Events: []control.Event{
			{Source: "ec2", Name: "EnableEbsEncryptionByDefault", Seen: control.SeenInRegion},
			{Source: "ec2", Name: "DisableEbsEncryptionByDefault", Seen: control.SeenInRegion},
			{Source: "ec2", Name: "ModifyEbsDefaultKmsKeyId", Seen: control.SeenInRegion},
			{Source: "ec2", Name: "ResetEbsDefaultKmsKeyId", Seen: control.SeenInRegion},
		},
	},
	Observe: observeEBSDefaultEncryption,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
		return setEBSDefault(ctx, t, d.After)
	},
	Undo: undoEBSDefaultEncryption,
}

// The default has two parts that are written apart and carry different risks, so each is a resource of its own.
const (
	ebsFlag = "ebs-encryption-by-default"
	ebsKey  = "ebs-default-kms-key"
)

// managedEBSKey is the AWS managed key that EBS uses where nobody chose one; AWS answers with the alias, not an ARN.
const managedEBSKey = "alias/aws/ebs"

// ebsDefault is what a change writes: one of the two.
type ebsDefault struct {
	Enabled *bool  `json:"enabled,omitempty"`
	Key     string `json:"key,omitempty"`
}

func observeEBSDefaultEncryption(ctx context.Context, t *control.Target, want v1alpha1.EBSDefault) ([]control.Finding, error) {
	enabled, err := ebsEncryptionByDefault(ctx, t)
	if err != nil {
		return nil, err
	}
	var found []control.Finding
	if on := want.State == v1alpha1.Enabled; enabled != on {
		d := control.Drift{
			Resource: t.ARN("ec2", ebsFlag), Risk: control.Safe,
			Fields: []control.Field{{Path: "encryptionByDefault", Want: onOff(on), Got: onOff(enabled)}},
			Before: control.JSON(ebsDefault{Enabled: &enabled}), After: control.JSON(ebsDefault{Enabled: &on}),
		}
		if !on {
			d.Risk = control.Disruptive
		}
		found = append(found, control.Finding{Drift: d})
	}
	if want.KMSKey == "" {
		return found, nil
	}
	return append(found, observeEBSKey(ctx, t, string(want.KMSKey))...), nil
}

func onOff(on bool) string {
	if on {
		return string(v1alpha1.Enabled)
	}
	return string(v1alpha1.Disabled)
}

func ebsEncryptionByDefault(ctx context.Context, t *control.Target) (bool, error) {
	out, err := ec2.NewFromConfig(t.AWS).GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	if err != nil {
		return false, fmt.Errorf("reading EBS encryption by default: %w", err)
	}
	if out.EbsEncryptionByDefault == nil {
		return false, control.Unexpected("GetEbsEncryptionByDefault", "ebsEncryptionByDefault")
	}
	return *out.EbsEncryptionByDefault, nil
}

// observeEBSKey compares the default key with the declared one. A key that is missing or cannot be used is never written:
// AWS accepts it and instances then fail to launch.
func observeEBSKey(ctx context.Context, t *control.Target, name string) []control.Finding {
	resource := t.ARN("ec2", ebsKey)
	want, err := kmskey.ARN(ctx, t, name)
	if err != nil {
		return []control.Finding{kmskey.Missing(resource, err)}
	}
	answer, err := ebsDefaultKey(ctx, t)
	if err != nil {
		return []control.Finding{control.Unreadable(resource, err)}
	}
	got, err := kmskey.Observed(ctx, t, answer)
	if err != nil {
		return []control.Finding{control.Unreadable(resource, err)}
	}
	if got == want {
		return nil
	}
	why, err := kmskey.Unusable(ctx, t, want)
	if err != nil {
		return []control.Finding{control.Unreadable(resource, err)}
	}
	if why != "" {
		return []control.Finding{{
			Drift: control.Drift{Resource: resource}, Outcome: control.Unknown, Reason: kmskey.ReasonKeyNotUsable,
			Message: name + " cannot be the default key: " + why + " — mend the key or name another",
		}}
	}
	return []control.Finding{{Drift: control.Drift{
		Resource: resource, Risk: control.Disruptive,
		Fields: []control.Field{{Path: "kmsKey", Want: want, Got: answer}},
		Before: control.JSON(ebsDefault{Key: answer}), After: control.JSON(ebsDefault{Key: want}),
	}}}
}

func ebsDefaultKey(ctx context.Context, t *control.Target) (string, error) {
	out, err := ec2.NewFromConfig(t.AWS).GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
	if err != nil {
		return "", fmt.Errorf("reading the default EBS key: %w", err)
	}
	if aws.ToString(out.KmsKeyId) == "" {
		return "", control.Unexpected("GetEbsDefaultKmsKeyId", "kmsKeyId")
	}
	return *out.KmsKeyId, nil
}

func setEBSDefault(ctx context.Context, t *control.Target, to []byte) error {
	want, err := control.Decode[ebsDefault](to)
	if err != nil {
		return err
	}
	api := ec2.NewFromConfig(t.AWS)
	switch {
	case want.Enabled != nil && *want.Enabled:
		_, err = api.EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
	case want.Enabled != nil:
		_, err = api.DisableEbsEncryptionByDefault(ctx, &ec2.DisableEbsEncryptionByDefaultInput{})
	case strings.HasSuffix(want.Key, managedEBSKey):
		_, err = api.ResetEbsDefaultKmsKeyId(ctx, &ec2.ResetEbsDefaultKmsKeyIdInput{})
	default:
		_, err = api.ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: &want.Key})
	}
	if err != nil {
		return fmt.Errorf("setting EBS encryption by default: %w", err)
	}
	return nil
}

func undoEBSDefaultEncryption(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[ebsDefault](d.After)
	if err != nil {
		return err
	}
	if left.Enabled != nil {
		now, err := ebsEncryptionByDefault(ctx, t)
		if err != nil {
			return err
		}
		if now != *left.Enabled {
			return control.ErrChanged
		}
		return setEBSDefault(ctx, t, d.Before)
	}
	now, err := ebsDefaultKey(ctx, t)
	if err != nil {
		return err
	}
	if now, err = kmskey.Observed(ctx, t, now); err != nil {
		return err
	}
	if now != left.Key {
		return control.ErrChanged
	}
	return setEBSDefault(ctx, t, d.Before)
}
