package e2e

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/faultproxy"
)

// The moment of a kill is chosen by dice: after so many calls of AWS since somebody broke something and asked for a look. Each
// round kills the manager a few times, one life after the other, before it may finish.
var _ = Describe("A manager that is killed at random points", Label("fault"), Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}, faulty: true})
	var e *estate
	BeforeAll(func(ctx SpecContext) {
		e = s.estate()
		e.declareBoth(ctx, "Enforce")
		s.compliant(ctx, "EncryptionBaseline", "organization")
		s.compliant(ctx, "GuardDutyBaseline", "organization")
	})

	// dies kills the manager after so many further calls of AWS, or when there is nothing left to do, and starts it again.
	dies := func(ctx SpecContext, calls int, token string) {
		GinkgoHelper()
		until := s.mark(ctx) + calls
		Eventually(func() bool {
			return s.mark(ctx) >= until || !slices.ContainsFunc(members, func(id string) bool {
				return s.account(ctx, id).Status.LastHandledReconcileAt != token
			})
		}).WithContext(ctx).WithPolling(5 * time.Millisecond).Should(BeTrue())
		s.kill()
		s.start(ctx)
	}

	It("makes every change once, loses none, and tells the truth of every account", func(ctx SpecContext) {
		for killed := 0; killed < chaos.kills; {
			mark := s.mark(ctx)
			want := e.breaks(ctx, 4)
			token := s.ask(ctx)
			for range 1 + e.dice.IntN(3) {
				dies(ctx, 1+e.dice.IntN(60), token)
				killed++
			}
			e.repaired()
			e.trueAgain(ctx, token)
			Expect(e.made(ctx, mark)).To(ConsistOf(want), "each broken setting is put right once")
			progress("killed %d times of %d", killed, chaos.kills)
		}
	}, NodeTimeout(time.Duration(chaos.kills)*30*time.Second+time.Minute))

	It("does so in bad weather as well", Label("chaos"), func(ctx SpecContext) {
		for _, f := range []faultproxy.Fault{
			{Action: faultproxy.Throttle, Percent: 20}, {Action: faultproxy.Fail, Percent: 5}, {Action: faultproxy.CutBefore, Percent: 5},
			{Services: []string{"sts"}, Action: faultproxy.Refuse, Percent: 5}, {Action: faultproxy.Delay, Percent: 5, Wait: time.Second},
		} {
			s.proxy.Add(f)
		}
		mark := s.mark(ctx)
		var want []string
		for killed := range chaos.kills / 4 {
			want = append(want, e.breaks(ctx, 1)...)
			dies(ctx, 1+e.dice.IntN(30), s.ask(ctx))
			progress("killed %d times of %d, %d calls were hit", killed+1, chaos.kills/4, s.proxy.Hits())
		}
		s.proxy.LiftAll()
		e.repaired()
		e.trueInTheEnd(ctx)
		Expect(e.made(ctx, mark)).To(ConsistOf(want), "each broken setting is put right once")
	}, NodeTimeout(time.Duration(chaos.kills)*10*time.Second+6*time.Minute))

	It("has written what one that was never killed and knows nothing finds", func(ctx SpecContext) {
		posture := func() map[string]string {
			told := map[string]string{}
			for _, id := range everywhere {
				a := s.account(ctx, id).Status
				told[id] = fmt.Sprint(a.State, a.Summary, a.Checks, a.Regions, a.DeniedRegions, a.Controls, timeless(a.Drift))
			}
			return told
		}
		was := posture()
		s.kill()
		Expect(shared.client.DeleteAllOf(ctx, &v1alpha1.AWSAccount{})).To(Succeed())
		Eventually(func(g Gomega) {
			var left v1alpha1.AWSAccountList
			g.Expect(shared.client.List(ctx, &left, client.Limit(1))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
		mark := s.mark(ctx)
		s.start(ctx)
		s.awaitReached(ctx, everywhere...)
		s.recheck(ctx)
		Expect(posture()).To(Equal(was))
		Expect(e.made(ctx, mark)).To(BeEmpty(), "nothing was left to do")
	})
})
