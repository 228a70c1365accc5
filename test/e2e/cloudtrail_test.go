package e2e

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// Organization trails, their delegated administrator and event selectors are the emulator's own model of AWS.
var _ = Describe("The organization trail", Ordered, ContinueOnFailure, func() {
	const (
		start, update, selectors = "cloudtrail:StartLogging", "cloudtrail:UpdateTrail", "cloudtrail:PutEventSelectors"
		onTheTrail               = `
			logFileValidation: {state: Enabled}
			encryption: {state: Enabled, kmsKeyARN: "` + trailKey + `"}
			cloudWatchLogs: {state: Enabled, logGroupARN: "` + trailGroup + `", roleARN: "` + trailRole + `"}`
	)
	here := func(operation string) string { return call(operation, management, frankfurt) }
	dataEvents := types.EventSelector{
		ReadWriteType: types.ReadWriteTypeWriteOnly, IncludeManagementEvents: aws.Bool(false), ExcludeManagementEventSources: []string{},
		DataResources: []types.DataResource{{Type: aws.String("AWS::S3::Object"), Values: []string{"arn:aws:s3:::acme-payments/"}}},
	}
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		makeLogBucket(ctx, logBucket)
		makeLogBucket(ctx, "acme-old-logs")
		trustCloudTrail(ctx)
		_, err := trails(frankfurt).CreateTrail(ctx, &cloudtrail.CreateTrailInput{
			Name: aws.String("org-trail"), S3BucketName: aws.String("acme-old-logs"), S3KeyPrefix: aws.String("old"),
			IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(false), IncludeGlobalServiceEvents: aws.Bool(false),
		})
		Expect(err).NotTo(HaveOccurred())
		_, err = trails(frankfurt).PutEventSelectors(ctx, &cloudtrail.PutEventSelectorsInput{
			TrailName: aws.String("org-trail"), EventSelectors: []types.EventSelector{dataEvents},
		})
		Expect(err).NotTo(HaveOccurred())
	}})
	declare := func(ctx context.Context, head, trail, rest string) {
		s.declare(ctx, "CloudTrailBaseline", "trail", dedent(`
			`+head+`
			organizationTrail: {state: Enabled, name: org-trail, homeRegion: `+frankfurt+`, bucket: {name: `+logBucket+`}`+trail+`}`)+"\n"+dedent(rest))
		s.awaitLooked(ctx, "CloudTrailBaseline", "trail")
	}

	logging := trailRow(trailItself, v1alpha1.SeverityHigh, "logging", "Enabled", "Disabled")
	bucket := trailRow(trailItself, v1alpha1.SeverityHigh, "bucket.name", logBucket, "acme-old-logs")
	prefix := trailRow(trailItself, v1alpha1.SeverityHigh, "bucket.prefix", "none", "old")
	blind := trailRow(trailItself, v1alpha1.SeverityHigh, "managementEvents", "reads: all, writes: all", "reads: none, writes: none")
	validation := trailRow(trailValidation, v1alpha1.SeverityLow, "logFileValidation", "Enabled", "Disabled")
	key := trailRow(trailEncryption, v1alpha1.SeverityMedium, "kmsKeyARN", trailKey, "none")
	group := trailRow(trailLogs, v1alpha1.SeverityLow, "logGroupARN", trailGroup+":*", "none")
	role := trailRow(trailLogs, v1alpha1.SeverityLow, "roleARN", trailRole, "none")
	It("is reported field by field where it is decided, in the management account; Audit changes nothing", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Audit", "", onTheTrail)
		Expect(s.rows(ctx, management)).To(ConsistOf(
			audited(logging, "Safe"), audited(trailRow(trailItself, v1alpha1.SeverityHigh, "multiRegion", "Enabled", "Disabled"), "Safe"),
			audited(trailRow(trailItself, v1alpha1.SeverityHigh, "globalServiceEvents", "Enabled", "Disabled"), "Safe"),
			audited(bucket, "Disruptive"), audited(prefix, "Disruptive"), audited(validation, "Safe"),
			audited(key, "Disruptive"), audited(group, "Disruptive"), audited(role, "Disruptive"),
			because(blind, v1alpha1.RowReportOnly, "declare managementEvents: All to have the event selectors changed")))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Service: []string{"cloudtrail"}, Account: members})).To(BeEmpty())
	})

	It("is made to log everywhere and to validate its files by itself; the rest waits for an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce", ", managementEvents: All", onTheTrail)
		Expect(s.writes(ctx, mark)).To(ConsistOf(here(start), here(update), here(update)))
		Expect(s.rows(ctx, management)).To(ConsistOf(slices.Concat(together(disruptiveWaits, bucket, prefix, blind),
			together(disruptiveWaits, key), together(disruptiveWaits, group, role))))
		Expect(trailLogging(ctx, "org-trail", frankfurt)).To(BeTrue())
		Expect(theTrail(ctx)).To(And(HaveField("IsMultiRegionTrail", aws.Bool(true)), HaveField("IncludeGlobalServiceEvents", aws.Bool(true)),
			HaveField("LogFileValidationEnabled", aws.Bool(true)), HaveField("S3BucketName", aws.String("acme-old-logs")),
			HaveField("S3KeyPrefix", aws.String("old")), HaveField("KmsKeyId", BeNil())))
	})

	It("gets bucket, key, log group and sight with approval: Irreversible, and keeps its selectors of data events", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "mode: Enforce\napproval: Irreversible", ", managementEvents: All", onTheTrail)
		s.compliant(ctx, "CloudTrailBaseline", "trail")
		Expect(s.writes(ctx, mark)).To(ConsistOf(here(update), here(selectors), here(update), here(update)))
		Expect(theTrail(ctx)).To(And(HaveField("S3BucketName", aws.String(logBucket)), HaveField("S3KeyPrefix", BeNil()),
			HaveField("KmsKeyId", aws.String(trailKey)), HaveField("CloudWatchLogsLogGroupArn", aws.String(trailGroup+":*")),
			HaveField("CloudWatchLogsRoleArn", aws.String(trailRole)), HaveField("IsOrganizationTrail", aws.Bool(true))))
		out, err := trails(frankfurt).GetEventSelectors(ctx, &cloudtrail.GetEventSelectorsInput{TrailName: aws.String("org-trail")})
		Expect(err).NotTo(HaveOccurred())
		Expect(out.EventSelectors).To(Equal([]types.EventSelector{dataEvents, {
			ReadWriteType: types.ReadWriteTypeAll, IncludeManagementEvents: aws.Bool(true),
			DataResources: []types.DataResource{}, ExcludeManagementEventSources: []string{},
		}}))
	})

	It("logs again, with one write, after somebody has stopped it", func(ctx SpecContext) {
		setTrailLogging(ctx, false, "org-trail", frankfurt)
		mark := s.mark(ctx)
		s.recheck(ctx, management)
		Expect(s.writes(ctx, mark)).To(Equal([]string{here(start)}))
		Expect(trailLogging(ctx, "org-trail", frankfurt)).To(BeTrue())
		Expect(s.rows(ctx, management)).To(BeEmpty())
	})

	It("is reported while its deliveries fail, which a person must mend", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"account": management, "trail": "org-trail", "delivery": map[string]any{"LatestDeliveryError": "AccessDenied"}})
		mark := s.mark(ctx)
		s.recheck(ctx, management)
		Expect(s.rows(ctx, management)).To(ConsistOf(because(trailRow(trailItself, v1alpha1.SeverityHigh, "delivery", "no error", "AccessDenied"),
			v1alpha1.RowReportOnly, "deliveries fail: see the policies of the bucket and the key, and the role for the log group")))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		s.setState(ctx, map[string]any{"account": management, "trail": "org-trail", "delivery": map[string]any{"LatestDeliveryError": nil}})
	})

	It("fails in AWS's words where AWS refuses the change, and is mended at the next look once it does not", func(ctx SpecContext) {
		_, err := trails(frankfurt).UpdateTrail(ctx, &cloudtrail.UpdateTrailInput{Name: aws.String("org-trail"), KmsKeyId: aws.String("")})
		Expect(err).NotTo(HaveOccurred())
		lift := s.rule(ctx, stack.Rule{
			Match: in(management, frankfurt, "cloudtrail", "UpdateTrail"), Action: stack.ActionError,
			Code: "InsufficientEncryptionPolicyException", Message: "Insufficient permissions to access the KMS key.",
		})
		s.recheck(ctx, management)
		rows := s.rows(ctx, management)
		Expect(rows).To(HaveLen(1))
		Expect(rows[0].Message).To(And(ContainSubstring("InsufficientEncryptionPolicyException"), ContainSubstring("Insufficient permissions")))
		Expect(rows).To(ConsistOf(And(HaveField("Control", trailEncryption), HaveField("Field", "kmsKeyARN"),
			HaveField("Reason", v1alpha1.RowRemediationFailed), HaveField("Attempts", BeEquivalentTo(1)))))
		s.awaitCondition(ctx, "AWSAccount", management, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
		lift(ctx)
		s.recheck(ctx, management)
		Expect(s.rows(ctx, management)).To(BeEmpty())
		Expect(theTrail(ctx).KmsKeyId).To(Equal(aws.String(trailKey)))
	})

	It("waits for an approval to be weakened, even with approval: Irreversible", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "CloudTrailBaseline", "trail", `
			mode: Enforce
			approval: Irreversible
			organizationTrail: {state: Disabled, name: org-trail, homeRegion: `+frankfurt+`}
			logFileValidation: {state: Disabled}
			encryption: {state: Disabled}
			cloudWatchLogs: {state: Disabled}`)
		s.awaitLooked(ctx, "CloudTrailBaseline", "trail")
		s.recheck(ctx, management)
		off := func(row v1alpha1.DriftRow) v1alpha1.DriftRow {
			row.Desired, row.Observed = row.Observed, row.Desired
			return row
		}
		Expect(s.rows(ctx, management)).To(ConsistOf(append(together(weakeningWaits, off(group), off(role)),
			weakens(off(logging)), weakens(off(validation)), weakens(off(key)))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(trailLogging(ctx, "org-trail", frankfurt)).To(BeTrue())
	})
})

var _ = Describe("A missing organization trail", Ordered, ContinueOnFailure, func() {
	const legacy = "arn:aws:cloudtrail:" + ireland + ":" + management + ":trail/legacy"
	s := stage(plot{
		flags: []string{"--allow-writes"}, organization: `delegatedAdministrators: {cloudtrail: "` + security + `"}`,
		before: func(ctx context.Context, _ *scene) {
			makeLogBucket(ctx, logBucket)
			trustCloudTrail(ctx)
			_, err := trails(virginia).RegisterOrganizationDelegatedAdmin(ctx, &cloudtrail.RegisterOrganizationDelegatedAdminInput{
				MemberAccountId: aws.String(security),
			})
			Expect(err).NotTo(HaveOccurred())
			_, err = trails(ireland).CreateTrail(ctx, &cloudtrail.CreateTrailInput{
				Name: aws.String("legacy"), S3BucketName: aws.String(logBucket), IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true),
			})
			Expect(err).NotTo(HaveOccurred())
			setTrailLogging(ctx, true, "legacy", ireland)
		},
	})
	declare := func(ctx context.Context, approval, create string) {
		s.declare(ctx, "CloudTrailBaseline", "trail", `
			mode: Enforce
			approval: `+approval+`
			organizationTrail: {state: Enabled, name: org-trail, homeRegion: `+frankfurt+`, managementEvents: All, create: `+create+`, bucket: {name: `+logBucket+`, prefix: organization}}
			logFileValidation: {state: Enabled}`)
		s.awaitLooked(ctx, "CloudTrailBaseline", "trail")
	}
	row := func(got, reason, message string) v1alpha1.DriftRow {
		return because(trailRow(trailItself, v1alpha1.SeverityHigh, "name", "org-trail in "+frankfurt, got), reason, message)
	}
	here := func(operation string) string { return call(operation, security, frankfurt) }

	It("is reported in the delegated administrator's account, and what is set on it waits for it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Irreversible", "Never")
		Expect(s.rows(ctx, security)).To(ConsistOf(row("no such trail", v1alpha1.RowReportOnly,
			"create the organization trail in its home region, or declare create: IfMissing")))
		Expect(s.rows(ctx, management)).To(BeEmpty())
		waiting := control(s.account(ctx, security), trailValidation)
		Expect(waiting).NotTo(BeNil())
		Expect(waiting.Reason).To(Equal(v1alpha1.RowWaiting))
		Expect(waiting.Message).To(ContainSubstring("there is no trail org-trail in " + frankfurt + " yet"))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Service: []string{"cloudtrail"}, Account: []string{management, payProd}})).To(BeEmpty())
	})

	It("is not created while another organization trail logs: each event would be paid for twice", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Irreversible", "IfMissing")
		Expect(s.rows(ctx, security)).To(ConsistOf(row("no such trail; "+legacy+" logs", v1alpha1.RowReportOnly, "not created: "+legacy+
			" records management events of the organization, and a second copy of them is billed; declare that trail, or stop it first")))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("waits for an approval to be created", func(ctx SpecContext) {
		setTrailLogging(ctx, false, "legacy", ireland)
		mark := s.mark(ctx)
		declare(ctx, "Disruptive", "IfMissing")
		Expect(s.rows(ctx, security)).To(ConsistOf(awaitsApproval(row("no such trail", "", ""))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is created with approval: Irreversible by the delegated administrator, belongs to the management account, and logs", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Irreversible", "IfMissing")
		s.compliant(ctx, "CloudTrailBaseline", "trail")
		Expect(s.writes(ctx, mark)).To(Equal([]string{here("cloudtrail:CreateTrail"), here("cloudtrail:StartLogging"), here("cloudtrail:UpdateTrail")}))
		Expect(theTrail(ctx)).To(And(HaveField("TrailARN", aws.String(orgTrail)), HaveField("IsOrganizationTrail", aws.Bool(true)),
			HaveField("IsMultiRegionTrail", aws.Bool(true)), HaveField("IncludeGlobalServiceEvents", aws.Bool(true)),
			HaveField("LogFileValidationEnabled", aws.Bool(true)), HaveField("S3BucketName", aws.String(logBucket)),
			HaveField("S3KeyPrefix", aws.String("organization"))))
		Expect(trailLogging(ctx, "org-trail", frankfurt)).To(BeTrue())
		Expect(trailLogging(ctx, "legacy", ireland)).To(BeFalse(), "the other trail is nobody's business")
	})

	It("is left alone, and never deleted, when the baseline is deleted", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.withdraw(ctx, "cloudtrailbaseline", "trail")
		s.recheck(ctx, security)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(trailLogging(ctx, "org-trail", frankfurt)).To(BeTrue())
		Expect(s.requests(ctx, stack.Query{Operation: []string{"DeleteTrail"}})).To(BeEmpty())
	})
})
