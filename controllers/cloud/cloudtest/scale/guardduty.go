package scale

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	awstrail "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	awsgd "github.com/aws/aws-sdk-go-v2/service/guardduty"
	gdtypes "github.com/aws/aws-sdk-go-v2/service/guardduty/types"
)

// plans are GuardDuty's optional features, in the order in which AWS lists them.
var plans = []string{
	"S3_DATA_EVENTS", "EKS_AUDIT_LOGS", "EBS_MALWARE_PROTECTION", "RDS_LOGIN_EVENTS", "LAMBDA_NETWORK_LOGS", "RUNTIME_MONITORING",
}

// agents are those of Runtime Monitoring.
var agents = []string{"EKS_ADDON_MANAGEMENT", "ECS_FARGATE_AGENT_MANAGEMENT", "EC2_AGENT_MANAGEMENT"}

// guardDuty answers for GuardDuty: on everywhere, with one delegated administrator whose members are all other accounts.
func guardDuty(c *Cloud) {
	on(c, "GuardDuty", func(call Call, _ *awsgd.ListDetectorsInput) (*awsgd.ListDetectorsOutput, error) {
		return &awsgd.ListDetectorsOutput{DetectorIds: []string{keyID(call, 1)}}, nil
	})
	on(c, "GuardDuty", func(call Call, _ *awsgd.GetDetectorInput) (*awsgd.GetDetectorOutput, error) {
		out := &awsgd.GetDetectorOutput{
			Status: gdtypes.DetectorStatusEnabled, FindingPublishingFrequency: gdtypes.FindingPublishingFrequencyFifteenMinutes,
			ServiceRole: aws.String("arn:aws:iam::" + call.Account + ":role/aws-service-role/guardduty.amazonaws.com/AWSServiceRoleForAmazonGuardDuty"),
		}
		for _, p := range plans {
			f := gdtypes.DetectorFeatureConfigurationResult{Name: gdtypes.DetectorFeatureResult(p), Status: gdtypes.FeatureStatusEnabled}
			for _, a := range agentsOf(p) {
				f.AdditionalConfiguration = append(f.AdditionalConfiguration, gdtypes.DetectorAdditionalConfigurationResult{
					Name: gdtypes.FeatureAdditionalConfiguration(a), Status: gdtypes.FeatureStatusEnabled,
				})
			}
			out.Features = append(out.Features, f)
		}
		return out, nil
	})
	on(c, "GuardDuty", func(_ Call, in *awsgd.ListMembersInput) (*awsgd.ListMembersOutput, error) {
		out := &awsgd.ListMembersOutput{Members: []gdtypes.Member{}}
		size := 50
		if n := aws.ToInt32(in.MaxResults); n > 0 {
			size = min(int(n), size)
		}
		from, to, next := page(in.NextToken, size, c.Accounts)
		for i := from; i < to; i++ {
			if Account(i) != Administrator() {
				out.Members = append(out.Members, member(Account(i)))
			}
		}
		out.NextToken = next
		return out, nil
	})
	on(c, "GuardDuty", func(_ Call, in *awsgd.GetMembersInput) (*awsgd.GetMembersOutput, error) {
		out := &awsgd.GetMembersOutput{}
		for _, id := range in.AccountIds {
			out.Members = append(out.Members, member(id))
		}
		return out, nil
	})
	on(c, "GuardDuty", c.memberDetectors)
	on(c, "GuardDuty", describeOrganizationConfiguration)
	on(c, "GuardDuty", func(Call, *awsgd.ListOrganizationAdminAccountsInput) (*awsgd.ListOrganizationAdminAccountsOutput, error) {
		return &awsgd.ListOrganizationAdminAccountsOutput{AdminAccounts: []gdtypes.AdminAccount{
			{AdminAccountId: aws.String(Administrator()), AdminStatus: gdtypes.AdminStatusEnabled},
		}}, nil
	})
}

func agentsOf(plan string) []string {
	if plan == "RUNTIME_MONITORING" {
		return agents
	}
	return nil
}

func member(id string) gdtypes.Member {
	return gdtypes.Member{
		AccountId: &id, Email: aws.String("aws+" + id + "@example.org"), RelationshipStatus: aws.String("Enabled"),
		AdministratorId: aws.String(Administrator()), MasterId: aws.String(Administrator()), UpdatedAt: aws.String("2024-01-01T00:00:00.000Z"),
	}
}

func (c *Cloud) memberDetectors(call Call, in *awsgd.GetMemberDetectorsInput) (*awsgd.GetMemberDetectorsOutput, error) {
	out := &awsgd.GetMemberDetectorsOutput{UnprocessedAccounts: []gdtypes.UnprocessedAccount{}}
	for _, id := range in.AccountIds {
		one := gdtypes.MemberDataSourceConfiguration{AccountId: aws.String(id)}
		for _, p := range plans {
			f := gdtypes.MemberFeaturesConfigurationResult{Name: gdtypes.OrgFeature(p), Status: gdtypes.FeatureStatusEnabled}
			if c.departs(id, p, call.Region) {
				f.Status = gdtypes.FeatureStatusDisabled
			}
			for _, a := range agentsOf(p) {
				f.AdditionalConfiguration = append(f.AdditionalConfiguration, gdtypes.MemberAdditionalConfigurationResult{
					Name: gdtypes.OrgFeatureAdditionalConfiguration(a), Status: f.Status,
				})
			}
			one.Features = append(one.Features, f)
		}
		out.MemberDataSourceConfigurations = append(out.MemberDataSourceConfigurations, one)
	}
	return out, nil
}

func describeOrganizationConfiguration(
	Call, *awsgd.DescribeOrganizationConfigurationInput,
) (*awsgd.DescribeOrganizationConfigurationOutput, error) {
	out := &awsgd.DescribeOrganizationConfigurationOutput{AutoEnableOrganizationMembers: gdtypes.AutoEnableMembersAll}
	for _, p := range plans {
		f := gdtypes.OrganizationFeatureConfigurationResult{Name: gdtypes.OrgFeature(p), AutoEnable: gdtypes.OrgFeatureStatusNew}
		for _, a := range agentsOf(p) {
			f.AdditionalConfiguration = append(f.AdditionalConfiguration, gdtypes.OrganizationAdditionalConfigurationResult{
				Name: gdtypes.OrgFeatureAdditionalConfiguration(a), AutoEnable: gdtypes.OrgFeatureStatusNew,
			})
		}
		out.Features = append(out.Features, f)
	}
	return out, nil
}

// cloudTrail answers for CloudTrail: one trail of the organization, seen from its management account.
func cloudTrail(c *Cloud) {
	arn := "arn:aws:cloudtrail:" + TrailRegion + ":" + Management() + ":trail/" + TrailName
	on(c, "CloudTrail", func(Call, *awstrail.DescribeTrailsInput) (*awstrail.DescribeTrailsOutput, error) {
		return &awstrail.DescribeTrailsOutput{TrailList: []trailtypes.Trail{{
			Name: aws.String(TrailName), TrailARN: &arn, HomeRegion: aws.String(TrailRegion), S3BucketName: aws.String(TrailBucket),
			IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true), IncludeGlobalServiceEvents: aws.Bool(true),
			LogFileValidationEnabled: aws.Bool(true), HasCustomEventSelectors: aws.Bool(false), KmsKeyId: aws.String(TrailKey()),
			CloudWatchLogsLogGroupArn: aws.String(TrailLogGroup() + ":*"), CloudWatchLogsRoleArn: aws.String(TrailRole()),
		}}}, nil
	})
	on(c, "CloudTrail", func(Call, *awstrail.GetTrailStatusInput) (*awstrail.GetTrailStatusOutput, error) {
		delivered := c.Clock().UTC().Truncate(1e9)
		return &awstrail.GetTrailStatusOutput{
			IsLogging: aws.Bool(true), StartLoggingTime: aws.Time(c.ago(900)), LatestDeliveryTime: &delivered,
		}, nil
	})
	on(c, "CloudTrail", func(Call, *awstrail.GetEventSelectorsInput) (*awstrail.GetEventSelectorsOutput, error) {
		return &awstrail.GetEventSelectorsOutput{TrailARN: &arn, EventSelectors: []trailtypes.EventSelector{{
			IncludeManagementEvents: aws.Bool(true), ReadWriteType: trailtypes.ReadWriteTypeAll,
		}}}, nil
	})
}
