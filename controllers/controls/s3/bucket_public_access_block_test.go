package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestBucketPublicAccessBlock(t *testing.T) {
	section := PerBucket[v1alpha1.BucketPublicAccessBlock]{Want: v1alpha1.BucketPublicAccessBlock{ControlSpec: enabled}}
	onBucket := section
	onBucket.Want.RequireOnBucket = v1alpha1.Enabled
	noPolicies := onBucket
	noPolicies.Want.BlockPublicPolicy = v1alpha1.Disabled
	all, three := allFlags, flags{true, true, true, false}
	buckets := []store{{name: "bare", region: here}, {name: "blocked", region: here, block: &all}, {name: "partly", region: here, block: &three}}
	departures := []control.Finding{
		drift("bare", control.Disruptive, fourFlags("Enabled", "Disabled")...),
		drift("partly", control.Disruptive, flag("restrictPublicBuckets", "Enabled", "Disabled")),
	}
	selected := section
	selected.Buckets = &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}

	controltest.Run(t, BucketPublicAccessBlock, []controltest.Case[PerBucket[v1alpha1.BucketPublicAccessBlock]]{
		{Name: "a full block of the account satisfies every bucket", Want: section, AWS: world{block: &all, buckets: buckets}.stage},
		{
			Name: "a full block of the account does not satisfy requireOnBucket", Want: onBucket,
			AWS: world{block: &all, buckets: buckets}.stage, Findings: departures,
		},
		{Name: "without a block of the account each bucket needs its own", Want: section, AWS: world{buckets: buckets}.stage, Findings: departures},
		{
			Name: "a block of the account that lacks one flag satisfies no bucket", Want: section,
			AWS: world{block: &three, buckets: buckets}.stage, Findings: departures,
		},
		{
			Name: "turning a flag off weakens", Want: noPolicies, AWS: world{buckets: []store{{name: "a", region: here, block: &all, tags: ofStack}}}.stage,
			Owner:    theStack,
			Findings: []control.Finding{weakening(drift("a", control.Disruptive, flag("blockPublicPolicy", "Disabled", "Enabled")))},
		},
		{
			Name: "only selected buckets count", Want: selected,
			AWS:      world{buckets: []store{{name: "a", region: here, tags: map[string]string{"data": "secret"}}, {name: "b", region: here}}}.stage,
			Findings: []control.Finding{drift("a", control.Disruptive, fourFlags("Enabled", "Disabled")...)},
		},
		{
			Name: "a flag that AWS leaves out is not taken for off or on", Want: onBucket,
			AWS: func(c *cloudtest.Cloud) {
				world{buckets: []store{{name: "a", region: here}}}.stage(c)
				cloudtest.Handle(c, func(cloudtest.Call, *s3.GetPublicAccessBlockInput) (*s3.GetPublicAccessBlockOutput, error) {
					return &s3.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
						BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true),
					}}, nil
				})
			},
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}
