package encryption

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// key is one KMS key: its description, an alias, its rotation (0: off, else the period), and whether its policy shuts IAM out.
type key struct {
	id, alias string
	metadata  types.KeyMetadata
	period    int32
	closed    bool
	stack     string // of CloudFormation, which made the key
	untold    bool   // AWS leaves the period out
}

const kmsARN = "arn:aws:kms:eu-central-1:111122223333:key/"

// customer is a key that can rotate, changed by edit.
func customer(id string, period int32, edit func(*key)) key {
	k := key{id: id, period: period, metadata: types.KeyMetadata{
		KeyId: aws.String(id), KeyManager: types.KeyManagerTypeCustomer, KeyState: types.KeyStateEnabled,
		KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeAwsKms,
		MultiRegion: aws.Bool(false),
	}}
	if edit != nil {
		edit(&k)
	}
	return k
}

// keys answers KMS for one region, two keys a page, as the API reference says: 365 days by default, and rotation refused for
// keys that cannot rotate.
func keys(all ...key) func(*cloudtest.Cloud) {
	return func(c *cloudtest.Cloud) {
		now := map[string]*key{}
		for _, k := range all {
			now[kmsARN+k.id] = &k
		}
		find := func(arn *string) (*key, error) {
			switch k := now[*arn]; {
			case k == nil:
				return nil, cloudtest.Error("NotFoundException", "no such key")
			case k.closed:
				return nil, cloudtest.Error("AccessDeniedException", "no resource-based policy allows the action")
			default:
				return k, nil
			}
		}
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
			out, from := &kms.ListKeysOutput{}, len(aws.ToString(in.Marker))
			for _, k := range all[from:min(from+2, len(all))] {
				out.Keys = append(out.Keys, types.KeyListEntry{KeyId: aws.String(k.id), KeyArn: aws.String(kmsARN + k.id)})
			}
			if from+2 < len(all) {
				out.Truncated, out.NextMarker = true, aws.String(strings.Repeat("x", from+2))
			}
			return out, nil
		})
		cloudtest.Handle(c, func(cloudtest.Call, *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
			// A predefined alias that AWS has not made a key for.
			out := &kms.ListAliasesOutput{Aliases: []types.AliasListEntry{{AliasName: aws.String("alias/aws/redshift")}}}
			for _, k := range all {
				if k.alias != "" {
					out.Aliases = append(out.Aliases, types.AliasListEntry{AliasName: aws.String(k.alias), TargetKeyId: aws.String(k.id)})
				}
			}
			return out, nil
		})
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.ListResourceTagsInput) (*kms.ListResourceTagsOutput, error) {
			k, err := find(in.KeyId)
			switch {
			case err != nil:
				return nil, err
			case k.stack == "":
				return &kms.ListResourceTagsOutput{Tags: []types.Tag{}}, nil
			case in.Marker == nil: // a page of its own for each tag
				return &kms.ListResourceTagsOutput{
					Tags:      []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("payments")}},
					Truncated: true, NextMarker: aws.String("more"),
				}, nil
			}
			return &kms.ListResourceTagsOutput{Tags: []types.Tag{{TagKey: aws.String("aws:cloudformation:stack-name"), TagValue: &k.stack}}}, nil
		})
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
			k, err := find(in.KeyId)
			if err != nil {
				return nil, err
			}
			return &kms.DescribeKeyOutput{KeyMetadata: &k.metadata}, nil
		})
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.GetKeyRotationStatusInput) (*kms.GetKeyRotationStatusOutput, error) {
			k, err := find(in.KeyId)
			if err != nil {
				return nil, err
			}
			out := &kms.GetKeyRotationStatusOutput{KeyId: in.KeyId, KeyRotationEnabled: k.period != 0}
			if k.period != 0 && !k.untold {
				out.RotationPeriodInDays = aws.Int32(k.period)
			}
			return out, nil
		})
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.EnableKeyRotationInput) (*kms.EnableKeyRotationOutput, error) {
			k, err := find(in.KeyId)
			if err == nil && k.metadata.KeySpec != types.KeySpecSymmetricDefault {
				err = cloudtest.Error("UnsupportedOperationException", "not symmetric")
			}
			if err != nil {
				return nil, err
			}
			period := int32(365)
			if in.RotationPeriodInDays != nil {
				period = *in.RotationPeriodInDays
			}
			if period == k.period {
				return nil, cloudtest.Error("Pointless", "the key rotates so already; its period would start anew")
			}
			k.period = period
			return &kms.EnableKeyRotationOutput{}, nil
		})
		cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.DisableKeyRotationInput) (*kms.DisableKeyRotationOutput, error) {
			k, err := find(in.KeyId)
			if err != nil {
				return nil, err
			}
			k.period = 0
			return &kms.DisableKeyRotationOutput{}, nil
		})
	}
}

func rotationDrift(id string, risk control.Risk, path, want, got string) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: kmsARN + id, Risk: risk, Fields: []control.Field{{Path: path, Want: want, Got: got}},
	}}
}

func TestKMSKeyRotation(t *testing.T) {
	enabled := v1alpha1.KMSRotation{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}
	disabled := v1alpha1.KMSRotation{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Disabled}}
	yearly, sparing := enabled, enabled
	yearly.PeriodDays = 365
	sparing.Exclude = []string{"alias/legacy-*"}
	longer := rotationDrift("often", control.Disruptive, "periodDays", "365", "90")
	longer.Weakens = true

	controltest.Run(t, KMSKeyRotation, []controltest.Case[v1alpha1.KMSRotation]{
		{
			Name: "keys that rotate are compliant, whatever the period", Want: enabled,
			AWS: keys(customer("a", 365, nil), customer("b", 90, nil), customer("c", 2560, nil)),
		},
		{
			Name: "keys that do not rotate drift, from every page, and turning rotation on is Safe", Want: enabled,
			AWS: keys(customer("a", 365, nil), customer("b", 0, nil), customer("c", 0, nil)),
			Findings: []control.Finding{
				rotationDrift("b", control.Safe, "state", "Enabled", "Disabled"),
				rotationDrift("c", control.Safe, "state", "Enabled", "Disabled"),
			},
		},
		{
			Name: "a declared period is used where rotation is turned on", Want: yearly,
			AWS:      keys(customer("off", 0, func(k *key) { k.stack = "payments" })),
			Owner:    "CloudFormation stack payments",
			Findings: []control.Finding{rotationDrift("off", control.Safe, "state", "Enabled", "Disabled")},
		},
		{
			Name: "another period drifts and its change is Disruptive; a longer one weakens", Want: yearly,
			AWS:      keys(customer("right", 365, nil), customer("often", 90, nil), customer("seldom", 2560, nil)),
			Findings: []control.Finding{longer, rotationDrift("seldom", control.Disruptive, "periodDays", "365", "2560")},
		},
		{
			Name: "a period that AWS does not tell is unknown", Want: yearly,
			AWS:      keys(customer("untold", 365, func(k *key) { k.untold = true })),
			Findings: []control.Finding{unexpected(kmsARN + "untold")},
		},
		{
			Name: "a key that rotates where it must not drifts, and turning rotation off is Disruptive", Want: disabled,
			AWS:      keys(customer("off", 0, nil), customer("on", 180, nil)),
			Findings: []control.Finding{rotationDrift("on", control.Disruptive, "state", "Disabled", "Enabled")},
		},
		{
			Name: "keys that cannot rotate, keys of AWS and replicas are left out", Want: enabled,
			AWS: keys(
				customer("managed", 0, func(k *key) { k.alias, k.closed = "alias/aws/ebs", true }), // not described: the alias tells
				customer("aliasless", 0, func(k *key) { k.metadata.KeyManager = types.KeyManagerTypeAws }),
				customer("imported", 0, func(k *key) { k.metadata.Origin = types.OriginTypeExternal }),
				customer("hsm", 0, func(k *key) {
					k.metadata.Origin, k.metadata.CustomKeyStoreId = types.OriginTypeAwsCloudhsm, aws.String("cks-1")
				}),
				customer("rsa", 0, func(k *key) { k.metadata.KeySpec = types.KeySpecRsa2048 }),
				customer("disabled", 0, func(k *key) { k.metadata.KeyState = types.KeyStateDisabled }),
				customer("deleted", 0, func(k *key) { k.metadata.KeyState = types.KeyStatePendingDeletion }),
				customer("replica", 0, func(k *key) {
					k.metadata.MultiRegion = aws.Bool(true)
					k.metadata.MultiRegionConfiguration = &types.MultiRegionConfiguration{MultiRegionKeyType: types.MultiRegionKeyTypeReplica}
				}),
			),
		},
		{
			Name: "the primary of a multi-Region key is judged", Want: enabled,
			AWS: keys(customer("primary", 0, func(k *key) {
				k.metadata.MultiRegion = aws.Bool(true)
				k.metadata.MultiRegionConfiguration = &types.MultiRegionConfiguration{MultiRegionKeyType: types.MultiRegionKeyTypePrimary}
			})),
			Findings: []control.Finding{rotationDrift("primary", control.Safe, "state", "Enabled", "Disabled")},
		},
		{
			Name: "a key with an excluded alias is left out", Want: sparing,
			AWS: keys(customer("old", 0, func(k *key) { k.alias = "alias/legacy-payments" }),
				customer("new", 0, func(k *key) { k.alias = "alias/payments" })),
			Findings: []control.Finding{rotationDrift("new", control.Safe, "state", "Enabled", "Disabled")},
		},
		{
			Name: "a key whose policy does not trust IAM is one unknown row beside the others", Want: enabled,
			AWS: keys(customer("closed", 0, func(k *key) { k.closed = true }), customer("open", 0, nil)),
			Findings: []control.Finding{
				{Drift: control.Drift{Resource: kmsARN + "closed"}, Outcome: control.Unknown, Reason: v1alpha1.RowAccessDenied},
				rotationDrift("open", control.Safe, "state", "Enabled", "Disabled"),
			},
		},
		{
			Name: "a key of which AWS does not say what it is is unknown", Want: enabled,
			AWS: keys(customer("blank", 365, func(k *key) { k.metadata = types.KeyMetadata{} }),
				customer("half", 365, func(k *key) { k.metadata.MultiRegion = aws.Bool(true) })),
			Findings: []control.Finding{unexpected(kmsARN + "blank"), unexpected(kmsARN + "half")},
		},
		{
			Name: "a list that names a key without its ARN is no list", Want: enabled,
			AWS: func(c *cloudtest.Cloud) {
				keys()(c)
				cloudtest.Handle(c, func(cloudtest.Call, *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
					return &kms.ListKeysOutput{Keys: []types.KeyListEntry{{KeyId: aws.String("a")}}}, nil
				})
			},
			Err: "KeyArn",
		},
	})
}
