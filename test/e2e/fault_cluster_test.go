package e2e

import (
	"path/filepath"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("An API server that is restarted in the middle of a change", Label("fault"), Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}, faulty: true,
		mayLog: []string{forbidden}}) // an API server that has just started knows no roles for a moment
	var e *estate
	BeforeAll(func(ctx SpecContext) {
		e = s.estate()
		e.declareBoth(ctx, "Enforce")
		s.compliant(ctx, "EncryptionBaseline", "organization")
		s.compliant(ctx, "GuardDutyBaseline", "organization")
	})

	It("is outlived: the change is made once, and every account's status is true", func(ctx SpecContext) {
		goroutines := s.goroutines(ctx)
		setFlag(ctx, false, payProd, ireland)
		mark := s.mark(ctx)
		write := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault"), 0)
		token := s.ask(ctx)
		write.await(ctx)
		Expect(shared.plane.KillAPIServer()).To(Succeed())
		write.release(ctx)
		// The manager has made the change and cannot write it down.
		Eventually(func() []string { return s.done(ctx, mark) }).WithContext(ctx).Should(Equal([]string{call(enableFlag, payProd, ireland)}))
		Expect(shared.plane.StartAPIServer()).To(Succeed())
		e.trueAgain(ctx, token)
		Expect(s.done(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		Expect(s.manager.Done()).NotTo(BeClosed(), "it is the same process")
		s.atRest(ctx, goroutines)
	})
})

var _ = Describe("A leader that loses its lease in the middle of a change", Label("fault"), Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	var e *estate
	names := []string{"frozen", "successor"}
	pair := map[string]*stack.Manager{}
	log := func(name string) string { return filepath.Join(shared.dir, "manager-"+name+".log") }
	BeforeAll(func(ctx SpecContext) {
		e = s.estate()
		e.declareBoth(ctx, "Enforce")
		s.compliant(ctx, "EncryptionBaseline", "organization")
		s.compliant(ctx, "GuardDutyBaseline", "organization")
		s.kill()
		for _, name := range names {
			pair[name] = s.startManagerWith(ctx, stack.ManagerOptions{
				Args: []string{"--leader-elect=true", "--leader-election-namespace=" + managerNamespace}, Log: log(name),
			})
			if name == names[0] {
				Eventually(func() []map[string]any { return logged(log(name), "Starting workers") }).WithContext(ctx).ShouldNot(BeEmpty())
			}
		}
	})
	AfterAll(func() {
		for _, name := range names {
			if pair[name] != nil {
				Expect(pair[name].Kill()).To(Succeed())
				expectCleanLog(log(name))
			}
		}
	})

	// The leader is frozen, as a machine that pauses is, while its writes are on the way, one in each region. It wakes when another leads.
	It("writes no more once it knows, and what it did does no harm", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, ireland)
		setFlag(ctx, false, payProd, virginia)
		mark := s.mark(ctx)
		var writes []*held
		for _, region := range []string{ireland, virginia} {
			writes = append(writes, s.hold(ctx, stack.ActionHoldBefore, in(payProd, region, "ec2", "EnableEbsEncryptionByDefault"), 0))
		}
		token := s.ask(ctx)
		for _, write := range writes {
			write.await(ctx)
		}
		Expect(syscall.Kill(pair["frozen"].PID(), syscall.SIGSTOP)).To(Succeed())
		e.trueAgain(ctx, token)
		Expect(logged(log("successor"), "Starting workers")).NotTo(BeEmpty())
		successors := []string{call(enableFlag, payProd, ireland), call(enableFlag, payProd, virginia)}
		Expect(s.done(ctx, mark)).To(ConsistOf(successors))

		woken := s.mark(ctx)
		Expect(syscall.Kill(pair["frozen"].PID(), syscall.SIGCONT)).To(Succeed())
		for _, write := range writes {
			write.release(ctx)
		}
		Eventually(pair["frozen"].Done()).WithContext(ctx).Should(BeClosed(), "it ends, for the lease is another's")
		Expect(s.writes(ctx, woken)).To(BeEmpty(), "the writes that were on the way are the last")
		e.trueAgain(ctx, s.ask(ctx))
		Expect(flag(ctx, payProd, ireland)).To(BeTrue())
		Expect(flag(ctx, payProd, virginia)).To(BeTrue())
	})
})
