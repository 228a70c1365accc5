package s3

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	controltypes "github.com/aws/aws-sdk-go-v2/service/s3control/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	here      = controltest.Region
	elsewhere = "us-east-1"
	owner     = "owner-canonical-id"
	accountID = controltest.Account
)

var (
	enabled  = v1alpha1.ControlSpec{State: v1alpha1.Enabled}
	disabled = v1alpha1.ControlSpec{State: v1alpha1.Disabled}
)

func arnOf(name string) string { return "arn:aws:s3:::" + name }

// world is S3 as one account sees it. Its zero bucket is one from before 2023: no block, no ownership rule, private ACL, and
// with the default encryption that S3 gave every bucket since.
type world struct {
	block    *flags
	refusal  error // of a change of the account's block
	buckets  []store
	aliases  map[string]string
	keyState kmstypes.KeyState
	pageSize int
}

// store is a bucket.
type store struct {
	name, region string
	tags         map[string]string
	block        *flags
	rule         *types.ServerSideEncryptionRule // nil: SSE-S3
	noRule       bool
	policy       string
	public       bool // what S3 says of the policy
	status       types.BucketVersioningStatus
	mfaDelete    bool
	lock         *types.ObjectLockConfiguration
	ownership    types.ObjectOwnership
	grants       []types.Grant // beside the owner's
	logsTo       string
	denied       bool // its policy denies everybody
}

func (w world) stage(c *cloudtest.Cloud) {
	now := &w
	now.buckets = slices.Clone(w.buckets)
	now.account(c)
	now.lists(c)
	now.blocks(c)
	now.encryption(c)
	now.policies(c)
	now.settings(c)
	now.keys(c)
}

// in finds the bucket that a request names, as S3 does for the caller.
func (w *world) in(call cloudtest.Call, name *string) (*store, error) {
	for i := range w.buckets {
		b := &w.buckets[i]
		switch {
		case b.name != *name:
		case placed(b.region) != call.Region:
			return nil, cloudtest.Error("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.")
		case b.denied:
			return nil, cloudtest.Error("AccessDenied", "Access Denied because of an explicit deny in a resource-based policy")
		default:
			return b, nil
		}
	}
	return nil, cloudtest.Error("NoSuchBucket", "The specified bucket does not exist")
}

func placed(region string) string {
	if region == "" {
		return here
	}
	return region
}

func (w *world) account(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *s3control.GetPublicAccessBlockInput) (*s3control.GetPublicAccessBlockOutput, error) {
		if w.block == nil || *in.AccountId != accountID {
			return nil, cloudtest.Error("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
		}
		return &s3control.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &controltypes.PublicAccessBlockConfiguration{
			BlockPublicAcls: &w.block.BlockPublicACLs, IgnorePublicAcls: &w.block.IgnorePublicACLs,
			BlockPublicPolicy: &w.block.BlockPublicPolicy, RestrictPublicBuckets: &w.block.RestrictPublicBuckets,
		}}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *s3control.PutPublicAccessBlockInput) (*s3control.PutPublicAccessBlockOutput, error) {
		if w.refusal != nil {
			return nil, w.refusal
		}
		p := in.PublicAccessBlockConfiguration
		w.block = &flags{
			aws.ToBool(p.BlockPublicAcls), aws.ToBool(p.IgnorePublicAcls), aws.ToBool(p.BlockPublicPolicy), aws.ToBool(p.RestrictPublicBuckets),
		}
		return &s3control.PutPublicAccessBlockOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *s3control.DeletePublicAccessBlockInput) (*s3control.DeletePublicAccessBlockOutput, error) {
		w.block = nil
		return &s3control.DeletePublicAccessBlockOutput{}, nil
	})
}

func (w *world) lists(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
		out := &s3.ListBucketsOutput{Owner: &types.Owner{ID: aws.String(owner)}}
		size := w.pageSize
		if size == 0 {
			size = int(aws.ToInt32(in.MaxBuckets))
		}
		for i, b := range w.buckets {
			if b.name <= aws.ToString(in.ContinuationToken) {
				continue
			}
			if len(out.Buckets) == size {
				out.ContinuationToken = aws.String(w.buckets[i-1].name)
				break
			}
			one := types.Bucket{Name: aws.String(b.name)}
			if in.MaxBuckets != nil && b.region != "" {
				one.BucketRegion = aws.String(b.region)
			}
			out.Buckets = append(out.Buckets, one)
		}
		return out, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketTaggingInput) (*s3.GetBucketTaggingOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.tags == nil {
			return nil, cloudtest.Error("NoSuchTagSet", "The TagSet does not exist")
		}
		out := &s3.GetBucketTaggingOutput{TagSet: []types.Tag{}}
		for _, key := range slices.Sorted(maps.Keys(b.tags)) {
			out.TagSet = append(out.TagSet, types.Tag{Key: aws.String(key), Value: aws.String(b.tags[key])})
		}
		return out, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketLoggingInput) (*s3.GetBucketLoggingOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil || b.logsTo == "" {
			return &s3.GetBucketLoggingOutput{}, err
		}
		return &s3.GetBucketLoggingOutput{LoggingEnabled: &types.LoggingEnabled{TargetBucket: &b.logsTo, TargetPrefix: aws.String("")}}, nil
	})
}

func (w *world) blocks(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetPublicAccessBlockInput) (*s3.GetPublicAccessBlockOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.block == nil {
			return nil, cloudtest.Error("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
		}
		return &s3.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: &b.block.BlockPublicACLs, IgnorePublicAcls: &b.block.IgnorePublicACLs,
			BlockPublicPolicy: &b.block.BlockPublicPolicy, RestrictPublicBuckets: &b.block.RestrictPublicBuckets,
		}}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.PutPublicAccessBlockInput) (*s3.PutPublicAccessBlockOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		p := in.PublicAccessBlockConfiguration
		b.block = &flags{
			aws.ToBool(p.BlockPublicAcls), aws.ToBool(p.IgnorePublicAcls), aws.ToBool(p.BlockPublicPolicy), aws.ToBool(p.RestrictPublicBuckets),
		}
		return &s3.PutPublicAccessBlockOutput{}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.DeletePublicAccessBlockInput) (*s3.DeletePublicAccessBlockOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		b.block = nil
		return &s3.DeletePublicAccessBlockOutput{}, nil
	})
}

func (w *world) encryption(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketEncryptionInput) (*s3.GetBucketEncryptionOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.rule == nil && b.noRule {
			return nil, cloudtest.Error("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found")
		}
		rule := ruleOf(types.ServerSideEncryptionAes256, "", false)
		if b.rule != nil {
			rule = b.rule
		}
		return &s3.GetBucketEncryptionOutput{ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
			Rules: []types.ServerSideEncryptionRule{*rule},
		}}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.PutBucketEncryptionInput) (*s3.PutBucketEncryptionOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		rule := in.ServerSideEncryptionConfiguration.Rules[0]
		if d := rule.ApplyServerSideEncryptionByDefault; d.SSEAlgorithm == types.ServerSideEncryptionAes256 && d.KMSMasterKeyID != nil {
			return nil, cloudtest.Error("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		}
		b.rule = &rule // whole: what is not sent is gone
		return &s3.PutBucketEncryptionOutput{}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.DeleteBucketEncryptionInput) (*s3.DeleteBucketEncryptionOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		b.rule = nil
		return &s3.DeleteBucketEncryptionOutput{}, nil
	})
}

func ruleOf(algorithm types.ServerSideEncryption, key string, bucketKey bool, blocked ...types.EncryptionType) *types.ServerSideEncryptionRule {
	r := &types.ServerSideEncryptionRule{
		ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm}, BucketKeyEnabled: &bucketKey,
	}
	if key != "" {
		r.ApplyServerSideEncryptionByDefault.KMSMasterKeyID = &key
	}
	if len(blocked) > 0 {
		r.BlockedEncryptionTypes = &types.BlockedEncryptionTypes{EncryptionType: blocked}
	}
	return r
}

func (w *world) policies(c *cloudtest.Cloud) {
	missing := cloudtest.Error("NoSuchBucketPolicy", "The bucket policy does not exist")
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketPolicyInput) (*s3.GetBucketPolicyOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.policy == "" {
			return nil, missing
		}
		b.policy = shuffled(b.policy)
		return &s3.GetBucketPolicyOutput{Policy: aws.String(b.policy)}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketPolicyStatusInput) (*s3.GetBucketPolicyStatusOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.policy == "" {
			return nil, missing
		}
		return &s3.GetBucketPolicyStatusOutput{PolicyStatus: &types.PolicyStatus{IsPublic: &b.public}}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.PutBucketPolicyInput) (*s3.PutBucketPolicyOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if !json.Valid([]byte(*in.Policy)) || len(*in.Policy) > policyLimit {
			return nil, cloudtest.Error("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
		}
		if b.public && (w.block != nil && w.block.BlockPublicPolicy || b.block != nil && b.block.BlockPublicPolicy) {
			return nil, cloudtest.Error("AccessDenied", "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access")
		}
		b.policy = *in.Policy
		return &s3.PutBucketPolicyOutput{}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.DeleteBucketPolicyInput) (*s3.DeleteBucketPolicyOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		b.policy = ""
		return &s3.DeleteBucketPolicyOutput{}, nil
	})
}

// shuffled turns every list of principals around, as S3 answers them in changing order.
func shuffled(document string) string {
	return strings.NewReplacer(`["arn:aws:iam::1:root","arn:aws:iam::2:root"]`, `["arn:aws:iam::2:root","arn:aws:iam::1:root"]`,
		`["arn:aws:iam::2:root","arn:aws:iam::1:root"]`, `["arn:aws:iam::1:root","arn:aws:iam::2:root"]`).Replace(document)
}

// ofStack are the tags of a bucket that CloudFormation manages, and theStack is their owner.
var ofStack = map[string]string{
	"team": "payments", "aws:cloudformation:stack-id": "arn:aws:cloudformation:eu-central-1:111122223333:stack/payments/1", "aws:cloudformation:stack-name": "payments",
}

const theStack = "CloudFormation stack payments"

// drift is an expected departure of a bucket.
func drift(bucket string, risk control.Risk, fields ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: arnOf(bucket), Risk: risk, Fields: fields}}
}

func weakening(f control.Finding) control.Finding {
	f.Weakens = true
	return f
}

func unknown(bucket, reason string) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: arnOf(bucket)}, Outcome: control.Unknown, Reason: reason}
}

// The catalogue of the kind is consistent, and a baseline's sections reach their controls together with the selector.
func TestControls(t *testing.T) {
	b := &v1alpha1.S3Baseline{}
	if err := control.Validate(Controls(b)); err != nil {
		t.Error(err)
	}
	b.Spec.Buckets = &v1alpha1.BucketSelector{Include: []string{"logs-*"}}
	b.Spec.Versioning = &v1alpha1.Versioning{ControlSpec: enabled}
	for _, c := range Controls(b) {
		if c.Managed() != (c.ID == "s3-versioning") {
			t.Errorf("%s: managed is %v", c.ID, c.Managed())
		}
	}
}
