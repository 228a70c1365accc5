package e2e

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Enforce", Ordered, ContinueOnFailure, func() {
	ours := []string{payProd, shopProd}
	keys := map[string]string{} // by account and region
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		for _, id := range ours {
			for _, region := range regions {
				keys[id+region] = makeKey(ctx, id, region, "alias/baseline")
			}
		}
		makeVolume(ctx, payProd)
	}})
	const accounts = `accounts: {include: ["` + payProd + `", "` + shopProd + `"]}`

	It("makes every Safe change, once, and proposes the rest with what it would do", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			`+accounts+`
			ebsDefault: {state: Enabled, kmsKey: alias/baseline}
			ebsVolumes: {state: Enabled}
			kmsRotation: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		for _, id := range ours {
			var want []v1alpha1.DriftRow
			for _, region := range regions {
				Expect(flag(ctx, id, region)).To(BeTrue())
				Expect(rotates(ctx, id, region, keys[id+region])).To(BeTrue())
				Expect(defaultKey(ctx, id, region)).To(Equal("alias/aws/ebs"))
				want = append(want, keyRow(id, region, keys[id+region], v1alpha1.RowAwaitingApproval, "would set kmsKey from alias/aws/ebs to "+
					keys[id+region]+" (Disruptive); waits for an approval, or is applied with approval: Irreversible on the section"))
			}
			rows := s.rows(ctx, id)
			if id == payProd {
				Expect(rows).To(ContainElement(And(HaveField("Control", ebsVolumes), HaveField("Reason", v1alpha1.RowReportOnly))))
				rows = withoutControl(rows, ebsVolumes)
			}
			Expect(rows).To(Equal(want))
		}
		Expect(s.writes(ctx, mark)).To(ConsistOf(append(inEach(enableFlag, ours, regions), inEach(rotateKey, ours, regions)...)))
	})

	It("enters for each change with the enforce role, for 15 minutes, with just that control's actions", func(ctx SpecContext) {
		sessions := s.sessions(ctx, enforceRole)
		Expect(sessions).To(HaveLen(12))
		for _, session := range sessions {
			Expect(session.Duration).To(Equal(900))
			Expect(session.ExternalID).To(Equal(externalID))
			Expect(session.SessionName).To(BeElementOf("plumbline-"+ebsDefault, "plumbline-"+kmsRotation))
			other := "kms:EnableKeyRotation"
			if strings.HasSuffix(session.SessionName, kmsRotation) {
				other = "ec2:EnableEbsEncryptionByDefault"
			}
			Expect(session.Policy).To(And(Not(BeEmpty()), Not(ContainSubstring("*\",")), Not(ContainSubstring(other))))
		}
	})

	It("leaves an event before and after every write", func(ctx SpecContext) {
		for _, id := range ours {
			for _, region := range regions {
				resource := "arn:aws:ec2:" + region + ":" + id + ":ebs-encryption-by-default"
				Eventually(func(g Gomega) {
					g.Expect(notes(ctx, g, id, "Changing")).To(And(
						ContainElement(HavePrefix(ebsDefault+": changing "+resource+" in "+region+" (encryptionByDefault, before-state ")),
						ContainElement(HavePrefix(kmsRotation+": changing "+keys[id+region]+" in "+region+" (state, before-state "))))
					g.Expect(notes(ctx, g, id, "Changed")).To(And(
						ContainElement(HavePrefix(ebsDefault+": changed "+resource+" in "+region)),
						ContainElement(HavePrefix(kmsRotation+": changed "+keys[id+region]+" in "+region))))
				}).WithContext(ctx).WithTimeout(eventsWithin).Should(Succeed())
			}
		}
	})

	It("leaves a line in the log before and after every write, with a digest of what was there", func() {
		for _, message := range []string{"changing", "changed"} {
			var found []string
			for _, line := range logged(s.log, message) {
				Expect(line).To(And(HaveKeyWithValue("beforeDigest", MatchRegexp(`^[0-9a-f]{12}$`)), HaveKeyWithValue("baseline", "EncryptionBaseline/organization")))
				found = append(found, fmt.Sprint(line["control"], " ", line["account"], " ", line["region"]))
			}
			Expect(found).To(ConsistOf(append(inEach(ebsDefault, ours, regions), inEach(kmsRotation, ours, regions)...)))
		}
	})

	It("touches no account that the baseline does not select", func(ctx SpecContext) {
		s.recheck(ctx)
		for _, id := range []string{webProd, dataProd, security, logArchive, management} {
			Expect(flag(ctx, id, ireland)).To(BeFalse())
			Expect(s.account(ctx, id).Status.Baselines).To(BeEmpty())
		}
	})

	It("puts right what somebody changed, at the next look, with one write", func(ctx SpecContext) {
		setFlag(ctx, false, shopProd, ireland)
		mark := s.mark(ctx)
		s.recheck(ctx, shopProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, shopProd, ireland)}))
		Expect(flag(ctx, shopProd, ireland)).To(BeTrue())
		Expect(s.account(ctx, shopProd).Status.Checks.Drifted).To(BeEquivalentTo(3), "the proposals, and nothing else")
	})

	It("writes nothing while all that is left waits for an approval or a person", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.recheck(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("proposes even Safe changes with approval: All", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			`+accounts+`
			ebsDefault: {state: Enabled, approval: All}
			kmsRotation: {state: Enabled}`)
		setFlag(ctx, false, shopProd, ireland)
		mark := s.mark(ctx)
		s.recheck(ctx, ours...)
		Expect(s.rows(ctx, shopProd)).To(Equal([]v1alpha1.DriftRow{flagRow(shopProd, ireland, v1alpha1.RowAwaitingApproval,
			"would set encryptionByDefault from Disabled to Enabled (Safe); waits for an approval")}))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("applies a Disruptive change with approval: Irreversible on the section", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			`+accounts+`
			ebsDefault: {state: Enabled, kmsKey: alias/baseline, approval: Irreversible}
			kmsRotation: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.writes(ctx, mark)).To(ConsistOf(append(inEach(changeKey, ours, regions), call(enableFlag, shopProd, ireland))))
		for _, id := range ours {
			Expect(s.rows(ctx, id)).To(BeEmpty())
			for _, region := range regions {
				Expect(defaultKey(ctx, id, region)).To(Equal(keys[id+region]))
			}
		}
	})

	It("lets kubectl wait pass on the baseline and on the accounts", func(ctx SpecContext) {
		kubectl(ctx, "wait", "--for=condition=Compliant", "encryptionbaseline/organization", "--timeout=30s")
		kubectl(ctx, "wait", "--for=condition=Compliant", "awsacct", payProd, shopProd, "--timeout=30s")
	})

	It("waits for an approval to turn something off, even with approval: Irreversible", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			approval: Irreversible
			`+accounts+`
			ebsDefault: {state: Disabled}
			kmsRotation: {state: Disabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		for _, id := range ours {
			s.awaitReasons(ctx, id, map[string]int{ebsDefault + " AwaitingApproval": 3, kmsRotation + " AwaitingApproval": 3})
			for _, row := range s.rows(ctx, id) {
				Expect(row.Message).To(MatchRegexp(`^would set \w+ from Enabled to Disabled \(weakens security\); waits for an approval in every mode$`))
			}
		}
		s.recheck(ctx, ours...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("leaves AWS alone when a section is taken out: no write, and its rows are gone", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			`+accounts+`
			kmsRotation: {state: Enabled}`)
		s.recheck(ctx, ours...)
		setFlag(ctx, false, payProd, regions...)
		mark := s.mark(ctx)
		s.recheck(ctx, ours...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Operation: []string{readFlag}})).To(BeEmpty(), "it does not even look")
		Expect(flag(ctx, payProd, frankfurt)).To(BeFalse())
		for _, id := range ours {
			Expect(s.rows(ctx, id)).To(BeEmpty())
			Expect(s.account(ctx, id).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 3}))
		}
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})

	It("leaves AWS alone when the baseline is deleted", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.withdraw(ctx, "encryptionbaseline", "organization")
		Eventually(func(g Gomega) {
			for _, id := range ours {
				g.Expect(s.accountWith(ctx, g, id).Status.Baselines).To(BeEmpty())
			}
		}).WithContext(ctx).Should(Succeed())
		s.recheck(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.account(ctx, payProd).Status.Conditions).To(ContainElement(And(
			HaveField("Type", v1alpha1.ConditionCompliant), HaveField("Reason", v1alpha1.ReasonNoChecks))))
	})

	It("logs no secret and no body of a request or an answer", func() { expectCleanLog(s.log) })
})

func withoutControl(rows []v1alpha1.DriftRow, control string) []v1alpha1.DriftRow {
	var rest []v1alpha1.DriftRow
	for _, row := range rows {
		if row.Control != control {
			rest = append(rest, row)
		}
	}
	return rest
}
