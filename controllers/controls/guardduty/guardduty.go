// Package guardduty holds the controls of GuardDutyBaseline.
//
// GuardDuty is one detector per account and region. In an organization one account, the delegated administrator, governs
// the detectors of the others, its members: AWS refuses changes from inside a member. So a member is read and changed
// through the administrator, and everybody else (the administrator itself, accounts that are no members, organizations
// without an administrator) in the account.
package guardduty

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other: without an
// administrator there are no members, without a detector no plans. Over an empty baseline it is the catalogue of the kind.
func Controls(b *v1alpha1.GuardDutyBaseline) []control.Bound {
	var detector *DetectorSettings
	if d := b.Spec.Detector; d != nil {
		detector = &DetectorSettings{GuardDutyDetector: *d}
		// Plans cost money, so turning one on is Disruptive, and creating a detector is Safe: a detector takes plans with it only
		// where their own section would have them turned on without asking.
		if f := b.Spec.Features; f != nil && b.Spec.EffectiveMode(f.ControlSpec) == v1alpha1.ModeEnforce &&
			b.Spec.EffectiveApproval(f.ControlSpec) == v1alpha1.ApprovalIrreversible {
			detector.Plans = f
		}
	}
	return []control.Bound{
		Organization.With(b.Spec.Organization),
		Detector.With(detector),
		Features.With(b.Spec.Features),
	}
}

// DetectorSettings are the detector section together with the plans that a detector is created with.
type DetectorSettings struct {
	v1alpha1.GuardDutyDetector `json:",inline"`

	// Plans is the features section, nil where it is absent or waits for an approval: a detector is then created with no plan on.
	Plans *v1alpha1.GuardDutyFeatures `json:"plans,omitempty"`
}

// detectorEvents may change what an account's detector is or does. Those of the administrator name the accounts they
// concern in requestParameters.accountIds; in the members nothing is to be seen of them.
var detectorEvents = []control.Event{
	{Source: service, Name: "CreateDetector", Seen: control.SeenInRegion},
	{Source: service, Name: "UpdateDetector", Seen: control.SeenInRegion},
	{Source: service, Name: "DeleteDetector", Seen: control.SeenInRegion},
	{Source: service, Name: "DisassociateFromAdministratorAccount", Seen: control.SeenInRegion},
	{Source: service, Name: "DisassociateFromMasterAccount", Seen: control.SeenInRegion},
	{Source: service, Name: "CreateMembers", Seen: control.SeenInAdministrator},
	{Source: service, Name: "DeleteMembers", Seen: control.SeenInAdministrator},
	{Source: service, Name: "DisassociateMembers", Seen: control.SeenInAdministrator},
	{Source: service, Name: "StartMonitoringMembers", Seen: control.SeenInAdministrator},
	{Source: service, Name: "StopMonitoringMembers", Seen: control.SeenInAdministrator},
	{Source: service, Name: "UpdateMemberDetectors", Seen: control.SeenInAdministrator},
	{Source: service, Name: "UpdateOrganizationConfiguration", Seen: control.SeenInAdministrator},
}
