package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
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
