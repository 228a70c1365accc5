package scale

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// iam answers for IAM, but for users.
func iam(c *Cloud) {
	on(c, "IAM", func(call Call, _ *awsiam.GetAccountSummaryInput) (*awsiam.GetAccountSummaryOutput, error) {
		return &awsiam.GetAccountSummaryOutput{SummaryMap: map[string]int32{
			"AccountMFAEnabled": bit(!c.departs(call.Account, "root-mfa", "")), "AccountPasswordPresent": 1,
			"AccountAccessKeysPresent": bit(c.departs(call.Account, "root-keys", "")), "AccountSigningCertificatesPresent": 0,
			"Users": int32(c.Users), "AttachedPoliciesPerUserQuota": 10, //nolint:gosec // an account has at most 5,000 users
		}}, nil
	})
	on(c, "IAM", func(Call, *awsiam.ListVirtualMFADevicesInput) (*awsiam.ListVirtualMFADevicesOutput, error) {
		return &awsiam.ListVirtualMFADevicesOutput{VirtualMFADevices: []iamtypes.VirtualMFADevice{}}, nil
	})
	on(c, "IAM", func(call Call, _ *awsiam.GetAccountPasswordPolicyInput) (*awsiam.GetAccountPasswordPolicyOutput, error) {
		if c.departs(call.Account, "password-policy", "") {
			return nil, fail("NoSuchEntity", "The Password Policy with domain name "+call.Account+" cannot be found.")
		}
		return &awsiam.GetAccountPasswordPolicyOutput{PasswordPolicy: &iamtypes.PasswordPolicy{
			MinimumPasswordLength: aws.Int32(16), PasswordReusePrevention: aws.Int32(24), RequireLowercaseCharacters: true,
			RequireUppercaseCharacters: true, RequireNumbers: true, RequireSymbols: true, AllowUsersToChangePassword: true,
		}}, nil
	})
	on(c, "IAM", c.getRole)
	on(c, "IAM", func(call Call, in *awsiam.ListAttachedRolePoliciesInput) (*awsiam.ListAttachedRolePoliciesOutput, error) {
		name := strings.ToLower(aws.ToString(in.RoleName))
		return &awsiam.ListAttachedRolePoliciesOutput{AttachedPolicies: []iamtypes.AttachedPolicy{
			{PolicyName: &name, PolicyArn: aws.String("arn:aws:iam::" + call.Account + ":policy/plumbline/" + name)},
		}}, nil
	})
	on(c, "IAM", func(call Call, in *awsiam.ListRolePoliciesInput) (*awsiam.ListRolePoliciesOutput, error) {
		out := &awsiam.ListRolePoliciesOutput{PolicyNames: []string{}}
		if c.departs(call.Account, "role-policies", aws.ToString(in.RoleName)) {
			out.PolicyNames = append(out.PolicyNames, "break-glass")
		}
		return out, nil
	})
	on(c, "IAM", func(call Call, _ *awsiam.GetCredentialReportInput) (*awsiam.GetCredentialReportOutput, error) {
		if c.ReportsExpire && !c.reports.fresh(call.Account, c.Clock()) {
			return nil, fail("ReportExpired", "Credential report expired")
		}
		return &awsiam.GetCredentialReportOutput{
			Content: []byte(c.report(call.Account)), GeneratedTime: aws.Time(c.Clock()), ReportFormat: iamtypes.ReportFormatTypeTextCsv,
		}, nil
	})
	on(c, "IAM", func(call Call, _ *awsiam.GenerateCredentialReportInput) (*awsiam.GenerateCredentialReportOutput, error) {
		if c.faults.Load().NoReports {
			return nil, fail("LimitExceeded", "No more capacity to generate credential reports")
		}
		if c.ReportsExpire {
			c.reports.made(call.Account, c.Clock())
		}
		return &awsiam.GenerateCredentialReportOutput{State: iamtypes.ReportStateTypeComplete}, nil
	})
}

func bit(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// getRole knows the two roles of Plumbline's, below their default path.
func (c *Cloud) getRole(call Call, in *awsiam.GetRoleInput) (*awsiam.GetRoleOutput, error) {
	name := aws.ToString(in.RoleName)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + Manager +
		`:role/plumbline-manager"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + c.ExternalID + `"}}}]}`
	return &awsiam.GetRoleOutput{Role: &iamtypes.Role{
		RoleName: &name, Path: aws.String("/plumbline/"), Arn: aws.String("arn:aws:iam::" + call.Account + ":role/plumbline/" + name),
		AssumeRolePolicyDocument: &trust, CreateDate: aws.Time(c.ago(900)), RoleId: aws.String("AROAEXAMPLEEXAMPLE123"),
	}}, nil
}

// reportAge is how long AWS keeps a credential report ("GenerateCredentialReport", IAM API reference).
const reportAge = 4 * time.Hour

// reports are when the credential reports were made.
type reports struct{ at sync.Map }

func (r *reports) made(account string, now time.Time) { r.at.Store(account, now.Unix()) }

func (r *reports) fresh(account string, now time.Time) bool {
	at, ok := r.at.Load(account)
	return ok && now.Sub(time.Unix(at.(int64), 0)) < reportAge
}

// reportHeader has the columns of the report ("Generate credential reports for your AWS account", IAM user guide).
const reportHeader = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active," +
	"access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service," +
	"access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service," +
	"cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated\n"

func (c *Cloud) report(account string) string {
	var b strings.Builder
	b.Grow(len(reportHeader) + 256*(c.Users+1))
	b.WriteString(reportHeader)
	old := c.ago(900).Format(time.RFC3339)
	fmt.Fprintf(&b, "<root_account>,arn:aws:iam::%s:root,%s,not_supported,no_information,not_supported,not_supported,true,"+
		"false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n", account, old)
	for i := range c.Users {
		u := c.user(account, i)
		fmt.Fprintf(&b, "%s,%s,%s,%t,%s,%s,N/A,%t,true,%s,%s,eu-central-1,s3,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n",
			u.name, u.arn, old, u.password, c.ago(1).Format(time.RFC3339), old, u.mfa,
			u.rotated.Format(time.RFC3339), u.used.Format(time.RFC3339))
	}
	return b.String()
}
