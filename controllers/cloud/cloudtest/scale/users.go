package scale

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// user is an IAM user with one access key. Every second one has a password.
type user struct {
	name, arn, key string
	password, mfa  bool
	rotated, used  time.Time
}

// user is the i-th of an account.
func (c *Cloud) user(account string, i int) user {
	u := user{
		name: fmt.Sprintf("user-%02d", i), key: fmt.Sprintf("AKIA%s%04d", account, i), password: i%2 == 0,
		rotated: c.ago(30), used: c.ago(1),
	}
	u.arn = "arn:aws:iam::" + account + ":user/" + u.name
	u.mfa = u.password && !c.departs(account, "mfa", u.name)
	if c.departs(account, "old-key", u.name) {
		u.rotated = c.ago(400)
	}
	if c.departs(account, "unused-key", u.name) {
		u.rotated, u.used = c.ago(400), c.ago(200)
	}
	return u
}

// named is the user of that name.
func (c *Cloud) named(account string, name *string) (user, error) {
	i, err := strconv.Atoi(strings.TrimPrefix(aws.ToString(name), "user-"))
	if err != nil || i < 0 || i >= c.Users {
		return user{}, fail("NoSuchEntity", "The user with name "+aws.ToString(name)+" cannot be found.")
	}
	return c.user(account, i), nil
}

// iamUsers answers for what IAM says of single users.
func iamUsers(c *Cloud) {
	on(c, "IAM", func(call Call, in *awsiam.GetUserInput) (*awsiam.GetUserOutput, error) {
		u, err := c.named(call.Account, in.UserName)
		return &awsiam.GetUserOutput{User: &iamtypes.User{
			UserName: &u.name, Arn: &u.arn, Path: aws.String("/"), UserId: aws.String("AIDAEXAMPLEEXAMPLE123"),
			CreateDate: aws.Time(c.ago(900)), PasswordLastUsed: aws.Time(c.ago(1)),
		}}, err
	})
	on(c, "IAM", func(call Call, in *awsiam.GetLoginProfileInput) (*awsiam.GetLoginProfileOutput, error) {
		u, err := c.named(call.Account, in.UserName)
		if err == nil && !u.password {
			err = fail("NoSuchEntity", "Login Profile for User "+u.name+" cannot be found.")
		}
		return &awsiam.GetLoginProfileOutput{LoginProfile: &iamtypes.LoginProfile{UserName: &u.name, CreateDate: aws.Time(c.ago(900))}}, err
	})
	on(c, "IAM", func(call Call, in *awsiam.ListMFADevicesInput) (*awsiam.ListMFADevicesOutput, error) {
		u, err := c.named(call.Account, in.UserName)
		out := &awsiam.ListMFADevicesOutput{MFADevices: []iamtypes.MFADevice{}}
		if u.mfa {
			out.MFADevices = append(out.MFADevices, iamtypes.MFADevice{
				UserName: &u.name, SerialNumber: aws.String("arn:aws:iam::" + call.Account + ":mfa/" + u.name), EnableDate: aws.Time(c.ago(900)),
			})
		}
		return out, err
	})
	on(c, "IAM", func(call Call, in *awsiam.ListAccessKeysInput) (*awsiam.ListAccessKeysOutput, error) {
		u, err := c.named(call.Account, in.UserName)
		return &awsiam.ListAccessKeysOutput{AccessKeyMetadata: []iamtypes.AccessKeyMetadata{
			{UserName: &u.name, AccessKeyId: &u.key, Status: iamtypes.StatusTypeActive, CreateDate: &u.rotated},
		}}, err
	})
	on(c, "IAM", func(call Call, in *awsiam.GetAccessKeyLastUsedInput) (*awsiam.GetAccessKeyLastUsedOutput, error) {
		key := aws.ToString(in.AccessKeyId)
		if len(key) != 20 {
			return nil, fail("NoSuchEntity", "The Access Key with id "+key+" cannot be found.")
		}
		i, _ := strconv.Atoi(key[16:])
		u, err := c.named(call.Account, aws.String(fmt.Sprintf("user-%02d", i)))
		return &awsiam.GetAccessKeyLastUsedOutput{UserName: &u.name, AccessKeyLastUsed: &iamtypes.AccessKeyLastUsed{
			LastUsedDate: &u.used, ServiceName: aws.String("s3"), Region: aws.String("eu-central-1"),
		}}, err
	})
	on(c, "IAM", func(call Call, in *awsiam.ListAttachedUserPoliciesInput) (*awsiam.ListAttachedUserPoliciesOutput, error) {
		_, err := c.named(call.Account, in.UserName)
		return &awsiam.ListAttachedUserPoliciesOutput{AttachedPolicies: []iamtypes.AttachedPolicy{}}, err
	})
}
