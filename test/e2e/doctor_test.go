package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// doctor runs `plumbline doctor` as the administrator of the cluster with the manager's AWS credentials, and returns what it
// printed and how it ended.
func doctor(ctx context.Context, args ...string) (string, error) {
	GinkgoHelper()
	dir, err := os.MkdirTemp(shared.dir, "doctor-")
	Expect(err).NotTo(HaveOccurred())
	log := filepath.Join(dir, "log")
	process, err := stack.StartManager(stack.ManagerOptions{
		Binary: os.Getenv("PLUMBLINE_BINARY"), Args: append([]string{"doctor"}, args...), Kubeconfig: shared.plane.Kubeconfig, Emulator: shared.emulator, Log: log,
	})
	Expect(err).NotTo(HaveOccurred())
	failed := process.Wait(ctx)
	text, err := os.ReadFile(log)
	Expect(err).NotTo(HaveOccurred())
	return string(text), failed
}

var _ = Describe("kubectl plumbline doctor", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--leader-elect", "--leader-election-namespace=" + managerNamespace}})

	It("finds nothing that fails where all is installed, and changes nothing", func(ctx SpecContext) {
		mark := s.mark(ctx)
		text, err := doctor(ctx)
		Expect(err).NotTo(HaveOccurred(), text)
		GinkgoWriter.Println(text)
		Expect(text).NotTo(ContainSubstring("FAIL "), text)
		for _, line := range []string{
			"OK     CRDs ", "OK     policy plumbline-remediation ", "OK     manager ", "OK     AWS Organizations ",
			"111122223333, 111122224444 and 5 more: arn:aws:iam::ACCOUNT:role/plumbline/PlumblineAudit can be assumed and leads into the account",
			"111122223333, 111122224444 and 5 more: asks for the ExternalId",
			"111122223333, 111122224444 and 5 more: 3 governed regions enabled and answering",
		} {
			Expect(text).To(ContainSubstring(line))
		}
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("names the account without roles, the role that asks for no ExternalId, and the region that is denied", func(ctx SpecContext) {
		removeRole(ctx, logArchive, auditRole)
		removeRole(ctx, logArchive, enforceRole)
		_, err := iam.NewFromConfig(shared.emulator.Config(shopProd, virginia)).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
			RoleName: ptr.To(auditRole), PolicyDocument: ptr.To(openTrust),
		})
		Expect(err).NotTo(HaveOccurred())
		s.rule(ctx, stack.Rule{Match: in(webProd, ireland, "ec2", "DescribeRegions"), Action: stack.ActionError, Code: "auto", Why: "scp"})
		text, err := doctor(ctx, "--account", strings.Join([]string{logArchive, shopProd, webProd}, ","))
		GinkgoWriter.Println(text)
		Expect(err).To(MatchError(ContainSubstring("exit status 1")))
		for _, line := range []string{
			"FAIL   audit role          " + logArchive + ": AccessDenied",
			"WARN   trust               " + shopProd + ": too open, for it does not ask for the ExternalId: " + roleARN(shopProd, auditRole),
			"WARN   regions             " + webProd + ": eu-west-1: denied by a service control policy",
		} {
			Expect(text).To(ContainSubstring(line))
		}
	})
})

// openTrust lets the manager's account in without an ExternalId.
const openTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + management + `:root"},"Action":"sts:AssumeRole"}]}`
