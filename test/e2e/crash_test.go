package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// Each spec has somebody turn encryption off, kills the manager with SIGKILL at one exact moment of putting it right, and
// starts it again.
var _ = Describe("A manager that is killed", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	BeforeAll(func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
	write := in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault")

	// killed has the manager look at payProd, kills it when it is held, and starts it again. It returns where the story began.
	killed := func(ctx SpecContext, at *held) (mark int) {
		GinkgoHelper()
		setFlag(ctx, false, payProd, ireland)
		mark = s.mark(ctx)
		t := s.ask(ctx, payProd)
		at.await(ctx)
		s.kill()
		at.drop(ctx)
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountCompliant), "nothing was written down yet")
		s.start(ctx)
		s.awaitAnswer(ctx, t, payProd)
		return mark
	}
	settled := func(ctx SpecContext) {
		GinkgoHelper()
		a := s.account(ctx, payProd)
		Expect(a.Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 3}))
		Expect(flag(ctx, payProd, ireland)).To(BeTrue())
		s.compliant(ctx, "EncryptionBaseline", "organization")
	}

	It("before a write makes it after the restart, once", func(ctx SpecContext) {
		mark := killed(ctx, s.hold(ctx, stack.ActionHoldBefore, write, 0))
		Expect(s.writes(ctx, mark)).To(HaveLen(2), "the one that was killed, and the one that was made")
		Expect(s.done(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		settled(ctx)
	})

	It("after a write, before the answer came, does not make it again", func(ctx SpecContext) {
		mark := killed(ctx, s.hold(ctx, stack.ActionHoldAfter, write, 0))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		settled(ctx)
	})

	It("while it verifies, before the status is written, does not make it again", func(ctx SpecContext) {
		verify := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, "ec2", readFlag), 1)
		mark := killed(ctx, verify)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		settled(ctx)
	})

	It("before it enters with the enforce role loses nothing", func(ctx SpecContext) {
		enter := s.hold(ctx, stack.ActionHoldBefore, stack.Match{
			Service: []string{"sts"}, Operation: []string{"AssumeRole"}, Resource: []string{roleARN(payProd, enforceRole)},
		}, 0)
		mark := killed(ctx, enter)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		settled(ctx)
	})

	It("while it looks for the first time begins anew, and claims nothing meanwhile", func(ctx SpecContext) {
		s.withdraw(ctx, "encryptionbaseline", "organization")
		setFlag(ctx, false, payProd, ireland)
		look := s.hold(ctx, stack.ActionHoldBefore, in(payProd, frankfurt, "ec2", readFlag), 0)
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		look.await(ctx)
		s.kill()
		look.drop(ctx)
		Expect(s.account(ctx, payProd).Status.State).NotTo(Equal(v1alpha1.AccountCompliant))
		s.start(ctx)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		settled(ctx)
	})

	It("that is started again and finds everything known looks at nothing again", func(ctx SpecContext) {
		s.kill()
		mark := s.mark(ctx)
		s.start(ctx)
		s.recheck(ctx, payProd) // the queue is served: the other accounts had their turn as well
		Consistently(func() []string {
			return lines(s.requests(ctx, stack.Query{Since: mark, Account: without(members, payProd)}))
		}).WithContext(ctx).Should(BeEmpty())
	})
})
