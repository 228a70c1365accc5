package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// What the controls of EncryptionBaseline are called, and the calls they make.
const (
	ebsDefault  = "ebs-default-encryption"
	ebsVolumes  = "ebs-volume-encryption"
	rdsStorage  = "rds-storage-encryption"
	kmsRotation = "kms-key-rotation"

	readFlag    = "GetEbsEncryptionByDefault"
	enableFlag  = "ec2:EnableEbsEncryptionByDefault"
	disableFlag = "ec2:DisableEbsEncryptionByDefault"
	changeKey   = "ec2:ModifyEbsDefaultKmsKeyId"
	rotateKey   = "kms:EnableKeyRotation"
)

// setFlag turns EBS encryption by default on or off, behind the manager's back. An account begins with it off everywhere.
func setFlag(ctx context.Context, on bool, account string, regions ...string) {
	GinkgoHelper()
	for _, region := range regions {
		api := ec2.NewFromConfig(shared.emulator.Config(account, region))
		var err error
		if on {
			_, err = api.EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
		} else {
			_, err = api.DisableEbsEncryptionByDefault(ctx, &ec2.DisableEbsEncryptionByDefaultInput{})
		}
		Expect(err).NotTo(HaveOccurred())
	}
}

// encryptByDefault turns EBS encryption by default on in all regions of the accounts.
func encryptByDefault(ctx context.Context, accounts ...string) {
	GinkgoHelper()
	for _, account := range accounts {
		setFlag(ctx, true, account, regions...)
	}
}

// flag says whether EBS encryption by default is on.
func flag(ctx context.Context, account, region string) bool {
	GinkgoHelper()
	out, err := ec2.NewFromConfig(shared.emulator.Config(account, region)).GetEbsEncryptionByDefault(ctx,
		&ec2.GetEbsEncryptionByDefaultInput{})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToBool(out.EbsEncryptionByDefault)
}

// defaultKey is the key that EBS uses by default.
func defaultKey(ctx context.Context, account, region string) string {
	GinkgoHelper()
	out, err := ec2.NewFromConfig(shared.emulator.Config(account, region)).GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(out.KmsKeyId)
}

// makeKey makes a KMS key that does not rotate, with an alias where one is given, and returns its ARN.
func makeKey(ctx context.Context, account, region, alias string) string {
	GinkgoHelper()
	api := kms.NewFromConfig(shared.emulator.Config(account, region))
	made, err := api.CreateKey(ctx, &kms.CreateKeyInput{})
	Expect(err).NotTo(HaveOccurred())
	if alias != "" {
		_, err = api.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: made.KeyMetadata.KeyId})
		Expect(err).NotTo(HaveOccurred())
	}
	return aws.ToString(made.KeyMetadata.Arn)
}

// rotates says whether a key rotates.
func rotates(ctx context.Context, account, region, key string) bool {
	GinkgoHelper()
	out, err := kms.NewFromConfig(shared.emulator.Config(account, region)).GetKeyRotationStatus(ctx,
		&kms.GetKeyRotationStatusInput{KeyId: &key})
	Expect(err).NotTo(HaveOccurred())
	return out.KeyRotationEnabled
}

// makeVolume makes a volume in Frankfurt and returns its ARN. Where EBS does not encrypt by default it is not encrypted.
func makeVolume(ctx context.Context, account string) string {
	const region = frankfurt
	GinkgoHelper()
	made, err := ec2.NewFromConfig(shared.emulator.Config(account, region)).CreateVolume(ctx, &ec2.CreateVolumeInput{
		AvailabilityZone: aws.String(region + "a"), Size: aws.Int32(8)})
	Expect(err).NotTo(HaveOccurred())
	return "arn:aws:ec2:" + region + ":" + account + ":volume/" + aws.ToString(made.VolumeId)
}

// flagRow is the drift row of EBS encryption by default being off where it should be on.
func flagRow(account, region, reason, message string) v1alpha1.DriftRow {
	return v1alpha1.DriftRow{
		Control: ebsDefault, Region: region, Resource: "arn:aws:ec2:" + region + ":" + account + ":ebs-encryption-by-default",
		Field: "encryptionByDefault", Desired: "Enabled", Observed: "Disabled", Severity: v1alpha1.SeverityMedium,
		Reason: reason, Message: message,
	}
}

// keyRow is the drift row of another default key than the declared one.
func keyRow(account, region, want, reason, message string) v1alpha1.DriftRow {
	return v1alpha1.DriftRow{
		Control: ebsDefault, Region: region, Resource: "arn:aws:ec2:" + region + ":" + account + ":ebs-default-kms-key",
		Field: "kmsKey", Desired: want, Observed: "alias/aws/ebs", Severity: v1alpha1.SeverityMedium,
		Reason: reason, Message: message,
	}
}
