package e2e

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// enforcedBlock asks for the public access block of one account, which is a Disruptive change.
func enforcedBlock(account string) string {
	return `
			mode: Enforce
			accounts: {include: ["` + account + `"]}
			accountPublicAccessBlock: {state: Enabled}`
}

var _ = Describe("What nobody may do with Remediations", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	var proposed v1alpha1.Remediation
	BeforeAll(func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "organization", enforcedBlock(payProd))
		proposed = s.awaitPhase(ctx, payProd, s3AccountBlock, v1alpha1.RemediationProposed)
	})
	untouched := func(ctx SpecContext, mark int) {
		GinkgoHelper()
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	}

	It("make one: not even the administrator", func(ctx SpecContext) {
		mark := s.mark(ctx)
		_, err := shared.plane.Admin().Apply(ctx, manifest("Remediation", "forged", "{}"))
		Expect(err).To(MatchError(ContainSubstring("only the controller makes Remediations")))
		untouched(ctx, mark)
	})

	It("write its status, and thereby what would be written to AWS", func(ctx SpecContext) {
		mark := s.mark(ctx)
		_, err := shared.plane.Admin().Run(ctx, "patch", "remediation", proposed.Name, "--subresource=status", "--type=merge",
			"-p", `{"status":{"phase":"Applied","changes":[]}}`)
		Expect(err).To(MatchError(ContainSubstring("only the controller writes the status")))
		untouched(ctx, mark)
	})

	It("approve in another's name", func(ctx SpecContext) {
		mark := s.mark(ctx)
		err := decide(ctx, approver(ctx, bob), proposed.Name, "approval", proposed.Status.Digest, alice)
		Expect(err).To(MatchError(ContainSubstring("by must be your own name, " + bob)))
		untouched(ctx, mark)
	})

	It("approve without being an approver", func(ctx SpecContext) {
		mark := s.mark(ctx)
		err := decide(ctx, as(ctx, eve, "plumbline-view"), proposed.Name, "approval", proposed.Status.Digest, eve)
		Expect(err).To(MatchError(ContainSubstring("forbidden")))
		untouched(ctx, mark)
	})

	It("claim to write down for Git what somebody else decided", func(ctx SpecContext) {
		_, err := approver(ctx, bob).Run(ctx, "patch", "remediation", proposed.Name, "--type=merge", "-p",
			`{"spec":{"approval":{"digest":"`+proposed.Status.Digest+`","by":"`+alice+`","via":"GitOps"}}}`)
		Expect(err).To(MatchError(ContainSubstring("only a Git operator")))
	})

	It("approve as the controller", func(ctx SpecContext) {
		controller, err := shared.plane.AsServiceAccount(managerNamespace, managerAccount)
		Expect(err).NotTo(HaveOccurred())
		err = decide(ctx, controller, proposed.Name, "approval", proposed.Status.Digest, "system:serviceaccount:"+managerNamespace+":"+managerAccount)
		Expect(err).To(MatchError(ContainSubstring("forbidden")), "RBAC lets it write no spec")
	})

	It("change what a baseline declares, as the controller", func(ctx SpecContext) {
		controller, err := shared.plane.AsServiceAccount(managerNamespace, managerAccount)
		Expect(err).NotTo(HaveOccurred())
		_, err = controller.Run(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p", `{"spec":{"approval":"Irreversible"}}`)
		Expect(err).To(MatchError(ContainSubstring("the controller declares nothing")))
	})

	It("hide one from its account's pass", func(ctx SpecContext) {
		_, err := approver(ctx, bob).Run(ctx, "label", "--overwrite", "remediation", proposed.Name, v1alpha1.LabelAccount+"="+shopProd)
		Expect(err).To(MatchError(ContainSubstring("are the controller's")))
	})

	It("approve a batch by editing a baseline, without being an approver", func(ctx SpecContext) {
		editor := as(ctx, "ed@example.org", "plumbline-view", "plumbline-write-baselines")
		_, err := editor.Run(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p",
			`{"spec":{"approvals":[{"control":"`+s3AccountBlock+`","digest":"`+strings.Repeat("0", 32)+`","by":"ed@example.org"}]}}`)
		Expect(err).To(MatchError(ContainSubstring("one must be allowed to update remediations.plumbline.dev")))
	})

	It("approve what has changed since it was proposed: that is superseded, and proposed anew", func(ctx SpecContext) {
		s3SetAccountBlock(ctx, payProd, s3Flags{true, false, false, false})
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", proposed.Status.Digest, alice)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(phases(remediations(ctx, g, payProd, s3AccountBlock))).To(ConsistOf("Superseded", "Proposed"))
		}).WithContext(ctx).Should(Succeed())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("undo what somebody has changed since: it says so, and leaves it", func(ctx SpecContext) {
		now := s.awaitPhase(ctx, payProd, s3AccountBlock, v1alpha1.RemediationProposed)
		Expect(decide(ctx, approver(ctx, alice), now.Name, "approval", now.Status.Digest, alice)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", now.Name).Object["status"]).To(HaveKeyWithValue("phase", "Applied"))
		}).WithContext(ctx).Should(Succeed())
		s.declare(ctx, "S3Baseline", "organization", strings.ReplaceAll(enforcedBlock(payProd), "Enforce", "Audit"))
		s3SetAccountBlock(ctx, payProd, s3Flags{true, true, false, true})
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), now.Name, "undo", now.Status.Digest, alice)).To(Succeed())
		message := s.awaitCondition(ctx, "Remediation", now.Name, v1alpha1.ConditionDecisionRefused, "True", v1alpha1.ReasonChangedSince)
		Expect(message).To(ContainSubstring("nothing was undone"))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})
})

// Each spec kills the manager with SIGKILL at one exact moment, and starts it again.
var _ = Describe("A Remediation whose manager is killed", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	put := in(payProd, virginia, "s3control", "PutPublicAccessBlock")
	remove := in(payProd, virginia, "s3control", "DeletePublicAccessBlock")
	approved := func(ctx context.Context) v1alpha1.Remediation {
		GinkgoHelper()
		r := s.awaitPhase(ctx, payProd, s3AccountBlock, v1alpha1.RemediationProposed)
		Expect(decide(ctx, approver(ctx, alice), r.Name, "approval", r.Status.Digest, alice)).To(Succeed())
		return r
	}
	phaseOf := func(ctx context.Context, name string, phase v1alpha1.RemediationPhase) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", name).Object["status"]).To(HaveKeyWithValue("phase", string(phase)))
		}).WithContext(ctx).Should(Succeed())
	}
	killed := func(ctx context.Context, at *held) {
		GinkgoHelper()
		at.await(ctx)
		s.kill()
		at.drop(ctx)
	}
	var first v1alpha1.Remediation

	It("between record and write is made after the restart, once", func(ctx SpecContext) {
		at := s.hold(ctx, stack.ActionHoldBefore, put, 0)
		s.declare(ctx, "S3Baseline", "organization", enforcedBlock(payProd))
		mark := s.mark(ctx)
		first = approved(ctx)
		killed(ctx, at)
		phaseOf(ctx, first.Name, v1alpha1.RemediationApplying)
		s.start(ctx)
		phaseOf(ctx, first.Name, v1alpha1.RemediationApplied)
		Expect(s.done(ctx, mark)).To(Equal([]string{call("s3control:PutPublicAccessBlock", payProd, virginia)}))
	})

	It("in undo, before the write, is undone after the restart, once", func(ctx SpecContext) {
		at := s.hold(ctx, stack.ActionHoldBefore, remove, 0)
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), first.Name, "undo", first.Status.Digest, alice)).To(Succeed())
		killed(ctx, at)
		s.start(ctx)
		phaseOf(ctx, first.Name, v1alpha1.RemediationUndone)
		Expect(s.done(ctx, mark)).To(Equal([]string{call("s3control:DeletePublicAccessBlock", payProd, virginia)}))
	})

	It("between write and record is found made, and not made again", func(ctx SpecContext) {
		at := s.hold(ctx, stack.ActionHoldAfter, put, 0)
		mark := s.mark(ctx)
		second := approved(ctx)
		killed(ctx, at)
		phaseOf(ctx, second.Name, v1alpha1.RemediationApplying)
		s.start(ctx)
		phaseOf(ctx, second.Name, v1alpha1.RemediationApplied)
		Expect(s.done(ctx, mark)).To(Equal([]string{call("s3control:PutPublicAccessBlock", payProd, virginia)}))

		By("in undo, after the write: it is found undone, and not made again by itself")
		at = s.hold(ctx, stack.ActionHoldAfter, remove, 0)
		Expect(decide(ctx, approver(ctx, alice), second.Name, "undo", second.Status.Digest, alice)).To(Succeed())
		killed(ctx, at)
		s.start(ctx)
		phaseOf(ctx, second.Name, v1alpha1.RemediationUndone)
		s.recheck(ctx, payProd)
		Expect(s.done(ctx, mark)).To(HaveLen(2))
	})
})

var _ = Describe("The switch for all writes", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	stop := func(ctx context.Context, writes string) {
		GinkgoHelper()
		kubectl(ctx, "patch", "awsorg", organizationName, "--type=merge", "-p", `{"spec":{"writes":"`+writes+`"}}`)
	}

	It("stops a pass in the middle of its changes", func(ctx SpecContext) {
		names := makeBuckets(ctx, payProd, frankfurt, "switch", 4)
		for _, name := range names {
			openBucket(ctx, payProd, frankfurt, name)
		}
		at := s.hold(ctx, stack.ActionHoldBefore, in(payProd, frankfurt, "s3", "PutPublicAccessBlock"), 1)
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			approval: Irreversible
			accounts: {include: ["`+payProd+`"]}
			bucketPublicAccessBlock: {state: Enabled, requireOnBucket: Enabled}`)
		at.await(ctx)
		stop(ctx, "Stopped")
		s.awaitNoticed(ctx, "AWSOrganization", organizationName)
		at.release(ctx)
		s.awaitReasons(ctx, payProd, map[string]int{s3BucketBlock + " " + v1alpha1.RowWritesStopped: 8})
		Expect(s.done(ctx, mark)).To(HaveLen(2), "the one before, and the one that was under way")
		s.recheck(ctx, payProd)
		Expect(s.done(ctx, mark)).To(HaveLen(2))
	})

	It("stops undoing as well, and goes on when it is turned back", func(ctx SpecContext) {
		stop(ctx, "Allowed")
		s.compliant(ctx, "S3Baseline", "organization")
		last := s.awaitPhase(ctx, payProd, s3BucketBlock, v1alpha1.RemediationApplied)
		stop(ctx, "Stopped")
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), last.Name, "undo", last.Status.Digest, alice)).To(Succeed())
		s.awaitCondition(ctx, "Remediation", last.Name, v1alpha1.ConditionUndoing, "True", v1alpha1.ReasonRequested)
		s.recheck(ctx, payProd)
		Expect(s.done(ctx, mark)).To(BeEmpty())
		stop(ctx, "Allowed")
		s.recheck(ctx, payProd)
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", last.Name).Object["status"]).To(HaveKeyWithValue("phase", "Undone"))
		}).WithContext(ctx).Should(Succeed())
	})
})
