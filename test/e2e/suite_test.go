package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/test/stack"
)

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	// Generous: a condition that comes is waited for no longer than it takes, and a slow machine takes its time.
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyTimeout(90 * time.Second)
	SetDefaultEventuallyPollingInterval(150 * time.Millisecond)
	SetDefaultConsistentlyDuration(3 * time.Second)
	SetDefaultConsistentlyPollingInterval(150 * time.Millisecond)
	RunSpecs(t, "Plumbline end to end")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	dir, err := os.MkdirTemp("", "plumbline-e2e-")
	Expect(err).NotTo(HaveOccurred())
	shared.dir = dir
	shared.plane, err = stack.StartControlPlane(stack.ControlPlaneOptions{Dir: filepath.Join(dir, "controlplane")})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return shared.plane.Stop() })
	install(ctx)
	shared.emulator, err = stack.StartEmulator(ctx, stack.EmulatorOptions{Dir: filepath.Join(dir, "emulator")})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return shared.emulator.Stop() })
	shared.client, err = newClient(shared.plane.Config)
	Expect(err).NotTo(HaveOccurred())
})

// The logs of a suite that failed stay, and the report says where.
var _ = ReportAfterSuite("logs", func(report Report) {
	if report.SuiteSucceeded {
		_ = os.RemoveAll(shared.dir)
		return
	}
	GinkgoWriter.Println("logs:", shared.dir)
})
