package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	// alice may decide about Remediations, and so may bob. eve may only look.
	alice, bob, eve = "alice@example.org", "bob@example.org", "eve@example.org"
)

// as is kubectl as a user with one of Plumbline's roles. Nobody fills in the roles that collect others here, so the rules that
// they collect are bound.
func as(ctx context.Context, user string, roles ...string) stack.Kubectl {
	GinkgoHelper()
	for _, role := range roles {
		_, err := shared.plane.Kubectl(ctx, "create", "clusterrolebinding", strings.ReplaceAll(user, "@", "-")+"-"+role, "--clusterrole="+role, "--user="+user)
		if err != nil {
			Expect(err.Error()).To(ContainSubstring("already exists"))
		}
	}
	k, err := shared.plane.As(user)
	Expect(err).NotTo(HaveOccurred())
	return k
}

func approver(ctx context.Context, user string) stack.Kubectl {
	GinkgoHelper()
	return as(ctx, user, "plumbline-view", "plumbline-decide-remediations")
}

// remediations are those of an account's control, the oldest first.
func remediations(ctx context.Context, g Gomega, account, control string) []v1alpha1.Remediation {
	GinkgoHelper()
	var all v1alpha1.RemediationList
	g.Expect(shared.client.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelAccount: account, v1alpha1.LabelControl: control})).To(Succeed())
	slices.SortFunc(all.Items, func(a, b v1alpha1.Remediation) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all.Items
}

// awaitPhase waits until the newest Remediation of an account's control is in a phase, and returns it.
func (s *scene) awaitPhase(ctx context.Context, account, control string, phase v1alpha1.RemediationPhase) v1alpha1.Remediation {
	GinkgoHelper()
	var found v1alpha1.Remediation
	Eventually(func(g Gomega) {
		all := remediations(ctx, g, account, control)
		g.Expect(all).NotTo(BeEmpty())
		found = all[len(all)-1]
		g.Expect(found.Status.Phase).To(Equal(phase), "%s: %s %v", found.Name, found.Status.Message, found.Status.Conditions)
	}).WithContext(ctx).Should(Succeed())
	return found
}

// decide writes a decision with kubectl.
func decide(ctx context.Context, k stack.Kubectl, name, field, digest, by string) error {
	_, err := k.Run(ctx, "patch", "remediation", name, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{%q:{"digest":%q,"by":%q,"reason":"agreed in CHG-1"}}}`, field, digest, by))
	return err
}

func phases(all []v1alpha1.Remediation) []string {
	var found []string
	for _, r := range all {
		found = append(found, string(r.Status.Phase))
	}
	return found
}

var _ = Describe("A Remediation", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	const (
		block    = "s3-account-public-access-block"
		baseline = `
			mode: Enforce
			accounts: {include: ["` + payProd + `"]}
			accountPublicAccessBlock: {state: Enabled}`
	)
	var proposed v1alpha1.Remediation

	It("proposes a Disruptive change, and nothing is written", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", baseline)
		proposed = s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(proposed.Name).To(Equal(payProd + "-" + block + "-" + proposed.Status.PlanDigest[:8] + "-0"))
		st := proposed.Status
		Expect([]string{st.Account, st.Control, st.Baseline, st.Role, st.Risk, st.Progress}).To(Equal([]string{
			payProd, block, "S3Baseline/organization", roleARN(payProd, enforceRole), "Disruptive", "0/1"}))
		Expect(st.Reversible).To(BeTrue())
		Expect(st.Changes).To(HaveLen(1))
		Expect(st.Changes[0].Fields).To(ContainElement(v1alpha1.RemediationField{Path: "blockPublicAcls", From: "Disabled", To: "Enabled"}))
		Eventually(func(g Gomega) {
			rows := s.accountWith(ctx, g, payProd).Status.Drift
			g.Expect(rows).NotTo(BeEmpty())
			for _, d := range rows {
				g.Expect([]string{d.Reason, d.Remediation}).To(Equal([]string{v1alpha1.RowAwaitingApproval, proposed.Name}))
			}
		}).WithContext(ctx).Should(Succeed())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is proposed once, however often the account is looked at, and by whichever manager", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		s.kill()
		s.start(ctx)
		s.recheck(ctx, payProd)
		Expect(phases(remediations(ctx, Default, payProd, block))).To(Equal([]string{"Proposed"}))
	})

	It("is not approved by a digest that is another's, and says so", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", strings.Repeat("0", 32), alice)).To(Succeed())
		message := s.awaitCondition(ctx, "Remediation", proposed.Name, v1alpha1.ConditionDecisionRefused, "True", v1alpha1.ReasonOtherDigest)
		Expect(message).To(ContainSubstring("name status.digest"))
		s.recheck(ctx, payProd)
		Expect(s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed).Name).To(Equal(proposed.Name))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is made once it is approved, and says by whom", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", proposed.Status.Digest, alice)).To(Succeed())
		applied := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationApplied)
		Expect(applied.Name).To(Equal(proposed.Name))
		Expect([]string{applied.Status.Decided.By, applied.Status.Decided.Reason, applied.Status.Progress}).To(Equal([]string{alice, "agreed in CHG-1", "1/1"}))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call("s3control:PutPublicAccessBlock", payProd, virginia)}))
		s.compliant(ctx, "S3Baseline", "organization")
	})

	It("is undone when asked, and then waits for an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, bob), proposed.Name, "undo", proposed.Status.Digest, bob)).To(Succeed())
		undone := remediations(ctx, Default, payProd, block)[0]
		Eventually(func(g Gomega) {
			undone = remediations(ctx, g, payProd, block)[0]
			g.Expect(undone.Status.Phase).To(Equal(v1alpha1.RemediationUndone))
		}).WithContext(ctx).Should(Succeed())
		Expect(undone.Status.Undone.By).To(Equal(bob))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call("s3control:DeletePublicAccessBlock", payProd, virginia)}))
		again := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(again.Name).To(HaveSuffix("-1"))
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(HaveLen(1))
	})

	It("that is rejected is not proposed again", func(ctx SpecContext) {
		again := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(decide(ctx, approver(ctx, bob), again.Name, "rejected", again.Status.Digest, bob)).To(Succeed())
		s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationRejected)
		s.recheck(ctx, payProd)
		Expect(phases(remediations(ctx, Default, payProd, block))).To(Equal([]string{"Undone", "Rejected"}))
		Expect(s.account(ctx, payProd).Status.Drift[0].Message).To(ContainSubstring("rejected by " + bob))
	})
})
