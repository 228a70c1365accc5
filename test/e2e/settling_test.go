package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// AWS is eventually consistent: a change may not show at once. The emulator has no lag for EBS; here the change is taken
// back while its answer is held, which reads the same.
var _ = Describe("A change that AWS does not show yet", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	BeforeAll(func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
	// invisible has the manager make the change, and keeps it from being seen.
	invisible := func(ctx SpecContext) (token string) {
		GinkgoHelper()
		setFlag(ctx, false, payProd, ireland)
		write := s.hold(ctx, stack.ActionHoldAfter, in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault"), 0)
		token = s.ask(ctx, payProd)
		write.await(ctx)
		setFlag(ctx, false, payProd, ireland)
		write.release(ctx)
		return token
	}
	ours := func(ctx SpecContext, since int) int {
		GinkgoHelper()
		return len(s.requests(ctx, stack.Query{Since: since, Operation: []string{"EnableEbsEncryptionByDefault"}, Resource: []string{"*"}}))
	}

	It("is seen in the same pass when it comes late", func(ctx SpecContext) {
		mark := s.mark(ctx)
		verify := s.hold(ctx, stack.ActionHoldAfter, in(payProd, ireland, "ec2", readFlag), 1)
		t := invisible(ctx)
		verify.await(ctx) // it is told the old value, and then the change shows
		before := ours(ctx, mark)
		setFlag(ctx, true, payProd, ireland)
		verify.release(ctx)
		s.awaitAnswer(ctx, t, payProd)
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(before).To(Equal(1))
		Expect(ours(ctx, mark)).To(Equal(2), "one is the manager's, one is AWS catching up")
	})

	It("is Settling when the pass ends before that, is not made again, and drops away when it shows", func(ctx SpecContext) {
		mark := s.mark(ctx)
		t := invisible(ctx)
		s.awaitAnswer(ctx, t, payProd) // the pass looks for 25 s
		Expect(s.rows(ctx, payProd)).To(Equal([]v1alpha1.DriftRow{flagRow(payProd, ireland, v1alpha1.RowSettling,
			"the change was made and AWS does not show it yet; looked at again in a minute")}))
		Expect(ours(ctx, mark)).To(Equal(1))
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonDrifted)

		setFlag(ctx, true, payProd, ireland)
		mark = s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})

	It("is RemediationFailed at the third look", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.awaitAnswer(ctx, invisible(ctx), payProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " Settling": 1})
		s.recheck(ctx, payProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " Settling": 1})
		s.recheck(ctx, payProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " RemediationFailed": 1})
		Expect(ours(ctx, mark)).To(Equal(1), "it was not made again meanwhile")
		s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
	})

	It("is made again after that", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
})
