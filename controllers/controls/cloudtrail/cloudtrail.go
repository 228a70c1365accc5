// Package cloudtrail holds the controls of CloudTrailBaseline: the trail of the organization, and what is set on it.
//
// All of them look at one trail, by its ARN, in its home region, from the account that manages CloudTrail for the
// organization: its delegated administrator, else the management account. They share three requests a pass.
package cloudtrail

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other. Over an empty
// baseline it is the catalogue of the kind.
func Controls(b *v1alpha1.CloudTrailBaseline) []control.Bound {
	trail := b.Spec.OrganizationTrail
	return []control.Bound{
		OrganizationTrail.With(trail),
		LogFileValidation.With(on(trail, b.Spec.LogFileValidation)),
		Encryption.With(on(trail, b.Spec.Encryption)),
		CloudWatchLogs.With(on(trail, b.Spec.CloudWatchLogs)),
	}
}

// administrator is the service whose delegated administrator manages the trail.
const administrator = "cloudtrail"

// On is a section together with the trail that it sets something on, which stands in organizationTrail.
type On[S control.Settings] struct {
	Trail   Trail `json:"trail"`
	Setting S     `json:"setting"`
}

// Section is the section's own state, mode and approval.
func (o On[S]) Section() v1alpha1.ControlSpec { return o.Setting.Section() }

func on[S control.Settings](trail *v1alpha1.OrganizationTrail, section *S) *On[S] {
	if section == nil {
		return nil
	}
	o := On[S]{Setting: *section}
	if trail != nil {
		o.Trail = Trail{Name: trail.Name, HomeRegion: string(trail.HomeRegion)}
	}
	return &o
}

// events are CloudTrail's own events about trails. They appear where the caller is: in the management account or in that of
// the delegated administrator.
func events(names ...string) []control.Event {
	var all []control.Event
	for _, name := range names {
		all = append(all,
			control.Event{Source: "cloudtrail", Name: name, Seen: control.SeenInManagement},
			control.Event{Source: "cloudtrail", Name: name, Seen: control.SeenInAdministrator})
	}
	return all
}

// organizationReads are what CloudTrail asks of Organizations as the caller when an organization trail is changed ("Prepare
// for creating a trail for your organization" in the CloudTrail user guide; enabling trusted access is left to people).
var organizationReads = []string{
	"organizations:DescribeOrganization", "organizations:ListAccounts", "organizations:ListAWSServiceAccessForOrganization",
}
