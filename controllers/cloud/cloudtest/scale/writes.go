package scale

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// setting names what can be written: a setting of something in an account, as departs knows them.
type setting struct{ account, name, of string }

// takeWrites takes a write of each sort of change: a flag of an account and region, a policy, and what cannot be taken back. What was
// written stands from then on, whatever the drift says.
func takeWrites(c *Cloud) {
	on(c, "EC2", func(call Call, _ *awsec2.EnableEbsEncryptionByDefaultInput) (*awsec2.EnableEbsEncryptionByDefaultOutput, error) {
		c.SetEBSDefault(call.Account, call.Region, true)
		return &awsec2.EnableEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(true)}, nil
	})
	on(c, "S3", func(call Call, in *awss3.PutBucketPolicyInput) (*awss3.PutBucketPolicyOutput, error) {
		c.written.Store(setting{call.Account, "policy", aws.ToString(in.Bucket)}, aws.ToString(in.Policy))
		return &awss3.PutBucketPolicyOutput{}, nil
	})
	on(c, "S3", func(call Call, in *awss3.PutBucketVersioningInput) (*awss3.PutBucketVersioningOutput, error) {
		if in.VersioningConfiguration == nil || in.VersioningConfiguration.Status != s3types.BucketVersioningStatusEnabled {
			return nil, fail("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
		}
		c.written.Store(setting{call.Account, "versioning", aws.ToString(in.Bucket)}, in.VersioningConfiguration.Status)
		return &awss3.PutBucketVersioningOutput{}, nil
	})
}

// SetEBSDefault turns EBS encryption by default on or off in one account and region, whatever the drift says, and says
// whether that changes anything.
func (c *Cloud) SetEBSDefault(account, region string, on bool) bool {
	was := c.ebsDefault(account, region)
	c.written.Store(setting{account, "ebs-default", region}, on)
	return was != on
}

// ebsDefault is whether EBS encryption by default is on.
func (c *Cloud) ebsDefault(account, region string) bool {
	if on, written := c.written.Load(setting{account, "ebs-default", region}); written {
		return on.(bool)
	}
	return !c.departs(account, "ebs-default", region)
}
