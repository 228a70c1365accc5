package cloudtrail

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// whole is a baseline with every section.
func whole() *v1alpha1.CloudTrailBaseline {
	on := v1alpha1.ControlSpec{State: v1alpha1.Enabled}
	trail := section(nil)
	return &v1alpha1.CloudTrailBaseline{Spec: v1alpha1.CloudTrailBaselineSpec{
		OrganizationTrail: &trail,
		LogFileValidation: &v1alpha1.LogFileValidation{ControlSpec: on},
		Encryption:        &v1alpha1.TrailEncryption{ControlSpec: on, KMSKeyARN: keyARN},
		CloudWatchLogs:    &v1alpha1.TrailCloudWatchLogs{ControlSpec: on, LogGroupARN: "arn:aws:logs:x:1:log-group:g", RoleARN: "role"},
	}}
}

func TestAPassOfAllControlsMakesThreeRequests(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage(trailLike(trailARN, nil))(c)
	ctx := context.Background()
	memo := control.NewMemo(ctx)
	for _, b := range Controls(whole()) {
		target := control.NewTarget(control.Target{
			Account: controltest.Account, Partition: "aws", Region: "us-east-1", Now: controltest.Now,
			Facts: control.Facts{ManagementAccount: controltest.Management},
		}, c.Connector(controltest.Account), b.Reads, memo, nil)
		if _, err := b.Observe(ctx, target); err != nil {
			t.Errorf("%s: %v", b.ID, err)
		}
	}
	var got []string
	for _, call := range c.Calls() {
		got = append(got, call.Operation+" in "+call.Region)
	}
	want := []string{"DescribeTrails in " + region, "GetTrailStatus in " + region, "GetEventSelectors in " + region}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests of a pass (-want +got):\n%s", diff)
	}
}

func TestControlsAreListedManagedOrNot(t *testing.T) {
	if err := control.Validate(Controls(&v1alpha1.CloudTrailBaseline{})); err != nil {
		t.Error(err)
	}
	for _, b := range Controls(&v1alpha1.CloudTrailBaseline{}) {
		if b.Managed() || !b.Reversible() || b.Administrator != "cloudtrail" || b.Scope != control.Organization {
			t.Errorf("%s: %+v", b.ID, b.Meta)
		}
	}
	for _, b := range Controls(whole()) {
		if !b.Managed() || b.Spec.State != v1alpha1.Enabled {
			t.Errorf("%s is not bound to its section", b.ID)
		}
	}
}

// sent records what UpdateTrail is sent.
func sent(c *cloudtest.Cloud) *[]cloudtrail.UpdateTrailInput {
	var all []cloudtrail.UpdateTrailInput
	cloudtest.Handle(c, func(_ cloudtest.Call, in *cloudtrail.UpdateTrailInput) (*cloudtrail.UpdateTrailOutput, error) {
		all = append(all, *in)
		return &cloudtrail.UpdateTrailOutput{}, nil
	})
	return &all
}

func TestUpdateTrailIsSentOnlyWhatChanges(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage(trailLike(trailARN, func(t *fakeTrail) { t.IsMultiRegionTrail, t.S3KeyPrefix = aws.Bool(false), aws.String("old") }))(c)
	updates := sent(c)
	want := section(nil)
	found, err := OrganizationTrail.Observe(context.Background(), target(c), want)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if err := remediate(context.Background(), target(c), f.Drift); err != nil {
			t.Fatal(err)
		}
	}
	diff := cmp.Diff([]cloudtrail.UpdateTrailInput{
		{Name: aws.String(trailARN), IsMultiRegionTrail: aws.Bool(true)},
		{Name: aws.String(trailARN), S3KeyPrefix: aws.String("")},
	}, *updates, cmpopts.IgnoreUnexported(cloudtrail.UpdateTrailInput{}))
	if diff != "" {
		t.Errorf("UpdateTrail (-want +got):\n%s", diff)
	}
}

func TestUndoOfATrailThatIsGoneChangesNothing(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage()(c)
	err := undo(context.Background(), target(c), control.Drift{
		Resource: trailARN,
		Before:   control.JSON(change{settings: settings{Validation: aws.Bool(false)}}),
		After:    control.JSON(change{settings: settings{Validation: aws.Bool(true)}}),
	})
	if !errors.Is(err, control.ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
}
