package s3

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	"github.com/aws/aws-sdk-go-v2/service/s3control/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// AccountPublicAccessBlock holds that the account's public access block is as declared.
var AccountPublicAccessBlock = control.Control[v1alpha1.AccountPublicAccessBlock]{
	Meta: control.Meta{
		ID:       "s3-account-public-access-block",
		Protects: true,
		Title:    "S3 public access block of the account",
		Doc: "No bucket of the account is public, whatever its own policy and ACLs say. Enforcing sets the four flags of the " +
			"account's block (Disruptive: what is public stops being so, and restrictPublicBuckets also ends access from other " +
			"accounts that a public policy grants; the row names the buckets that have a public policy or ACL now). Bucket " +
			"policies and ACLs stay as they are. Where an Organizations policy manages the block, AWS refuses the change.",
		Scope:    control.Account,
		Risk:     control.Disruptive,
		Severity: v1alpha1.SeverityHigh,
		Frameworks: map[string][]string{
			"CIS-5.0": {"2.1.4"}, "CIS-3.0": {"2.1.4"}, "SecurityHub": {"S3.1"},
		},
		Reads: []string{
			"s3:GetAccountPublicAccessBlock", "s3:ListAllMyBuckets", "s3:GetBucketPolicyStatus", "s3:GetBucketAcl",
		},
		Writes: []string{"s3:PutAccountPublicAccessBlock"},
		Events: []control.Event{
			{Source: "s3", Name: "PutAccountPublicAccessBlock", Seen: control.SeenInRegion},
			{Source: "s3", Name: "DeleteAccountPublicAccessBlock", Seen: control.SeenInRegion},
		},
	},
	Observe: observeAccountPublicAccessBlock,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
		to, err := control.Decode[flagChange](d.After)
		if err != nil {
			return err
		}
		return setFlags(to, func() (block, error) { return readAccountBlock(ctx, t) },
			func(b block) error { return writeAccountBlock(ctx, t, b) })
	},
	Undo: undoAccountPublicAccessBlock,
}

// accountBlock is the account's effective block, which may come from an Organizations policy. Ask it in the home region.
var accountBlock = control.Read[block]{
	Key: "s3.accountPublicAccessBlock", Actions: []string{"s3:GetAccountPublicAccessBlock"}, Do: readAccountBlock,
}

func observeAccountPublicAccessBlock(ctx context.Context, t *control.Target, want v1alpha1.AccountPublicAccessBlock) ([]control.Finding, error) {
	now, err := accountBlock.From(ctx, t.Home())
	if err != nil {
		return nil, err
	}
	wanted := wantedFlags(want.PublicAccessBlockFlags)
	found := departs(t.GlobalARN("s3", "account-public-access-block"), wanted, now)
	for i := range found {
		if !found[i].Weakens {
			found[i].Message = publicNow(ctx, t, wanted, now.effective())
		}
	}
	return found, nil
}

func undoAccountPublicAccessBlock(ctx context.Context, t *control.Target, d control.Drift) error {
	before, err := control.Decode[flagChange](d.Before)
	if err != nil {
		return err
	}
	left, err := control.Decode[flagChange](d.After)
	if err != nil {
		return err
	}
	return resetFlags(before, left, func() (block, error) { return readAccountBlock(ctx, t) },
		func(b block) error { return writeAccountBlock(ctx, t, b) })
}

func readAccountBlock(ctx context.Context, t *control.Target) (block, error) {
	out, err := s3control.NewFromConfig(t.AWS).GetPublicAccessBlock(ctx, &s3control.GetPublicAccessBlockInput{AccountId: &t.Account})
	if control.IsCode(err, "NoSuchPublicAccessBlockConfiguration") {
		return block{}, nil
	}
	if err != nil {
		return block{}, fmt.Errorf("reading the account's public access block: %w", err)
	}
	c := out.PublicAccessBlockConfiguration
	if c == nil {
		return block{}, control.Unexpected("GetPublicAccessBlock", "a configuration")
	}
	return answered("GetPublicAccessBlock", c.BlockPublicAcls, c.IgnorePublicAcls, c.BlockPublicPolicy, c.RestrictPublicBuckets)
}

func writeAccountBlock(ctx context.Context, t *control.Target, to block) error {
	api := s3control.NewFromConfig(t.AWS)
	var err error
	if f := to.Flags; f == nil {
		_, err = api.DeletePublicAccessBlock(ctx, &s3control.DeletePublicAccessBlockInput{AccountId: &t.Account})
	} else {
		_, err = api.PutPublicAccessBlock(ctx, &s3control.PutPublicAccessBlockInput{
			AccountId: &t.Account,
			PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(f.BlockPublicACLs), IgnorePublicAcls: aws.Bool(f.IgnorePublicACLs),
				BlockPublicPolicy: aws.Bool(f.BlockPublicPolicy), RestrictPublicBuckets: aws.Bool(f.RestrictPublicBuckets),
			},
		})
	}
	switch {
	case saysOrganization(err):
		return fmt.Errorf("setting the account's public access block: %w: %w", control.ErrManagedByPolicy, err)
	case err != nil:
		return fmt.Errorf("setting the account's public access block: %w", err)
	}
	return nil
}

// saysOrganization says whether a refusal speaks of an organization's policy. S3 documents the 403 and not its text.
func saysOrganization(err error) bool {
	return control.IsAccessDenied(err) && !control.IsDeniedBySCP(err) && strings.Contains(strings.ToLower(err.Error()), "organization")
}
