package s3

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// BucketPublicAccessBlock holds that each bucket's public access block is as declared, or that the account's makes it
// needless.
var BucketPublicAccessBlock = control.Control[PerBucket[v1alpha1.BucketPublicAccessBlock]]{
	Meta: control.Meta{
		ID:       "s3-bucket-public-access-block",
		Protects: true,
		Title:    "S3 public access block of buckets",
		Doc: "No selected bucket is public. Where the account's block has all four flags on, its buckets need none of their own " +
			"unless requireOnBucket says so. Enforcing sets the four flags of the bucket's block (Disruptive: what is public stops " +
			"being so); policies and ACLs stay as they are.",
		Scope:       control.Region,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityCritical,
		PerResource: true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"2.1.4"}, "CIS-3.0": {"2.1.4"}, "SecurityHub": {"S3.2", "S3.3", "S3.8"},
		},
		Reads: []string{
			"s3:GetAccountPublicAccessBlock", "s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetBucketPublicAccessBlock",
		},
		Writes: []string{"s3:PutBucketPublicAccessBlock"},
		Events: bucketEvents("PutBucketPublicAccessBlock", "DeleteBucketPublicAccessBlock",
			"PutAccountPublicAccessBlock", "DeleteAccountPublicAccessBlock"),
	},
	Observe: observeBucketPublicAccessBlock,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
		c, err := changeOf[flagChange](t, d)
		if err != nil {
			return err
		}
		return setFlags(c.after, func() (block, error) { return readBucketBlock(ctx, t, c.bucket) },
			func(b block) error { return writeBucketBlock(ctx, t, c.bucket, b) })
	},
	Undo: func(ctx context.Context, t *control.Target, d control.Drift) error {
		c, err := changeOf[flagChange](t, d)
		if err != nil {
			return err
		}
		return resetFlags(c.before, c.after, func() (block, error) { return readBucketBlock(ctx, t, c.bucket) },
			func(b block) error { return writeBucketBlock(ctx, t, c.bucket, b) })
	},
	Owner: ownerOf,
}

func observeBucketPublicAccessBlock(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.BucketPublicAccessBlock]) ([]control.Finding, error) {
	if want.Want.RequireOnBucketOrDefault() != v1alpha1.Enabled {
		account, err := accountBlock.From(ctx, t.Home())
		if err != nil {
			return nil, err
		}
		if account.effective() == allFlags {
			return nil, nil
		}
	}
	wanted := wantedFlags(want.Want.PublicAccessBlockFlags)
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		now, err := readBucketBlock(ctx, t, name)
		if err != nil {
			return nil, err
		}
		return departs(bucketARN(t, name), wanted, now), nil
	})
}

func readBucketBlock(ctx context.Context, t *control.Target, name string) (block, error) {
	out, err := client(t).GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &name})
	if control.IsCode(err, "NoSuchPublicAccessBlockConfiguration") {
		return block{}, nil
	}
	if err != nil {
		return block{}, fmt.Errorf("reading the public access block: %w", err)
	}
	c := out.PublicAccessBlockConfiguration
	if c == nil {
		return block{}, control.Unexpected("GetPublicAccessBlock", "a configuration")
	}
	return answered("GetPublicAccessBlock", c.BlockPublicAcls, c.IgnorePublicAcls, c.BlockPublicPolicy, c.RestrictPublicBuckets)
}

func writeBucketBlock(ctx context.Context, t *control.Target, name string, to block) error {
	var err error
	if f := to.Flags; f == nil {
		_, err = client(t).DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: &name})
	} else {
		_, err = client(t).PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
			Bucket: &name,
			PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(f.BlockPublicACLs), IgnorePublicAcls: aws.Bool(f.IgnorePublicACLs),
				BlockPublicPolicy: aws.Bool(f.BlockPublicPolicy), RestrictPublicBuckets: aws.Bool(f.RestrictPublicBuckets),
			},
		})
	}
	if err != nil {
		return fmt.Errorf("setting the public access block: %w", err)
	}
	return nil
}
