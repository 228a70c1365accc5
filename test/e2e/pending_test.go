package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("What was not looked at yet", Ordered, ContinueOnFailure, func() {
	s := stage(plot{})
	BeforeAll(func(ctx SpecContext) { encryptByDefault(ctx, members...) })
	members := members
	waits := func(ctx SpecContext, timeout string) error {
		_, err := shared.plane.Kubectl(ctx, "wait", "--for=condition=Compliant", "encryptionbaseline/organization", "--timeout="+timeout)
		return err
	}

	pending := func(ctx SpecContext, message string) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			c := condition(ctx, g, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant)
			g.Expect(c).To(And(Not(BeNil()), HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", v1alpha1.ReasonPending),
				HaveField("Message", message)))
		}).WithContext(ctx).Should(Succeed())
	}

	It("is Pending and keeps a baseline from being compliant, until the last region of the last account", func(ctx SpecContext) {
		last := s.hold(ctx, stack.ActionHoldBefore, in(dataProd, ireland, "ec2", readFlag), 0)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Audit
			accounts: {exclude: ["`+management+`"]}
			ebsDefault: {state: Enabled}`)
		last.await(ctx)
		s.awaitState(ctx, v1alpha1.AccountCompliant, without(members, dataProd)...)
		pending(ctx, "1 of 6 accounts are not looked at yet with these settings")
		Expect(waits(ctx, "2s")).To(MatchError(ContainSubstring("timed out waiting")))

		last.release(ctx)
		Expect(waits(ctx, "60s")).To(Succeed())
	})

	It("is Pending as soon as a section is new, though all that was there before is compliant", func(ctx SpecContext) {
		last := s.hold(ctx, stack.ActionHoldBefore, in(dataProd, ireland, "kms", "ListKeys"), 0)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Audit
			accounts: {exclude: ["`+management+`"]}
			ebsDefault: {state: Enabled}
			kmsRotation: {state: Enabled}`)
		last.await(ctx)
		pending(ctx, "1 of 6 accounts are not looked at yet with these settings")
		Expect(waits(ctx, "2s")).To(MatchError(ContainSubstring("timed out waiting")))
		Expect(kubectl(ctx, "get", "encryptionbaseline", "organization", "-o", "jsonpath={.status.state}")).To(Equal("Pending"))

		last.release(ctx)
		Expect(waits(ctx, "60s")).To(Succeed())
		Expect(s.account(ctx, dataProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 6, Compliant: 6}))
	})

	It("is Pending in an account that is new in a compliant baseline", func(ctx SpecContext) {
		last := s.hold(ctx, stack.ActionHoldBefore, in(management, frankfurt, "ec2", readFlag), 0)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Audit
			ebsDefault: {state: Enabled}
			kmsRotation: {state: Enabled}`)
		last.await(ctx)
		pending(ctx, "1 of 7 accounts are not looked at yet with these settings")
		last.release(ctx)
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonDrifted)
	})
})

func without(all []string, one string) []string {
	var rest []string
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}
