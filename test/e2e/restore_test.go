package e2e

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Deleting a baseline", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	spec := func(policy string) string {
		return `
			mode: Enforce
			accounts: {include: ["` + payProd + `", "` + shopProd + `", "` + webProd + `"]}
			regions: {include: [` + ireland + `, ` + frankfurt + `]}
			deletionPolicy: ` + policy + `
			ebsDefault: {state: Enabled}`
	}
	three := []string{payProd, shopProd, webProd}

	It("with Retain leaves AWS as it is", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", spec("Retain"))
		s.compliant(ctx, "EncryptionBaseline", "organization")
		mark := s.mark(ctx)
		s.withdraw(ctx, "encryptionbaseline", "organization")
		s.recheck(ctx, three...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(flag(ctx, payProd, ireland)).To(BeTrue())
	})

	It("with Restore puts back what was there, where it is still as Plumbline left it, and gives up where the account is gone", func(ctx SpecContext) {
		for _, id := range three {
			setFlag(ctx, false, id, ireland)
		}
		s.declare(ctx, "EncryptionBaseline", "organization", spec("Restore"))
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(get(ctx, Default, "EncryptionBaseline", "organization").GetFinalizers()).To(Equal([]string{v1alpha1.FinalizerRestore}))
		Expect(flag(ctx, shopProd, ireland)).To(BeTrue())
		s.applyOrganization(ctx, `discovery: {exclude: ["`+webProd+`"]}`)
		kubectl(ctx, "delete", "awsacct", webProd)
		setFlag(ctx, false, shopProd, ireland) // by somebody else, who wants it so
		mark := s.mark(ctx)
		kubectl(ctx, "delete", "encryptionbaseline", "organization", "--timeout=90s")
		err := shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, &v1alpha1.EncryptionBaseline{})
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
		Expect(s.done(ctx, mark)).To(Equal([]string{call("ec2:DisableEbsEncryptionByDefault", payProd, ireland)}))
		Expect(flag(ctx, payProd, frankfurt)).To(BeTrue(), "that was changed for the baseline before, which said Retain")
		for id, want := range map[string]string{payProd: "Undone ", shopProd: "Applied " + v1alpha1.ReasonChangedSince, webProd: "Applied " + v1alpha1.ReasonAccountGone} {
			var found []string
			for _, r := range remediations(ctx, Default, id, ebsDefault) {
				reason := ""
				for _, c := range r.Status.Conditions {
					reason = c.Reason
				}
				found = append(found, string(r.Status.Phase)+" "+reason)
			}
			Expect(found).To(ContainElement(want), id)
		}
	})

	const disableFlag = "ec2:DisableEbsEncryptionByDefault"
	two := []string{payProd, shopProd}
	// changed has a baseline that says Restore turn encryption on in two accounts.
	changed := func(ctx SpecContext) {
		GinkgoHelper()
		for _, id := range two {
			setFlag(ctx, false, id, ireland)
		}
		s.declare(ctx, "EncryptionBaseline", "organization", strings.ReplaceAll(spec("Restore"), `, "`+webProd+`"`, ""))
		s.compliant(ctx, "EncryptionBaseline", "organization")
	}
	gone := func(ctx SpecContext) {
		GinkgoHelper()
		Eventually(func() bool {
			return apierrors.IsNotFound(shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, &v1alpha1.EncryptionBaseline{}))
		}).WithContext(ctx).Should(BeTrue())
	}
	newest := func(ctx SpecContext, g Gomega, id string) v1alpha1.Remediation {
		GinkgoHelper()
		all := remediations(ctx, g, id, ebsDefault)
		g.Expect(all).NotTo(BeEmpty())
		return all[len(all)-1]
	}

	It("with Restore is finished by the next manager where one is killed in the middle of it", func(ctx SpecContext) {
		for action, found := range map[stack.Action]string{
			stack.ActionHoldBefore: "", stack.ActionHoldAfter: "found as it was before, after an interrupted undo",
		} {
			changed(ctx)
			at := s.hold(ctx, action, in(payProd, ireland, "ec2", "DisableEbsEncryptionByDefault"), 0)
			mark := s.mark(ctx)
			kubectl(ctx, "delete", "encryptionbaseline", "organization", "--wait=false")
			at.await(ctx)
			s.kill()
			at.drop(ctx)
			Expect(get(ctx, Default, "EncryptionBaseline", "organization").GetFinalizers()).To(Equal([]string{v1alpha1.FinalizerRestore}))
			Expect(newest(ctx, Default, payProd).Status.Changes).To(ConsistOf(HaveField("Outcome", v1alpha1.ChangeUndoing)), string(action))
			s.start(ctx)
			gone(ctx)
			Expect(s.done(ctx, mark)).To(ConsistOf(inEach(disableFlag, two, []string{ireland})), string(action))
			for _, id := range two {
				r := newest(ctx, Default, id)
				Expect([]any{r.Status.Phase, r.Status.Undone.By, r.Status.Undone.Reason}).To(Equal(
					[]any{v1alpha1.RemediationUndone, "plumbline", "deletionPolicy: Restore of EncryptionBaseline/organization"}), string(action))
			}
			Expect(newest(ctx, Default, payProd).Status.Changes).To(ConsistOf(And(
				HaveField("Outcome", v1alpha1.ChangeUndone), HaveField("Message", found))), string(action))
		}
	})

	It("with Restore stops where somebody says Retain meanwhile, and leaves what was not taken back", func(ctx SpecContext) {
		writes := func(now string) {
			GinkgoHelper()
			kubectl(ctx, "patch", "awsorg", organizationName, "--type=merge", "-p", `{"spec":{"writes":"`+now+`"}}`)
		}
		changed(ctx)
		writes("Stopped")
		s.awaitNoticed(ctx, "AWSOrganization", organizationName)
		mark := s.mark(ctx)
		kubectl(ctx, "delete", "encryptionbaseline", "organization", "--wait=false")
		for _, id := range two {
			Eventually(func(g Gomega) {
				g.Expect(newest(ctx, g, id).Status.Changes).To(ConsistOf(And(HaveField("Outcome", v1alpha1.ChangeUndoing),
					HaveField("Message", ContainSubstring(v1alpha1.RowWritesStopped)))))
			}).WithContext(ctx).Should(Succeed())
		}
		_, err := as(ctx, "ed@example.org", "plumbline-view", "plumbline-write-baselines").Run(ctx,
			"patch", "encryptionbaseline", "organization", "--type=merge", "-p", `{"spec":{"deletionPolicy":"Retain"}}`)
		Expect(err).NotTo(HaveOccurred())
		gone(ctx)
		writes("Allowed")
		s.recheck(ctx, two...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		for _, id := range two {
			r := newest(ctx, Default, id)
			Expect([]any{r.Status.Phase, r.Status.Message, r.Status.Conditions}).To(Equal(
				[]any{v1alpha1.RemediationApplied, "undoing it was called off, for deletionPolicy is Retain now", []metav1.Condition(nil)}))
			Expect(flag(ctx, id, ireland)).To(BeTrue())
		}
	})

	It("with Restore is done at once when nothing was changed", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", spec("Restore")+"\n			mode: Audit")
		kubectl(ctx, "delete", "encryptionbaseline", "organization", "--timeout=60s")
	})
})

var _ = Describe("A manager that may not write", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})

	It("does not undo either", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		r := s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplied)
		s.kill()
		s.plot.flags = nil
		s.start(ctx)
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), r.Name, "undo", r.Status.Digest, alice)).To(Succeed())
		s.awaitCondition(ctx, "Remediation", r.Name, v1alpha1.ConditionUndoing, "True", v1alpha1.ReasonRequested)
		Eventually(func(g Gomega) {
			now := remediations(ctx, g, payProd, ebsDefault)[0]
			g.Expect(now.Status.Changes).To(ContainElement(HaveField("Message", ContainSubstring("WritesDisabled"))))
		}).WithContext(ctx).Should(Succeed())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})
})
