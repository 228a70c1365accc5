package s3

import (
	"context"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestVersioning(t *testing.T) {
	selector := &v1alpha1.BucketSelector{MatchTags: map[string]string{"records": "yes"}}
	tags := selector.MatchTags
	managed := map[string]string{"records": "yes"}
	maps.Copy(managed, ofStack)
	on := PerBucket[v1alpha1.Versioning]{Want: v1alpha1.Versioning{ControlSpec: enabled}, Buckets: selector}
	off := PerBucket[v1alpha1.Versioning]{Want: v1alpha1.Versioning{ControlSpec: disabled}, Buckets: selector}
	field := func(want, got string) control.Field { return control.Field{Path: "versioning", Want: want, Got: got} }
	mfa := drift("a", control.ReportOnly, field("Enabled", "Suspended"))
	mfa.Reason = reasonMFADelete

	controltest.Run(t, Versioning, []controltest.Case[PerBucket[v1alpha1.Versioning]]{
		{
			Name: "versioned where it is wanted is compliant", Want: on,
			AWS: world{buckets: []store{{name: "a", region: here, tags: tags, status: types.BucketVersioningStatusEnabled}, {name: "b", region: here}}}.stage,
		},
		{
			Name: "turning versioning on is Irreversible, from never and from suspended", Want: on,
			AWS: world{buckets: []store{
				{name: "a", region: here, tags: managed}, {name: "b", region: here, tags: managed, status: types.BucketVersioningStatusSuspended},
			}}.stage,
			Owner:    theStack,
			Findings: []control.Finding{drift("a", control.Irreversible, field("Enabled", "Unversioned")), drift("b", control.Irreversible, field("Enabled", "Suspended"))},
		},
		{
			Name: "Disabled suspends, which is Disruptive and weakens; never versioned satisfies it", Want: off,
			AWS: world{buckets: []store{
				{name: "a", region: here, tags: tags, status: types.BucketVersioningStatusEnabled}, {name: "b", region: here, tags: tags},
				{name: "c", region: here, tags: tags, status: types.BucketVersioningStatusSuspended},
			}}.stage,
			Findings: []control.Finding{weakening(drift("a", control.Disruptive, field("Suspended", "Enabled")))},
		},
		{
			Name: "a bucket with MFA delete is reported and not changed", Want: on,
			AWS:      world{buckets: []store{{name: "a", region: here, tags: tags, status: types.BucketVersioningStatusSuspended, mfaDelete: true}}}.stage,
			Findings: []control.Finding{mfa},
		},
		{
			Name: "S3 does not suspend a bucket with Object Lock", Want: off, Refused: true,
			AWS: world{buckets: []store{
				{name: "a", region: here, tags: tags, status: types.BucketVersioningStatusEnabled, lock: &types.ObjectLockConfiguration{}},
			}}.stage,
			Findings: []control.Finding{weakening(drift("a", control.Disruptive, field("Suspended", "Enabled")))},
		},
		{
			Name: "a status nobody knows is no answer", Want: off,
			AWS:      world{buckets: []store{{name: "a", region: here, tags: tags, status: "Paused"}}}.stage,
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}

// What the harness leaves to the control: an Irreversible change is not undone, and a drift of something else is refused.
func TestVersioningUndo(t *testing.T) {
	c := &cloudtest.Cloud{}
	world{buckets: []store{{name: "a", region: here, status: types.BucketVersioningStatusEnabled}}}.stage(c)
	target := control.NewTarget(control.Target{Account: accountID, Partition: "aws", Region: here}, c.Connector(accountID), Versioning.Actions(), nil, nil)
	d := control.Drift{Resource: arnOf("a"), Before: control.JSON(versioning{}), After: control.JSON(versioning{types.BucketVersioningStatusEnabled})}
	if err := Versioning.Undo(context.Background(), target, d); err == nil {
		t.Error("a bucket was made unversioned again")
	}
	d.Resource = "arn:aws:s3:::a/object"
	if err := Versioning.Remediate(context.Background(), target, d); err == nil {
		t.Error("an object was taken for a bucket")
	}
	for _, call := range c.Calls() {
		if call.Action == "s3:PutBucketVersioning" {
			t.Error("something was written")
		}
	}
}
