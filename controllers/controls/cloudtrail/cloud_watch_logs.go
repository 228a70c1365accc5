package cloudtrail

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// CloudWatchLogs holds that the trail delivers its events to the declared log group.
var CloudWatchLogs = control.Control[On[v1alpha1.TrailCloudWatchLogs]]{
	Meta: control.Meta{
		ID:    "cloudtrail-cloudwatch-logs",
		Title: "CloudTrail delivers to CloudWatch Logs",
		Doc: "In a log group, events can be searched and alarmed on minutes after they happened. Enforcing sets log group and role " +
			"together, or takes both away (Disruptive). Both must exist in the account that manages the trail, and the role must " +
			"let CloudTrail write streams for the whole organization; neither is created.",
		Scope:         control.Organization,
		Administrator: administrator,
		Risk:          control.Disruptive,
		Severity:      v1alpha1.SeverityLow,
		Cost:          "CloudWatch Logs bills ingestion by volume: the management events of every account of the organization.",
		Frameworks:    map[string][]string{"SecurityHub": {"CloudTrail.5"}},
		Reads:         []string{"cloudtrail:DescribeTrails", "cloudtrail:ListTags"},
		Writes:        []string{"cloudtrail:UpdateTrail"},
		Grants:        append([]string{"iam:PassRole"}, organizationReads...),
		Events:        events("CreateTrail", "UpdateTrail", "DeleteTrail"),
	},
	Observe:   observeCloudWatchLogs,
	Remediate: remediate,
	Undo:      undo,
	Owner:     ownerOf,
}

// observeCloudWatchLogs takes log group and role for one setting: AWS accepts neither without the other. State Disabled
// declares none.
func observeCloudWatchLogs(ctx context.Context, t *control.Target, want On[v1alpha1.TrailCloudWatchLogs]) ([]control.Finding, error) {
	return observeOn(ctx, t, want.Trail, func(trail types.Trail) draft {
		group, role := want.Setting.LogGroupARNWithStar(), want.Setting.RoleARN
		if want.Setting.State == v1alpha1.Disabled {
			group, role = "", ""
		}
		now := settingsOf(trail)
		d := draft{
			risk:   control.Disruptive,
			before: change{settings: settings{LogGroup: now.LogGroup, Role: now.Role}},
			after:  change{settings: settings{LogGroup: aws.String(group), Role: aws.String(role)}},
		}
		if *now.LogGroup != group {
			d.departs("logGroupARN", orNone(group), orNone(*now.LogGroup))
		}
		if *now.Role != role {
			d.departs("roleARN", orNone(role), orNone(*now.Role))
		}
		return d
	})
}
