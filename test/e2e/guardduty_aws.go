package e2e

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// What the controls of GuardDutyBaseline are called.
const (
	gdDetector     = "guardduty-detector"
	gdFeatures     = "guardduty-features"
	gdOrganization = "guardduty-organization"
)

// gdPlans are the optional plans of GuardDuty, as AWS spells them.
var gdPlans = []types.DetectorFeature{
	types.DetectorFeatureS3DataEvents, types.DetectorFeatureEksAuditLogs, types.DetectorFeatureEbsMalwareProtection,
	types.DetectorFeatureRdsLoginEvents, types.DetectorFeatureLambdaNetworkLogs, types.DetectorFeatureRuntimeMonitoring,
}

func gdOf(account, region string) *guardduty.Client {
	return guardduty.NewFromConfig(shared.emulator.Config(account, region))
}

// gdMake makes a detector that is on, with these plans and no others.
func gdMake(ctx context.Context, account, region string, frequency types.FindingPublishingFrequency, on ...types.DetectorFeature) {
	GinkgoHelper()
	var features []types.DetectorFeatureConfiguration
	for _, name := range gdPlans {
		status := types.FeatureStatusDisabled
		if slices.Contains(on, name) {
			status = types.FeatureStatusEnabled
		}
		features = append(features, types.DetectorFeatureConfiguration{Name: name, Status: status})
	}
	_, err := gdOf(account, region).CreateDetector(ctx, &guardduty.CreateDetectorInput{
		Enable: aws.Bool(true), FindingPublishingFrequency: frequency, Features: features,
	})
	Expect(err).NotTo(HaveOccurred())
}

// gdID is the id of an account's detector, empty where there is none.
func gdID(ctx context.Context, account, region string) string {
	GinkgoHelper()
	out, err := gdOf(account, region).ListDetectors(ctx, &guardduty.ListDetectorsInput{})
	Expect(err).NotTo(HaveOccurred())
	if len(out.DetectorIds) == 0 {
		return ""
	}
	return out.DetectorIds[0]
}

// gdGet is an account's detector.
func gdGet(ctx context.Context, account, region string) *guardduty.GetDetectorOutput {
	GinkgoHelper()
	out, err := gdOf(account, region).GetDetector(ctx, &guardduty.GetDetectorInput{DetectorId: aws.String(gdID(ctx, account, region))})
	Expect(err).NotTo(HaveOccurred())
	return out
}

// gdOn are the optional plans and agents that are on in an account's detector.
func gdOn(ctx context.Context, account, region string) []string {
	GinkgoHelper()
	on := []string{}
	for _, f := range gdGet(ctx, account, region).Features {
		if !slices.Contains(gdPlans, types.DetectorFeature(f.Name)) && f.Name != types.DetectorFeatureResultEksRuntimeMonitoring {
			continue // what every detector has
		}
		if f.Status == types.FeatureStatusEnabled {
			on = append(on, string(f.Name))
		}
		for _, a := range f.AdditionalConfiguration {
			if a.Status == types.FeatureStatusEnabled {
				on = append(on, string(f.Name)+"/"+string(a.Name))
			}
		}
	}
	return on
}

// gdSet turns one plan of an account on or off in its own detector.
func gdSet(ctx context.Context, on bool, plan types.DetectorFeature, account, region string) {
	GinkgoHelper()
	status := types.FeatureStatusDisabled
	if on {
		status = types.FeatureStatusEnabled
	}
	_, err := gdOf(account, region).UpdateDetector(ctx, &guardduty.UpdateDetectorInput{
		DetectorId: aws.String(gdID(ctx, account, region)),
		Features:   []types.DetectorFeatureConfiguration{{Name: plan, Status: status}},
	})
	Expect(err).NotTo(HaveOccurred())
}

// gdMemberOff turns S3 Protection off in members, as the delegated administrator.
func gdMemberOff(ctx context.Context, administrator, region string, accounts ...string) {
	GinkgoHelper()
	out, err := gdOf(administrator, region).UpdateMemberDetectors(ctx, &guardduty.UpdateMemberDetectorsInput{
		DetectorId: aws.String(gdID(ctx, administrator, region)), AccountIds: accounts,
		Features: []types.MemberFeaturesConfiguration{{Name: types.OrgFeatureS3DataEvents, Status: types.FeatureStatusDisabled}},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(out.UnprocessedAccounts).To(BeEmpty())
}

// gdSuspend suspends a member, as the delegated administrator.
func gdSuspend(ctx context.Context, administrator, region, account string) {
	GinkgoHelper()
	out, err := gdOf(administrator, region).StopMonitoringMembers(ctx, &guardduty.StopMonitoringMembersInput{
		DetectorId: aws.String(gdID(ctx, administrator, region)), AccountIds: []string{account},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(out.UnprocessedAccounts).To(BeEmpty())
}

// gdLever is the organization's configuration in a region: autoEnable, and the plans that are not NONE.
func gdLever(ctx context.Context, administrator, region string) (members string, plans map[string]string) {
	GinkgoHelper()
	out, err := gdOf(administrator, region).DescribeOrganizationConfiguration(ctx,
		&guardduty.DescribeOrganizationConfigurationInput{DetectorId: aws.String(gdID(ctx, administrator, region))})
	Expect(err).NotTo(HaveOccurred())
	plans = map[string]string{}
	for _, f := range out.Features {
		if f.AutoEnable != types.OrgFeatureStatusNone {
			plans[string(f.Name)] = string(f.AutoEnable)
		}
	}
	return string(out.AutoEnableOrganizationMembers), plans
}

// gdAdministrator is GuardDuty's delegated administrator in a region, empty where there is none.
func gdAdministrator(ctx context.Context, region string) string {
	GinkgoHelper()
	out, err := gdOf(management, region).ListOrganizationAdminAccounts(ctx, &guardduty.ListOrganizationAdminAccountsInput{})
	Expect(err).NotTo(HaveOccurred())
	if len(out.AdminAccounts) == 0 {
		return ""
	}
	return aws.ToString(out.AdminAccounts[0].AdminAccountId)
}

// gdCounts counts the calls to GuardDuty since a mark by operation, account and region.
func (s *scene) gdCounts(ctx context.Context, since int) map[string]int {
	GinkgoHelper()
	counts := map[string]int{}
	for _, line := range lines(s.requests(ctx, stack.Query{Since: since, Service: []string{"guardduty"}})) {
		counts[line]++
	}
	return counts
}

// gdRow is a drift row about an account's detector, or about a plan of it.
func gdRow(account, region, field, want, got string) v1alpha1.DriftRow {
	control, severity := gdFeatures, v1alpha1.SeverityMedium
	if field == "state" || field == "findingPublishingFrequency" {
		control, severity = gdDetector, v1alpha1.SeverityHigh
	}
	return v1alpha1.DriftRow{
		Control: control, Region: region, Resource: "arn:aws:guardduty:" + region + ":" + account + ":detector", Field: field,
		Desired: want, Observed: got, Severity: severity,
	}
}

// gdOff is the row of a detector that is not on.
func gdOff(account, region string) v1alpha1.DriftRow {
	return gdRow(account, region, "state", "Enabled", "Disabled")
}

// gdPlanOff is the row of S3 Protection being off.
func gdPlanOff(account, region string) v1alpha1.DriftRow {
	return gdRow(account, region, "s3DataEvents", "Enabled", "Disabled")
}
