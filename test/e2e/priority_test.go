package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

var _ = Describe("Two baselines that declare the same", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})

	It("leave it to the higher priority: its settings apply, the other says Overridden", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "special", `
			priority: 10
			mode: Audit
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " Audit": 3})
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "general", `
			mode: Enforce
			accounts: {include: ["`+payProd+`", "`+shopProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "general")
		s.recheck(ctx, payProd, shopProd)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{shopProd}, regions)))
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " Audit": 3})
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Drifted: 3, Overridden: 3}))

		message := s.awaitCondition(ctx, "EncryptionBaseline", "general", v1alpha1.ConditionOverridden,
			metav1.ConditionTrue, v1alpha1.ReasonOverriddenByPriority)
		Expect(message).To(ContainSubstring("3 checks are decided by EncryptionBaseline special"))
		s.compliant(ctx, "EncryptionBaseline", "general")
	})

	It("still leave it to the winner when that is suspended", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "special", `
			priority: 10
			mode: Enforce
			suspend: true
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "special")
		s.recheck(ctx, payProd, shopProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " Suspended": 3})
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(kubectl(ctx, "get", "encryptionbaseline", "special")).To(MatchRegexp(`special +Audit `), "MODE while suspended")
	})

	It("are all one when neither decides anything else: a baseline of which nothing is left is Overridden", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "general", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.awaitCondition(ctx, "EncryptionBaseline", "general", v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonOverriddenByPriority)
		Expect(kubectl(ctx, "get", "encryptionbaseline", "general", "-o", "jsonpath={.status.state}")).To(Equal("Overridden"))
	})

	It("go over to the winner's will when it is no longer suspended", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "special", `
			priority: 10
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "special")
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{payProd}, regions)))
	})

	It("go over to the other when the winner is deleted", func(ctx SpecContext) {
		s.withdraw(ctx, "encryptionbaseline", "special")
		s.compliant(ctx, "EncryptionBaseline", "general")
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 3}))
	})

	It("leave it to the name that sorts first where the priorities are equal", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "a-first", `
			mode: Audit
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "a-first")
		s.awaitCondition(ctx, "EncryptionBaseline", "general", v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonOverriddenByPriority)
	})
})
