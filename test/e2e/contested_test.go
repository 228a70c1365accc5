package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

var _ = Describe("A drift that somebody brings back each time", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	const bucket = "contested-00"
	// look has a baseline's accounts looked at again, which says nothing of who contests what in one of them.
	look := func(ctx context.Context, kind string) {
		GinkgoHelper()
		t := token()
		kubectl(ctx, "annotate", "--overwrite", kind, "organization", v1alpha1.AnnotationReconcileRequestedAt+"="+t)
		Eventually(func(g Gomega) {
			handled, _, err := unstructured.NestedString(get(ctx, g, kind, "organization").Object, "status", "lastHandledReconcileAt")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(handled).To(Equal(t))
		}).WithContext(ctx).Should(Succeed())
	}

	It("is put right again after a wait where that restores a protection, with a critical warning that names it", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		for range 2 {
			setFlag(ctx, false, payProd, ireland)
			look(ctx, "EncryptionBaseline")
			Expect(flag(ctx, payProd, ireland)).To(BeTrue())
		}
		setFlag(ctx, false, payProd, ireland)
		look(ctx, "EncryptionBaseline")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(And(HaveField("Reason", v1alpha1.RowContested),
			HaveField("Message", MatchRegexp(`^put right 3 times within an hour and changed back each time; made again at 20`)))))
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, payProd, v1alpha1.RowContested)).To(ConsistOf(
				HavePrefix("Critical, a protection is taken away again and again: encryptionByDefault of arn:aws:ec2:" + ireland)))
		}).WithContext(ctx).WithTimeout(eventsWithin).Should(Succeed())
	})

	It("stays where that restores none, until somebody asks for the account; nothing else stops with it", func(ctx SpecContext) {
		s3Make(ctx, shopProd, frankfurt, bucket)
		s.declare(ctx, "S3Baseline", "organization", `
			mode: Enforce
			approval: Irreversible
			accounts: {include: ["`+shopProd+`"]}
			secureTransport: {state: Enabled}`)
		s.compliant(ctx, "S3Baseline", "organization")
		drop := func() {
			GinkgoHelper()
			_, err := s3API(shopProd, frankfurt).DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String(bucket)})
			Expect(err).NotTo(HaveOccurred())
		}
		for range 2 {
			drop()
			look(ctx, "S3Baseline")
		}
		drop()
		s3Make(ctx, shopProd, frankfurt, "another")
		mark := s.mark(ctx)
		look(ctx, "S3Baseline")
		Expect(s.writes(ctx, mark)).To(Equal([]string{call(s3PutPolicy, shopProd, frankfurt)}), "of the other bucket")
		Expect(s.account(ctx, shopProd).Status.Drift).To(ContainElement(And(HaveField("Resource", s3ARN(bucket)),
			HaveField("Reason", v1alpha1.RowContested), HaveField("Message", ContainSubstring("not made again before somebody asks for this account")))))
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, shopProd, v1alpha1.RowContested)).To(ConsistOf(HavePrefix("Medium: secureTransport of " + s3ARN(bucket))))
		}).WithContext(ctx).WithTimeout(eventsWithin).Should(Succeed())
		s.recheck(ctx, shopProd)
		s.compliant(ctx, "S3Baseline", "organization")
	})
})
