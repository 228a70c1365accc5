package cloudtrail

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func section(edit func(*v1alpha1.OrganizationTrail)) v1alpha1.OrganizationTrail {
	s := v1alpha1.OrganizationTrail{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}, Name: "org-trail", HomeRegion: region,
		Bucket: &v1alpha1.TrailBucket{Name: "log-archive"},
	}
	if edit != nil {
		edit(&s)
	}
	return s
}

func blind(s ...types.EventSelector) func(*fakeTrail) {
	return func(t *fakeTrail) { t.selectors.Basic = s }
}

const kmsSource = "kms.amazonaws.com"

func TestOrganizationTrail(t *testing.T) {
	enabled := section(nil)
	disabled := v1alpha1.OrganizationTrail{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Disabled}, Name: "org-trail", HomeRegion: region,
	}
	all := section(func(s *v1alpha1.OrganizationTrail) { s.ManagementEvents = v1alpha1.ManagementEventsAll })
	everything := "reads: all, writes: all"
	fiveOfData := func(t *fakeTrail) {
		t.selectors.Basic = nil
		for range 5 {
			t.selectors.Basic = append(t.selectors.Basic, basic(types.ReadWriteTypeWriteOnly, false, nil, "arn:aws:s3:::payments/"))
		}
	}

	cases := []controltest.Case[v1alpha1.OrganizationTrail]{
		{
			Name: "a trail that logs everything is compliant, seen from the management account", Want: all, Target: asManagement,
			AWS: stage(trailLike(trailARN, nil)),
		},
		{
			Name: "it is compliant seen from the delegated administrator, whose id is not in its ARN", Want: all,
			AWS: stage(trailLike(trailARN, nil)),
		},
		{
			Name: "a trail that is off and narrow drifts, and all of that is Safe", Want: enabled, Target: asManagement,
			AWS: stage(trailLike(trailARN, ofStack(func(t *fakeTrail) {
				t.IsOrganizationTrail, t.IsMultiRegionTrail, t.IncludeGlobalServiceEvents = aws.Bool(false), aws.Bool(false), aws.Bool(false)
				t.status.IsLogging = aws.Bool(false)
			}))),
			Owner: theStack,
			Findings: []control.Finding{drift(control.Safe, field("organization", "Enabled", "Disabled"), field("multiRegion", "Enabled", "Disabled"),
				field("globalServiceEvents", "Enabled", "Disabled"), field("logging", "Enabled", "Disabled"))},
		},
		{
			Name: "a trail that logs where it must not drifts, and stopping it is Disruptive", Want: disabled,
			AWS:      stage(trailLike(trailARN, nil)),
			Findings: []control.Finding{drift(control.Disruptive, field("logging", "Disabled", "Enabled"))},
		},
		{
			Name: "a trail that is stopped where it must be is compliant, whatever else is set on it", Want: disabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) { t.IsMultiRegionTrail, t.status.IsLogging = aws.Bool(true), aws.Bool(false) })),
		},
		{Name: "a trail that is not there does not log", Want: disabled, AWS: stage()},
		{
			Name: "another bucket and prefix are one Disruptive change", Want: enabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) { t.S3BucketName, t.S3KeyPrefix = aws.String("elsewhere"), aws.String("old") })),
			Findings: []control.Finding{drift(control.Disruptive,
				field("bucket.name", "log-archive", "elsewhere"), field("bucket.prefix", "none", "old"))},
		},
		{
			Name: "what is Safe and what is Disruptive are apart", Want: all,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.status.IsLogging, t.S3BucketName = aws.Bool(false), aws.String("elsewhere")
				t.selectors.Basic = []types.EventSelector{basic(types.ReadWriteTypeAll, false, nil, "arn:aws:s3:::payments/")}
			})),
			Findings: []control.Finding{
				drift(control.Safe, field("logging", "Enabled", "Disabled")),
				drift(control.Disruptive, field("bucket.name", "log-archive", "elsewhere"),
					field("managementEvents", everything, "reads: none, writes: none")),
			},
		},
		{
			Name: "a blind trail is reported and left alone where managementEvents is not declared", Want: enabled,
			AWS:      stage(trailLike(trailARN, blind(basic(types.ReadWriteTypeWriteOnly, true, nil)))),
			Findings: []control.Finding{drift(control.ReportOnly, field("managementEvents", everything, "reads: none, writes: all"))},
		},
		{
			Name: "excluded sources are mended where managementEvents is declared", Want: all,
			AWS: stage(trailLike(trailARN, blind(basic(types.ReadWriteTypeAll, true, []string{kmsSource})))),
			Findings: []control.Finding{drift(control.Disruptive,
				field("managementEvents", everything, "reads: some, writes: some, restricted by "+kmsSource))},
		},
		{
			Name: "reads and writes of two selectors are everything", Want: all,
			AWS: stage(trailLike(trailARN, blind(basic(types.ReadWriteTypeReadOnly, true, nil), basic(types.ReadWriteTypeWriteOnly, true, nil)))),
		},
		{
			Name: "a trail without room for one more selector cannot be mended", Want: all,
			AWS:      stage(trailLike(trailARN, fiveOfData)),
			Findings: []control.Finding{drift(control.Disruptive, field("managementEvents", everything, "reads: none, writes: none"))},
			Refused:  true,
		},
		{
			Name: "advanced selectors are mended in their own form", Want: all,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.selectors = selectors{Advanced: []types.AdvancedEventSelector{
					advanced("most", equals("eventCategory", "Management"),
						types.AdvancedFieldSelector{Field: aws.String("eventSource"), NotEquals: []string{kmsSource}}),
					advanced("objects", equals("eventCategory", "Data"), equals("resources.type", "AWS::S3::Object")),
				}}
			})),
			Findings: []control.Finding{drift(control.Disruptive,
				field("managementEvents", everything, "reads: some, writes: some, restricted by "+kmsSource))},
		},
		{
			Name: "failing deliveries are reported, of digests and to CloudWatch Logs only where they are on", Want: enabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.LogFileValidationEnabled = aws.Bool(false)
				t.CloudWatchLogsLogGroupArn = aws.String("arn:aws:logs:eu-central-1:123456789012:log-group:org:*")
				t.status.LatestDeliveryError, t.status.LatestDigestDeliveryError = aws.String("AccessDenied"), aws.String("AccessDenied")
				t.status.LatestCloudWatchLogsDeliveryError = aws.String("Access denied")
			})),
			Findings: []control.Finding{drift(control.ReportOnly,
				field("delivery", "no error", "AccessDenied"), field("cloudWatchLogsDelivery", "no error", "Access denied"))},
		},
		{
			Name: "failing deliveries of digests are reported", Want: enabled,
			AWS:      stage(trailLike(trailARN, func(t *fakeTrail) { t.status.LatestDigestDeliveryError = aws.String("NoSuchBucket") })),
			Findings: []control.Finding{drift(control.ReportOnly, field("digestDelivery", "no error", "NoSuchBucket"))},
		},
		{
			Name: "a last delivery of more than a day ago is reported", Want: enabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.status.LatestDeliveryTime = aws.Time(controltest.Now.Add(-25 * time.Hour))
			})),
			Findings: []control.Finding{drift(control.ReportOnly, field("latestDeliveryTime", "within 24h", "2026-02-28T11:00:00Z"))},
		},
		{
			Name: "a trail that logs for long and never delivered is reported", Want: enabled,
			AWS:      stage(trailLike(trailARN, func(t *fakeTrail) { t.status.LatestDeliveryTime = nil })),
			Findings: []control.Finding{drift(control.ReportOnly, field("latestDeliveryTime", "within 24h", "never"))},
		},
		{
			Name: "a trail that has just been started has time to deliver", Want: enabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.status.LatestDeliveryTime, t.status.StartLoggingTime = nil, aws.Time(controltest.Now.Add(-time.Hour))
			})),
		},
		{
			Name: "a trail of Control Tower is reported and never changed",
			Want: section(func(s *v1alpha1.OrganizationTrail) { s.Name = "aws-controltower-BaselineCloudTrail" }),
			AWS: stage(trailLike("arn:aws:cloudtrail:eu-central-1:123456789012:trail/aws-controltower-BaselineCloudTrail",
				func(t *fakeTrail) { t.status.IsLogging = aws.Bool(false) })),
			Findings: []control.Finding{{Drift: control.Drift{
				Resource: "arn:aws:cloudtrail:eu-central-1:123456789012:trail/aws-controltower-BaselineCloudTrail",
				Risk:     control.ReportOnly, Fields: []control.Field{field("logging", "Enabled", "Disabled")},
			}}},
		},
		{
			Name: "a trail of which AWS says nothing is unknown in every part", Want: enabled,
			AWS: stage(trailLike(trailARN, func(t *fakeTrail) {
				t.IsOrganizationTrail, t.IncludeGlobalServiceEvents, t.S3BucketName = nil, nil, nil
				t.status, t.selectors = cloudtrail.GetTrailStatusOutput{}, selectors{}
			})),
			Target:   asManagement,
			Findings: []control.Finding{unexpected(), unexpected(), unexpected(), unexpected(), unexpected()},
		},
		{
			Name: "a status that cannot be read is unknown beside what can", Want: enabled,
			AWS: func(c *cloudtest.Cloud) {
				stage(trailLike(trailARN, func(t *fakeTrail) { t.S3KeyPrefix = aws.String("old") }))(c)
				c.Deny("cloudtrail:GetTrailStatus", nil)
			},
			Findings: []control.Finding{
				drift(control.Disruptive, field("bucket.prefix", "none", "old")),
				{Drift: control.Drift{Resource: trailARN}, Outcome: control.Unknown, Reason: v1alpha1.RowAccessDenied},
			},
		},
		{
			Name: "a selector of a type not known is unknown", Want: enabled,
			AWS:      stage(trailLike(trailARN, blind(basic("Some", true, nil)))),
			Findings: []control.Finding{unexpected()},
		},
		{
			Name: "an organization whose management account is not known is not judged", Want: enabled, AWS: stage(),
			Target: func(t *control.Target) { t.Facts.ManagementAccount = "" },
			Err:    "management account",
		},
	}
	controltest.Run(t, OrganizationTrail, append(cases, creationCases()...))
}
