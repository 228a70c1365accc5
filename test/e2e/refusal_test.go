package e2e

import (
	"maps"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// everyMember enforces EBS encryption by default on the member accounts.
const everyMember = `
			mode: Enforce
			accounts: {all: true, exclude: ["` + management + `"]}
			ebsDefault: {state: Enabled}`

var _ = Describe("An account that cannot be entered", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	others := members[1:]

	It("is Unreachable when its role is gone, and the others go on", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		removeRole(ctx, payProd, auditRole)
		removeRole(ctx, payProd, enforceRole)
		for _, id := range members {
			setFlag(ctx, false, id, ireland)
		}
		mark := s.mark(ctx)
		s.awaitAnswer(ctx, s.ask(ctx), others...)
		message := s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReachable, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused)
		Expect(message).To(And(ContainSubstring(roleARN(payProd, auditRole)), ContainSubstring("AccessDenied"),
			ContainSubstring("sts:AssumeRole"), ContainSubstring("external id")))
		a := s.account(ctx, payProd)
		Expect(a.Status.State).To(Equal(v1alpha1.AccountUnreachable))
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Unknown: 3}))
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, others, []string{ireland})))
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant,
			metav1.ConditionUnknown, v1alpha1.ReasonSelectedAccountsUnreachable)
	})

	It("is worked on again when the role is back", func(ctx SpecContext) {
		restoreRoles(ctx, payProd)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		s.awaitReached(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})

	It("is WrongAccount when the role's credentials belong to another account, and nothing is called with them", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, ireland)
		lift := s.rule(ctx, stack.Rule{
			Match:  stack.Match{Service: []string{"sts"}, Operation: []string{"AssumeRole"}, Resource: []string{roleARN(payProd, auditRole)}},
			Action: stack.ActionRewriteAccount, Account: shopProd,
		})
		mark, before := s.mark(ctx), len(s.newSessions(ctx, 0))
		s.awaitAnswer(ctx, s.ask(ctx), others...)
		message := s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReachable, metav1.ConditionFalse, v1alpha1.ReasonWrongAccount)
		Expect(message).To(And(ContainSubstring(payProd), ContainSubstring(shopProd)))
		s.awaitState(ctx, v1alpha1.AccountUnreachable, payProd)

		// shopProd was entered twice: for itself, and by the role of payProd that leads there.
		keys := map[string]bool{}
		for _, session := range s.newSessions(ctx, before) {
			if session.Account == shopProd {
				keys[session.AccessKey] = false
			}
		}
		Expect(len(keys)).To(BeNumerically(">=", 2))
		for _, r := range s.requests(ctx, stack.Query{Since: mark, Account: []string{shopProd}}) {
			keys[r.AccessKey] = true
		}
		Expect(slices.Collect(maps.Values(keys))).To(ConsistOf(append(slices.Repeat([]any{false}, len(keys)-1), true)...),
			"one of the keys was used, shopProd's own")
		Expect(s.requests(ctx, stack.Query{Since: mark, Account: []string{payProd}})).To(BeEmpty())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		lift(ctx)
	})

	It("is not written to with an enforce role that leads elsewhere", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{
			Match:  stack.Match{Service: []string{"sts"}, Operation: []string{"AssumeRole"}, Resource: []string{roleARN(payProd, enforceRole)}},
			Action: stack.ActionRewriteAccount, Account: shopProd,
		})
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " RoleMissing": 1})
		Expect(s.rows(ctx, payProd)[0].Message).To(And(ContainSubstring(payProd), ContainSubstring(shopProd)))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(flag(ctx, payProd, ireland)).To(BeFalse())
	})
})

var _ = Describe("A refusal by AWS", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	BeforeAll(func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
	AfterEach(func(ctx SpecContext) { Expect(shared.emulator.DeleteRules(ctx)).To(Succeed()) })

	It("of a whole region by a service control policy makes it RegionDenied; the other regions go on", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "*"), Action: stack.ActionError, Code: "auto", Why: "scp"})
		setFlag(ctx, false, payProd, frankfurt)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		a := s.account(ctx, payProd)
		Expect(a.Status.DeniedRegions).To(Equal([]string{ireland}))
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 2, Compliant: 2}))
		Expect(a.Status.State).To(Equal(v1alpha1.AccountCompliant))
		message := s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionCompliant,
			metav1.ConditionTrue, v1alpha1.ReasonCompliantExceptDenied)
		Expect(message).To(ContainSubstring("exclude: [" + ireland + "]"))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, frankfurt)}))
	})

	It("that has ended shows at the next look that somebody asks for", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		Expect(s.account(ctx, payProd).Status.DeniedRegions).To(BeEmpty())
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 3}))
	})

	It("of one action is Unknown, with the code, the action, the role and the next step", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "auto", Why: "identity"})
		s.recheck(ctx, payProd)
		a := s.account(ctx, payProd)
		c := control(a, ebsDefault)
		Expect(c).NotTo(BeNil())
		Expect(c.Unknown).To(Equal(map[string]int32{ireland: 1}))
		Expect(c.Reason).To(Equal(v1alpha1.RowAccessDenied))
		Expect(c.Message).To(And(ContainSubstring("UnauthorizedOperation"),
			ContainSubstring("allow ec2:GetEbsEncryptionByDefault to "+roleARN(payProd, auditRole)+" (config/iam)")))
		Expect(a.Status.State).To(Equal(v1alpha1.AccountUnknown))
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 2, Unknown: 1}))
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonChecksUnknown)
	})

	It("of one action by a service control policy is Unknown as well, for the region is not denied", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "auto", Why: "scp"})
		s.recheck(ctx, payProd)
		a := s.account(ctx, payProd)
		Expect(a.Status.DeniedRegions).To(BeEmpty())
		Expect(control(a, ebsDefault)).To(HaveField("Reason", "DeniedByServiceControlPolicy"))
		Expect(a.Status.State).To(Equal(v1alpha1.AccountUnknown))
	})

	It("of a change is RemediationFailed with the reason, and is not tried again in a hot loop", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault"), Action: stack.ActionError, Code: "auto", Why: "scp"})
		setFlag(ctx, false, payProd, ireland)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " RemediationFailed": 1})
		row := s.rows(ctx, payProd)[0]
		Expect(row.Message).To(And(ContainSubstring("UnauthorizedOperation"), ContainSubstring("ec2:EnableEbsEncryptionByDefault")))
		Expect(row.Attempts).To(BeEquivalentTo(1))
		s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed)
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, payProd, "ChangeFailed")).To(HaveLen(1))
		}).WithContext(ctx).Should(Succeed())
		Consistently(func() []string { return s.writes(ctx, mark) }).WithContext(ctx).Should(HaveLen(1))
	})

	It("that has ended lets the change be made", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})

	It("by throttling is survived when it passes, and makes no call count as answered", func(ctx SpecContext) {
		for _, id := range members {
			setFlag(ctx, false, id, virginia)
			for _, region := range regions {
				// The SDK tries three times.
				s.rule(ctx, stack.Rule{Match: in(id, region, "ec2"), Action: stack.ActionError, Code: "throttle", Times: 2})
			}
		}
		mark := s.mark(ctx)
		s.recheck(ctx, members...)
		Expect(s.done(ctx, mark)).To(ConsistOf(inEach(enableFlag, members, []string{virginia})))
		s.compliant(ctx, "EncryptionBaseline", "organization")
		throttled := 0
		for _, r := range s.requests(ctx, stack.Query{Since: mark, Service: []string{"ec2"}}) {
			if r.Status == 503 {
				throttled++
			}
		}
		Expect(throttled).To(Equal(2 * len(members) * len(regions)))
	})

	It("by throttling that does not pass is Unknown for the account concerned, and for no other", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "throttle"})
		s.recheck(ctx, members...)
		Expect(control(s.account(ctx, payProd), ebsDefault)).To(And(
			HaveField("Reason", "Throttled"), HaveField("Unknown", map[string]int32{ireland: 1})))
		for _, id := range members[1:] {
			Expect(s.account(ctx, id).Status.State).To(Equal(v1alpha1.AccountCompliant))
		}
	})

	It("to know its own region list keeps the regions that were read before", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, "", "ec2", "DescribeRegions"), Action: stack.ActionError, Code: "auto", Why: "identity"})
		setFlag(ctx, false, payProd, ireland)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		message := s.awaitCondition(ctx, "AWSAccount", payProd, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRegionsUnreadable)
		Expect(message).To(ContainSubstring("ec2:DescribeRegions"))
		Expect(s.account(ctx, payProd).Status.Regions).To(Equal(regions))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
	})

	It("to let sessions go on that it revoked is overcome with new ones", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"account": payProd, "expire_sessions": true})
		s.recheck(ctx, payProd)
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
	})
})
