package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	// alice may decide about Remediations, and so may bob. eve may only look.
	alice, bob, eve = "alice@example.org", "bob@example.org", "eve@example.org"
)

// as is kubectl as a user with one of Plumbline's roles. Nobody fills in the roles that collect others here, so the rules that
// they collect are bound.
func as(ctx context.Context, user string, roles ...string) stack.Kubectl {
	GinkgoHelper()
	for _, role := range roles {
		_, err := shared.plane.Kubectl(ctx, "create", "clusterrolebinding", strings.ReplaceAll(user, "@", "-")+"-"+role, "--clusterrole="+role, "--user="+user)
		if err != nil {
			Expect(err.Error()).To(ContainSubstring("already exists"))
		}
	}
	k, err := shared.plane.As(user)
	Expect(err).NotTo(HaveOccurred())
	return k
}

func approver(ctx context.Context, user string) stack.Kubectl {
	GinkgoHelper()
	return as(ctx, user, "plumbline-view", "plumbline-decide-remediations")
}

// remediations are those of an account's control, the oldest first.
func remediations(ctx context.Context, g Gomega, account, control string) []v1alpha1.Remediation {
	GinkgoHelper()
	var all v1alpha1.RemediationList
	g.Expect(shared.client.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelAccount: account, v1alpha1.LabelControl: control})).To(Succeed())
	slices.SortFunc(all.Items, func(a, b v1alpha1.Remediation) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all.Items
}

// awaitPhase waits until a Remediation of an account's control is in a phase, and returns the newest of them.
func (s *scene) awaitPhase(ctx context.Context, account, control string, phase v1alpha1.RemediationPhase) v1alpha1.Remediation {
	GinkgoHelper()
	var found v1alpha1.Remediation
	Eventually(func(g Gomega) {
		all := remediations(ctx, g, account, control)
		in := slices.DeleteFunc(slices.Clone(all), func(r v1alpha1.Remediation) bool { return r.Status.Phase != phase })
		g.Expect(in).NotTo(BeEmpty(), "none is %s: %v", phase, phases(all))
		found = in[len(in)-1]
	}).WithContext(ctx).Should(Succeed())
	return found
}

// decide writes a decision with kubectl.
func decide(ctx context.Context, k stack.Kubectl, name, field, digest, by string) error {
	_, err := k.Run(ctx, "patch", "remediation", name, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{%q:{"digest":%q,"by":%q,"reason":"agreed in CHG-1"}}}`, field, digest, by))
	return err
}

func phases(all []v1alpha1.Remediation) []string {
	var found []string
	for _, r := range all {
		found = append(found, string(r.Status.Phase))
	}
	return found
}

var _ = Describe("A Remediation", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	const block = s3AccountBlock
	var proposed v1alpha1.Remediation

	It("proposes a Disruptive change, and nothing is written", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "organization", enforcedBlock(payProd))
		proposed = s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(proposed.Name).To(Equal(payProd + "-" + block + "-" + proposed.Status.PlanDigest[:8] + "-0"))
		st := proposed.Status
		Expect([]string{st.Account, st.Control, st.Baseline, st.Role, st.Risk, st.Progress}).To(Equal([]string{
			payProd, block, "S3Baseline/organization", roleARN(payProd, enforceRole), "Disruptive", "0/1"}))
		Expect(st.Reversible).To(BeTrue())
		Expect(st.Changes).To(HaveLen(1))
		Expect(st.Changes[0].Fields).To(ContainElement(v1alpha1.RemediationField{Path: "blockPublicAcls", From: "Disabled", To: "Enabled"}))
		Eventually(func(g Gomega) {
			rows := s.accountWith(ctx, g, payProd).Status.Drift
			g.Expect(rows).NotTo(BeEmpty())
			for _, d := range rows {
				g.Expect([]string{d.Reason, d.Remediation}).To(Equal([]string{v1alpha1.RowAwaitingApproval, proposed.Name}))
			}
		}).WithContext(ctx).Should(Succeed())
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is proposed once, however often the account is looked at, and by whichever manager", func(ctx SpecContext) {
		s.recheck(ctx, payProd)
		s.kill()
		s.start(ctx)
		s.recheck(ctx, payProd)
		Expect(phases(remediations(ctx, Default, payProd, block))).To(Equal([]string{"Proposed"}))
	})

	It("is not approved by a digest that is another's, and says so", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", strings.Repeat("0", 32), alice)).To(Succeed())
		message := s.awaitCondition(ctx, "Remediation", proposed.Name, v1alpha1.ConditionDecisionRefused, "True", v1alpha1.ReasonOtherDigest)
		Expect(message).To(ContainSubstring("name status.digest"))
		s.recheck(ctx, payProd)
		Expect(s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed).Name).To(Equal(proposed.Name))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("is made once it is approved, and says by whom", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), proposed.Name, "approval", proposed.Status.Digest, alice)).To(Succeed())
		applied := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationApplied)
		Expect(applied.Name).To(Equal(proposed.Name))
		Expect([]string{applied.Status.Decided.By, applied.Status.Decided.Reason, applied.Status.Progress}).To(Equal([]string{alice, "agreed in CHG-1", "1/1"}))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(s3PutAccountBlock, payProd, virginia)}))
		s.compliant(ctx, "S3Baseline", "organization")
	})

	It("is undone when asked, and then waits for an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, bob), proposed.Name, "undo", proposed.Status.Digest, bob)).To(Succeed())
		undone := remediations(ctx, Default, payProd, block)[0]
		Eventually(func(g Gomega) {
			undone = remediations(ctx, g, payProd, block)[0]
			g.Expect(undone.Status.Phase).To(Equal(v1alpha1.RemediationUndone))
		}).WithContext(ctx).Should(Succeed())
		Expect(undone.Status.Undone.By).To(Equal(bob))
		Expect(s.writes(ctx, mark)).To(Equal([]string{call("s3control:DeletePublicAccessBlock", payProd, virginia)}))
		again := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(again.Name).To(HaveSuffix("-1"))
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(HaveLen(1))
	})

	It("that is rejected is not proposed again", func(ctx SpecContext) {
		again := s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationProposed)
		Expect(decide(ctx, approver(ctx, bob), again.Name, "rejected", again.Status.Digest, bob)).To(Succeed())
		s.awaitPhase(ctx, payProd, block, v1alpha1.RemediationRejected)
		s.recheck(ctx, payProd)
		Expect(phases(remediations(ctx, Default, payProd, block))).To(Equal([]string{"Undone", "Rejected"}))
		Expect(s.account(ctx, payProd).Status.Drift[0].Message).To(ContainSubstring("rejected by " + bob))
	})
})

var _ = Describe("Remediations of many accounts", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	three := []string{payProd, shopProd, webProd}
	batch := func(ctx context.Context, g Gomega) v1alpha1.BaselineProposal {
		GinkgoHelper()
		b := &v1alpha1.S3Baseline{}
		g.Expect(shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, b)).To(Succeed())
		g.Expect(b.Status.Proposals).To(HaveLen(1))
		return b.Status.Proposals[0]
	}
	// approve approves the batch; more are further fields of the approval.
	approve := func(ctx context.Context, k stack.Kubectl, digest, by, more string) error {
		GinkgoHelper()
		_, err := k.Run(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p", fmt.Sprintf(
			`{"spec":{"approvals":[{"control":%q,"digest":%q,"by":%q,"reason":"CHG-2"%s}]}}`, s3AccountBlock, digest, by, more))
		return err
	}
	var proposal v1alpha1.BaselineProposal

	It("stand as one batch in the baseline", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+strings.Join(three, `", "`)+`"]}
			rollout: {waves: [{name: canary, accounts: {include: ["`+strings.Join(three, `", "`)+`"]}, soak: 0s}]}
			accountPublicAccessBlock: {state: Enabled}`)
		Eventually(func(g Gomega) {
			proposal = batch(ctx, g)
			g.Expect([]any{proposal.Control, proposal.Wave, proposal.Open, proposal.Waiting, proposal.Risk, proposal.Accounts}).To(Equal(
				[]any{s3AccountBlock, "canary", int32(3), int32(0), "Disruptive", three}))
		}).WithContext(ctx).Should(Succeed())
	})

	It("are not approved with a digest that is another's", func(ctx SpecContext) {
		mark := s.mark(ctx)
		k := as(ctx, alice, "plumbline-view", "plumbline-decide-remediations", "plumbline-write-baselines")
		Expect(approve(ctx, k, strings.Repeat("0", 32), alice, "")).To(Succeed())
		s.awaitCondition(ctx, "S3Baseline", "organization", v1alpha1.ConditionApprovalsRefused, "True", v1alpha1.ReasonOtherDigest)
		s.recheck(ctx, three...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(batch(ctx, Default).Digest).To(Equal(proposal.Digest), "an approval that does not count changes nothing")
	})

	It("are not approved for another wave than theirs, and the refusal names it", func(ctx SpecContext) {
		mark := s.mark(ctx)
		k := as(ctx, alice, "plumbline-view", "plumbline-decide-remediations", "plumbline-write-baselines")
		Expect(approve(ctx, k, proposal.Digest, alice, `,"wave":"early"`)).To(Succeed())
		message := s.awaitCondition(ctx, "S3Baseline", "organization", v1alpha1.ConditionApprovalsRefused, "True", v1alpha1.ReasonOtherWave)
		Expect(message).To(ContainSubstring(`what is proposed now is of wave "canary"; look at status.proposals again`))
		s.recheck(ctx, three...)
		Expect(s.writes(ctx, mark)).To(BeEmpty())

		By("and nobody turns it into one for that wave without being an approver")
		_, err := as(ctx, "ed@example.org", "plumbline-view", "plumbline-write-baselines").Run(ctx, "patch", "s3baseline", "organization",
			"--type=json", "-p", `[{"op":"replace","path":"/spec/approvals/0/wave","value":"canary"}]`)
		Expect(err).To(MatchError(ContainSubstring("one must be allowed to update remediations.plumbline.dev")))
	})

	It("are approved from Git by an account that the policy lists, and say that it only claims who did", func(ctx SpecContext) {
		const argo = "system:serviceaccount:argocd:argocd-application-controller"
		for _, policy := range []string{"plumbline-approvals", "plumbline-remediation"} {
			index := map[string]string{"plumbline-approvals": "0", "plumbline-remediation": "1"}[policy]
			kubectl(ctx, "patch", "validatingadmissionpolicy", policy, "--type=json", "-p",
				`[{"op":"replace","path":"/spec/variables/`+index+`/expression","value":"['`+argo+`']"}]`)
		}
		git, err := shared.plane.AsServiceAccount("argocd", "argocd-application-controller")
		Expect(err).NotTo(HaveOccurred())
		for _, role := range []string{"plumbline-view", "plumbline-decide-remediations", "plumbline-write-baselines"} {
			kubectl(ctx, "create", "clusterrolebinding", "argo-"+role, "--clusterrole="+role, "--serviceaccount=argocd:argocd-application-controller")
		}
		mark := s.mark(ctx)
		Eventually(func() error { return approve(ctx, git, proposal.Digest, "carol", `,"wave":"canary","via":"GitOps"`) }).WithContext(ctx).Should(Succeed())
		s.compliant(ctx, "S3Baseline", "organization")
		for _, id := range three {
			r := s.awaitPhase(ctx, id, s3AccountBlock, v1alpha1.RemediationApplied)
			Expect([]any{r.Status.Decided.By, r.Status.Decided.Via, r.Status.Decided.Batch}).To(Equal([]any{"carol", v1alpha1.ViaGitOps, proposal.Digest}))
		}
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(s3PutAccountBlock, three, []string{virginia})))
		Expect(condition(ctx, Default, "S3Baseline", "organization", v1alpha1.ConditionApprovalsRefused)).To(BeNil())
	})
})

var _ = Describe("A change that needs no approval", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	var made v1alpha1.Remediation

	It("is on record before AWS is touched", func(ctx SpecContext) {
		at := s.hold(ctx, stack.ActionHoldBefore, in(payProd, "", "ec2", "EnableEbsEncryptionByDefault"), 0)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		at.await(ctx)
		made = s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplying)
		Expect([]any{made.Status.Decided.By, made.Status.Risk, len(made.Status.Changes), made.Status.Changes[0].Before}).To(Equal(
			[]any{"plumbline", "Safe", 3, `{"enabled":false}`}))
		at.release(ctx)
		s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationApplied)
	})

	It("can be undone, and is not made again without an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), made.Name, "undo", made.Status.Digest, alice)).To(Succeed())
		s.awaitPhase(ctx, payProd, ebsDefault, v1alpha1.RemediationProposed)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach("ec2:DisableEbsEncryptionByDefault", []string{payProd}, regions)))
		Expect(s.account(ctx, payProd).Status.Drift[0].Message).To(ContainSubstring("undone by " + alice))
	})

	It("keeps policy documents out of its status, and undoes from the Secret that holds them", func(ctx SpecContext) {
		s3Make(ctx, payProd, frankfurt, "with-policy")
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			approval: Irreversible
			accounts: {include: ["`+payProd+`"]}
			secureTransport: {state: Enabled}`)
		r := s.awaitPhase(ctx, payProd, s3Transport, v1alpha1.RemediationApplied)
		Expect(r.Status.Secret).NotTo(BeEmpty())
		for _, c := range r.Status.Changes {
			Expect([]string{c.Before, c.After}).To(Equal([]string{"", ""}))
		}
		Expect(kubectl(ctx, "get", "remediation", r.Name, "-o", "yaml")).NotTo(ContainSubstring("aws:SecureTransport"))
		mark := s.mark(ctx)
		Expect(decide(ctx, approver(ctx, alice), r.Name, "undo", r.Status.Digest, alice)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", r.Name).Object["status"]).To(HaveKeyWithValue("phase", "Undone"))
		}).WithContext(ctx).Should(Succeed())
		Expect(s.writes(ctx, mark)).To(Equal([]string{call("s3:DeleteBucketPolicy", payProd, frankfurt)}))
	})
})

// One Disruptive change of each kind of baseline goes all the way and back.
var _ = Describe("A Disruptive change of each kind", Ordered, ContinueOnFailure, func() {
	const ours = `
			mode: Enforce
			accounts: {include: ["` + payProd + `"]}`
	key := ""
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		key = makeKey(ctx, payProd, frankfurt, "alias/baseline")
		gdMake(ctx, payProd, frankfurt, types.FindingPublishingFrequencySixHours)
		gdSet(ctx, false, types.DetectorFeatureS3DataEvents, payProd, frankfurt)
		makeLogBucket(ctx, logBucket)
		makeLogBucket(ctx, "acme-old-logs")
		trustCloudTrail(ctx)
		_, err := trails(frankfurt).CreateTrail(ctx, &cloudtrail.CreateTrailInput{
			Name: aws.String("org-trail"), S3BucketName: aws.String("acme-old-logs"), IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true),
		})
		Expect(err).NotTo(HaveOccurred())
		setTrailLogging(ctx, true, "org-trail", frankfurt)
		s3SetAccountBlock(ctx, payProd, s3Flags{true})
		_, err = iamOf(payProd).UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{
			MinimumPasswordLength: aws.Int32(14), PasswordReusePrevention: aws.Int32(24),
		})
		Expect(err).NotTo(HaveOccurred())
	}})
	DescribeTable("is proposed, approved, applied and undone", func(ctx SpecContext, kind, account, id, spec string, is func(ctx context.Context) bool) {
		s.declare(ctx, kind, "organization", spec)
		r := s.awaitPhase(ctx, account, id, v1alpha1.RemediationProposed)
		Expect(r.Status.Risk).To(Equal("Disruptive"))
		Expect(is(ctx)).To(BeFalse(), "nothing is written before it is approved")
		Expect(decide(ctx, approver(ctx, alice), r.Name, "approval", r.Status.Digest, alice)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", r.Name).Object["status"]).To(HaveKeyWithValue("phase", "Applied"))
		}).WithContext(ctx).Should(Succeed())
		Expect(is(ctx)).To(BeTrue())
		Expect(decide(ctx, approver(ctx, bob), r.Name, "undo", r.Status.Digest, bob)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "Remediation", r.Name).Object["status"]).To(HaveKeyWithValue("phase", "Undone"))
		}).WithContext(ctx).Should(Succeed())
		Expect(is(ctx)).To(BeFalse())
		kubectl(ctx, "delete", kind, "organization")
	},
		Entry("of EncryptionBaseline", "EncryptionBaseline", payProd, ebsDefault, ours+`
			regions: {include: [`+frankfurt+`]}
			ebsDefault: {state: Enabled, kmsKey: alias/baseline}`,
			func(ctx context.Context) bool { return defaultKey(ctx, payProd, frankfurt) == key }),
		Entry("of S3Baseline", "S3Baseline", payProd, s3AccountBlock, ours+`
			accountPublicAccessBlock: {state: Enabled}`,
			func(ctx context.Context) bool { return s3BlockOfAccount(ctx, payProd) == s3AllOn }),
		Entry("of IAMBaseline", "IAMBaseline", payProd, iamPasswords, ours+`
			passwordPolicy: {state: Enabled, maxAgeDays: 90}`,
			func(ctx context.Context) bool {
				p := iamPasswordPolicy(ctx, payProd)
				return p.MaxPasswordAge != nil && *p.MaxPasswordAge == 90
			}),
		Entry("of GuardDutyBaseline", "GuardDutyBaseline", payProd, gdFeatures, ours+`
			regions: {include: [`+frankfurt+`]}
			features: {state: Enabled, s3DataEvents: Enabled}`,
			func(ctx context.Context) bool {
				return slices.Contains(gdOn(ctx, payProd, frankfurt), "S3_DATA_EVENTS")
			}),
		Entry("of CloudTrailBaseline", "CloudTrailBaseline", management, trailItself, `
			mode: Enforce
			organizationTrail: {state: Enabled, name: org-trail, homeRegion: `+frankfurt+`, bucket: {name: `+logBucket+`}}`,
			func(ctx context.Context) bool { return *theTrail(ctx).S3BucketName == logBucket }),
	)
})
