package main

import (
	"context"
	"errors"
	"go/token"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

// asked makes a call of a client's method with any input.
func asked[C, I, O any](ctx context.Context, call func(context.Context, *I, ...func(*C)) (*O, error)) func(any) (any, error) {
	return func(in any) (any, error) {
		out, err := call(ctx, in.(*I))
		if out == nil {
			return nil, err
		}
		return out, err
	}
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// exported leaves out what the SDK keeps for itself.
var exported = cmp.FilterPath(func(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && (f.Name() == "ResultMetadata" || !token.IsExported(f.Name()))
}, cmp.Ignore())

// TestTheWireSaysWhatTheStandInSays asks over HTTP and in process, and compares the answers.
func TestTheWireSaysWhatTheStandInSays(t *testing.T) {
	stage := scale.New(scale.Options{Accounts: 120, Drift: 0.5, ExternalID: externalID})
	server := httptest.NewServer(wire{stage})
	t.Cleanup(server.Close)
	cfg := aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "ASIASCALE" + scale.Account(7) + "0", SecretAccessKey: "secret"}, nil
		}),
	}
	call := scale.Call{Account: scale.Account(7), Region: "eu-west-1"}
	bucket := aws.String("data-03-" + call.Account)
	ctx := t.Context()
	buckets := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	for name, c := range map[string]struct {
		in  any
		ask func(in any) (any, error)
	}{
		"EC2":                       {&ec2.DescribeRegionsInput{}, asked(ctx, ec2.NewFromConfig(cfg).DescribeRegions)},
		"EC2, a flag":               {&ec2.GetEbsEncryptionByDefaultInput{}, asked(ctx, ec2.NewFromConfig(cfg).GetEbsEncryptionByDefault)},
		"RDS":                       {&rds.DescribeDBInstancesInput{}, asked(ctx, rds.NewFromConfig(cfg).DescribeDBInstances)},
		"KMS":                       {&kms.ListKeysInput{}, asked(ctx, kms.NewFromConfig(cfg).ListKeys)},
		"Organizations":             {&organizations.ListAccountsInput{NextToken: aws.String("40")}, asked(ctx, organizations.NewFromConfig(cfg).ListAccounts)},
		"CloudTrail":                {&cloudtrail.DescribeTrailsInput{}, asked(ctx, cloudtrail.NewFromConfig(cfg).DescribeTrails)},
		"GuardDuty's members":       {&guardduty.ListMembersInput{DetectorId: aws.String("d"), MaxResults: aws.Int32(50)}, asked(ctx, guardduty.NewFromConfig(cfg).ListMembers)},
		"GuardDuty's plans":         {&guardduty.GetMemberDetectorsInput{DetectorId: aws.String("d"), AccountIds: []string{scale.Account(3)}}, asked(ctx, guardduty.NewFromConfig(cfg).GetMemberDetectors)},
		"IAM's summary":             {&iam.GetAccountSummaryInput{}, asked(ctx, iam.NewFromConfig(cfg).GetAccountSummary)},
		"IAM's roles":               {&iam.ListAttachedRolePoliciesInput{RoleName: aws.String("PlumblineAudit")}, asked(ctx, iam.NewFromConfig(cfg).ListAttachedRolePolicies)},
		"S3's buckets":              {&s3.ListBucketsInput{MaxBuckets: aws.Int32(1000)}, asked(ctx, buckets.ListBuckets)},
		"S3's buckets, further":     {&s3.ListBucketsInput{MaxBuckets: aws.Int32(5), ContinuationToken: aws.String("10")}, asked(ctx, buckets.ListBuckets)},
		"a bucket's ACL":            {&s3.GetBucketAclInput{Bucket: bucket}, asked(ctx, buckets.GetBucketAcl)},
		"a bucket's owner":          {&s3.GetBucketOwnershipControlsInput{Bucket: bucket}, asked(ctx, buckets.GetBucketOwnershipControls)},
		"a bucket's encryption":     {&s3.GetBucketEncryptionInput{Bucket: bucket}, asked(ctx, buckets.GetBucketEncryption)},
		"a bucket's Object Lock":    {&s3.GetObjectLockConfigurationInput{Bucket: bucket}, asked(ctx, buckets.GetObjectLockConfiguration)},
		"a bucket's access block":   {&s3.GetPublicAccessBlockInput{Bucket: bucket}, asked(ctx, buckets.GetPublicAccessBlock)},
		"a bucket's policy":         {&s3.GetBucketPolicyInput{Bucket: bucket}, asked(ctx, buckets.GetBucketPolicy)},
		"a bucket's policy, public": {&s3.GetBucketPolicyStatusInput{Bucket: bucket}, asked(ctx, buckets.GetBucketPolicyStatus)},
		"a bucket's versions":       {&s3.GetBucketVersioningInput{Bucket: bucket}, asked(ctx, buckets.GetBucketVersioning)},
	} {
		t.Run(name, func(t *testing.T) {
			want, wantErr := stage.Answer(ctx, call, c.in)
			got, err := c.ask(c.in)
			if apiCode(err) != apiCode(wantErr) {
				t.Fatalf("the error is %v, want %v", err, wantErr)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(want, got, exported, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-stand-in +wire):\n%s", diff)
			}
		})
	}
}
