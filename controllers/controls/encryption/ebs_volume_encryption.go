package encryption

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// EBSVolumeEncryption holds that every EBS volume is encrypted.
var EBSVolumeEncryption = control.Control[v1alpha1.EBSVolumes]{
	Meta: control.Meta{
		ID:    "ebs-volume-encryption",
		Title: "EBS volumes encrypted",
		Doc: "An unencrypted volume, and every snapshot made of it, can be read by whoever gets at the storage or is shared the " +
			"snapshot. It cannot be encrypted in place: take a snapshot, copy it encrypted, make a volume of the copy and replace " +
			"the old one. Nothing is changed. Volumes that the account hides because an AWS service manages them are not seen.",
		Scope:       control.Region,
		Risk:        control.ReportOnly,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"5.1.1"}, "CIS-3.0": {"2.2.1"}, "SecurityHub": {"EC2.3"},
		},
		Reads: []string{"ec2:DescribeVolumes"},
	},
	Observe: observeEBSVolumeEncryption,
}

// volumesPerPage is the most that one page of DescribeVolumes holds.
const volumesPerPage = 500

// observeEBSVolumeEncryption asks for unencrypted volumes only: in most regions that is one request, however many volumes
// there are.
func observeEBSVolumeEncryption(ctx context.Context, t *control.Target, _ v1alpha1.EBSVolumes) ([]control.Finding, error) {
	api := ec2.NewFromConfig(t.AWS)
	volumes, err := allPages("DescribeVolumes", func(token *string) ([]types.Volume, *string, error) {
		out, err := api.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{
			Filters:    []types.Filter{{Name: aws.String("encrypted"), Values: []string{"false"}}},
			MaxResults: aws.Int32(volumesPerPage), NextToken: token,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("listing unencrypted volumes: %w", err)
		}
		return out.Volumes, out.NextToken, nil
	})
	if err != nil {
		return nil, err
	}
	var found []control.Finding
	for _, v := range volumes {
		if f, departs := judgeVolume(t, v); departs {
			found = append(found, f)
		}
	}
	return found, nil
}

func judgeVolume(t *control.Target, v types.Volume) (control.Finding, bool) {
	gone := v.State == types.VolumeStateDeleting || v.State == types.VolumeStateDeleted
	switch {
	case gone || aws.ToBool(v.Encrypted):
		return control.Finding{}, false
	case aws.ToString(v.VolumeId) == "":
		return control.Unreadable("", control.Unexpected("DescribeVolumes", "volumeId")), true
	}
	arn := t.ARN("ec2", "volume/"+*v.VolumeId)
	if v.Encrypted == nil {
		return control.Unreadable(arn, control.Unexpected("DescribeVolumes", "encrypted")), true
	}
	return control.Finding{Drift: control.Drift{
		Resource: arn, Fields: []control.Field{{Path: "encrypted", Want: "true", Got: "false"}},
	}}, true
}
