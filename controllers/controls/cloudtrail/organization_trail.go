package cloudtrail

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// OrganizationTrail holds that one trail logs every account in every region, sees every management event where that is
// declared, and delivers.
var OrganizationTrail = control.Control[v1alpha1.OrganizationTrail]{
	Meta: control.Meta{
		ID:       "cloudtrail-organization-trail",
		Protects: true,
		Title:    "Organization trail logs everywhere",
		Doc: "Without a trail nobody can tell what happened. Enforcing starts logging and makes the trail one of the organization, " +
			"of every region and with global services (Safe); delivers to the declared bucket and, where managementEvents is " +
			"declared, records every management event (Disruptive; selectors of data and network events are kept); and, only with " +
			"create: IfMissing and while no other organization trail logs, creates it (Disruptive: cost). Undoing a creation stops " +
			"the trail; Plumbline deletes none. " +
			"Failing deliveries and a trail that does not see every management event are reported. The bucket, its policy and " +
			"trusted access must be there. Trails of AWS Control Tower are never changed.",
		Scope:         control.Organization,
		Administrator: administrator,
		Risk:          control.Disruptive,
		Severity:      v1alpha1.SeverityHigh,
		Cost:          "The first copy of management events is free; a second trail that records them is billed per event.",
		Frameworks: map[string][]string{
			"CIS-5.0": {"3.1"}, "CIS-3.0": {"3.1"}, "SecurityHub": {"CloudTrail.1"},
		},
		Reads: []string{
			"cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors", "cloudtrail:GetTrailStatus", "cloudtrail:ListTags",
		},
		Writes: []string{
			"cloudtrail:CreateTrail", "cloudtrail:PutEventSelectors", "cloudtrail:StartLogging", "cloudtrail:StopLogging",
			"cloudtrail:UpdateTrail",
		},
		Grants: append([]string{"iam:CreateServiceLinkedRole", "iam:GetRole"}, organizationReads...),
		Events: events("CreateTrail", "UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging", "PutEventSelectors"),
	},
	Observe:   observeOrganizationTrail,
	Remediate: remediate,
	Undo:      undo,
	Owner:     ownerOf,
}

// deliversWithin is how old the last delivery may be: a trail of the organization has events in its home region every hour.
const deliversWithin = 24 * time.Hour

func observeOrganizationTrail(ctx context.Context, t *control.Target, want v1alpha1.OrganizationTrail) ([]control.Finding, error) {
	arn, err := Trail{want.Name, string(want.HomeRegion)}.arn(t)
	if err != nil {
		return nil, err
	}
	t = home(t, arn)
	trail, others, err := find(ctx, t, arn)
	switch {
	case err != nil:
		return nil, err
	case trail == nil && want.State == v1alpha1.Disabled:
		return nil, nil // what is not there does not log
	case trail == nil:
		return observeMissing(ctx, t, arn, want, others), nil
	case want.State == v1alpha1.Disabled:
		off := draft{risk: control.Disruptive}
		if status := off.status(ctx, t, arn); status != nil {
			off.logging(*status.IsLogging, false)
		}
		return off.finding(arn), nil
	}
	safe, disruptive := draft{risk: control.Safe}, draft{risk: control.Disruptive}
	report := draft{risk: control.ReportOnly, message: "declare managementEvents: All to have the event selectors changed"}
	safe.flags(*trail)
	if status := report.status(ctx, t, arn); status != nil {
		safe.logging(*status.IsLogging, true)
		report.delivery(*trail, status, t.Now)
	}
	disruptive.bucket(*trail, want.Bucket)
	events, err := selectorsOf(arn).From(ctx, t)
	if want.ManagementEvents == v1alpha1.ManagementEventsAll {
		disruptive.managementEvents(events, err)
	} else {
		report.managementEvents(events, err)
	}
	found := append(safe.finding(arn), disruptive.finding(arn)...)
	return append(found, report.finding(arn)...), nil
}

// status reads the trail's status; nil when it cannot be told.
func (d *draft) status(ctx context.Context, t *control.Target, arn string) *cloudtrail.GetTrailStatusOutput {
	status, err := statusOf(arn).From(ctx, t)
	if err != nil {
		d.cannotTell(err)
		return nil
	}
	return status
}

func (d *draft) logging(now, to bool) {
	if now != to {
		d.departs("logging", onOff(to), onOff(now))
		d.before.Logging, d.after.Logging = &now, &to
	}
}

// flags asserts what makes the trail see everything. They are written together: AWS refuses a multi-region trail without
// the events of global services.
func (d *draft) flags(trail types.Trail) {
	for _, f := range []struct {
		path          string
		now           *bool
		before, after **bool
	}{
		{"organization", trail.IsOrganizationTrail, &d.before.Organization, &d.after.Organization},
		{"multiRegion", trail.IsMultiRegionTrail, &d.before.MultiRegion, &d.after.MultiRegion},
		{"globalServiceEvents", trail.IncludeGlobalServiceEvents, &d.before.GlobalEvents, &d.after.GlobalEvents},
	} {
		switch {
		case f.now == nil:
			d.cannotTell(control.Unexpected("DescribeTrails", f.path))
		case !*f.now:
			d.departs(f.path, onOff(true), onOff(false))
			*f.before, *f.after = f.now, aws.Bool(true)
		}
	}
}

func (d *draft) bucket(trail types.Trail, want *v1alpha1.TrailBucket) {
	switch now := settingsOf(trail); {
	case want == nil:
	case *now.Bucket == "":
		d.cannotTell(control.Unexpected("DescribeTrails", "S3BucketName"))
	default:
		if *now.Bucket != want.Name {
			d.departs("bucket.name", want.Name, *now.Bucket)
			d.before.Bucket, d.after.Bucket = now.Bucket, &want.Name
		}
		if *now.Prefix != want.Prefix {
			d.departs("bucket.prefix", orNone(want.Prefix), orNone(*now.Prefix))
			d.before.Prefix, d.after.Prefix = now.Prefix, &want.Prefix
		}
	}
}

// managementEvents asserts that the trail is not blind: it can be logging and record nothing.
func (d *draft) managementEvents(now selectors, err error) {
	var got recorded
	if err == nil {
		got, err = now.managementEvents()
	}
	switch {
	case err != nil:
		d.cannotTell(err)
	case !got.all():
		d.departs("managementEvents", "reads: all, writes: all", got.String())
		d.before.Selectors, d.after.AllManagementEvents = &now, true
	}
}

// delivery reports what people must mend: the bucket's policy, the key's, the log group's role.
func (d *draft) delivery(trail types.Trail, status *cloudtrail.GetTrailStatusOutput, now time.Time) {
	for _, p := range []struct {
		path string
		used bool
		err  *string
	}{
		{"delivery", true, status.LatestDeliveryError},
		{"digestDelivery", aws.ToBool(trail.LogFileValidationEnabled), status.LatestDigestDeliveryError},
		{"cloudWatchLogsDelivery", aws.ToString(trail.CloudWatchLogsLogGroupArn) != "", status.LatestCloudWatchLogsDeliveryError},
	} {
		if failed := aws.ToString(p.err); p.used && failed != "" {
			d.departs(p.path, "no error", failed)
			d.message = "deliveries fail: see the policies of the bucket and the key, and the role for the log group"
		}
	}
	if !*status.IsLogging {
		return
	}
	last, started := aws.ToTime(status.LatestDeliveryTime), aws.ToTime(status.StartLoggingTime)
	switch {
	case last.IsZero() && started.IsZero():
		d.cannotTell(control.Unexpected("GetTrailStatus", "a time of delivery or of the start"))
	case now.Sub(last) > deliversWithin && now.Sub(started) > deliversWithin:
		got := "never"
		if !last.IsZero() {
			got = last.UTC().Format(time.RFC3339)
		}
		d.departs("latestDeliveryTime", "within 24h", got)
		d.message = "nothing was delivered for a day: see the policies of the bucket and the key, and the role for the log group"
	}
}
