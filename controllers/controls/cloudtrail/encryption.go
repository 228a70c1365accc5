package cloudtrail

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Encryption holds that the trail encrypts its log files with the declared KMS key.
var Encryption = control.Control[On[v1alpha1.TrailEncryption]]{
	Meta: control.Meta{
		ID:    "cloudtrail-encryption",
		Title: "CloudTrail encrypted with a KMS key",
		Doc: "With a KMS key, who reads the logs needs the key as well as the bucket, and its use is logged. Enforcing sets the key " +
			"or takes it away (Disruptive: readers without the key stop reading new files). CloudTrail itself refuses a key whose " +
			"policy does not let it in; the key policy is often another account's and is neither read nor written.",
		Scope:         control.Organization,
		Administrator: administrator,
		Risk:          control.Disruptive,
		Severity:      v1alpha1.SeverityMedium,
		Cost:          "KMS requests of CloudTrail and of whoever reads the logs.",
		Frameworks: map[string][]string{
			"CIS-5.0": {"3.5"}, "CIS-3.0": {"3.5"}, "SecurityHub": {"CloudTrail.2"},
		},
		Reads:  []string{"cloudtrail:DescribeTrails", "cloudtrail:ListTags"},
		Writes: []string{"cloudtrail:UpdateTrail"},
		Grants: organizationReads,
		Events: events("CreateTrail", "UpdateTrail", "DeleteTrail"),
	},
	Observe:   observeEncryption,
	Remediate: remediate,
	Undo:      undo,
	Owner:     ownerOf,
}

// observeEncryption compares key ARNs: CloudTrail answers with the ARN whatever name of the key it was given, and with none
// where the bucket's own encryption applies. State Disabled declares no key.
func observeEncryption(ctx context.Context, t *control.Target, want On[v1alpha1.TrailEncryption]) ([]control.Finding, error) {
	return observeOn(ctx, t, want.Trail, func(trail types.Trail) draft {
		got, to := aws.ToString(trail.KmsKeyId), want.Setting.KMSKeyARN
		if want.Setting.State == v1alpha1.Disabled {
			to = ""
		}
		if got == to {
			return draft{}
		}
		d := draft{
			risk:   control.Disruptive,
			before: change{settings: settings{KMSKey: &got}}, after: change{settings: settings{KMSKey: &to}},
		}
		d.departs("kmsKeyARN", orNone(to), orNone(got))
		return d
	})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
