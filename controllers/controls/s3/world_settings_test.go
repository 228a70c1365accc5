package s3

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
)

// settings answers about ACLs, versioning, Object Lock and ownership.
func (w *world) settings(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketAclInput) (*s3.GetBucketAclOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		own := types.Grant{Permission: types.PermissionFullControl, Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String(owner)}}
		out := &s3.GetBucketAclOutput{Owner: &types.Owner{ID: aws.String(owner)}, Grants: []types.Grant{own}}
		if b.ownership != types.ObjectOwnershipBucketOwnerEnforced {
			out.Grants = append(out.Grants, b.grants...)
		}
		return out, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketVersioningInput) (*s3.GetBucketVersioningOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		out := &s3.GetBucketVersioningOutput{Status: b.status}
		if b.mfaDelete {
			out.MFADelete = types.MFADeleteStatusEnabled
		}
		return out, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.PutBucketVersioningInput) (*s3.PutBucketVersioningOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.lock != nil {
			return nil, cloudtest.Error("InvalidBucketState", "An Object Lock configuration is present on this bucket")
		}
		b.status = in.VersioningConfiguration.Status
		return &s3.PutBucketVersioningOutput{}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetObjectLockConfigurationInput) (*s3.GetObjectLockConfigurationOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.lock == nil {
			return nil, cloudtest.Error("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
		}
		return &s3.GetObjectLockConfigurationOutput{ObjectLockConfiguration: b.lock}, nil
	})
	w.ownerships(c)
}

func (w *world) ownerships(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.GetBucketOwnershipControlsInput) (*s3.GetBucketOwnershipControlsOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.ownership == "" {
			return nil, cloudtest.Error("OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
		}
		return &s3.GetBucketOwnershipControlsOutput{OwnershipControls: &types.OwnershipControls{
			Rules: []types.OwnershipControlsRule{{ObjectOwnership: b.ownership}},
		}}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.PutBucketOwnershipControlsInput) (*s3.PutBucketOwnershipControlsOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		rule := in.OwnershipControls.Rules[0].ObjectOwnership
		if rule == types.ObjectOwnershipBucketOwnerEnforced && len(b.grants) > 0 {
			return nil, cloudtest.Error("InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
		}
		b.ownership = rule
		return &s3.PutBucketOwnershipControlsOutput{}, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *s3.DeleteBucketOwnershipControlsInput) (*s3.DeleteBucketOwnershipControlsOutput, error) {
		b, err := w.in(call, in.Bucket)
		if err != nil {
			return nil, err
		}
		b.ownership = ""
		return &s3.DeleteBucketOwnershipControlsOutput{}, nil
	})
}

func (w *world) keys(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(cloudtest.Call, *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
		out := &kms.ListAliasesOutput{Aliases: []kmstypes.AliasListEntry{}}
		for name, id := range w.aliases {
			out.Aliases = append(out.Aliases, kmstypes.AliasListEntry{AliasName: aws.String(name), TargetKeyId: aws.String(id)})
		}
		return out, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
		state := w.keyState
		if state == "" {
			state = kmstypes.KeyStateEnabled
		}
		return &kms.DescribeKeyOutput{KeyMetadata: &kmstypes.KeyMetadata{
			KeyState: state, KeySpec: kmstypes.KeySpecSymmetricDefault, KeyUsage: kmstypes.KeyUsageTypeEncryptDecrypt,
		}}, nil
	})
}
