package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// enforcerAccount is the service account of config/separate-hands.
const enforcerAccount = "plumbline-enforcer"

// separateHands installs config/separate-hands over config/default for as long as a container runs.
func separateHands(ctx context.Context) {
	GinkgoHelper()
	root, err := stack.Root()
	Expect(err).NotTo(HaveOccurred())
	kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(root, "test", "e2e", "testdata", "separate-hands"))
	DeferCleanup(func(ctx SpecContext) {
		kubectl(ctx, "delete", "--ignore-not-found", "-f", filepath.Join(root, "config", "separate-hands", "rbac.yaml"), "-f", filepath.Join(root, "config", "separate-hands", "deployment.yaml"))
		kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(root, "config", "default"))
	})
}

// startEnforcer starts the scene's enforcer with its service account and its identity in AWS.
func (s *scene) startEnforcer(ctx context.Context) *stack.Manager {
	GinkgoHelper()
	account, err := shared.plane.AsServiceAccount(managerNamespace, enforcerAccount)
	Expect(err).NotTo(HaveOccurred())
	return s.startManagerWith(ctx, stack.ManagerOptions{
		Args: []string{"--role=enforcer"}, Kubeconfig: account.Kubeconfig, Env: []string{"AWS_ACCESS_KEY_ID=" + enforcerKey},
	})
}

var _ = Describe("Separate hands", Ordered, ContinueOnFailure, func() {
	s := stage(plot{
		flags: []string{"--allow-writes", "--role=observer"}, separate: true,
		organization: "roles: {externalId: " + externalID + ", enforcerPrincipal: " + enforcerPrincipal + "}",
		before:       func(ctx context.Context, _ *scene) { separateHands(ctx) },
	})
	var enforcer *stack.Manager
	AfterAll(func() {
		if enforcer != nil {
			Expect(enforcer.Kill()).To(Succeed())
		}
	})
	const block = s3AccountBlock
	awaitRow := func(ctx context.Context, account, reason string) v1alpha1.DriftRow {
		GinkgoHelper()
		var row v1alpha1.DriftRow
		Eventually(func(g Gomega) {
			rows := s.accountWith(ctx, g, account).Status.Drift
			g.Expect(rows).NotTo(BeEmpty())
			row = rows[0]
			g.Expect(row.Reason).To(Equal(reason), row.Message)
		}).WithContext(ctx).Should(Succeed())
		return row
	}

	It("keep the observer out of the enforce roles, in AWS itself", func(ctx SpecContext) {
		config := shared.emulator.Config(management, virginia)
		config.Credentials = credentials.NewStaticCredentialsProvider(observerKey, "test", "")
		_, err := sts.NewFromConfig(config).AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String(roleARN(payProd, enforceRole)), RoleSessionName: aws.String("observer"), ExternalId: aws.String(externalID),
		})
		Expect(err).To(MatchError(ContainSubstring("AccessDenied")))
	})

	It("hand over what needs no approval, and write nothing without an enforcer", func(ctx SpecContext) {
		mark := s.mark(ctx) // an account begins with the flag off
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		handed := s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApproved)
		Expect(handed.Status.Decided.By).To(Equal("plumbline"))
		row := awaitRow(ctx, payProd, v1alpha1.RowHandedOver)
		Expect(row.Message).To(ContainSubstring("handed over to the enforcer"))
		s.recheck(ctx, payProd)
		Expect(phases(remediations(ctx, Default, payProd, ebsDefault))).To(Equal([]string{"Approved"}), "it is handed over once")
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.sessions(ctx, enforceRole)).To(BeEmpty())
	})

	It("have the enforcer make it, which nobody else does", func(ctx SpecContext) {
		mark := s.mark(ctx)
		enforcer = s.startEnforcer(ctx)
		s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplied)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.done(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		for _, one := range s.sessions(ctx, enforceRole) {
			Expect(one.By).To(Equal(enforcerPrincipal))
		}
	})

	It("have a drift put right again that comes back", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, ireland)
		s.recheck(ctx, payProd)
		Eventually(func(g Gomega) {
			g.Expect(phases(remediations(ctx, g, payProd, ebsDefault))).To(Equal([]string{"Applied", "Applied"}))
		}).WithContext(ctx).Should(Succeed())
		s.compliant(ctx, "EncryptionBaseline", "organization")
	})

	It("have what a person approves made by the enforcer, and undone by it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", enforcedBlock(payProd))
		proposed := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", proposed.Status.Digest, alice)).To(Succeed())
		s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationApplied)
		s.compliant(ctx, "S3Baseline", "organization")
		Expect(decide(ctx, approver(ctx, bob), proposed.Name, "undo", proposed.Status.Digest, bob)).To(Succeed())
		Expect(s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationUndone).Status.Undone.By).To(Equal(bob))
		Expect(s.done(ctx, mark)).To(Equal([]string{
			call(s3PutAccountBlock, payProd, virginia), call("s3control:DeletePublicAccessBlock", payProd, virginia)}))
		again := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(again.Name).To(HaveSuffix("-1"))
	})

	// asObserver writes the status of a Remediation as somebody could who has taken over the observer.
	asObserver := func(ctx context.Context, name string, alter func(*v1alpha1.RemediationStatus)) error {
		GinkgoHelper()
		observer, err := shared.plane.AsServiceAccount(managerNamespace, managerAccount)
		Expect(err).NotTo(HaveOccurred())
		config, err := clientcmd.BuildConfigFromFlags("", observer.Kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		c, err := newClient(config)
		Expect(err).NotTo(HaveOccurred())
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			r := &v1alpha1.Remediation{}
			Expect(c.Get(ctx, client.ObjectKey{Name: name}, r)).To(Succeed())
			alter(&r.Status)
			return c.Status().Update(ctx, r)
		})
	}

	It("have the enforcer believe no approval that no person wrote", func(ctx SpecContext) {
		mark := s.mark(ctx)
		forged := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(asObserver(ctx, forged.Name, func(st *v1alpha1.RemediationStatus) {
			st.Phase, st.Decided = v1alpha1.RemediationApproved, &v1alpha1.Decided{By: alice, At: *st.Expires, Reason: "no"}
		})).To(Succeed())
		s.awaitCondition(ctx, "Remediation", forged.Name, v1alpha1.ConditionHandedOver, "True", v1alpha1.ReasonNotDecidable)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(decide(ctx, approver(ctx, bob), forged.Name, "rejected", forged.Status.Digest, bob)).To(Succeed())
		s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationRejected)
	})

	It("keep the observer from saying that something was made, that it is another, or that it is not over", func(ctx SpecContext) {
		all := remediations(ctx, Default, payProd, block)
		Expect(phases(all)).To(Equal([]string{"Undone", "Rejected"}))
		applied := s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplied)
		for message, forge := range map[string]error{
			"that is Undone does not become Approved":             asObserver(ctx, all[0].Name, func(st *v1alpha1.RemediationStatus) { st.Phase = v1alpha1.RemediationApproved }),
			"that is Applied does not become Approved":            asObserver(ctx, applied.Name, func(st *v1alpha1.RemediationStatus) { st.Phase = v1alpha1.RemediationApproved }),
			"only the enforcer says that a Remediation is Undone": asObserver(ctx, applied.Name, func(st *v1alpha1.RemediationStatus) { st.Phase = v1alpha1.RemediationUndone }),
			"another plan is another Remediation":                 asObserver(ctx, applied.Name, func(st *v1alpha1.RemediationStatus) { st.PlanDigest = strings.Repeat("0", 32) }),
		} {
			Expect(forge).To(MatchError(ContainSubstring(message)))
		}
	})

	It("keep both from leading Plumbline into other roles", func(ctx SpecContext) {
		for _, account := range []string{managerAccount, enforcerAccount} {
			k, err := shared.plane.AsServiceAccount(managerNamespace, account)
			Expect(err).NotTo(HaveOccurred())
			_, err = k.Run(ctx, "patch", "awsacct", payProd, "--type=merge", "-p", `{"spec":{"roles":{"enforce":"arn:aws:iam::`+payProd+`:role/another"}}}`)
			Expect(err).To(MatchError(ContainSubstring("orbidden")))
		}
	})

	It("have what Git approves made by the enforcer", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "organization", enforcedBlock(shopProd))
		s.awaitPhase(ctx, shopProd, block, v1alpha1.RemediationProposed)
		k := as(ctx, alice, "plumbline-view", "plumbline-decide-remediations", "plumbline-write-baselines")
		Eventually(func(g Gomega) {
			b := &v1alpha1.S3Baseline{}
			g.Expect(shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, b)).To(Succeed())
			g.Expect(b.Status.Proposals).To(HaveLen(1))
			_, err := k.Run(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p", fmt.Sprintf(
				`{"spec":{"approvals":[{"control":%q,"digest":%q,"by":%q}]}}`, block, b.Status.Proposals[0].Digest, alice))
			g.Expect(err).NotTo(HaveOccurred())
		}).WithContext(ctx).Should(Succeed())
		s.awaitPhase(ctx, shopProd, block, v1alpha1.RemediationApplied)
	})

	It("say in the account's row what keeps the enforcer from a change", func(ctx SpecContext) {
		removeRole(ctx, webProd, enforceRole)
		setFlag(ctx, false, webProd, ireland)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`", "`+webProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		row := awaitRow(ctx, webProd, v1alpha1.RowRoleMissing)
		Expect(row.Message).To(ContainSubstring("the enforce role cannot be assumed"))
	})

	It("stop by the organization's switch", func(ctx SpecContext) {
		kubectl(ctx, "patch", "awsorg", organizationName, "--type=merge", "-p", `{"spec":{"writes":"Stopped"}}`)
		s.awaitNoticed(ctx, "AWSOrganization", organizationName)
		mark := s.mark(ctx)
		setFlag(ctx, false, payProd, ireland)
		s.recheck(ctx, payProd)
		awaitRow(ctx, payProd, v1alpha1.RowWritesStopped)
		Expect(s.done(ctx, mark)).To(Equal([]string{call(disableFlag, payProd, ireland)}), "which is the test's own")
		kubectl(ctx, "patch", "awsorg", organizationName, "--type=merge", "-p", `{"spec":{"writes":"Allowed"}}`)
		Eventually(func() bool { return flag(ctx, payProd, ireland) }).WithContext(ctx).Should(BeTrue())
	})

	It("survive an enforcer that is killed between the record and the write", func(ctx SpecContext) {
		Eventually(func(g Gomega) {
			for _, r := range remediations(ctx, g, payProd, ebsDefault) {
				g.Expect(r.Status.Phase.Open()).To(BeFalse())
			}
		}).WithContext(ctx).Should(Succeed())
		write := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault"), 0)
		setFlag(ctx, false, payProd, ireland)
		s.ask(ctx, payProd)
		write.await(ctx)
		Expect(enforcer.Kill()).To(Succeed())
		write.drop(ctx)
		s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplying)
		enforcer = s.startEnforcer(ctx)
		Eventually(func(g Gomega) {
			for _, r := range remediations(ctx, g, payProd, ebsDefault) {
				g.Expect(r.Status.Phase).To(Equal(v1alpha1.RemediationApplied), r.Name)
			}
		}).WithContext(ctx).Should(Succeed())
		Expect(flag(ctx, payProd, ireland)).To(BeTrue())
	})

	It("put back what was changed when a baseline with deletionPolicy: Restore goes", func(ctx SpecContext) {
		kubectl(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p", `{"spec":{"deletionPolicy":"Restore"}}`)
		s.awaitNoticed(ctx, "S3Baseline", "organization")
		mark := s.mark(ctx)
		s.withdraw(ctx, "s3baseline", "organization")
		Expect(s.done(ctx, mark)).To(Equal([]string{call("s3control:DeletePublicAccessBlock", shopProd, virginia)}))
		Expect(s.awaitPhase(ctx, shopProd, block, v1alpha1.RemediationUndone).Status.Undone.Reason).To(ContainSubstring("Restore"))
	})
})
