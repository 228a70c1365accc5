package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	s3controltypes "github.com/aws/aws-sdk-go-v2/service/s3control/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// What the controls of S3Baseline are called, and the calls by which they change AWS.
const (
	s3AccountBlock = "s3-account-public-access-block"
	s3BucketBlock  = "s3-bucket-public-access-block"
	s3Encryption   = "s3-default-encryption"
	s3Transport    = "s3-secure-transport"
	s3Versioning   = "s3-versioning"
	s3ObjectLock   = "s3-object-lock"
	s3Ownership    = "s3-object-ownership"

	s3PutAccountBlock = "s3control:PutPublicAccessBlock"
	s3PutBlock        = "s3:PutPublicAccessBlock"
	s3PutRule         = "s3:PutBucketEncryption"
	s3PutPolicy       = "s3:PutBucketPolicy"
	s3PutOwner        = "s3:PutBucketOwnershipControls"

	s3ReadRule = "GetBucketEncryption"
)

// s3API is S3 as an outsider with every right in the account uses it.
func s3API(account, region string) *s3.Client {
	return s3.NewFromConfig(shared.emulator.Config(account, region), func(o *s3.Options) { o.UsePathStyle = true })
}

// s3Make makes buckets as AWS makes them since 2023: SSE-S3, all public access blocked, no ACLs.
func s3Make(ctx context.Context, account, region string, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		in := &s3.CreateBucketInput{Bucket: &name}
		if region != virginia {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
		}
		_, err := s3API(account, region).CreateBucket(ctx, in)
		Expect(err).NotTo(HaveOccurred())
	}
}

func s3ARN(bucket string) string { return "arn:aws:s3:::" + bucket }

// A s3Flags is a public access block: of blockPublicAcls, ignorePublicAcls, blockPublicPolicy and restrictPublicBuckets those
// that are on.
type s3Flags [4]bool

var s3AllOn = s3Flags{true, true, true, true}

// s3SetBlock sets a bucket's public access block; with no flag on it is taken away.
func s3SetBlock(ctx context.Context, account, region, name string, to s3Flags) {
	GinkgoHelper()
	var err error
	if to == (s3Flags{}) {
		_, err = s3API(account, region).DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: &name})
	} else {
		_, err = s3API(account, region).PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
			Bucket: &name, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: &to[0], IgnorePublicAcls: &to[1], BlockPublicPolicy: &to[2], RestrictPublicBuckets: &to[3],
			},
		})
	}
	Expect(err).NotTo(HaveOccurred())
}

// s3Block is a bucket's public access block.
func s3Block(ctx context.Context, account, region, name string) s3Flags {
	GinkgoHelper()
	out, err := s3API(account, region).GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	c := out.PublicAccessBlockConfiguration
	return s3Flags{
		aws.ToBool(c.BlockPublicAcls), aws.ToBool(c.IgnorePublicAcls), aws.ToBool(c.BlockPublicPolicy), aws.ToBool(c.RestrictPublicBuckets),
	}
}

// s3SetAccountBlock sets the account's public access block.
func s3SetAccountBlock(ctx context.Context, account string, to s3Flags) {
	GinkgoHelper()
	_, err := s3control.NewFromConfig(shared.emulator.Config(account, virginia)).PutPublicAccessBlock(ctx, &s3control.PutPublicAccessBlockInput{
		AccountId: &account, PublicAccessBlockConfiguration: &s3controltypes.PublicAccessBlockConfiguration{
			BlockPublicAcls: &to[0], IgnorePublicAcls: &to[1], BlockPublicPolicy: &to[2], RestrictPublicBuckets: &to[3],
		},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3BlockOfAccount is the account's public access block.
func s3BlockOfAccount(ctx context.Context, account string) s3Flags {
	GinkgoHelper()
	out, err := s3control.NewFromConfig(shared.emulator.Config(account, virginia)).GetPublicAccessBlock(ctx,
		&s3control.GetPublicAccessBlockInput{AccountId: &account})
	Expect(err).NotTo(HaveOccurred())
	c := out.PublicAccessBlockConfiguration
	return s3Flags{
		aws.ToBool(c.BlockPublicAcls), aws.ToBool(c.IgnorePublicAcls), aws.ToBool(c.BlockPublicPolicy), aws.ToBool(c.RestrictPublicBuckets),
	}
}

// s3SetRule writes a bucket's whole encryption rule.
func s3SetRule(ctx context.Context, account, region, name string, rule types.ServerSideEncryptionRule) {
	GinkgoHelper()
	_, err := s3API(account, region).PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: &name, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3Rule is a bucket's whole encryption rule as JSON.
func s3Rule(ctx context.Context, account, region, name string) string {
	GinkgoHelper()
	out, err := s3API(account, region).GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	Expect(out.ServerSideEncryptionConfiguration.Rules).To(HaveLen(1))
	return s3RuleJSON(out.ServerSideEncryptionConfiguration.Rules[0])
}

// s3RuleJSON is an encryption rule in one line, so that two of them can be compared whole.
func s3RuleJSON(rule types.ServerSideEncryptionRule) string {
	GinkgoHelper()
	raw, err := json.Marshal(rule)
	Expect(err).NotTo(HaveOccurred())
	return string(raw)
}

// s3Encrypted is a rule with an algorithm, its key, a bucket key or none, and the types that are blocked.
func s3Encrypted(algorithm types.ServerSideEncryption, key string, bucketKey bool, blocked ...types.EncryptionType) types.ServerSideEncryptionRule {
	d := &types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm}
	if key != "" {
		d.KMSMasterKeyID = &key
	}
	rule := types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: d, BucketKeyEnabled: &bucketKey}
	if len(blocked) > 0 {
		rule.BlockedEncryptionTypes = &types.BlockedEncryptionTypes{EncryptionType: blocked}
	}
	return rule
}

// s3Policy makes a bucket policy of statements in JSON.
func s3Policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// The statements of the policies. Those with a Sid of Plumbline's are as it writes them.
func s3Reads(bucket, by string) string {
	return `{"Sid":"Readers","Effect":"Allow","Principal":{"AWS":"` + by + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"}`
}

func s3Denies(sid, bucket, action, condition string) string {
	return `{"Sid":"` + sid + `","Effect":"Deny","Principal":"*","Action":"` + action + `","Resource":["arn:aws:s3:::` + bucket +
		`","arn:aws:s3:::` + bucket + `/*"],"Condition":` + condition + `}`
}

func s3NoPlainHTTP(sid, bucket string) string {
	return s3Denies(sid, bucket, "s3:*", `{"Bool":{"aws:SecureTransport":"false"}}`)
}

func s3NoOldTLS(sid, bucket string) string {
	return s3Denies(sid, bucket, "s3:*", `{"NumericLessThan":{"s3:TlsVersion":"1.3"}}`)
}

// s3SetPolicy writes a bucket's policy; an empty one is taken away.
func s3SetPolicy(ctx context.Context, account, region, name, policy string) {
	GinkgoHelper()
	var err error
	if policy == "" {
		_, err = s3API(account, region).DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &name})
	} else {
		_, err = s3API(account, region).PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: &policy})
	}
	Expect(err).NotTo(HaveOccurred())
}

// s3PolicyNow is a bucket's policy.
func s3PolicyNow(ctx context.Context, account, region, name string) string {
	GinkgoHelper()
	out, err := s3API(account, region).GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(out.Policy)
}

// s3SetOwner sets a bucket's ownership rule.
func s3SetOwner(ctx context.Context, account, region, name string, to types.ObjectOwnership) {
	GinkgoHelper()
	_, err := s3API(account, region).PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
		Bucket: &name, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: to}}},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3Owner is a bucket's ownership rule.
func s3Owner(ctx context.Context, account, region, name string) types.ObjectOwnership {
	GinkgoHelper()
	out, err := s3API(account, region).GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	Expect(out.OwnershipControls.Rules).To(HaveLen(1))
	return out.OwnershipControls.Rules[0].ObjectOwnership
}

// s3SetACL gives a bucket a canned ACL.
func s3SetACL(ctx context.Context, account, region, name string, acl types.BucketCannedACL) {
	GinkgoHelper()
	_, err := s3API(account, region).PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: &name, ACL: acl})
	Expect(err).NotTo(HaveOccurred())
}

// s3Grants are who besides the owner a bucket's ACL lets in, by URI.
func s3Grants(ctx context.Context, account, region, name string) []string {
	GinkgoHelper()
	out, err := s3API(account, region).GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	var uris []string
	for _, g := range out.Grants {
		if uri := aws.ToString(g.Grantee.URI); uri != "" {
			uris = append(uris, uri)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(uris)))
}

// s3SetVersioning turns a bucket's versioning on or suspends it.
func s3SetVersioning(ctx context.Context, account, region, name string, to types.BucketVersioningStatus) {
	GinkgoHelper()
	_, err := s3API(account, region).PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: to},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3VersioningOf is a bucket's versioning; empty when it never had any.
func s3VersioningOf(ctx context.Context, account, region, name string) types.BucketVersioningStatus {
	GinkgoHelper()
	out, err := s3API(account, region).GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
	return out.Status
}

// s3MakeLocked makes a bucket with Object Lock and a default retention.
func s3MakeLocked(ctx context.Context, account, name string, retention *types.DefaultRetention) {
	GinkgoHelper()
	api := s3API(account, frankfurt)
	_, err := api.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(true),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: frankfurt},
	})
	Expect(err).NotTo(HaveOccurred())
	_, err = api.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{
		Bucket: &name, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: retention},
		},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3Tag gives a bucket one tag.
func s3Tag(ctx context.Context, account, name, key, value string) {
	GinkgoHelper()
	_, err := s3API(account, frankfurt).PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
		Bucket: &name, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: &key, Value: &value}}},
	})
	Expect(err).NotTo(HaveOccurred())
}

// s3Asked counts the requests since a mark that are about a bucket, by operation and bucket.
func (s *scene) s3Asked(ctx context.Context, since int, account string) map[string]int {
	GinkgoHelper()
	counts := map[string]int{}
	for _, r := range s.requests(ctx, stack.Query{Since: since, Service: []string{"s3"}, Account: []string{account}}) {
		if r.Resource != "" {
			counts[r.Operation+" "+r.Resource]++
		}
	}
	return counts
}
