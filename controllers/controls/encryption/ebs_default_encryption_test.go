package encryption

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

const (
	flagARN = "arn:aws:ec2:eu-central-1:111122223333:ebs-encryption-by-default"
	keyARN  = "arn:aws:ec2:eu-central-1:111122223333:ebs-default-kms-key"
	ours    = "arn:aws:kms:eu-central-1:111122223333:key/ours"
)

// region is EBS's default in one region, and its keys.
type region struct {
	enabled bool
	key     string
	aliases map[string]string
	states  map[string]types.KeyState
}

func (r region) stage(c *cloudtest.Cloud) {
	now := r
	cloudtest.Handle(c, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(now.enabled)}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		now.enabled = true
		return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *ec2.DisableEbsEncryptionByDefaultInput) (*ec2.DisableEbsEncryptionByDefaultOutput, error) {
		now.enabled = false
		return &ec2.DisableEbsEncryptionByDefaultOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *ec2.GetEbsDefaultKmsKeyIdInput) (*ec2.GetEbsDefaultKmsKeyIdOutput, error) {
		return &ec2.GetEbsDefaultKmsKeyIdOutput{KmsKeyId: aws.String(now.key)}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *ec2.ModifyEbsDefaultKmsKeyIdInput) (*ec2.ModifyEbsDefaultKmsKeyIdOutput, error) {
		now.key = *in.KmsKeyId
		return &ec2.ModifyEbsDefaultKmsKeyIdOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *ec2.ResetEbsDefaultKmsKeyIdInput) (*ec2.ResetEbsDefaultKmsKeyIdOutput, error) {
		now.key = managedEBSKey
		return &ec2.ResetEbsDefaultKmsKeyIdOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
		out := &kms.ListAliasesOutput{}
		for name, id := range now.aliases {
			out.Aliases = append(out.Aliases, types.AliasListEntry{AliasName: aws.String(name), TargetKeyId: aws.String(id)})
		}
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
		state, ok := now.states[*in.KeyId]
		if !ok {
			return nil, cloudtest.Error("NotFoundException", "Invalid keyId")
		}
		return &kms.DescribeKeyOutput{KeyMetadata: &types.KeyMetadata{
			KeyState: state, KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt,
		}}, nil
	})
}

func flagDrift(want, got string, risk control.Risk) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: flagARN, Risk: risk, Fields: []control.Field{{Path: "encryptionByDefault", Want: want, Got: got}},
	}}
}

func keyDrift(got string) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: keyARN, Risk: control.Disruptive, Fields: []control.Field{{Path: "kmsKey", Want: ours, Got: got}},
	}}
}

func TestEBSDefaultEncryption(t *testing.T) {
	enabled := v1alpha1.EBSDefault{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}
	disabled := v1alpha1.EBSDefault{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Disabled}}
	keyed := enabled
	keyed.KMSKey = "alias/ebs"
	aliases := map[string]string{"alias/ebs": "ours"}
	usable := map[string]types.KeyState{ours: types.KeyStateEnabled}

	controltest.Run(t, EBSDefaultEncryption, []controltest.Case[v1alpha1.EBSDefault]{
		{
			Name: "on where it is wanted on is compliant", Want: enabled,
			AWS: region{enabled: true, key: managedEBSKey}.stage,
		},
		{
			Name: "off where it is wanted on drifts, and turning it on is Safe", Want: enabled,
			AWS:      region{key: managedEBSKey}.stage,
			Findings: []control.Finding{flagDrift("Enabled", "Disabled", control.Safe)},
		},
		{
			Name: "on where it is wanted off drifts, and turning it off is Disruptive", Want: disabled,
			AWS:      region{enabled: true, key: managedEBSKey}.stage,
			Findings: []control.Finding{flagDrift("Disabled", "Enabled", control.Disruptive)},
		},
		{
			Name: "the managed key drifts where another is declared; the two changes are apart", Want: keyed,
			AWS:      region{key: managedEBSKey, aliases: aliases, states: usable}.stage,
			Findings: []control.Finding{flagDrift("Enabled", "Disabled", control.Safe), keyDrift(managedEBSKey)},
			// Without DescribeKey the key is unknown and the flag still stands.
		},
		{
			Name: "the declared key, answered as an alias ARN, is compliant", Want: keyed,
			AWS: region{enabled: true, key: "arn:aws:kms:eu-central-1:111122223333:alias/ebs", aliases: aliases}.stage,
		},
		{
			Name: "the declared key, answered as a bare id, is compliant", Want: keyed,
			AWS: region{enabled: true, key: "ours", aliases: aliases}.stage,
		},
		{
			Name: "an alias the region does not have is a row and writes nothing", Want: keyed,
			AWS: region{enabled: true, key: managedEBSKey}.stage,
			Findings: []control.Finding{{
				Drift: control.Drift{Resource: keyARN}, Outcome: control.Unknown, Reason: kmskey.ReasonKeyNotFound,
			}},
		},
		{
			Name: "a disabled key is never made the default", Want: keyed,
			AWS: region{
				enabled: true, key: managedEBSKey, aliases: aliases, states: map[string]types.KeyState{ours: types.KeyStateDisabled},
			}.stage,
			Findings: []control.Finding{{
				Drift: control.Drift{Resource: keyARN}, Outcome: control.Unknown, Reason: kmskey.ReasonKeyNotUsable,
			}},
		},
	})
}
