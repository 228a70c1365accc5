package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/faultproxy"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// Bad weather between the manager and AWS. While it lasts, somebody breaks and mends settings and asks for every account to be
// looked at: whatever answers says the truth or Unknown. When it is over, everything is true again.
var _ = Describe("Bad weather on the way to AWS", Label("fault"), Ordered, ContinueOnFailure, func() {
	s := stage(plot{faulty: true})
	var e *estate
	var goroutines float64
	BeforeAll(func(ctx SpecContext) {
		e = s.estate()
		encryptByDefault(ctx, members...)
		for _, account := range members {
			for _, region := range regions {
				gdMake(ctx, account, region, "SIX_HOURS")
			}
		}
		e.declareBoth(ctx, "Audit")
		s.compliant(ctx, "EncryptionBaseline", "organization")
		s.compliant(ctx, "GuardDutyBaseline", "organization")
		goroutines = s.goroutines(ctx)
	})
	AfterEach(func(ctx SpecContext) { s.proxy.LiftAll() })

	// lasts has a fault last for a while, or until accounts have answered, whichever is later.
	lasts := func(ctx SpecContext, faults ...faultproxy.Fault) {
		GinkgoHelper()
		for _, f := range faults {
			s.proxy.Add(f)
		}
		over := time.Now().Add(time.Duration(chaos.seconds) * time.Second)
		answered := 0
		for round := 0; time.Now().Before(over) || answered == 0 || s.proxy.Hits() == 0; round++ {
			e.breaks(ctx, 2)
			token := s.ask(ctx)
			var now int
			Eventually(func() int { now = e.honest(ctx, token); return now }).WithContext(ctx).Should(BeNumerically(">", 0))
			answered += now
		}
		progress("%d calls were hit, %d answers were honest", s.proxy.Hits(), answered)
		Expect(s.proxy.Hits()).To(BeNumerically(">", 0))
		s.proxy.LiftAll()
		e.trueAgain(ctx, s.ask(ctx))
		s.atRest(ctx, goroutines)
		e.mend(ctx)
	}

	It("that throttles half of all calls", func(ctx SpecContext) {
		lasts(ctx, faultproxy.Fault{Action: faultproxy.Throttle, Percent: 50})
	}, NodeTimeout(10*time.Minute))
	It("that fails calls on AWS's side, and cuts connections before and after the call got through", Label("chaos"), func(ctx SpecContext) {
		lasts(ctx, faultproxy.Fault{Action: faultproxy.Fail, Percent: 10}, faultproxy.Fault{Action: faultproxy.CutBefore, Percent: 10},
			faultproxy.Fault{Action: faultproxy.CutAfter, Percent: 10})
	})
	It("that has a fifth of all calls answered that the session is over", func(ctx SpecContext) {
		lasts(ctx, faultproxy.Fault{Services: []string{"ec2", "guardduty"}, Action: faultproxy.Expire, Percent: 20})
	})

	It("of STS that refuses everybody makes everything Unknown, and nothing stays so", func(ctx SpecContext) {
		s.proxy.Add(faultproxy.Fault{Services: []string{"sts"}, Action: faultproxy.Refuse})
		e.breaks(ctx, 4)
		s.ask(ctx)
		for _, id := range members {
			s.awaitState(ctx, v1alpha1.AccountUnreachable, id)
			n := s.account(ctx, id).Status.Checks
			Expect(n).To(Equal(v1alpha1.CheckCounts{Total: n.Total, Unknown: n.Total}))
		}
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionCompliant,
			metav1.ConditionUnknown, v1alpha1.ReasonSelectedAccountsUnreachable)
		s.proxy.LiftAll()
		e.trueAgain(ctx, s.ask(ctx))
		s.atRest(ctx, goroutines)
		e.mend(ctx)
	})

	It("does not matter for sessions that end in the middle of a pass: they are made anew", func(ctx SpecContext) {
		for _, kind := range []string{"EncryptionBaseline", "GuardDutyBaseline"} { // each alone: what ends one service's session ends all
			e.breaks(ctx, 4)
			look := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, map[string]string{"EncryptionBaseline": "ec2", "GuardDutyBaseline": "guardduty"}[kind]), 0)
			t := s.askBaseline(ctx, kind)
			look.await(ctx)
			for _, id := range members {
				s.setState(ctx, map[string]any{"account": id, "expire_sessions": true})
			}
			look.release(ctx)
			e.awaitHandled(ctx, kind, t, true)
			e.awaitHandled(ctx, kind, s.askBaseline(ctx, kind), true) // those who were done before find out now
			e.awaitHandled(ctx, kind, s.askBaseline(ctx, kind), false)
			e.mend(ctx)
			e.trueAgain(ctx, s.ask(ctx))
		}
	})

	It("of LimitExceeded from the credential report leaves the account's answer open, and that alone", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"account": payProd, "credential_report": "limit"})
		s.declare(ctx, "IAMBaseline", "organization", `
			mode: Audit
			accounts: {exclude: ["`+management+`"]}
			rootAccessKeys: {state: Enabled}
			accessKeyAge: {state: Enabled}`)
		s.awaitLooked(ctx, "IAMBaseline", "organization")
		c := control(s.account(ctx, payProd), "iam-access-key-age")
		Expect(c).NotTo(BeNil())
		Expect(c.Unknown).To(Equal(map[string]int32{v1alpha1.GlobalRegion: 1}))
		s.setState(ctx, map[string]any{"account": payProd, "credential_report": "normal"})
		Eventually(func(g Gomega) {
			s.recheck(ctx, payProd)
			for _, id := range members {
				g.Expect(control(s.accountWith(ctx, g, id), "iam-access-key-age")).To(BeNil(), "account %s", id)
			}
		}).WithContext(ctx).Should(Succeed())
		s.withdraw(ctx, "iambaseline", "organization")
	})

	It("in which one region never answers holds up no account and no other region", func(ctx SpecContext) {
		s.kill()
		s.manager = s.startManager(ctx) // no circuit and no quota of before
		goroutines = s.goroutines(ctx)
		s.proxy.Add(faultproxy.Fault{Regions: []string{ireland}, Action: faultproxy.Hang})
		e.breaks(ctx, 6)
		token := s.ask(ctx)
		s.awaitAnswer(ctx, token, members...)
		Expect(e.honest(ctx, token)).To(Equal(len(members)))
		for _, id := range members {
			a := s.account(ctx, id)
			for control := range repairs {
				for _, region := range without(regions, ireland) {
					_, unknown := said(a, control, region)
					Expect(unknown).To(BeFalse(), "%s in %s of %s", control, region, id)
				}
				_, unknown := said(a, control, ireland)
				Expect(unknown).To(BeTrue(), "%s in %s of %s", control, ireland, id)
			}
		}
		s.proxy.LiftAll()
		e.trueInTheEnd(ctx)
		s.atRest(ctx, goroutines)
		e.mend(ctx)
	}, NodeTimeout(10*time.Minute))

	It("in which more accounts never answer than are worked on at a time holds up no other account", Label("chaos"), func(ctx SpecContext) {
		s.kill()
		s.manager = s.startManager(ctx, "--concurrent-accounts=2")
		slow := []string{payProd, shopProd, webProd}
		e.breaks(ctx, 6)
		lift := s.rule(ctx, stack.Rule{Match: stack.Match{Account: slow, Service: []string{"ec2", "guardduty"}, Role: []string{auditRole}}, Action: stack.ActionHoldBefore})
		s.ask(ctx, slow...)
		Eventually(func() ([]stack.Held, error) { return shared.emulator.HeldCalls(ctx) }).WithContext(ctx).ShouldNot(BeEmpty())
		token := s.ask(ctx)
		// The others get their turns while the slow ones still hang, though a slow one has its worker for as long as listing its
		// regions is tried.
		for _, id := range []string{dataProd, security, logArchive} {
			Eventually(func(g Gomega) {
				a := s.accountWith(ctx, g, id)
				g.Expect(a.Status.LastHandledReconcileAt).To(Equal(token), "account %s", id)
				g.Expect(e.judge(a, false)).To(BeEmpty())
			}).WithContext(ctx).WithTimeout(5 * time.Minute).Should(Succeed())
		}
		lift(ctx)
		e.trueInTheEnd(ctx)
		e.mend(ctx)
	}, NodeTimeout(10*time.Minute))
})
