package e2e

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// bucketBlock is the control of the public access block of single buckets.
const bucketBlock = "s3-bucket-public-access-block"

// buckets is S3 as the account's administrator uses it in a region.
func buckets(account, region string) *s3.Client {
	return s3.NewFromConfig(shared.emulator.Config(account, region), func(o *s3.Options) { o.UsePathStyle = true })
}

// makeBuckets makes buckets as S3 makes them today: all of their public access block on, encrypted, without ACLs. They are
// called <prefix>-00, <prefix>-01 and so on.
func makeBuckets(ctx context.Context, account, region, prefix string, n int) []string {
	GinkgoHelper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%02d", prefix, i)
		in := &s3.CreateBucketInput{Bucket: &name}
		if region != virginia {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
		}
		_, err := buckets(account, region).CreateBucket(ctx, in)
		Expect(err).NotTo(HaveOccurred())
		names = append(names, name)
	}
	return names
}

// openBucket takes a bucket's public access block off.
func openBucket(ctx context.Context, account, region, name string) {
	GinkgoHelper()
	_, err := buckets(account, region).DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: &name})
	Expect(err).NotTo(HaveOccurred())
}
