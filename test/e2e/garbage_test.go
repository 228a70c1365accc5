package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// An account in which everything holds, and of which nothing is believed that cannot be read.
var _ = Describe("Garbage from AWS", Ordered, ContinueOnFailure, func() {
	s := stage(plot{liar: "EC2", flags: []string{"--allow-writes"}})
	const answer = `<GetEbsEncryptionByDefaultResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">`
	BeforeAll(func(ctx SpecContext) {
		encryptByDefault(ctx, payProd)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
	AfterEach(func(ctx SpecContext) {
		Expect(shared.emulator.DeleteRules(ctx)).To(Succeed())
		s.liar.answers(readFlag, "")
	})

	DescribeTable("is Unknown, never compliant, and no reason to write:",
		func(ctx SpecContext, lie string, rule stack.Rule, reason, message string) {
			if rule.Code != "" {
				rule.Match, rule.Action = in(payProd, "", "ec2", readFlag), stack.ActionError
				s.rule(ctx, rule)
			}
			s.liar.answers(readFlag, lie)
			mark := s.mark(ctx)
			s.recheck(ctx, payProd)
			c := control(s.account(ctx, payProd), ebsDefault)
			Expect(c).NotTo(BeNil())
			Expect(c.Unknown).To(Equal(map[string]int32{frankfurt: 1, ireland: 1, virginia: 1}))
			Expect(c.Reason).To(Equal(reason))
			Expect(c.Message).To(ContainSubstring(message))
			Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountUnknown))
			Expect(s.writes(ctx, mark)).To(BeEmpty())
			s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonChecksUnknown)
		},
		Entry("a server's error", "", stack.Rule{Code: "InternalFailure", Status: 500}, v1alpha1.RowReadFailed, "InternalFailure"),
		Entry("an operation that is not there", "", stack.Rule{Code: "NotImplemented", Status: 501}, v1alpha1.RowReadFailed, "NotImplemented"),
		Entry("a code nobody knows", "", stack.Rule{Code: "Wibble", Status: 418}, v1alpha1.RowReadFailed, "Wibble"),
		Entry("an answer without the field", answer+`</GetEbsEncryptionByDefaultResponse>`, stack.Rule{}, "UnexpectedAnswer", "tried again by itself"),
		Entry("half an answer", answer+`<ebsEncr`, stack.Rule{}, "NoAnswer", "tried again by itself"),
		Entry("a page for people", `<!doctype html><html><body>Proxy login</body></html>`, stack.Rule{}, "UnexpectedAnswer", "tried again by itself"),
		Entry("nothing at all", " ", stack.Rule{}, "UnexpectedAnswer", "tried again by itself"),
	)

	It("is forgotten when the answers are right again", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
})
