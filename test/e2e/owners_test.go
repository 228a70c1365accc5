package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("A bucket that CloudFormation manages", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	const theStack = "CloudFormation stack web-prod"
	var managed string
	var proposed v1alpha1.Remediation
	putBlock := call(s3PutBlock, shopProd, ireland)
	phaseOf := func(ctx context.Context, name string) v1alpha1.RemediationPhase {
		GinkgoHelper()
		var r v1alpha1.Remediation
		Expect(shared.client.Get(ctx, client.ObjectKey{Name: name}, &r)).To(Succeed())
		return r.Status.Phase
	}

	It("is proposed with the name of its stack, and not written", func(ctx SpecContext) {
		managed = makeBuckets(ctx, shopProd, ireland, "web", 1)[0]
		openBucket(ctx, shopProd, ireland, managed)
		s.setState(ctx, map[string]any{"account": shopProd, "bucket": managed, "tags": map[string]any{
			"aws:cloudformation:stack-name": "web-prod",
			"aws:cloudformation:stack-id":   "arn:aws:cloudformation:eu-west-1:" + shopProd + ":stack/web-prod/0000",
		}})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			approval: Irreversible
			accounts: {include: ["`+shopProd+`"]}
			bucketPublicAccessBlock: {state: Enabled, requireOnBucket: Enabled}`)
		proposed = s.awaitPhase(ctx, shopProd, bucketBlock, v1alpha1.RemediationProposed)
		st := proposed.Status
		Expect(st.ManagedBy).To(Equal(theStack))
		Expect(st.Message).To(HavePrefix("managed by " + theStack + ": the next update of the stack reverts a change"))
		Expect(st.Changes).To(HaveLen(1))
		Expect([]string{st.Changes[0].Resource, st.Changes[0].ManagedBy}).To(Equal([]string{s3ARN(managed), theStack}))
		Expect(kubectl(ctx, "get", "remediation", proposed.Name, "-o", "wide")).To(And(ContainSubstring("MANAGED-BY"), ContainSubstring(theStack)))
		Eventually(func(g Gomega) {
			rows := withControl(s.accountWith(ctx, g, shopProd).Status.Drift, bucketBlock)
			g.Expect(rows).NotTo(BeEmpty())
			for _, d := range rows {
				g.Expect([]string{d.Reason, d.Remediation}).To(Equal([]string{v1alpha1.RowAwaitingApproval, proposed.Name}))
				g.Expect(d.Message).To(And(HavePrefix("managed by "+theStack), ContainSubstring("waits for an approval in every mode")))
			}
		}).WithContext(ctx).Should(Succeed())
		s.recheck(ctx, shopProd)
		Expect(phases(remediations(ctx, Default, shopProd, bucketBlock))).To(Equal([]string{"Proposed"}))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("waits while a bucket beside it that nobody manages is put right", func(ctx SpecContext) {
		other := makeBuckets(ctx, shopProd, ireland, "free", 1)[0]
		openBucket(ctx, shopProd, ireland, other)
		mark := s.mark(ctx)
		s.recheck(ctx, shopProd)
		Expect(s.ours(ctx, mark)).To(Equal([]string{putBlock}))
		Expect(s.writesAbout(ctx, managed)).To(BeEmpty())
		Expect(s.writesAbout(ctx, other)).To(Equal([]string{putBlock}))
		Expect(phaseOf(ctx, proposed.Name)).To(Equal(v1alpha1.RemediationProposed))
	})

	It("waits as well while its tags cannot be read, as it was proposed", func(ctx SpecContext) {
		m := in(shopProd, "", "s3", "GetBucketTagging")
		lift := s.rule(ctx, stack.Rule{Match: m, Action: stack.ActionError, Code: "auto", Why: "identity"})
		mark := s.mark(ctx)
		s.recheck(ctx, shopProd)
		lift(ctx)
		row := withControl(s.account(ctx, shopProd).Status.Drift, bucketBlock)[0]
		Expect([]string{row.Reason, row.Remediation}).To(Equal([]string{v1alpha1.RowAwaitingApproval, proposed.Name}))
		Expect(row.Message).To(And(HavePrefix("who manages it could not be read (AccessDenied"), ContainSubstring("s3:GetBucketTagging")))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is written once somebody approves of it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", proposed.Status.Digest, alice)).To(Succeed())
		s.compliant(ctx, "S3Baseline", "organization")
		Expect(phaseOf(ctx, proposed.Name)).To(Equal(v1alpha1.RemediationApplied))
		Expect(s.writes(ctx, mark)).To(Equal([]string{putBlock}))
		Expect(s.writesAbout(ctx, managed)).To(Equal([]string{putBlock}))
	})
})

var _ = Describe("The trail of AWS Control Tower", Ordered, func() {
	const name = "aws-controltower-BaselineCloudTrail"
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		makeLogBucket(ctx, logBucket)
		trustCloudTrail(ctx)
		_, err := trails(frankfurt).CreateTrail(ctx, &cloudtrail.CreateTrailInput{
			Name: aws.String(name), S3BucketName: aws.String(logBucket), IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true),
		})
		Expect(err).NotTo(HaveOccurred())
	}})

	It("is reported with what a change would mean, and never proposed", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "CloudTrailBaseline", "trail", `
			mode: Enforce
			approval: Irreversible
			organizationTrail: {state: Enabled, name: `+name+`, homeRegion: `+frankfurt+`, bucket: {name: `+logBucket+`}}`)
		s.awaitLooked(ctx, "CloudTrailBaseline", "trail")
		row := withControl(s.account(ctx, management).Status.Drift, trailItself)[0]
		Expect([]string{row.Field, row.Reason}).To(Equal([]string{"logging", v1alpha1.RowReportOnly}))
		Expect(row.Message).To(HavePrefix("AWS Control Tower owns this trail: it takes a change for drift, and its next update reverts it"))
		Expect(remediations(ctx, Default, management, trailItself)).To(BeEmpty())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})
})
