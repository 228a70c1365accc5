package encryption

import (
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// volumes answers DescribeVolumes as EC2 does: filtered, and paged by a token; page is how many a page holds.
func volumes(page int, all ...types.Volume) func(*cloudtest.Cloud) {
	return func(c *cloudtest.Cloud) {
		cloudtest.Handle(c, func(_ cloudtest.Call, in *ec2.DescribeVolumesInput) (*ec2.DescribeVolumesOutput, error) {
			if aws.ToInt32(in.MaxResults) < 5 || *in.MaxResults > 500 {
				return nil, cloudtest.Error("InvalidParameterValue", "MaxResults")
			}
			kept := slices.DeleteFunc(slices.Clone(all), func(v types.Volume) bool {
				return slices.ContainsFunc(in.Filters, func(f types.Filter) bool {
					return *f.Name == "encrypted" && v.Encrypted != nil && !slices.Contains(f.Values, strconv.FormatBool(*v.Encrypted))
				})
			})
			from, _ := strconv.Atoi(aws.ToString(in.NextToken))
			to := min(from+page, len(kept))
			out := &ec2.DescribeVolumesOutput{Volumes: kept[from:to]}
			if to < len(kept) {
				out.NextToken = aws.String(strconv.Itoa(to))
			}
			return out, nil
		})
	}
}

func volume(id string, encrypted bool, state types.VolumeState) types.Volume {
	return types.Volume{VolumeId: aws.String(id), Encrypted: aws.Bool(encrypted), State: state}
}

func volumeDrift(id string) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: "arn:aws:ec2:eu-central-1:111122223333:volume/" + id,
		Fields:   []control.Field{{Path: "encrypted", Want: "true", Got: "false"}},
	}}
}

func unexpected(resource string) control.Finding {
	return control.Finding{
		Drift: control.Drift{Resource: resource}, Outcome: control.Unknown, Reason: control.ReasonUnexpectedData,
	}
}

func TestEBSVolumeEncryption(t *testing.T) {
	enabled := v1alpha1.EBSVolumes{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}
	controltest.Run(t, EBSVolumeEncryption, []controltest.Case[v1alpha1.EBSVolumes]{
		{
			Name: "encrypted volumes are compliant", Want: enabled,
			AWS: volumes(500, volume("vol-1", true, types.VolumeStateInUse)),
		},
		{
			Name: "unencrypted volumes are reported from every page", Want: enabled,
			AWS: volumes(1, volume("vol-1", false, types.VolumeStateInUse), volume("vol-2", true, types.VolumeStateInUse),
				volume("vol-3", false, types.VolumeStateAvailable)),
			Findings: []control.Finding{volumeDrift("vol-1"), volumeDrift("vol-3")},
		},
		{
			Name: "a volume that is being deleted is not reported", Want: enabled,
			AWS: volumes(500, volume("vol-1", false, types.VolumeStateDeleting)),
		},
		{
			Name: "a volume of which AWS does not say whether it is encrypted is unknown", Want: enabled,
			AWS:      volumes(500, types.Volume{VolumeId: aws.String("vol-1")}, types.Volume{Encrypted: aws.Bool(false)}),
			Findings: []control.Finding{unexpected("arn:aws:ec2:eu-central-1:111122223333:volume/vol-1"), unexpected("")},
		},
		{
			Name: "a page token that repeats is an error, not the end of the list", Want: enabled,
			AWS: func(c *cloudtest.Cloud) {
				cloudtest.Handle(c, func(cloudtest.Call, *ec2.DescribeVolumesInput) (*ec2.DescribeVolumesOutput, error) {
					return &ec2.DescribeVolumesOutput{NextToken: aws.String("again")}, nil
				})
			},
			Err: "token repeats",
		},
	})
}
