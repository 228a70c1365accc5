package e2e

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	gdCreate = "guardduty:CreateDetector"
	gdUpdate = "guardduty:UpdateDetector"
)

// gdNeverDeleted says that nobody, whatever happened in the scene, asked for a detector to be deleted.
func (s *scene) gdNeverDeleted() {
	It("never deletes a detector, nor a member", func(ctx SpecContext) {
		Expect(s.requests(ctx, stack.Query{Service: []string{"guardduty"}})).NotTo(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Service: []string{"guardduty"}, Operation: []string{"Delete*", "Disassociate*"}})).To(BeEmpty())
	})
}

// Features, their defaults and what a region does not offer are the emulator's own model of AWS.
var _ = Describe("GuardDuty of accounts without an administrator", Ordered, ContinueOnFailure, func() {
	const often, seldom = types.FindingPublishingFrequencyFifteenMinutes, types.FindingPublishingFrequencySixHours
	ours := []string{payProd, shopProd, webProd}
	where := []string{frankfurt, ireland}
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, s *scene) {
		// pay-prod has no detector at all, shop-prod a suspended one, web-prod one without S3 Protection.
		for _, region := range where {
			gdMake(ctx, shopProd, region, often, types.DetectorFeatureS3DataEvents)
			gdMake(ctx, webProd, region, often, types.DetectorFeatureS3DataEvents, types.DetectorFeatureRdsLoginEvents)
		}
		_, err := gdOf(shopProd, frankfurt).UpdateDetector(ctx, &guardduty.UpdateDetectorInput{
			DetectorId: aws.String(gdID(ctx, shopProd, frankfurt)), Enable: aws.Bool(false), FindingPublishingFrequency: seldom,
		})
		Expect(err).NotTo(HaveOccurred())
		gdSet(ctx, false, types.DetectorFeatureS3DataEvents, webProd, ireland)
		s.setState(ctx, map[string]any{"guardduty_absent_features": map[string]any{ireland: []string{"LAMBDA_NETWORK_LOGS"}}})
	}})
	declare := func(ctx context.Context, head, rest string) {
		s.declare(ctx, "GuardDutyBaseline", "detectors", dedent(`
			`+head+`
			accounts: {include: ["`+strings.Join(ours, `", "`)+`"]}
			regions: {include: [`+strings.Join(where, ", ")+`]}`)+"\n"+dedent(rest))
		s.awaitLooked(ctx, "GuardDutyBaseline", "detectors")
	}
	const on = `
			detector: {state: Enabled, findingPublishingFrequency: FIFTEEN_MINUTES}`
	evident := func(row v1alpha1.DriftRow, evidence string) v1alpha1.DriftRow {
		row.Message += "; " + evidence
		return row
	}

	It("is reported by account and region; Audit changes nothing", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Audit", on+"\n			features: {state: Enabled, s3DataEvents: Enabled}")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(evident(audited(gdOff(payProd, frankfurt), "Safe"), "there is no detector"),
			evident(audited(gdOff(payProd, ireland), "Safe"), "there is no detector")))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(audited(gdOff(shopProd, frankfurt), "Safe"),
			audited(gdRow(shopProd, frankfurt, "findingPublishingFrequency", "FIFTEEN_MINUTES", "SIX_HOURS"), "Safe")))
		Expect(s.rows(ctx, webProd)).To(ConsistOf(audited(gdPlanOff(webProd, ireland), "Disruptive")))
		Expect(control(s.account(ctx, payProd), gdFeatures)).To(And(HaveField("Reason", v1alpha1.RowWaiting),
			HaveField("Unknown", map[string]int32{frankfurt: 1, ireland: 1})), "without a detector no plan can be judged")
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is turned on by itself, with every plan off that nobody has approved: plans cost money", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce", on+"\n			features: {state: Enabled, s3DataEvents: Enabled}")
		s.awaitReasons(ctx, payProd, map[string]int{gdFeatures + " AwaitingApproval": 2})
		// Ireland does not know every plan, and refuses to hear of it: there the detector is made suspended and then turned on.
		Expect(s.writes(ctx, mark)).To(ConsistOf(call(gdCreate, payProd, frankfurt), call(gdCreate, payProd, ireland),
			call(gdCreate, payProd, ireland), call(gdUpdate, payProd, ireland), call(gdUpdate, shopProd, frankfurt)))
		for _, region := range where {
			Expect(gdGet(ctx, payProd, region)).To(And(HaveField("Status", types.DetectorStatusEnabled), HaveField("FindingPublishingFrequency", often)))
			Expect(gdOn(ctx, payProd, region)).To(BeEmpty())
		}
		Expect(gdGet(ctx, shopProd, frankfurt)).To(And(HaveField("Status", types.DetectorStatusEnabled), HaveField("FindingPublishingFrequency", often)))
		Expect(s.rows(ctx, payProd)).To(ConsistOf(awaitsApproval(gdPlanOff(payProd, frankfurt)), awaitsApproval(gdPlanOff(payProd, ireland))))
		Expect(s.rows(ctx, webProd)).To(ConsistOf(awaitsApproval(gdPlanOff(webProd, ireland))))
	})

	It("gets the declared plans with approval: Irreversible, and keeps the others as they are", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce", on+"\n			features: {state: Enabled, s3DataEvents: Enabled, approval: Irreversible}")
		s.compliant(ctx, "GuardDutyBaseline", "detectors")
		Expect(s.writes(ctx, mark)).To(ConsistOf(call(gdUpdate, payProd, frankfurt), call(gdUpdate, payProd, ireland), call(gdUpdate, webProd, ireland)))
		for _, region := range where {
			Expect(gdOn(ctx, payProd, region)).To(Equal([]string{"S3_DATA_EVENTS"}))
			Expect(gdOn(ctx, webProd, region)).To(Equal([]string{"S3_DATA_EVENTS", "RDS_LOGIN_EVENTS"}))
		}
	})

	It("is made anew, with only the declared plans on, where somebody has deleted the detector", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"account": payProd, "region": frankfurt, "detector": map[string]any{"deleted": true}})
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(gdCreate, payProd, frankfurt)}))
		Expect(gdGet(ctx, payProd, frankfurt).Status).To(Equal(types.DetectorStatusEnabled))
		Expect(gdOn(ctx, payProd, frankfurt)).To(Equal([]string{"S3_DATA_EVENTS"}))
	})

	It("is not applicable where the region does not offer a plan", func(ctx SpecContext) {
		declare(ctx, "mode: Audit", on+"\n			features: {state: Enabled, lambdaNetworkLogs: Enabled}")
		Expect(control(s.account(ctx, webProd), gdFeatures)).To(And(HaveField("NotApplicable", []string{ireland}),
			HaveField("Drifted", map[string]int32{frankfurt: 1})))
	})

	It("waits for an approval to lose a plan, also with approval: Irreversible, and gets another meanwhile", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce\napproval: Irreversible", on+"\n			features: {state: Enabled, s3DataEvents: Disabled, eksAuditLogs: Enabled}")
		s.recheck(ctx, ours...)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(gdUpdate, ours, where)))
		for _, id := range ours {
			Expect(s.rows(ctx, id)).To(ConsistOf(weakens(gdRow(id, frankfurt, "s3DataEvents", "Disabled", "Enabled")),
				weakens(gdRow(id, ireland, "s3DataEvents", "Disabled", "Enabled"))))
		}
		Expect(gdOn(ctx, payProd, frankfurt)).To(Equal([]string{"S3_DATA_EVENTS", "EKS_AUDIT_LOGS"}))
	})

	It("waits for an approval to be turned off, also with approval: Irreversible", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce\napproval: Irreversible", `
			detector: {state: Disabled}`)
		s.recheck(ctx, ours...)
		for _, id := range ours {
			Expect(s.rows(ctx, id)).To(ConsistOf(weakens(gdRow(id, frankfurt, "state", "Disabled", "Enabled")),
				weakens(gdRow(id, ireland, "state", "Disabled", "Enabled"))))
			Expect(gdGet(ctx, id, frankfurt).Status).To(Equal(types.DetectorStatusEnabled))
		}
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	s.gdNeverDeleted()
})

// The organization, its members and UnprocessedAccounts are the emulator's own model of AWS.
var _ = Describe("GuardDuty of an organization", Ordered, ContinueOnFailure, func() {
	const (
		delegate, lever              = "guardduty:EnableOrganizationAdminAccount", "guardduty:UpdateOrganizationConfiguration"
		addMember, resume, setMember = "guardduty:CreateMembers", "guardduty:StartMonitoringMembers", "guardduty:UpdateMemberDetectors"
	)
	where := []string{frankfurt, ireland}
	governed := []string{payProd, shopProd, webProd, dataProd}
	s := stage(plot{
		flags: []string{"--allow-writes"}, organization: `delegatedAdministrators: {guardduty: "` + security + `"}`,
		before: func(ctx context.Context, s *scene) {
			for _, id := range members { // what has just joined is left to the organization's configuration
				s.setState(ctx, map[string]any{"account": id, "joined_at": "2024-05-01T09:00:00Z"})
			}
			gdMake(ctx, webProd, frankfurt, types.FindingPublishingFrequencySixHours, types.DetectorFeatureS3DataEvents)
		},
	})
	inRegions := `regions: {include: [` + strings.Join(where, ", ") + `]}`
	declareLever := func(ctx context.Context, head, section string) {
		s.declare(ctx, "GuardDutyBaseline", "lever", dedent(`
			`+head+`
			`+inRegions+`
			organization: {state: Enabled, `+section+`}`))
		s.awaitLooked(ctx, "GuardDutyBaseline", "lever")
	}
	declareMembers := func(ctx context.Context, head, rest string) {
		s.declare(ctx, "GuardDutyBaseline", "members", dedent(`
			`+head+`
			accounts: {include: ["`+strings.Join(governed, `", "`)+`"]}
			`+inRegions)+"\n"+dedent(rest))
		s.awaitLooked(ctx, "GuardDutyBaseline", "members")
	}
	organizationRow := func(region, resource, field, want, got string) v1alpha1.DriftRow {
		return v1alpha1.DriftRow{
			Control: gdOrganization, Region: v1alpha1.GlobalRegion, Resource: "arn:aws:guardduty:" + region + ":" + security + ":" + resource,
			Field: field, Desired: want, Observed: got, Severity: v1alpha1.SeverityMedium,
		}
	}
	delegation := func(region string) v1alpha1.DriftRow {
		return organizationRow(region, "delegated-administrator", "delegatedAdministrator", security, "none")
	}

	It("is reported in the account that is to administer it; Audit and the default approval change nothing", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declareLever(ctx, "mode: Audit", "autoEnable: NEW, features: {s3DataEvents: NEW}")
		Expect(s.rows(ctx, security)).To(ConsistOf(audited(delegation(frankfurt), "Disruptive"), audited(delegation(ireland), "Disruptive")))
		Expect(control(s.account(ctx, security), gdOrganization).Unknown).To(Equal(map[string]int32{v1alpha1.GlobalRegion: 2}),
			"the configuration waits for the administrator")
		declareLever(ctx, "mode: Enforce", "autoEnable: NEW, features: {s3DataEvents: NEW}")
		Expect(s.rows(ctx, security)).To(ConsistOf(awaitsApproval(delegation(frankfurt)), awaitsApproval(delegation(ireland))))
		Expect(s.rows(ctx, management)).To(BeEmpty())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is delegated by the management account and configured by the administrator with approval: Irreversible", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declareLever(ctx, "mode: Enforce\napproval: Irreversible", "autoEnable: NEW, features: {s3DataEvents: NEW}")
		s.recheck(ctx, security) // or a minute later, by itself
		s.compliant(ctx, "GuardDutyBaseline", "lever")
		Expect(s.writes(ctx, mark)).To(ConsistOf(append(
			inEach(delegate, []string{management}, where), inEach(lever, []string{security}, where)...)))
		for _, region := range where {
			Expect(gdAdministrator(ctx, region)).To(Equal(security))
			members, plans := gdLever(ctx, security, region)
			Expect(members).To(Equal("NEW"))
			Expect(plans).To(Equal(map[string]string{"S3_DATA_EVENTS": "NEW"}))
		}
		Expect(gdAdministrator(ctx, virginia)).To(BeEmpty(), "a region that the baseline does not select")
	})

	It("is put right where somebody else has changed the configuration, and what is not declared is kept", func(ctx SpecContext) {
		_, err := gdOf(security, ireland).UpdateOrganizationConfiguration(ctx, &guardduty.UpdateOrganizationConfigurationInput{
			DetectorId: aws.String(gdID(ctx, security, ireland)), AutoEnableOrganizationMembers: types.AutoEnableMembersNew,
			Features: []types.OrganizationFeatureConfiguration{
				{Name: types.OrgFeatureS3DataEvents, AutoEnable: types.OrgFeatureStatusNone},
				{Name: types.OrgFeatureRdsLoginEvents, AutoEnable: types.OrgFeatureStatusNew},
			},
		})
		Expect(err).NotTo(HaveOccurred())
		mark := s.mark(ctx)
		s.recheck(ctx, security)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(lever, security, ireland)}))
		members, plans := gdLever(ctx, security, ireland)
		Expect(members).To(Equal("NEW"))
		Expect(plans).To(Equal(map[string]string{"S3_DATA_EVENTS": "NEW", "RDS_LOGIN_EVENTS": "NEW"}))
	})

	It("waits for an approval to enable nobody any more", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declareLever(ctx, "mode: Enforce\napproval: Irreversible", "autoEnable: NONE")
		s.recheck(ctx, security)
		Expect(s.rows(ctx, security)).To(ConsistOf(weakens(organizationRow(frankfurt, "organization-configuration", "autoEnable", "NONE", "NEW")),
			weakens(organizationRow(ireland, "organization-configuration", "autoEnable", "NONE", "NEW"))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		declareLever(ctx, "mode: Enforce\napproval: Irreversible", "autoEnable: NEW, features: {s3DataEvents: NEW}")
	})

	It("makes an account without GuardDuty a member, with its e-mail address, through the administrator", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declareMembers(ctx, "mode: Enforce", `
			detector: {state: Enabled}`)
		s.compliant(ctx, "GuardDutyBaseline", "members")
		// web-prod has its own in Frankfurt, which is on: that is all that is declared.
		Expect(s.writes(ctx, mark)).To(ConsistOf(call(addMember, security, frankfurt), call(addMember, security, frankfurt),
			call(addMember, security, frankfurt), call(addMember, security, ireland), call(addMember, security, ireland),
			call(addMember, security, ireland), call(addMember, security, ireland)))
		emails := map[string]string{}
		for _, r := range s.requests(ctx, stack.Query{Since: mark, Operation: []string{"CreateMembers"}, Parameters: true}) {
			var sent struct {
				AccountDetails []struct {
					AccountID string `json:"AccountId"`
					Email     string
				}
			}
			Expect(json.Unmarshal(r.Parameters, &sent)).To(Succeed())
			Expect(sent.AccountDetails).To(HaveLen(1))
			emails[sent.AccountDetails[0].AccountID] = sent.AccountDetails[0].Email
		}
		Expect(emails).To(Equal(map[string]string{
			payProd: payProd + "@example.com", shopProd: shopProd + "@example.com", webProd: webProd + "@example.com", dataProd: dataProd + "@example.com",
		}))
		for _, id := range governed {
			for _, region := range where {
				Expect(gdGet(ctx, id, region).Status).To(Equal(types.DetectorStatusEnabled))
			}
		}
	})

	It("reads members once per region for the whole organization, not once per account", func(ctx SpecContext) {
		declareMembers(ctx, "mode: Enforce", `
			detector: {state: Enabled}
			features: {state: Enabled, s3DataEvents: Enabled}`)
		s.compliant(ctx, "GuardDutyBaseline", "members")
		s.kill() // what was read for all accounts is forgotten
		s.start(ctx)
		mark := s.mark(ctx)
		s.recheck(ctx)
		want := map[string]int{
			call("guardduty:ListDetectors", webProd, frankfurt): 1, call("guardduty:GetDetector", webProd, frankfurt): 1, // is no member
		}
		for _, region := range where {
			want[call("guardduty:ListMembers", security, region)] = 1
			want[call("guardduty:GetMemberDetectors", security, region)] = 1
			want[call("guardduty:ListDetectors", security, region)] = 3 // one for each of these, one for the configuration
			want[call("guardduty:DescribeOrganizationConfiguration", security, region)] = 1
			want[call("guardduty:ListOrganizationAdminAccounts", management, region)] = 1
		}
		Expect(s.gdCounts(ctx, mark)).To(Equal(want))
	})

	It("reports a member that publishes as seldom as its administrator: there is nothing to set in the member", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declareMembers(ctx, "mode: Audit", `
			detector: {state: Enabled, findingPublishingFrequency: ONE_HOUR}`)
		frequency := func(account, region string) v1alpha1.DriftRow {
			return gdRow(account, region, "findingPublishingFrequency", "ONE_HOUR", "SIX_HOURS")
		}
		follows := func(account, region string) v1alpha1.DriftRow {
			return because(frequency(account, region), "FollowsAdministrator", "a member publishes as often as GuardDuty's delegated "+
				"administrator "+security+" — declare the frequency for that account")
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(follows(payProd, frankfurt), follows(payProd, ireland)))
		Expect(s.rows(ctx, webProd)).To(ConsistOf(audited(frequency(webProd, frankfurt), "Safe"), follows(webProd, ireland)))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		declareMembers(ctx, "mode: Enforce", `
			detector: {state: Enabled}
			features: {state: Enabled, s3DataEvents: Enabled}`)
	})

	It("resumes a member that was suspended, at the next look", func(ctx SpecContext) {
		gdSuspend(ctx, security, ireland, shopProd)
		mark := s.mark(ctx)
		s.recheck(ctx, shopProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(resume, security, ireland)}))
		Expect(gdGet(ctx, shopProd, ireland).Status).To(Equal(types.DetectorStatusEnabled))
	})

	It("waits for an approval to turn on a member's plan, and sends no other one", func(ctx SpecContext) {
		gdMemberOff(ctx, security, frankfurt, payProd)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(ConsistOf(awaitsApproval(gdPlanOff(payProd, frankfurt))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		declareMembers(ctx, "mode: Enforce", `
			detector: {state: Enabled}
			features: {state: Enabled, s3DataEvents: Enabled, approval: Irreversible}`)
		s.compliant(ctx, "GuardDutyBaseline", "members")
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(setMember, security, frankfurt)}))
		sent := s.requests(ctx, stack.Query{Since: mark, Operation: []string{"UpdateMemberDetectors"}, Parameters: true})[0].Parameters
		Expect(sent).To(MatchJSON(`{"DetectorId": "` + gdID(ctx, security, frankfurt) + `", "AccountIds": ["` + payProd + `"],
			"Features": [{"Name": "S3_DATA_EVENTS", "Status": "ENABLED"}]}`))
		Expect(gdOn(ctx, payProd, frankfurt)).To(Equal([]string{"S3_DATA_EVENTS"}))
	})

	It("fails for the one account that AWS leaves unprocessed, and for no other", func(ctx SpecContext) {
		gdMemberOff(ctx, security, frankfurt, payProd, shopProd)
		s.setState(ctx, map[string]any{"guardduty_unprocessed": map[string]any{"UpdateMemberDetectors": map[string]any{
			shopProd: "The request is rejected because of an internal error.",
		}}})
		s.recheck(ctx, payProd, shopProd)
		Expect(s.rows(ctx, payProd)).To(BeEmpty())
		Expect(gdOn(ctx, payProd, frankfurt)).To(Equal([]string{"S3_DATA_EVENTS"}))
		rows := s.rows(ctx, shopProd)
		Expect(rows).To(ConsistOf(And(HaveField("Control", gdFeatures), HaveField("Region", frankfurt), HaveField("Field", "s3DataEvents"),
			HaveField("Reason", v1alpha1.RowRemediationFailed), HaveField("Message", ContainSubstring("because of an internal error")))))
		s.awaitCondition(ctx, "AWSAccount", shopProd, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
		s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		s.setState(ctx, map[string]any{"guardduty_unprocessed": map[string]any{}})
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(BeEmpty())
	})

	It("waits for an approval to suspend a member", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "GuardDutyBaseline", "off", `
			mode: Enforce
			approval: Irreversible
			priority: 10
			accounts: {include: ["`+dataProd+`"]}
			`+inRegions+`
			detector: {state: Disabled}`)
		s.awaitLooked(ctx, "GuardDutyBaseline", "off")
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(weakens(gdRow(dataProd, frankfurt, "state", "Disabled", "Enabled")),
			weakens(gdRow(dataProd, ireland, "state", "Disabled", "Enabled"))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("reports an account that is declared Disabled while the organization turns on all, and writes nothing", func(ctx SpecContext) {
		declareLever(ctx, "mode: Enforce\napproval: Irreversible", "autoEnable: ALL, features: {s3DataEvents: NEW}")
		s.compliant(ctx, "GuardDutyBaseline", "lever")
		mark := s.mark(ctx)
		s.recheck(ctx, dataProd)
		contradicts := func(region string) v1alpha1.DriftRow {
			return because(gdRow(dataProd, region, "state", "Disabled", "Enabled"), v1alpha1.RowContradictsOrganization,
				"the organization's configuration turns on GuardDuty itself in ALL accounts, this one included: nothing is written — lower "+
					"autoEnable in the organization section, or declare Enabled here")
		}
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(contradicts(frankfurt), contradicts(ireland)))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(gdGet(ctx, dataProd, frankfurt).Status).To(Equal(types.DetectorStatusEnabled))
	})

	It("leaves an account that has just joined to the organization's configuration, and waits for it", func(ctx SpecContext) {
		const newcomer = "333344445555"
		s.setState(ctx, map[string]any{"guardduty_org_lag": true})
		Expect(shared.emulator.SeedAccount(ctx, s.organization, stack.AccountSeed{ID: newcomer, Name: "newcomer"})).To(Succeed())
		Expect(shared.emulator.SeedRoles(ctx, newcomer, *seed().Roles)).To(Succeed())
		mark := s.mark(ctx)
		s.discover(ctx)
		s.declare(ctx, "GuardDutyBaseline", "newcomers", `
			mode: Enforce
			accounts: {include: ["`+newcomer+`"]}
			`+inRegions+`
			detector: {state: Enabled}`)
		Eventually(func(g Gomega) {
			c := control(s.accountWith(ctx, g, newcomer), gdDetector)
			g.Expect(c).NotTo(BeNil())
			g.Expect(c.Reason + ": " + c.Message).To(And(HavePrefix("Waiting: "), ContainSubstring("joined less than 24 hours ago")))
			g.Expect(c.Drifted).To(BeEmpty())
			g.Expect(c.Unknown).To(Equal(map[string]int32{frankfurt: 1, ireland: 1}))
		}).WithContext(ctx).Should(Succeed())
		s.setState(ctx, map[string]any{"guardduty_org_lag": false})
		s.recheck(ctx, newcomer)
		Expect(s.account(ctx, newcomer).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	s.gdNeverDeleted()
})
