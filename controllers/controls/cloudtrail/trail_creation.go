package cloudtrail

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// errOtherTrail refuses the creation of a trail while another one of the organization records management events: every
// further copy is billed, for every account.
var errOtherTrail = errors.New("another organization trail records management events")

// observeMissing reports that there is no trail, and proposes to create it where that is declared and makes sense.
func observeMissing(ctx context.Context, t *control.Target, arn string, want v1alpha1.OrganizationTrail, others []types.Trail) []control.Finding {
	d := draft{risk: control.ReportOnly, message: "create the organization trail in its home region, or declare create: IfMissing"}
	got := "no such trail"
	if want.CreateOrDefault() == v1alpha1.CreateIfMissing && want.Bucket != nil {
		switch other, err := recordsAlready(ctx, t, others); {
		case err != nil:
			return []control.Finding{control.Unreadable(arn, err)}
		case other != "":
			got += "; " + other + " logs"
			d.message = "not created: " + other + " records management events of the organization, and a second copy of them is " +
				"billed; declare that trail, or stop it first"
		default:
			d.risk, d.message = control.Disruptive, ""
			d.before = change{Logging: aws.Bool(false)}
			d.after = change{
				Create: true, Logging: aws.Bool(true), settings: settings{Bucket: &want.Bucket.Name, Prefix: &want.Bucket.Prefix},
			}
		}
	}
	d.departs("name", want.Name+" in "+string(want.HomeRegion), got)
	return d.finding(arn)
}

// recordsAlready is the ARN of another organization trail that logs and records management events, empty when there is none.
// Multi-region trails of every region are among those seen in one; each is asked about in its own.
func recordsAlready(ctx context.Context, t *control.Target, others []types.Trail) (string, error) {
	for _, trail := range others {
		arn := aws.ToString(trail.TrailARN)
		if arn == "" || trail.IsOrganizationTrail == nil {
			return "", control.Unexpected("DescribeTrails", "TrailARN or IsOrganizationTrail")
		}
		if !*trail.IsOrganizationTrail {
			continue
		}
		status, err := statusOf(arn).From(ctx, home(t, arn))
		if err != nil {
			return "", err
		}
		if !*status.IsLogging {
			continue
		}
		events, err := selectorsOf(arn).From(ctx, home(t, arn))
		if err != nil {
			return "", err
		}
		records, err := events.managementEvents()
		if err != nil {
			return "", err
		}
		if !records.nothing() {
			return arn, nil
		}
	}
	return "", nil
}

// create makes the trail and starts it, in the account that manages CloudTrail; a new trail records all management events.
// Both steps look first, so that a creation that broke off half-way is completed.
func create(ctx context.Context, t *control.Target, arn string, s settings) error {
	trail, others, err := find(ctx, t, arn)
	if err != nil {
		return err
	}
	if trail == nil {
		other, err := recordsAlready(ctx, t, others)
		if err != nil {
			return err
		}
		if other != "" {
			return fmt.Errorf("%w: %s", errOtherTrail, other)
		}
		in := &cloudtrail.CreateTrailInput{
			Name: aws.String(nameOf(arn)), S3BucketName: s.Bucket, IsMultiRegionTrail: aws.Bool(true),
			IncludeGlobalServiceEvents: aws.Bool(true), IsOrganizationTrail: aws.Bool(true),
		}
		if aws.ToString(s.Prefix) != "" {
			in.S3KeyPrefix = s.Prefix
		}
		out, err := cloudtrail.NewFromConfig(t.AWS).CreateTrail(ctx, in)
		if err != nil {
			return fmt.Errorf("creating %s: %w", arn, err)
		}
		if made := aws.ToString(out.TrailARN); made != arn {
			return control.Unexpected("CreateTrail", "the ARN "+arn+" (it made "+made+")")
		}
	}
	return setLogging(ctx, t, arn, true)
}
