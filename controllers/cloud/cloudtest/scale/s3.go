package scale

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awss3control "github.com/aws/aws-sdk-go-v2/service/s3control"
	s3controltypes "github.com/aws/aws-sdk-go-v2/service/s3control/types"
)

// canonicalID is the account's canonical user id.
func canonicalID(account string) *string { return aws.String("canonical-" + account) }

// s3 answers for S3 and S3 Control.
func s3(c *Cloud) {
	on(c, "S3", func(call Call, in *awss3.ListBucketsInput) (*awss3.ListBucketsOutput, error) {
		out := &awss3.ListBucketsOutput{Owner: &s3types.Owner{ID: canonicalID(call.Account)}, Buckets: []s3types.Bucket{}}
		size := 1000
		if n := aws.ToInt32(in.MaxBuckets); n > 0 {
			size = int(n)
		}
		from, to, next := page(in.ContinuationToken, size, c.Buckets)
		for i := from; i < to; i++ {
			name := bucketName(call.Account, i)
			out.Buckets = append(out.Buckets, s3types.Bucket{
				Name: &name, BucketRegion: aws.String(c.bucketRegion(name)), CreationDate: aws.Time(c.ago(900)),
			})
		}
		out.ContinuationToken = next
		return out, nil
	})
	on(c, "S3 Control", func(call Call, _ *awss3control.GetPublicAccessBlockInput) (*awss3control.GetPublicAccessBlockOutput, error) {
		if c.departs(call.Account, "account-block", "") {
			return nil, fail("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
		}
		all := aws.Bool(true)
		return &awss3control.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &s3controltypes.PublicAccessBlockConfiguration{
			BlockPublicAcls: all, IgnorePublicAcls: all, BlockPublicPolicy: all, RestrictPublicBuckets: all,
		}}, nil
	})
	c.bucketAccess()
	c.bucketSettings()
}

// bucketAccess answers for who gets at a bucket.
func (c *Cloud) bucketAccess() {
	on(c, "S3", func(call Call, in *awss3.GetPublicAccessBlockInput) (*awss3.GetPublicAccessBlockOutput, error) {
		if c.departs(call.Account, "block", *in.Bucket) {
			return nil, fail("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
		}
		all := aws.Bool(true)
		return &awss3.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
			BlockPublicAcls: all, IgnorePublicAcls: all, BlockPublicPolicy: all, RestrictPublicBuckets: all,
		}}, nil
	})
	on(c, "S3", func(call Call, in *awss3.GetBucketPolicyInput) (*awss3.GetBucketPolicyOutput, error) {
		if policy, written := c.written.Load(setting{call.Account, "policy", *in.Bucket}); written {
			return &awss3.GetBucketPolicyOutput{Policy: aws.String(policy.(string))}, nil
		}
		if c.departs(call.Account, "policy", *in.Bucket) {
			return nil, fail("NoSuchBucketPolicy", "The bucket policy does not exist")
		}
		arn := "arn:aws:s3:::" + *in.Bucket
		return &awss3.GetBucketPolicyOutput{Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Sid":"TLS","Effect":"Deny",` +
			`"Principal":"*","Action":"s3:*","Resource":["` + arn + `","` + arn + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`)}, nil
	})
	on(c, "S3", func(call Call, in *awss3.GetBucketPolicyStatusInput) (*awss3.GetBucketPolicyStatusOutput, error) {
		_, written := c.written.Load(setting{call.Account, "policy", *in.Bucket})
		if !written && c.departs(call.Account, "policy", *in.Bucket) {
			return nil, fail("NoSuchBucketPolicy", "The bucket policy does not exist")
		}
		return &awss3.GetBucketPolicyStatusOutput{PolicyStatus: &s3types.PolicyStatus{IsPublic: aws.Bool(false)}}, nil
	})
	on(c, "S3", func(call Call, _ *awss3.GetBucketAclInput) (*awss3.GetBucketAclOutput, error) {
		owner := canonicalID(call.Account)
		return &awss3.GetBucketAclOutput{Owner: &s3types.Owner{ID: owner}, Grants: []s3types.Grant{{
			Grantee: &s3types.Grantee{ID: owner, Type: s3types.TypeCanonicalUser}, Permission: s3types.PermissionFullControl,
		}}}, nil
	})
	on(c, "S3", func(call Call, in *awss3.GetBucketOwnershipControlsInput) (*awss3.GetBucketOwnershipControlsOutput, error) {
		rule := s3types.ObjectOwnershipBucketOwnerEnforced
		if c.departs(call.Account, "ownership", *in.Bucket) {
			rule = s3types.ObjectOwnershipObjectWriter
		}
		return &awss3.GetBucketOwnershipControlsOutput{OwnershipControls: &s3types.OwnershipControls{
			Rules: []s3types.OwnershipControlsRule{{ObjectOwnership: rule}},
		}}, nil
	})
}

// bucketSettings answers for what else is set on a bucket.
func (c *Cloud) bucketSettings() {
	on(c, "S3", func(call Call, in *awss3.GetBucketEncryptionInput) (*awss3.GetBucketEncryptionOutput, error) {
		if c.departs(call.Account, "encryption", *in.Bucket) {
			return nil, fail("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found")
		}
		return &awss3.GetBucketEncryptionOutput{ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{
			Rules: []s3types.ServerSideEncryptionRule{{
				ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: s3types.ServerSideEncryptionAes256},
				BucketKeyEnabled:                   aws.Bool(false),
			}},
		}}, nil
	})
	on(c, "S3", func(call Call, in *awss3.GetBucketVersioningInput) (*awss3.GetBucketVersioningOutput, error) {
		if status, written := c.written.Load(setting{call.Account, "versioning", *in.Bucket}); written {
			return &awss3.GetBucketVersioningOutput{Status: status.(s3types.BucketVersioningStatus)}, nil
		}
		if c.departs(call.Account, "versioning", *in.Bucket) {
			return &awss3.GetBucketVersioningOutput{}, nil
		}
		return &awss3.GetBucketVersioningOutput{Status: s3types.BucketVersioningStatusEnabled}, nil
	})
	on(c, "S3", func(call Call, in *awss3.GetObjectLockConfigurationInput) (*awss3.GetObjectLockConfigurationOutput, error) {
		if c.departs(call.Account, "object-lock", *in.Bucket) {
			return nil, fail("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
		}
		return &awss3.GetObjectLockConfigurationOutput{ObjectLockConfiguration: &s3types.ObjectLockConfiguration{
			ObjectLockEnabled: s3types.ObjectLockEnabledEnabled,
			Rule:              &s3types.ObjectLockRule{DefaultRetention: &s3types.DefaultRetention{Mode: s3types.ObjectLockRetentionModeCompliance, Days: aws.Int32(365)}},
		}}, nil
	})
	on(c, "S3", func(_ Call, in *awss3.GetBucketTaggingInput) (*awss3.GetBucketTaggingOutput, error) {
		return &awss3.GetBucketTaggingOutput{TagSet: []s3types.Tag{{Key: aws.String("name"), Value: in.Bucket}}}, nil
	})
	on(c, "S3", func(Call, *awss3.GetBucketLoggingInput) (*awss3.GetBucketLoggingOutput, error) {
		return &awss3.GetBucketLoggingOutput{}, nil
	})
}
