package s3

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// The cases about which buckets are looked at play with versioning, which needs one read per bucket.
func TestEach(t *testing.T) {
	all := PerBucket[v1alpha1.Versioning]{Want: v1alpha1.Versioning{ControlSpec: enabled}}
	selecting := func(s v1alpha1.BucketSelector) PerBucket[v1alpha1.Versioning] {
		return PerBucket[v1alpha1.Versioning]{Want: all.Want, Buckets: &s}
	}
	unversioned := func(name string) control.Finding {
		return drift(name, control.Irreversible, control.Field{Path: "versioning", Want: "Enabled", Got: "Unversioned"})
	}
	// Only looking is at stake: the control's writes are shown by its own test.
	watching := Versioning
	watching.Writes, watching.Remediate, watching.Undo, watching.Owner, watching.Risk = nil, nil, nil, nil, control.ReportOnly

	controltest.Run(t, watching, []controltest.Case[PerBucket[v1alpha1.Versioning]]{
		{
			Name: "an account without buckets is compliant", Want: all, AWS: world{}.stage,
		},
		{
			Name: "the list is read to its end, and buckets of other regions are left to their region's check", Want: all,
			AWS: world{pageSize: 2, buckets: []store{
				{name: "a", region: elsewhere}, {name: "b", region: here}, {name: "c", region: elsewhere}, {name: "d", region: elsewhere}, {name: "e", region: here},
			}}.stage,
			Findings: []control.Finding{unversioned("b"), unversioned("e")},
		},
		{
			Name: "one bucket that denies everybody does not hide the others", Want: all,
			AWS:      world{buckets: []store{{name: "a", region: here, denied: true}, {name: "b", region: here}}}.stage,
			Findings: []control.Finding{unknown("a", v1alpha1.RowAccessDenied), unversioned("b")},
		},
		{
			Name: "include and exclude are globs, and exclude wins", Want: selecting(v1alpha1.BucketSelector{Include: []string{"acme-*", "x?"}, Exclude: []string{"*-tmp"}}),
			AWS: world{buckets: []store{
				{name: "acme-a", region: here}, {name: "acme-b-tmp", region: here}, {name: "x1", region: here}, {name: "x12", region: here},
			}}.stage,
			Findings: []control.Finding{unversioned("acme-a"), unversioned("x1")},
		},
		{
			Name: "all of matchTags must be carried; a bucket without tags is not selected", Want: selecting(v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret", "env": "prod"}}),
			AWS: world{buckets: []store{
				{name: "a", region: here, tags: map[string]string{"data": "secret", "env": "prod", "x": "y"}},
				{name: "b", region: here, tags: map[string]string{"data": "secret"}},
				{name: "c", region: here, tags: map[string]string{"data": "secret", "env": "test"}},
				{name: "d", region: here},
			}}.stage,
			Findings: []control.Finding{unversioned("a")},
		},
		{
			Name: "tags that cannot be read leave the bucket unknown", Want: selecting(v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}),
			AWS:      world{buckets: []store{{name: "a", region: here, denied: true}}}.stage,
			Findings: []control.Finding{unknown("a", v1alpha1.RowAccessDenied)},
		},
		{
			Name: "a bucket without a region is unknown in the home region", Want: all,
			AWS:      world{buckets: []store{{name: "a"}, {name: "b", region: "EU"}}}.stage,
			Target:   func(t *control.Target) { t.Region = elsewhere },
			Findings: []control.Finding{unknown("a", reasonRegionUnknown), unknown("b", reasonRegionUnknown)},
		},
		{
			Name: "a bucket without a region is no other region's business", Want: all,
			AWS: world{buckets: []store{{name: "a"}}}.stage,
		},
		{
			Name: "where the home region is not selected, the first selected region reports it", Want: all,
			AWS:      world{buckets: []store{{name: "a"}}}.stage,
			Target:   func(t *control.Target) { t.Regions = []string{"eu-west-1", here} },
			Findings: []control.Finding{unknown("a", reasonRegionUnknown)},
		},
		{
			Name: "an excluded bucket without a region is not reported", Want: selecting(v1alpha1.BucketSelector{Exclude: []string{"a"}}),
			AWS:    world{buckets: []store{{name: "a"}}}.stage,
			Target: func(t *control.Target) { t.Region = elsewhere },
		},
		{
			Name: "a bucket that is deleted after it was listed is none", Want: all,
			AWS: func(c *cloudtest.Cloud) {
				world{buckets: []store{{name: "a", region: here}}}.stage(c)
				cloudtest.Handle(c, func(cloudtest.Call, *s3.GetBucketVersioningInput) (*s3.GetBucketVersioningOutput, error) {
					return nil, cloudtest.Error("NoSuchBucket", "The specified bucket does not exist")
				})
			},
		},
		{
			Name: "a list that goes round in circles is no answer", Want: all,
			AWS: func(c *cloudtest.Cloud) {
				cloudtest.Handle(c, func(cloudtest.Call, *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
					return &s3.ListBucketsOutput{Owner: &types.Owner{}, ContinuationToken: aws.String("again")}, nil
				})
			},
			Err: "the same came twice",
		},
		{
			Name: "an empty answer is no list", Want: all,
			AWS: func(c *cloudtest.Cloud) {
				cloudtest.Handle(c, func(cloudtest.Call, *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
					return &s3.ListBucketsOutput{}, nil
				})
			},
			Err: "the owner",
		},
	})
}

// In a pass with many controls, buckets are listed once and each bucket's tags are read once, whatever the controls.
func TestRequestsOfAWarmPass(t *testing.T) {
	c := &cloudtest.Cloud{}
	all := allFlags
	world{block: &all, buckets: []store{
		{name: "a", region: here, tags: map[string]string{"data": "secret"}, policy: onlyTLS("a"), ownership: "BucketOwnerEnforced", status: "Enabled",
			lock: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled}},
		{name: "b", region: here},
		{name: "c", region: elsewhere, tags: map[string]string{"data": "secret"}},
	}}.stage(c)
	b := &v1alpha1.S3Baseline{Spec: v1alpha1.S3BaselineSpec{
		Buckets:                  &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}},
		AccountPublicAccessBlock: &v1alpha1.AccountPublicAccessBlock{ControlSpec: enabled},
		BucketPublicAccessBlock:  &v1alpha1.BucketPublicAccessBlock{ControlSpec: enabled},
		DefaultEncryption:        &v1alpha1.DefaultEncryption{ControlSpec: enabled},
		SecureTransport:          &v1alpha1.SecureTransport{ControlSpec: enabled},
		Versioning:               &v1alpha1.Versioning{ControlSpec: enabled},
		ObjectLock:               &v1alpha1.ObjectLock{ControlSpec: enabled},
		ObjectOwnership:          &v1alpha1.ObjectOwnership{ControlSpec: enabled},
	}}
	memo := control.NewMemo(context.Background())
	for _, bound := range Controls(b) {
		region := here
		if bound.Scope == control.Account {
			region = elsewhere
		}
		target := control.NewTarget(control.Target{Account: accountID, Partition: "aws", Region: region, Regions: []string{here}},
			c.Connector(accountID), bound.Reads, memo, nil)
		found, err := bound.Observe(context.Background(), target)
		if err != nil || len(found) > 0 {
			t.Errorf("%s: %+v, %v", bound.ID, found, err)
		}
	}
	got := map[string]int{}
	for _, call := range c.Calls() {
		got[call.Service+"."+call.Operation]++
	}
	want := map[string]int{
		"S3 Control.GetPublicAccessBlock": 1, "S3.ListBuckets": 1, "S3.GetBucketTagging": 2, "S3.GetBucketEncryption": 1, "S3.GetBucketPolicy": 1,
		"S3.GetBucketVersioning": 1, "S3.GetObjectLockConfiguration": 1, "S3.GetBucketOwnershipControls": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// onlyTLS is a policy that denies plain HTTP, not by Plumbline.
func onlyTLS(bucket string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"TLS","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["` +
		arnOf(bucket) + `","` + arnOf(bucket) + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
}
