package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	guarddutytypes "github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	s3controltypes "github.com/aws/aws-sdk-go-v2/service/s3control/types"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// The accounts of the demo.
const (
	payProd    = "111122223333"
	shopProd   = "111122224444"
	payDev     = "111122225555"
	shopDev    = "111122226666"
	security   = "222233334444"
	logArchive = "222233335555"
)

var members = []stack.AccountSeed{
	{ID: payProd, Name: "pay-prod", OU: "Workloads/Prod"},
	{ID: shopProd, Name: "shop-prod", OU: "Workloads/Prod"},
	{ID: payDev, Name: "pay-dev", OU: "Workloads/Dev"},
	{ID: shopDev, Name: "shop-dev", OU: "Workloads/Dev"},
	{ID: security, Name: "security", OU: "Security"},
	{ID: logArchive, Name: "log-archive", OU: "Security"},
}

var regions = []string{"eu-central-1", "eu-west-1", "us-east-1"}

// home is where the demo's buckets and trail are.
const home = "eu-central-1"

// seeder sets AWS up as an outsider would, one step after the other until one fails.
type seeder struct {
	ctx   context.Context
	cloud *stack.Emulator
	err   error
}

// seed makes the organization, brings its accounts up to the baseline, and then lets some of them drift.
func seed(ctx context.Context, cloud *stack.Emulator) error {
	roles := stack.RoleSeed{
		ExternalID:       "plumbline-example", // as config/samples/awsorganization.yaml has it
		TrustedPrincipal: "arn:aws:iam::" + stack.ManagementAccount + ":role/plumbline-manager",
	}
	if _, err := cloud.SeedOrganization(ctx, stack.OrganizationSeed{Accounts: members, Roles: &roles}); err != nil {
		return err
	}
	if err := cloud.SeedRoles(ctx, stack.ManagementAccount, roles); err != nil {
		return err
	}
	s := &seeder{ctx: ctx, cloud: cloud}
	for _, m := range members {
		s.sound(m.ID)
		s.joinedLongAgo(m.ID)
	}
	s.sound(stack.ManagementAccount)
	s.trail()
	s.drift()
	return s.err
}

// step runs f unless a step before has failed.
func (s *seeder) step(what, account, region string, f func(aws.Config) error) {
	if s.err != nil {
		return
	}
	if err := f(s.cloud.Config(account, region)); err != nil {
		s.err = fmt.Errorf("seeding: %s in %s/%s: %w", what, account, region, err)
	}
}

// sound brings an account up to what the samples declare.
func (s *seeder) sound(account string) {
	for _, region := range regions {
		s.step("EBS encryption", account, region, func(c aws.Config) error {
			_, err := ec2.NewFromConfig(c).EnableEbsEncryptionByDefault(s.ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
			return err
		})
		s.step("a detector", account, region, func(c aws.Config) error {
			_, err := guardduty.NewFromConfig(c).CreateDetector(s.ctx, &guardduty.CreateDetectorInput{
				Enable: aws.Bool(true), FindingPublishingFrequency: guarddutytypes.FindingPublishingFrequencyFifteenMinutes,
			})
			return err
		})
	}
	s.step("the password policy", account, home, func(c aws.Config) error { return passwordPolicy(s.ctx, c, 14) })
	s.step("the public access block", account, home, func(c aws.Config) error { return blockAccount(s.ctx, c, account, true) })
}

// joinedLongAgo makes an account old enough to be changed: new ones are only observed for a day.
func (s *seeder) joinedLongAgo(account string) {
	if s.err == nil {
		s.err = s.cloud.SetState(s.ctx, map[string]any{"account": account, "joined_at": "2024-05-01T09:00:00Z"})
	}
}

func passwordPolicy(ctx context.Context, c aws.Config, length int32) error {
	_, err := iam.NewFromConfig(c).UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{
		MinimumPasswordLength: aws.Int32(length), PasswordReusePrevention: aws.Int32(24), AllowUsersToChangePassword: true,
	})
	return err
}

func blockAccount(ctx context.Context, c aws.Config, account string, on bool) error {
	_, err := s3control.NewFromConfig(c).PutPublicAccessBlock(ctx, &s3control.PutPublicAccessBlockInput{
		AccountId: aws.String(account),
		PublicAccessBlockConfiguration: &s3controltypes.PublicAccessBlockConfiguration{
			BlockPublicAcls: aws.Bool(on), IgnorePublicAcls: aws.Bool(on), BlockPublicPolicy: aws.Bool(on), RestrictPublicBuckets: aws.Bool(on),
		},
	})
	return err
}

func bucketClient(c aws.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
}

// bucket makes a bucket as AWS makes them since 2023, and one that plain HTTP may not read where tls is true.
func (s *seeder) bucket(account, name string, tls bool) {
	s.step("bucket "+name, account, home, func(c aws.Config) error {
		_, err := bucketClient(c).CreateBucket(s.ctx, &s3.CreateBucketInput{
			Bucket: aws.String(name), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: home},
		})
		if err != nil || !tls {
			return err
		}
		policy := `{"Version":"2012-10-17","Statement":[{"Sid":"TLSOnly","Effect":"Deny","Principal":"*","Action":"s3:*",` +
			`"Resource":["arn:aws:s3:::` + name + `","arn:aws:s3:::` + name + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
		_, err = bucketClient(c).PutBucketPolicy(s.ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(name), Policy: aws.String(policy)})
		return err
	})
}

func openBucket(ctx context.Context, c aws.Config, name string) error {
	_, err := bucketClient(c).DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String(name)})
	return err
}

// trail makes the organization trail of the samples.
func (s *seeder) trail() {
	s.bucket(logArchive, "acme-log-archive", true)
	s.step("trusted access", stack.ManagementAccount, home, func(c aws.Config) error {
		_, err := organizations.NewFromConfig(c).EnableAWSServiceAccess(s.ctx, &organizations.EnableAWSServiceAccessInput{
			ServicePrincipal: aws.String("cloudtrail.amazonaws.com"),
		})
		return err
	})
	s.step("the trail", stack.ManagementAccount, home, func(c aws.Config) error {
		trails := cloudtrail.NewFromConfig(c)
		// Without log file validation: somebody could alter a log and nobody would know.
		_, err := trails.CreateTrail(s.ctx, &cloudtrail.CreateTrailInput{
			Name: aws.String("org-trail"), S3BucketName: aws.String("acme-log-archive"),
			IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true), IncludeGlobalServiceEvents: aws.Bool(true),
		})
		if err != nil {
			return err
		}
		_, err = trails.StartLogging(s.ctx, &cloudtrail.StartLoggingInput{Name: aws.String("org-trail")})
		return err
	})
}

// drift is what went wrong since.
func (s *seeder) drift() {
	s.step("no EBS encryption", payDev, "eu-west-1", disableEBS(s.ctx))
	for _, region := range regions {
		s.step("no EBS encryption", shopDev, region, disableEBS(s.ctx))
	}
	s.step("a weak password policy", payDev, home, func(c aws.Config) error { return passwordPolicy(s.ctx, c, 8) })
	s.step("a suspended detector", payDev, "us-east-1", func(c aws.Config) error { return setDetector(s.ctx, c, false) })
	s.step("a plan turned off", payDev, home, func(c aws.Config) error { return turnOffS3Events(s.ctx, c) })
	s.step("an open account", shopDev, home, func(c aws.Config) error { return blockAccount(s.ctx, c, shopDev, false) })
	s.step("a key that does not rotate", shopProd, home, func(c aws.Config) error {
		_, err := kms.NewFromConfig(c).CreateKey(s.ctx, &kms.CreateKeyInput{Description: aws.String("orders")})
		return err
	})
	s.bucket(payProd, "acme-payments", true)
	s.bucket(payProd, "acme-website", true) // excused by config/samples/baselineexception.yaml
	s.bucket(payDev, "acme-scratch", false)
	s.bucket(shopProd, "acme-orders", true)
	// The account's own block would excuse an open bucket; without it the bucket's counts.
	for _, account := range []string{payProd, payDev} {
		s.step("an open account", account, home, func(c aws.Config) error { return blockAccount(s.ctx, c, account, false) })
	}
	s.step("an open bucket", payProd, home, func(c aws.Config) error { return openBucket(s.ctx, c, "acme-website") })
	s.step("an open bucket", payDev, home, func(c aws.Config) error { return openBucket(s.ctx, c, "acme-scratch") })
	s.user(payDev, "alice")
}

func disableEBS(ctx context.Context) func(aws.Config) error {
	return func(c aws.Config) error {
		_, err := ec2.NewFromConfig(c).DisableEbsEncryptionByDefault(ctx, &ec2.DisableEbsEncryptionByDefaultInput{})
		return err
	}
}

// user makes a user with a password of last year and no MFA.
func (s *seeder) user(account, name string) {
	s.step("user "+name, account, home, func(c aws.Config) error {
		users := iam.NewFromConfig(c)
		if _, err := users.CreateUser(s.ctx, &iam.CreateUserInput{UserName: aws.String(name)}); err != nil {
			return err
		}
		_, err := users.CreateLoginProfile(s.ctx, &iam.CreateLoginProfileInput{UserName: aws.String(name), Password: aws.String("Correct-horse-battery-1")})
		return err
	})
	if s.err == nil {
		lastYear := time.Now().AddDate(-1, 0, 0).UTC().Format(time.RFC3339)
		s.err = s.cloud.SetState(s.ctx, map[string]any{"account": account, "user": name, "login_profile_created_at": lastYear})
	}
}

// detectorOf is the detector of the account and region of c.
func detectorOf(ctx context.Context, c aws.Config) (*guardduty.Client, *string, error) {
	client := guardduty.NewFromConfig(c)
	list, err := client.ListDetectors(ctx, &guardduty.ListDetectorsInput{})
	if err != nil {
		return nil, nil, err
	}
	if len(list.DetectorIds) == 0 {
		return nil, nil, errors.New("there is no detector")
	}
	return client, &list.DetectorIds[0], nil
}

func setDetector(ctx context.Context, c aws.Config, on bool) error {
	client, id, err := detectorOf(ctx, c)
	if err != nil {
		return err
	}
	_, err = client.UpdateDetector(ctx, &guardduty.UpdateDetectorInput{DetectorId: id, Enable: aws.Bool(on)})
	return err
}

func turnOffS3Events(ctx context.Context, c aws.Config) error {
	client, id, err := detectorOf(ctx, c)
	if err != nil {
		return err
	}
	_, err = client.UpdateDetector(ctx, &guardduty.UpdateDetectorInput{DetectorId: id, Features: []guarddutytypes.DetectorFeatureConfiguration{
		{Name: guarddutytypes.DetectorFeatureS3DataEvents, Status: guarddutytypes.FeatureStatusDisabled},
	}})
	return err
}

// weaken is what somebody does behind Plumbline's back.
func weaken(ctx context.Context, cloud *stack.Emulator, say func(string)) error {
	c := cloud.Config(payProd, home)
	say("  aws guardduty update-detector --no-enable ...")
	if err := setDetector(ctx, c, false); err != nil {
		return err
	}
	say("  aws s3api delete-public-access-block --bucket acme-payments")
	return openBucket(ctx, c, "acme-payments")
}

// held checks that what was weakened is as it was.
func held(ctx context.Context, cloud *stack.Emulator, say func(string)) error {
	c := cloud.Config(payProd, home)
	client, id, err := detectorOf(ctx, c)
	if err != nil {
		return err
	}
	detector, err := client.GetDetector(ctx, &guardduty.GetDetectorInput{DetectorId: id})
	if err != nil {
		return err
	}
	block, err := bucketClient(c).GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: aws.String("acme-payments")})
	if err != nil {
		return fmt.Errorf("the bucket is still open: %w", err)
	}
	b := block.PublicAccessBlockConfiguration
	say(fmt.Sprintf("  guardduty get-detector: %s", detector.Status))
	say(fmt.Sprintf("  s3api get-public-access-block --bucket acme-payments: BlockPublicAcls %t, IgnorePublicAcls %t, BlockPublicPolicy %t, RestrictPublicBuckets %t",
		*b.BlockPublicAcls, *b.IgnorePublicAcls, *b.BlockPublicPolicy, *b.RestrictPublicBuckets))
	if detector.Status != guarddutytypes.DetectorStatusEnabled || !*b.BlockPublicAcls {
		return errors.New("what was weakened was not put right")
	}
	return nil
}
