package cloudtrail

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// LogFileValidation holds that the trail writes digest files, by which changed or deleted log files are noticed.
var LogFileValidation = control.Control[On[v1alpha1.LogFileValidation]]{
	Meta: control.Meta{
		ID:       "cloudtrail-log-file-validation",
		Protects: true,
		Title:    "CloudTrail log file validation",
		Doc: "Hourly signed digest files prove that no log file was changed or deleted since it was delivered. Enforcing turns them " +
			"on (Safe) or off (Disruptive: the chain of digests breaks). Log files delivered while it was off get no digest.",
		Scope:         control.Organization,
		Administrator: administrator,
		Risk:          control.Disruptive,
		Severity:      v1alpha1.SeverityLow,
		Frameworks: map[string][]string{
			"CIS-5.0": {"3.2"}, "CIS-3.0": {"3.2"}, "SecurityHub": {"CloudTrail.4"},
		},
		Reads:  []string{"cloudtrail:DescribeTrails", "cloudtrail:ListTags"},
		Writes: []string{"cloudtrail:UpdateTrail"},
		Grants: organizationReads,
		Events: events("CreateTrail", "UpdateTrail", "DeleteTrail"),
	},
	Observe:   observeLogFileValidation,
	Remediate: remediate,
	Undo:      undo,
	Owner:     ownerOf,
}

func observeLogFileValidation(ctx context.Context, t *control.Target, want On[v1alpha1.LogFileValidation]) ([]control.Finding, error) {
	return observeOn(ctx, t, want.Trail, func(trail types.Trail) draft {
		got, to := trail.LogFileValidationEnabled, want.Setting.State == v1alpha1.Enabled
		switch {
		case got == nil:
			return draft{unknown: []error{control.Unexpected("DescribeTrails", "LogFileValidationEnabled")}}
		case *got == to:
			return draft{}
		}
		d := draft{risk: control.Safe, before: change{settings: settings{Validation: got}}, after: change{settings: settings{Validation: &to}}}
		if !to {
			d.risk = control.Disruptive
		}
		d.departs("logFileValidation", onOff(to), onOff(*got))
		return d
	})
}
