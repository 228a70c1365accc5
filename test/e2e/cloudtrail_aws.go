package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// What the controls of CloudTrailBaseline are called.
const (
	trailItself     = "cloudtrail-organization-trail"
	trailValidation = "cloudtrail-log-file-validation"
	trailEncryption = "cloudtrail-encryption"
	trailLogs       = "cloudtrail-cloudwatch-logs"
)

// The trail of the scenes, and what it is to deliver to.
const (
	orgTrail    = "arn:aws:cloudtrail:" + frankfurt + ":" + management + ":trail/org-trail"
	logBucket   = "acme-log-archive"
	trailKey    = "arn:aws:kms:" + frankfurt + ":" + logArchive + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
	trailGroup  = "arn:aws:logs:" + frankfurt + ":" + management + ":log-group:org-trail"
	trailRole   = "arn:aws:iam::" + management + ":role/cloudtrail-to-logs"
	trailReader = "cloudtrail.amazonaws.com"
)

// trails is CloudTrail as the management account's administrator sees it.
func trails(region string) *cloudtrail.Client {
	return cloudtrail.NewFromConfig(shared.emulator.Config(management, region))
}

// makeLogBucket makes a bucket for logs in the account that keeps them.
func makeLogBucket(ctx context.Context, name string) {
	GinkgoHelper()
	api := s3.NewFromConfig(shared.emulator.Config(logArchive, frankfurt), func(o *s3.Options) { o.UsePathStyle = true })
	_, err := api.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: frankfurt},
	})
	Expect(err).NotTo(HaveOccurred())
}

// trustCloudTrail enables trusted access, without which there is no organization trail.
func trustCloudTrail(ctx context.Context) {
	GinkgoHelper()
	_, err := organizations.NewFromConfig(shared.emulator.Config(management, virginia)).EnableAWSServiceAccess(ctx,
		&organizations.EnableAWSServiceAccessInput{ServicePrincipal: aws.String(trailReader)})
	Expect(err).NotTo(HaveOccurred())
}

// theTrail is the organization trail as its owner sees it; a failure where there is none.
func theTrail(ctx context.Context) types.Trail {
	GinkgoHelper()
	out, err := trails(frankfurt).DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{
		TrailNameList: []string{"org-trail"}, IncludeShadowTrails: aws.Bool(false),
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(out.TrailList).To(HaveLen(1))
	return out.TrailList[0]
}

// trailLogging says whether a trail logs.
func trailLogging(ctx context.Context, name, region string) bool {
	GinkgoHelper()
	out, err := trails(region).GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: &name})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToBool(out.IsLogging)
}

func setTrailLogging(ctx context.Context, on bool, name, region string) {
	GinkgoHelper()
	var err error
	if on {
		_, err = trails(region).StartLogging(ctx, &cloudtrail.StartLoggingInput{Name: &name})
	} else {
		_, err = trails(region).StopLogging(ctx, &cloudtrail.StopLoggingInput{Name: &name})
	}
	Expect(err).NotTo(HaveOccurred())
}

// trailRow is a drift row about the trail.
func trailRow(control string, severity v1alpha1.Severity, field, want, got string) v1alpha1.DriftRow {
	return v1alpha1.DriftRow{
		Control: control, Region: v1alpha1.GlobalRegion, Resource: orgTrail, Field: field, Desired: want, Observed: got, Severity: severity,
	}
}
