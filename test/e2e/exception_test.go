package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("An exception", Ordered, ContinueOnFailure, func() {
	var expires time.Time
	var mark int
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		makeKey(ctx, payProd, ireland, "")
	}})
	const baseline = `
			mode: Enforce
			accounts: {include: ["` + payProd + `", "` + shopProd + `"]}
			ebsDefault: {state: Enabled}
			kmsRotation: {state: Enabled, mode: Audit}`

	// What the exception excuses is enforced in one section and audited in another: when it expires, the one is put right
	// and the other counts as drift again.
	It("is obeyed by report and enforcement alike: counted, shown, and not changed", func(ctx SpecContext) {
		expires = s.except(ctx, "workshop", 20*time.Second, `
			controls: [`+ebsDefault+`, `+kmsRotation+`]
			accounts: {include: ["`+payProd+`"]}`)
		mark = s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", baseline)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		a := s.account(ctx, payProd)
		Expect(time.Now()).To(BeTemporally("<", expires), "this machine is too slow for an exception of 20 s")
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 6, Compliant: 2, Excepted: 4}))
		Expect(a.Status.State).To(Equal(v1alpha1.AccountCompliant))
		for _, row := range timeless(a.Status.Drift) {
			Expect(row.Excepted).To(Equal("workshop"))
			Expect(row.Reason).To(Equal("Excepted"))
		}
		Expect(a.Status.Drift).To(HaveLen(4))
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{shopProd}, regions)))
		s.awaitCondition(ctx, "BaselineException", "workshop", v1alpha1.ConditionActive, metav1.ConditionTrue, v1alpha1.ReasonActive)
	})

	It("ends the moment it expires: what is enforced is put right, what is audited drifts again", func(ctx SpecContext) {
		Eventually(func(g Gomega) {
			g.Expect(s.done(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{payProd, shopProd}, regions)))
		}).WithContext(ctx).Should(Succeed())
		for _, r := range s.requests(ctx, stack.Query{Since: mark, Account: []string{payProd}, Writes: ptr.To(true)}) {
			Expect(r.Time).To(And(BeTemporally(">=", expires), BeTemporally("<", expires.Add(10*time.Second))))
		}
		s.awaitReasons(ctx, payProd, map[string]int{kmsRotation + " Audit": 1})
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 6, Compliant: 5, Drifted: 1}))
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonDrifted)
		s.awaitCondition(ctx, "BaselineException", "workshop", v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.ReasonExpired)
	})

	It("excuses only the region and the resources that it names", func(ctx SpecContext) {
		s.except(ctx, "one-region", time.Hour, `
			controls: [`+ebsDefault+`]
			accounts: {include: ["`+payProd+`"]}
			regions: [`+frankfurt+`]`)
		s.except(ctx, "one-resource", time.Hour, `
			controls: [`+ebsDefault+`]
			resources: ["arn:aws:ec2:`+virginia+`:`+payProd+`:*"]`)
		setFlag(ctx, false, payProd, regions...)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		Expect(s.account(ctx, payProd).Status.Checks.Excepted).To(BeEquivalentTo(2))
	})

	It("ends when it is deleted", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.withdraw(ctx, "blx", "one-region")
		Eventually(func(g Gomega) {
			g.Expect(s.done(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, frankfurt)}))
		}).WithContext(ctx).Should(Succeed())
	})

	It("that names no control there is says so", func(ctx SpecContext) {
		s.except(ctx, "misspelt", time.Hour, `
			controls: [ebs-default-crypt]
			accounts: {include: ["`+payProd+`"]}`)
		message := s.awaitCondition(ctx, "BaselineException", "misspelt", v1alpha1.ConditionUnknownNames, metav1.ConditionTrue, v1alpha1.ReasonUnknownControl)
		Expect(message).To(ContainSubstring("ebs-default-crypt"))
	})
})

// except declares an exception that is in force from now on for a while, and returns when it expires.
func (s *scene) except(ctx context.Context, name string, lasts time.Duration, spec string) time.Time {
	GinkgoHelper()
	now := time.Now().UTC().Truncate(time.Second)
	expires := now.Add(lasts)
	s.declare(ctx, "BaselineException", name, dedent(spec)+"\n"+dedent(`
			reason: the end-to-end tests need it
			owner: team-e2e
			ticket: E2E-1
			from: "`+now.Format(time.RFC3339)+`"
			expires: "`+expires.Format(time.RFC3339)+`"`))
	return expires
}
