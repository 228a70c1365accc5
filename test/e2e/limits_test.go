package e2e

import (
	"context"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("The cap on changes in one pass", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-changes-per-pass=2"}})

	It("lets the first changes be made and has the others wait, saying so", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		Expect(s.rows(ctx, payProd)).To(Equal([]v1alpha1.DriftRow{
			flagRow(payProd, virginia, v1alpha1.RowCapReached, "at most 2 changes in one account and pass; made in a later one"),
		}))
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{payProd}, []string{frankfurt, ireland})))
		// The rest waits for a minute, or until a person asks.
		Consistently(func() []string { return s.writes(ctx, mark) }).WithContext(ctx).Should(HaveLen(2))
	})

	It("lets the rest be made in the next pass", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, virginia)}))
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})
})

var _ = Describe("The cap on accounts that are changed at a time", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=1"}})
	ours := []string{payProd, shopProd, webProd}

	It("lets one account be changed while the others wait, saying so", func(ctx SpecContext) {
		first := s.hold(ctx, stack.ActionHoldBefore, stack.Match{Operation: []string{"EnableEbsEncryptionByDefault"}}, 0)
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`", "`+shopProd+`", "`+webProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		first.await(ctx)
		held, err := shared.emulator.HeldCalls(ctx)
		Expect(err).NotTo(HaveOccurred())
		chosen := held[0].Request.Account
		for _, id := range without(ours, chosen) {
			s.awaitReasons(ctx, id, map[string]int{ebsDefault + " CapReached": 1})
			Expect(s.rows(ctx, id)[0].Message).To(Equal("at most 1 accounts are changed at a time; waits for a place"))
		}
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(enableFlag, chosen, ireland)}))
		first.release(ctx)
		s.awaitState(ctx, v1alpha1.AccountCompliant, chosen)
	})

	It("gives the place on, until all are done", func(ctx SpecContext) {
		// Whoever finds no place waits for a minute, or until a person asks.
		Eventually(func(g Gomega) {
			s.recheck(ctx, ours...)
			for _, id := range ours {
				g.Expect(s.accountWith(ctx, g, id).Status.State).To(Equal(v1alpha1.AccountCompliant))
			}
		}).WithContext(ctx).Should(Succeed())
	})
})

var _ = Describe("The management account", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})

	It("is observed, and not written to, where only `all` selects it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {all: true}
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		s.awaitReasons(ctx, management, map[string]int{ebsDefault + " ManagementAccount": 3})
		Expect(s.rows(ctx, management)[0].Message).To(ContainSubstring("accounts.include"))
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, members, regions)))
	})

	It("is written to once its id stands in accounts.include", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+management+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{management}, regions)))
	})
})

var _ = Describe("A new account", Ordered, func() {
	s := stage(plot{
		flags: []string{"--allow-writes", "--max-accounts-changing=10"}, organization: "enforceNewAccountsAfter: 24h",
		before: func(ctx context.Context, s *scene) {
			for _, id := range members[1:] {
				s.setState(ctx, map[string]any{"account": id, "joined_at": "2024-01-01T00:00:00Z"})
			}
		},
	})

	It("is only observed for as long as enforceNewAccountsAfter says", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		s.awaitReasons(ctx, payProd, map[string]int{ebsDefault + " NewAccount": 3})
		joined, err := time.Parse(time.RFC3339, s.account(ctx, payProd).Annotations[v1alpha1.AnnotationJoinedAt])
		Expect(err).NotTo(HaveOccurred())
		Expect(s.rows(ctx, payProd)[0].Message).To(Equal(
			"the account is new and only observed until " + joined.Add(24*time.Hour).Format(time.RFC3339)))
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, members[1:], regions)))
	})

	It("is written to the moment it is old enough", func(ctx SpecContext) {
		// It becomes so a few seconds from now: the age it has, and a little more.
		joined, err := time.Parse(time.RFC3339, s.account(ctx, payProd).Annotations[v1alpha1.AnnotationJoinedAt])
		Expect(err).NotTo(HaveOccurred())
		old := joined.Add(time.Duration(int(time.Since(joined).Seconds())+8) * time.Second)
		mark := s.mark(ctx)
		s.applyOrganization(ctx, "enforceNewAccountsAfter: "+strconv.Itoa(int(old.Sub(joined).Seconds()))+"s")
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, []string{payProd}, regions)))
		for _, r := range s.requests(ctx, stack.Query{Since: mark, Operation: []string{"EnableEbsEncryptionByDefault"}}) {
			Expect(r.Time).To(And(BeTemporally(">=", old), BeTemporally("<", old.Add(10*time.Second))))
		}
	})
})
