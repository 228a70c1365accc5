package e2e

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("A rollout of six accounts in three waves", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--default-soak=1h"}})
	const first, second = payProd, shopProd
	spec := func(rollout string) string {
		return `
			mode: Enforce
			accounts: {include: ["` + strings.Join(members, `", "`) + `"]}
			regions: {include: [` + ireland + `]}
			ebsDefault: {state: Enabled}
			` + rollout
	}
	const waves = `rollout: {waves: [
			{name: canary, accounts: {include: ["` + first + `"]}, soak: 0s},
			{name: early, accounts: {include: ["` + second + `", "` + webProd + `"]}, soak: 0s}]}`
	rollout := func(ctx context.Context, g Gomega) v1alpha1.RolloutStatus {
		GinkgoHelper()
		b := &v1alpha1.EncryptionBaseline{}
		g.Expect(shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, b)).To(Succeed())
		g.Expect(b.Status.Rollout).NotTo(BeNil())
		return *b.Status.Rollout
	}
	awaitRollout := func(ctx context.Context, summary string) {
		GinkgoHelper()
		Eventually(func(g Gomega) { g.Expect(rollout(ctx, g).Summary).To(HavePrefix(summary)) }).WithContext(ctx).Should(Succeed())
	}
	// shows expects the column of `kubectl get`, once the status says the same.
	shows := func(ctx context.Context, column string) {
		GinkgoHelper()
		Eventually(func() string { return kubectl(ctx, "get", "encryptionbaseline", "organization") }).WithContext(ctx).Should(
			MatchRegexp(`UNKNOWN +ROLLOUT +READY +AGE\norganization +Enforce +6 +\d +\d +\d +` + column + ` +True `))
	}
	enabled := func(ctx context.Context) []string {
		GinkgoHelper()
		var on []string
		for _, id := range members {
			if flag(ctx, id, ireland) {
				on = append(on, id)
			}
		}
		return on
	}

	It("is one account and an hour where no waves are named", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", spec(""))
		awaitRollout(ctx, "wave 1/2 (first account): 1 of 1 accounts done, soaks until ")
		shows(ctx, "1/2 soaking")
		s.recheck(ctx)
		Expect(enabled(ctx)).To(Equal([]string{first}))
		Expect(s.account(ctx, second).Status.Drift).To(ConsistOf(And(HaveField("Reason", v1alpha1.RowRolloutWaiting),
			HaveField("Message", "changed in wave 2 of 2 (all others); wave 1 is under way"))))
		setFlag(ctx, false, first, ireland)
		s.withdraw(ctx, "encryptionbaseline", "organization")
	})

	It("refuses a cap of zero, and says what to write instead", func(ctx SpecContext) {
		for _, bad := range []string{"rollout: {maxChangesPerPass: 0}", `rollout: {maxAccounts: "0"}`, `rollout: {maxAccounts: "0%"}`} {
			_, err := shared.plane.Admin().Apply(ctx, manifest("EncryptionBaseline", "organization", spec(bad)))
			Expect(err).To(MatchError(ContainSubstring("suspend: true")), bad)
		}
	})

	It("changes nothing while two waves select the same account in other ways, and names it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", spec(`rollout: {waves: [
			{name: canary, accounts: {include: ["`+first+`"]}},
			{name: early, accounts: {matchLabels: {tier: prod}}}]}`))
		message := s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionRolloutPaused, "True", v1alpha1.ReasonOverlappingWaves)
		Expect(message).To(ContainSubstring("account " + first + " is in two waves, canary and early"))
		shows(ctx, "overlap")
		s.recheck(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		s.withdraw(ctx, "encryptionbaseline", "organization")
	})

	It("pauses itself when a change fails, and changes no further account", func(ctx SpecContext) {
		lift := s.rule(ctx, stack.Rule{
			Match: in(second, ireland, "ec2", "EnableEbsEncryptionByDefault"), Action: stack.ActionError, Code: "auto", Why: "identity"})
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", spec(waves))
		message := s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionRolloutPaused, "True", v1alpha1.ReasonTooMuchTrouble)
		Expect(message).To(And(HavePrefix("wave 2/3 (early)"), ContainSubstring("paused: changes of 1 checks failed"), ContainSubstring(v1alpha1.AnnotationResumeRollout)))
		shows(ctx, "2/3 paused")
		s.recheck(ctx)
		Expect(enabled(ctx)).NotTo(ContainElements(dataProd, security, logArchive))
		Expect(s.done(ctx, mark)).To(ContainElement(call(enableFlag, first, ireland)))
		for _, id := range []string{dataProd, security, logArchive} {
			Expect(s.account(ctx, id).Status.Drift).To(ConsistOf(HaveField("Reason", v1alpha1.RowRolloutPaused)))
		}

		By("goes on when somebody resumes it, in the order of the waves")
		lift(ctx)
		kubectl(ctx, "annotate", "--overwrite", "encryptionbaseline", "organization", v1alpha1.AnnotationResumeRollout+"=1")
		Eventually(func(g Gomega) { g.Expect(rollout(ctx, g).Paused).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
		s.ask(ctx, second)
		awaitRollout(ctx, "done")
		shows(ctx, "done")
		Expect(enabled(ctx)).To(Equal(members))
		var order []string
		for _, w := range s.done(ctx, mark) {
			order = append(order, strings.Fields(w)[1])
		}
		Expect(order[0]).To(Equal(first))
		Expect(order[1:3]).To(ConsistOf(second, webProd))
		Expect(order[3:]).To(ConsistOf(dataProd, security, logArchive))
	})

	It("that is done puts later drift right at once, wherever it is", func(ctx SpecContext) {
		setFlag(ctx, false, logArchive, ireland)
		s.recheck(ctx, logArchive)
		Expect(flag(ctx, logArchive, ireland)).To(BeTrue())
	})
})
