package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// foreseen is what a test reads of a plan's JSON.
type foreseen struct {
	Summary   map[string]any
	Baselines []struct {
		Baseline string
		Accounts int
		Changes  []struct {
			Account, AccountName, Control, Region, Resource, Risk, Effect, Exception, Message, Wave string
			Reversible                                                                              bool
			Fields                                                                                  []struct{ Path, From, To string }
		}
		Costs []struct{ Control, Cost string }
	}
	Unknown     []map[string]string
	Unreachable []map[string]string
	Notes       []string
}

var _ = Describe("A plan", Ordered, ContinueOnFailure, func() {
	var dir string
	s := stage(plot{before: func(ctx context.Context, _ *scene) {
		encryptByDefault(ctx, everywhere...)
		setFlag(ctx, false, payProd, ireland)
		s3Make(ctx, shopProd, frankfurt, "acme-shop")
	}})
	BeforeEach(func() { dir = GinkgoT().TempDir() })

	write := func(name, text string) string {
		GinkgoHelper()
		file := filepath.Join(dir, name)
		Expect(os.MkdirAll(filepath.Dir(file), 0o700)).To(Succeed())
		Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
		return file
	}
	organization := func() string {
		return manifest("AWSOrganization", organizationName, `
			managementAccount: "`+management+`"
			regions: [`+strings.Join(regions, ", ")+`]
			roles: {externalId: `+externalID+`}
			enforceNewAccountsAfter: 0s
			tagLabels: [tier]`)
	}
	encryption := func(more string) string {
		return manifest("EncryptionBaseline", "organization", `
			mode: Audit
			ebsDefault: {state: Enabled}
			`+more)
	}
	// run runs the binary, which may not write: neither by a write nor by assuming the role that could.
	run := func(ctx context.Context, args ...string) *stack.Output {
		GinkgoHelper()
		mark := s.mark(ctx)
		out, err := stack.RunManager(ctx, stack.ManagerOptions{
			Binary: os.Getenv("PLUMBLINE_BINARY"), Args: append([]string{"plan"}, args...), Kubeconfig: shared.kubeconfig, Emulator: shared.emulator,
		}, "")
		Expect(err).NotTo(HaveOccurred())
		GinkgoWriter.Printf("plumbline plan %s\n%s%s(exit code %d)\n", strings.Join(args, " "), out.Stdout, out.Stderr, out.Code)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.sessions(ctx, enforceRole)).To(BeEmpty())
		Expect(s.sessions(ctx, auditRole)).NotTo(BeEmpty())
		return out
	}
	told := func(out *stack.Output) foreseen {
		GinkgoHelper()
		var p foreseen
		Expect(json.Unmarshal([]byte(out.Stdout), &p)).To(Succeed(), out.Stdout+out.Stderr)
		return p
	}

	It("is clean, exit code 0, where nothing departs", func(ctx SpecContext) {
		write("organization.yaml", organization())
		write("baselines/encryption.yml", encryption("regions: {include: ["+frankfurt+", "+virginia+"]}"))
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(0), out.Stderr)
		Expect(out.Stderr).To(BeEmpty())
		Expect(out.Stdout).To(Equal("7 accounts, 14 checks: nothing departs\n\n" +
			"EncryptionBaseline/organization: 7 accounts, 14 checks, nothing seen that departs\n"))
	})

	It("says what Enforce would change, exit code 2, in a table and in JSON", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption(`kmsRotation: {state: Enabled}
			rollout: {waves: [{name: canary, accounts: {matchLabels: {tier: core}}}]}`)+"---\n"+manifest("S3Baseline", "buckets", `
			mode: Audit
			accounts: {include: ["`+shopProd+`"]}
			secureTransport: {state: Enabled}
			versioning: {state: Enabled, mode: Audit}
			buckets: {include: ["acme-*"]}`))
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(2), out.Stderr)
		Expect(out.Stdout).To(MatchRegexp(`ACCOUNT +CONTROL +REGION +RESOURCE +FIELD +FROM +TO +RISK +UNDO +EFFECT +WAVE\n` +
			` +111122223333 pay-prod +ebs-default-encryption +eu-west-1 +\S+ +encryptionByDefault +Disabled +Enabled +Safe +yes +at once +2/2 all others\n`))
		Expect(out.Stdout).To(MatchRegexp(`111122224444 shop-prod +s3-secure-transport .* +Disruptive +yes +after approval\n`))
		Expect(out.Stdout).To(MatchRegexp(`s3-versioning .* +Irreversible +no +after approval\n`))
		Expect(out.Stdout).To(ContainSubstring("cost of s3-versioning: Storage of every former version"))
		Expect(out.Stderr).To(BeEmpty())

		p := told(run(ctx, "-f", dir, "-o", "json"))
		Expect(p.Summary).To(Equal(map[string]any{"verdict": "Drift", "accounts": 7.0, "checks": 48.0, "changed": 1.0,
			"awaitingApproval": 2.0, "held": 0.0, "reported": 0.0, "excepted": 0.0, "waiting": 0.0, "unknown": 0.0, "unreachable": 0.0}))
		Expect(p.Baselines[0].Changes).To(HaveLen(1))
		Expect(p.Baselines[0].Changes[0].Account + " " + p.Baselines[0].Changes[0].Effect).To(Equal(payProd + " Changed"))
		Expect(told(run(ctx, "-f", dir, "-o", "json", "--as-declared")).Summary).To(And(HaveKeyWithValue("reported", 3.0), HaveKeyWithValue("changed", 0.0)))
	})

	It("obeys an exception, and is clean then", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption("")+"---\n"+manifest("BaselineException", "workshop", `
			controls: [`+ebsDefault+`]
			accounts: {include: ["`+payProd+`"]}
			reason: a workshop
			owner: team
			ticket: T-1
			from: "`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"
			expires: "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`))
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(0), out.Stderr)
		Expect(out.Stdout).To(And(ContainSubstring("1 excused by an exception"), ContainSubstring("excused by workshop")))
	})

	It("is made of the samples, as somebody would begin", func(ctx SpecContext) {
		root, err := stack.Root()
		Expect(err).NotTo(HaveOccurred())
		samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		for _, file := range samples {
			text, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			write(filepath.Base(file), strings.ReplaceAll(string(text), "plumbline-example", externalID))
		}
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(2), out.Stderr)
		Expect(out.Stdout).To(HavePrefix("7 accounts, 275 checks: 8 changed after an approval, 29 held back, 15 only reported, 22 that follow something else\n"))
		Expect(out.Stdout).To(And(ContainSubstring("held back: NewAccount"), ContainSubstring("held back: ManagementAccount"),
			ContainSubstring("kustomization.yaml:5 (document 1): Kustomization is not read")))
	})

	It("is written in Markdown to a file", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption(""))
		file := filepath.Join(GinkgoT().TempDir(), "plan.md")
		out := run(ctx, "-f", dir, "-o", "markdown", "--file", file, "--account", payProd)
		Expect(out.Code).To(Equal(2), out.Stderr)
		Expect(out.Stdout).To(BeEmpty())
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(And(HavePrefix("## Plumbline plan\n\n**1 account, 3 checks: 1 changed at once**\n"),
			ContainSubstring("| 111122223333 pay-prod | ebs-default-encryption | eu-west-1 | arn:aws:ec2:eu-west-1:111122223333:ebs-encryption-by-default |"+
				" encryptionByDefault | Disabled | Enabled | Safe | yes | at once | – |")))
	})

	It("takes organization, accounts and exceptions from a cluster, and lets its baselines compete", func(ctx SpecContext) {
		file := write("encryption.yaml", encryption(`accounts: {organizationalUnits: ["`+s.organization.OUs["Workloads/Prod"]+`"]}`))
		out := run(ctx, "-f", file)
		Expect(out.Code).To(Equal(1))
		Expect(out.Stderr).To(HavePrefix("error: nothing says which organization: add a file with its AWSOrganization"))
		p := told(run(ctx, "-f", file, "--kubeconfig", shared.kubeconfig, "-o", "json"))
		Expect(p.Summary).To(And(HaveKeyWithValue("accounts", 4.0), HaveKeyWithValue("changed", 1.0), HaveKeyWithValue("verdict", "Drift")))

		s.declare(ctx, "EncryptionBaseline", "stronger", `
			mode: Audit
			priority: 10
			ebsDefault: {state: Enabled}`)
		out = run(ctx, "-f", file, "--kubeconfig", shared.kubeconfig, "--with-cluster-baselines", "--account", payProd)
		Expect(out.Code).To(Equal(1), "every check is decided by the other baseline: nothing was looked at")
		Expect(out.Stdout).To(ContainSubstring("EncryptionBaseline/stronger decides 3 checks of EncryptionBaseline/organization"))
		s.withdraw(ctx, "EncryptionBaseline", "stronger")
	})

	It("names account, AWS's code, role and next step where an account cannot be entered, exit code 1", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption(""))
		removeRole(ctx, webProd, auditRole)
		removeRole(ctx, webProd, enforceRole)
		DeferCleanup(func(ctx SpecContext) { restoreRoles(ctx, webProd) })
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(1))
		Expect(out.Stderr).To(And(HavePrefix("error: account "+webProd+" cannot be entered (RoleRefused): AccessDenied: "),
			ContainSubstring("sts:AssumeRole of "+roleARN(webProd, auditRole)+" was refused: deploy the member roles of config/iam there")))
		Expect(out.Stdout).To(And(ContainSubstring("Accounts that cannot be entered\n"), ContainSubstring("1 changed at once, 1 account that cannot be entered")))
	})

	It("is an error, with the reason, where a check cannot be told", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption(""))
		lift := s.rule(ctx, stack.Rule{Match: in(shopProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "UnauthorizedOperation", Status: 403})
		defer lift(ctx)
		out := run(ctx, "-f", dir)
		Expect(out.Code).To(Equal(1))
		Expect(out.Stderr).To(Equal("error: what could not be told: 1; the plan lists each with its reason\n"))
		Expect(out.Stdout).To(MatchRegexp(`What could not be told\n.*\n +` + shopProd + ` +EncryptionBaseline/organization +` + ebsDefault + ` +eu-west-1 +– +AccessDenied +UnauthorizedOperation`))
	})

	It("says of every bad document where it stands and what is wrong, exit code 1, before AWS is asked", func(ctx SpecContext) {
		file := write("bad.yaml", organization()+"---\n"+manifest("EncryptionBaseline", "typo", "mode: Enforced\nebsDefault: {state: Enabled}")+
			"---\n"+manifest("EncryptionBaseline", "unknown", "ebsDefaults: {state: Enabled}")+
			"---\n"+manifest("EncryptionBaseline", "careless", "mode: Enforce\nebsDefault: {state: Enabled}"))
		out, err := stack.RunManager(ctx, stack.ManagerOptions{
			Binary: os.Getenv("PLUMBLINE_BINARY"), Args: []string{"plan", "-f", file}, Kubeconfig: shared.kubeconfig, Emulator: shared.emulator,
			Env: []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"}, // nothing answers there
		}, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(out.Code).To(Equal(1))
		Expect(out.Stdout).To(BeEmpty())
		Expect(out.Stderr).To(And(
			ContainSubstring(`(document 2): EncryptionBaseline/typo: spec.mode: Unsupported value: "Enforced": supported values: "Audit", "Enforce"`),
			ContainSubstring(`(document 3): EncryptionBaseline/unknown: unknown field "spec.ebsDefaults"`),
			ContainSubstring(`(document 4): EncryptionBaseline/careless: spec: mode: Enforce needs accounts`)))
	})

	It("ends when it is interrupted, and says so", func(ctx SpecContext) {
		write("all.yaml", organization()+"---\n"+encryption(""))
		held := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, "ec2", readFlag), 0)
		short, cancel := context.WithCancel(ctx)
		go func() {
			defer GinkgoRecover()
			defer cancel()
			held.await(ctx)
		}()
		out, err := stack.RunManager(short, stack.ManagerOptions{
			Binary: os.Getenv("PLUMBLINE_BINARY"), Args: []string{"plan", "-f", dir}, Kubeconfig: shared.kubeconfig, Emulator: shared.emulator,
		}, "")
		Expect(err).NotTo(HaveOccurred())
		held.drop(ctx)
		Expect(out.Code).To(Equal(1))
		Expect(out.Stdout).To(BeEmpty())
		Expect(out.Stderr).To(Equal("error: interrupted; nothing was told, and nothing was changed\n"))
	})
})
