package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("One unreadable bucket among twenty", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	var all []string
	// refuse has every read of the eighth bucket's block answered with an error.
	refuse := func(ctx SpecContext, with stack.Rule) {
		with.Match = stack.Match{Service: []string{"s3"}, Operation: []string{"GetPublicAccessBlock"}, Resource: []string{all[7]}}
		with.Action = stack.ActionError
		s.rule(ctx, with)
	}
	AfterEach(func(ctx SpecContext) { Expect(shared.emulator.DeleteRules(ctx)).To(Succeed()) })

	It("is Unknown by name, and of the others the one that departs is put right", func(ctx SpecContext) {
		all = makeBuckets(ctx, payProd, ireland, "acme", 20)
		openBucket(ctx, payProd, ireland, all[3])
		refuse(ctx, stack.Rule{Code: "auto", Why: "resource"})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			approval: Irreversible
			accounts: {include: ["`+payProd+`"]}
			bucketPublicAccessBlock: {state: Enabled, requireOnBucket: Enabled}`)
		s.awaitLooked(ctx, "S3Baseline", "organization")
		Expect(s.done(ctx, mark)).To(Equal([]string{call("s3:PutPublicAccessBlock", payProd, ireland)}))
		c := control(s.account(ctx, payProd), bucketBlock)
		Expect(c).NotTo(BeNil())
		Expect(c.Unknown).To(Equal(map[string]int32{ireland: 1}))
		Expect(c.Drifted).To(BeEmpty())
		Expect(c.Message).To(And(ContainSubstring("AccessDenied"), ContainSubstring("arn:aws:s3:::"+all[7]),
			ContainSubstring("s3:GetBucketPublicAccessBlock"), ContainSubstring(roleARN(payProd, auditRole))))
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountUnknown))
		s.awaitCondition(ctx, "S3Baseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonChecksUnknown)
	})

	It("is named also where AWS's own words do not name it", func(ctx SpecContext) {
		refuse(ctx, stack.Rule{Code: "InternalError", Message: "We encountered an internal error. Please try again.", Status: 500})
		s.recheck(ctx, payProd)
		Expect(control(s.account(ctx, payProd), bucketBlock)).To(HaveField("Message", And(
			ContainSubstring("InternalError"), ContainSubstring("arn:aws:s3:::"+all[7]))))
	})

	It("is compliant with the others once it can be read", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		s.compliant(ctx, "S3Baseline", "organization")
	})
})
