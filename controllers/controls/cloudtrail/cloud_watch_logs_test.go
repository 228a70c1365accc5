package cloudtrail

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestCloudWatchLogs(t *testing.T) {
	const (
		group = "arn:aws:logs:eu-central-1:123456789012:log-group:org-trail"
		other = "arn:aws:logs:eu-central-1:123456789012:log-group:other:*"
		role  = "arn:aws:iam::123456789012:role/cloudtrail-to-logs"
	)
	want := func(s v1alpha1.State, group, role string) On[v1alpha1.TrailCloudWatchLogs] {
		return On[v1alpha1.TrailCloudWatchLogs]{Trail: orgTrail, Setting: v1alpha1.TrailCloudWatchLogs{
			ControlSpec: v1alpha1.ControlSpec{State: s}, LogGroupARN: group, RoleARN: role,
		}}
	}
	delivering := func(group, role string) func(*fakeTrail) {
		return func(t *fakeTrail) {
			t.CloudWatchLogsLogGroupArn, t.CloudWatchLogsRoleArn = aws.String(group), aws.String(role)
		}
	}

	controltest.Run(t, CloudWatchLogs, []controltest.Case[On[v1alpha1.TrailCloudWatchLogs]]{
		{
			Name: "the declared log group is compliant, with and without its star", Want: want(v1alpha1.Enabled, group, role),
			AWS: stage(trailLike(trailARN, delivering(group+":*", role))),
		},
		{
			Name: "no log group where one is declared drifts, and setting it is Disruptive", Want: want(v1alpha1.Enabled, group+":*", role),
			AWS: stage(trailLike(trailARN, nil)),
			Findings: []control.Finding{drift(control.Disruptive,
				field("logGroupARN", group+":*", "none"), field("roleARN", role, "none"))},
		},
		{
			Name: "another log group drifts", Want: want(v1alpha1.Enabled, group, role), Target: asManagement,
			AWS:      stage(trailLike(trailARN, ofStack(delivering(other, role)))),
			Owner:    theStack,
			Findings: []control.Finding{drift(control.Disruptive, field("logGroupARN", group+":*", other))},
		},
		{
			Name: "another role drifts", Want: want(v1alpha1.Enabled, group, role),
			AWS:      stage(trailLike(trailARN, delivering(group+":*", role+"-2"))),
			Findings: []control.Finding{drift(control.Disruptive, field("roleARN", role, role+"-2"))},
		},
		{
			Name: "delivery where none must be drifts, and ending it is Disruptive", Want: want(v1alpha1.Disabled, "", ""),
			AWS: stage(trailLike(trailARN, delivering(other, role))),
			Findings: []control.Finding{drift(control.Disruptive,
				field("logGroupARN", "none", other), field("roleARN", "none", role))},
		},
		{
			Name: "no delivery where none must be is compliant", Want: want(v1alpha1.Disabled, "", ""),
			AWS: stage(trailLike(trailARN, nil)),
		},
		{Name: "without the trail it waits", Want: want(v1alpha1.Enabled, group, role), AWS: stage(), Findings: waiting},
	})
}
