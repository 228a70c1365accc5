package e2e

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// A proposal holds 100 resources at most (engine.MaxProposed); here 120 depart.
var _ = Describe("More resources than one proposal holds", Ordered, func() {
	const holds, depart = 100, 120
	var names []string
	// One bucket among those for which there is no room belongs to a stack. Buckets are proposed in the order of their names.
	const ofStack = 110
	s := stage(plot{flags: []string{"--allow-writes", "--max-changes-per-pass=60"}, before: func(ctx context.Context, s *scene) {
		for i := range depart {
			names = append(names, fmt.Sprintf("lake-%03d", i))
		}
		s3Make(ctx, payProd, frankfurt, names...)
		s.setState(ctx, map[string]any{"account": payProd, "bucket": names[ofStack], "tags": map[string]any{
			"aws:cloudformation:stack-name": "lake-prod",
			"aws:cloudformation:stack-id":   "arn:aws:cloudformation:eu-central-1:" + payProd + ":stack/lake-prod/0000",
		}})
	}})
	enforced := func(section string) string {
		return `
			mode: Enforce
			accounts: {include: ["` + payProd + `"]}
			buckets: {include: ["lake-*"]}
			` + section + `: {state: Enabled}`
	}
	resources := func(r v1alpha1.Remediation) (arns []string) {
		for _, c := range r.Status.Changes {
			arns = append(arns, c.Resource)
		}
		return arns
	}
	arns := func(names []string) (all []string) {
		for _, n := range names {
			all = append(all, s3ARN(n))
		}
		return all
	}
	var first v1alpha1.Remediation

	It("are proposed as far as one holds, and the others are said to wait", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", enforced("secureTransport"))
		first = s.awaitPhase(ctx, payProd, s3Transport, v1alpha1.RemediationProposed)
		Expect(resources(first)).To(Equal(arns(names[:holds])))
		Expect([]string{first.Status.Progress, first.Status.Risk, first.Status.ManagedBy}).To(Equal([]string{"0/100", "Disruptive", ""}))
		Expect(phases(remediations(ctx, Default, payProd, s3Transport))).To(Equal([]string{"Proposed"}))
		Expect(first.Status.Message).To(HaveSuffix("there is no room in it for 20 more, which are proposed once it is decided and done"))
		s.recheck(ctx, payProd)
		Expect(s.account(ctx, payProd).Status.Controls[0].Drifted).To(Equal(map[string]int32{frankfurt: depart}))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("are made over several passes once they are approved, and then the others are proposed", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), first.Name, "approval", first.Status.Digest, alice)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", first.Name).Object["status"]).To(HaveKeyWithValue("progress", "60/100"))
		}).WithContext(ctx).Should(Succeed())
		s.recheck(ctx, payProd) // the next pass would be a minute later
		applied := s.awaitPhase(ctx, payProd, s3Transport, v1alpha1.RemediationApplied)
		Expect([]string{applied.Name, applied.Status.Progress}).To(Equal([]string{first.Name, "100/100"}))
		rest := s.awaitPhase(ctx, payProd, s3Transport, v1alpha1.RemediationProposed)
		Expect(resources(rest)).To(Equal(arns(names[holds:])))
		Expect(rest.Status.ManagedBy).To(Equal("CloudFormation stack lake-prod"))
		Expect(s.writes(ctx, mark)).To(HaveLen(holds))
	})

	It("are proposed in the place of those that somebody rejects", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", enforced("versioning"))
		first := s.awaitPhase(ctx, payProd, s3Versioning, v1alpha1.RemediationProposed)
		Expect(resources(first)).To(Equal(arns(names[:holds])))
		Expect(decide(ctx, approver(ctx, bob), first.Name, "rejected", first.Status.Digest, bob)).To(Succeed())
		s.awaitPhase(ctx, payProd, s3Versioning, v1alpha1.RemediationRejected)
		rest := s.awaitPhase(ctx, payProd, s3Versioning, v1alpha1.RemediationProposed)
		Expect(resources(rest)).To(Equal(arns(names[holds:])))
		Expect(rest.Status.ManagedBy).To(Equal("CloudFormation stack lake-prod"))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})
})
