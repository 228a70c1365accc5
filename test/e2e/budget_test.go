package e2e

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// One account with 20 buckets and 10 users in 3 regions, checked for GuardDuty, the organization trail, EBS encryption by
// default, the account's public access block, default encryption of buckets and MFA of users, nothing of it in drift. Every
// attempt that reaches AWS is counted, by name: retries and redirects would show.
//
// The trail is decided where CloudTrail is administered; the account is CloudTrail's delegated administrator, so that all six
// controls meet in it. Discovery reads the organization in the management account by calls of its own, which are named apart.
// ListBuckets answers BucketRegion, as AWS does and moto does not: that is the emulator's own model (test/emulator/s3.py).
var _ = Describe("The requests that one account costs", Ordered, func() {
	const (
		account = payProd
		trail   = "org-trail"
		logs    = "acme-log-archive"
	)
	s := stage(plot{
		organization: `delegatedAdministrators: {cloudtrail: "` + account + `"}`,
		before: func(ctx context.Context, s *scene) {
			encryptByDefault(ctx, account)
			s3SetAccountBlock(ctx, account, s3AllOn)
			var people []*iamPerson
			for i := range 10 {
				people = append(people, &iamPerson{name: fmt.Sprintf("user-%d", i), password: daysAgo(400), mfa: true})
			}
			s.iamMake(ctx, account, people...)
			s.setState(ctx, map[string]any{"account": account, "credential_report": "ready"})
			for i := range 20 {
				s3Make(ctx, account, regions[i%len(regions)], fmt.Sprintf("acme-%02d", i))
			}
			for _, region := range regions {
				_, err := guardduty.NewFromConfig(shared.emulator.Config(account, region)).CreateDetector(ctx,
					&guardduty.CreateDetectorInput{Enable: aws.Bool(true)})
				Expect(err).NotTo(HaveOccurred())
			}
			s3Make(ctx, logArchive, frankfurt, logs)
			makeOrganizationTrail(ctx, account, trail, logs)
		},
	})
	baselines := map[string]string{
		"GuardDutyBaseline": only(account) + `
			detector: {state: Enabled}`,
		"CloudTrailBaseline": `organizationTrail: {state: Enabled, name: ` + trail + `, homeRegion: ` + frankfurt + `, bucket: {name: ` + logs + `}}`,
		"EncryptionBaseline": only(account) + `
			ebsDefault: {state: Enabled}`,
		"S3Baseline": only(account) + `
			accountPublicAccessBlock: {state: Enabled}
			defaultEncryption: {state: Enabled}`,
		"IAMBaseline": only(account) + `
			userMFA: {state: Enabled}`,
	}
	checks := map[string]int{
		"guardduty:ListDetectors": 3, "guardduty:GetDetector": 3,
		"cloudtrail:DescribeTrails": 1, "cloudtrail:GetTrailStatus": 1, "cloudtrail:GetEventSelectors": 1,
		"ec2:GetEbsEncryptionByDefault":  3,
		"s3control:GetPublicAccessBlock": 1,
		"s3:ListBuckets":                 1, "s3:GetBucketEncryption": 20,
		"iam:GetCredentialReport": 1,
	}

	It("are at most 45 in a cold pass of a manager that has just started", func(ctx SpecContext) {
		s.kill()
		for kind, spec := range baselines {
			_, err := shared.plane.Admin().Apply(ctx, manifest(kind, "budget", `
			mode: Audit
			`+spec))
			Expect(err).NotTo(HaveOccurred())
		}
		mark := s.mark(ctx)
		s.start(ctx)
		for kind := range baselines {
			s.compliant(ctx, kind, "budget")
		}
		Expect(s.account(ctx, account).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 12, Compliant: 12}),
			"three regions of GuardDuty, EBS and buckets, the trail, the account's block and MFA")

		cold := map[string]int{"sts:AssumeRole": 1, "ec2:DescribeRegions": 1}
		for name, n := range checks {
			cold[name] = n
		}
		costs, others := s.costs(ctx, account, mark)
		Expect(costs).To(Equal(cold))
		Expect(sum(costs)).To(And(Equal(37), BeNumerically("<=", 45)))
		for name := range others {
			Expect(name).To(BeElementOf("sts:AssumeRole", "ec2:DescribeRegions", // entering other accounts
				"organizations:DescribeOrganization", "organizations:ListRoots", "organizations:ListOrganizationalUnitsForParent",
				"organizations:ListAccounts", "organizations:ListTagsForResource")) // discovery, in the management account
		}
	})

	It("are at most 36 in a warm pass, while credentials and regions are known", func(ctx SpecContext) {
		mark, t := s.mark(ctx), token()
		args := []string{"annotate", "--overwrite", v1alpha1.AnnotationReconcileRequestedAt + "=" + t}
		for kind := range baselines {
			args = slices.Insert(args, 2, kind+"/budget")
		}
		kubectl(ctx, args...)
		for kind := range baselines {
			Eventually(func(g Gomega) {
				handled, _, err := unstructured.NestedString(get(ctx, g, kind, "budget").Object, "status", "lastHandledReconcileAt")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(handled).To(Equal(t), kind)
			}).WithContext(ctx).Should(Succeed())
		}
		costs, others := s.costs(ctx, account, mark)
		Expect(costs).To(Equal(checks))
		Expect(sum(costs)).To(And(Equal(35), BeNumerically("<=", 36)))
		Expect(others).To(BeEmpty(), "nobody else is asked for it")
	})

	It("are none while nothing is due", func(ctx SpecContext) {
		mark := s.mark(ctx)
		kubectl(ctx, "label", "awsacct", account, "team=payments")
		s.declare(ctx, "EncryptionBaseline", "elsewhere", `
			mode: Audit
			accounts: {include: ["`+shopProd+`"]}
			priority: -1
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "elsewhere")
		costs, _ := s.costs(ctx, account, mark)
		Expect(costs).To(BeEmpty())
	})
})

// costs counts the attempts since a mark by name: those in an account and for its credentials, and all others.
func (s *scene) costs(ctx context.Context, account string, since int) (its, others map[string]int) {
	GinkgoHelper()
	its, others = map[string]int{}, map[string]int{}
	for _, r := range s.requests(ctx, stack.Query{Since: since}) {
		counts := others
		if r.Account == account || r.Operation == "AssumeRole" && r.Resource == roleARN(account, auditRole) {
			counts = its
		}
		counts[r.Service+":"+r.Operation]++
	}
	return its, others
}

func sum(counts map[string]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

// makeOrganizationTrail makes an organization trail that logs every region into a bucket, and an account CloudTrail's
// delegated administrator.
func makeOrganizationTrail(ctx context.Context, administrator, name, bucket string) {
	GinkgoHelper()
	principal := aws.String("cloudtrail.amazonaws.com")
	org := organizations.NewFromConfig(shared.emulator.Config(management, virginia))
	_, err := org.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: principal})
	Expect(err).NotTo(HaveOccurred())
	_, err = org.RegisterDelegatedAdministrator(ctx, &organizations.RegisterDelegatedAdministratorInput{AccountId: &administrator, ServicePrincipal: principal})
	Expect(err).NotTo(HaveOccurred())
	trails := cloudtrail.NewFromConfig(shared.emulator.Config(management, frankfurt))
	_, err = trails.CreateTrail(ctx, &cloudtrail.CreateTrailInput{
		Name: &name, S3BucketName: &bucket, IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true), IncludeGlobalServiceEvents: aws.Bool(true),
	})
	Expect(err).NotTo(HaveOccurred())
	_, err = trails.StartLogging(ctx, &cloudtrail.StartLoggingInput{Name: &name})
	Expect(err).NotTo(HaveOccurred())
}
