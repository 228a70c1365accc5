package scale

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// ec2 answers for EC2.
func ec2(c *Cloud) {
	on(c, "EC2", func(Call, *awsec2.DescribeRegionsInput) (*awsec2.DescribeRegionsOutput, error) {
		out := &awsec2.DescribeRegionsOutput{}
		for i := range c.Regions {
			out.Regions = append(out.Regions, ec2types.Region{RegionName: &c.Regions[i], OptInStatus: aws.String("opt-in-not-required")})
		}
		return out, nil
	})
	on(c, "EC2", func(call Call, _ *awsec2.GetEbsEncryptionByDefaultInput) (*awsec2.GetEbsEncryptionByDefaultOutput, error) {
		return &awsec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(c.ebsDefault(call.Account, call.Region))}, nil
	})
	on(c, "EC2", func(Call, *awsec2.GetEbsDefaultKmsKeyIdInput) (*awsec2.GetEbsDefaultKmsKeyIdOutput, error) {
		return &awsec2.GetEbsDefaultKmsKeyIdOutput{KmsKeyId: aws.String("alias/aws/ebs")}, nil
	})
	// Plumbline asks for unencrypted volumes only.
	on(c, "EC2", func(call Call, _ *awsec2.DescribeVolumesInput) (*awsec2.DescribeVolumesOutput, error) {
		out := &awsec2.DescribeVolumesOutput{Volumes: []ec2types.Volume{}}
		for i := range c.Volumes {
			id := fmt.Sprintf("vol-%017x", hash(call.Account, call.Region)&0xffffffffff+uint64(i))
			if c.departs(call.Account, "volume", call.Region+id) {
				out.Volumes = append(out.Volumes, ec2types.Volume{VolumeId: &id, Encrypted: aws.Bool(false), State: ec2types.VolumeStateInUse})
			}
		}
		return out, nil
	})
}

// rds answers for RDS: a database in every region that has drifted there.
func rds(c *Cloud) {
	on(c, "RDS", func(Call, *awsrds.DescribeDBClustersInput) (*awsrds.DescribeDBClustersOutput, error) {
		return &awsrds.DescribeDBClustersOutput{DBClusters: []rdstypes.DBCluster{}}, nil
	})
	on(c, "RDS", func(call Call, _ *awsrds.DescribeDBInstancesInput) (*awsrds.DescribeDBInstancesOutput, error) {
		return &awsrds.DescribeDBInstancesOutput{DBInstances: []rdstypes.DBInstance{{
			DBInstanceArn:        aws.String("arn:aws:rds:" + call.Region + ":" + call.Account + ":db:orders"),
			DBInstanceIdentifier: aws.String("orders"), StorageEncrypted: aws.Bool(!c.departs(call.Account, "rds", call.Region)),
		}}}, nil
	})
}

// keyID is the id of the i-th customer managed key of an account in a region; managedKey that of the one AWS manages.
func keyID(call Call, i int) string {
	h := hash(call.Account, call.Region, "key")
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", h>>32, h>>16&0xffff, h>>8&0xfff, h&0xfff, i)
}

const managedKey = 0xaaaaaaaaaaaa

// kms answers for KMS: in every region some keys of the customer, and one that AWS manages.
func kms(c *Cloud) {
	arn := func(call Call, id string) *string {
		return aws.String("arn:aws:kms:" + call.Region + ":" + call.Account + ":key/" + id)
	}
	on(c, "KMS", func(call Call, _ *awskms.ListAliasesInput) (*awskms.ListAliasesOutput, error) {
		return &awskms.ListAliasesOutput{Aliases: []kmstypes.AliasListEntry{
			{AliasName: aws.String("alias/aws/ebs"), TargetKeyId: aws.String(keyID(call, managedKey))},
			{AliasName: aws.String("alias/baseline"), TargetKeyId: aws.String(keyID(call, 0))},
		}}, nil
	})
	on(c, "KMS", func(call Call, _ *awskms.ListKeysInput) (*awskms.ListKeysOutput, error) {
		out := &awskms.ListKeysOutput{}
		for i := range c.Keys {
			id := keyID(call, i)
			out.Keys = append(out.Keys, kmstypes.KeyListEntry{KeyId: &id, KeyArn: arn(call, id)})
		}
		id := keyID(call, managedKey)
		out.Keys = append(out.Keys, kmstypes.KeyListEntry{KeyId: &id, KeyArn: arn(call, id)})
		return out, nil
	})
	on(c, "KMS", func(call Call, in *awskms.DescribeKeyInput) (*awskms.DescribeKeyOutput, error) {
		id := aws.ToString(in.KeyId)
		id = id[strings.LastIndex(id, "/")+1:]
		m := &kmstypes.KeyMetadata{
			KeyId: &id, Arn: arn(call, id), AWSAccountId: aws.String(call.Account), Enabled: true,
			KeyManager: kmstypes.KeyManagerTypeCustomer, KeyState: kmstypes.KeyStateEnabled, KeySpec: kmstypes.KeySpecSymmetricDefault,
			KeyUsage: kmstypes.KeyUsageTypeEncryptDecrypt, Origin: kmstypes.OriginTypeAwsKms, MultiRegion: aws.Bool(false),
		}
		if id == keyID(call, managedKey) {
			m.KeyManager = kmstypes.KeyManagerTypeAws
		}
		return &awskms.DescribeKeyOutput{KeyMetadata: m}, nil
	})
	on(c, "KMS", func(call Call, in *awskms.GetKeyRotationStatusInput) (*awskms.GetKeyRotationStatusOutput, error) {
		rotates := !c.departs(call.Account, "rotation", aws.ToString(in.KeyId))
		out := &awskms.GetKeyRotationStatusOutput{KeyId: in.KeyId, KeyRotationEnabled: rotates}
		if rotates {
			out.RotationPeriodInDays = aws.Int32(365)
		}
		return out, nil
	})
}
