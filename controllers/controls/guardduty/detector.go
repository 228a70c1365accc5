package guardduty

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Detector holds that GuardDuty watches the account in the region.
var Detector = control.Control[DetectorSettings]{
	Meta: control.Meta{
		ID:         "guardduty-detector",
		Protects:   true,
		NeedsEmail: true,
		Title:      "GuardDuty is on",
		Doc: "GuardDuty looks for attacks in CloudTrail events, DNS queries and VPC flow logs. Enforcing turns it on (Safe): a " +
			"member through the delegated administrator, any other account by creating a detector, with only those protection " +
			"plans on that features declares, or resuming it. A member that did not exist gets the plans of the organization's " +
			"configuration. state: Disabled suspends (Disruptive), as does undoing a creation; nothing is ever deleted. Where " +
			"the organization's configuration turns GuardDuty on for ALL, Disabled is reported and not written. A member " +
			"publishes findings as often as its administrator, whose account is the one to set the frequency in.",
		Scope:      control.Region,
		Risk:       control.Disruptive,
		Severity:   v1alpha1.SeverityHigh,
		Cost:       "GuardDuty bills by the volume of events and logs it analyses, after 30 days on trial in each account and region.",
		Frameworks: map[string][]string{"SecurityHub": {"GuardDuty.1"}},
		Reads: []string{
			"guardduty:ListDetectors", "guardduty:GetDetector", "guardduty:ListMembers", "guardduty:GetMembers",
			"guardduty:DescribeOrganizationConfiguration",
		},
		Writes: []string{
			"guardduty:CreateDetector", "guardduty:UpdateDetector", "guardduty:CreateMembers",
			"guardduty:StartMonitoringMembers", "guardduty:StopMonitoringMembers",
		},
		Grants: []string{"iam:CreateServiceLinkedRole"},
		Events: detectorEvents,
	},
	Observe: observeDetector,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
		return setMonitoring(ctx, t, d.After)
	},
	Undo: undoDetector,
}

// Reasons of findings about GuardDuty.
const (
	// ReasonEmailUnknown: the account can only be made a member with its e-mail address, and discovery does not know it.
	ReasonEmailUnknown = "EmailUnknown"
	// ReasonFollowsAdministrator: the setting of a member is its administrator's.
	ReasonFollowsAdministrator = "FollowsAdministrator"
)

// monitoring is what a change writes.
type monitoring struct {
	// Member is the account's id where the change is made through the delegated administrator.
	Member  string `json:"member,omitempty"`
	Enabled bool   `json:"enabled"`
	// Frequency is written where it is not empty.
	Frequency types.FindingPublishingFrequency `json:"findingPublishingFrequency,omitempty"`
	// Plans are those of a detector that is created.
	Plans changes `json:"plans,omitempty"`
}

func observeDetector(ctx context.Context, t *control.Target, want DetectorSettings) ([]control.Finding, error) {
	s, err := standingOf(ctx, t)
	if err != nil {
		return nil, err
	}
	enable := want.State == v1alpha1.Enabled
	if s.enabled == enable {
		if !enable || want.FindingPublishingFrequency == "" {
			return nil, nil
		}
		return observeFrequency(ctx, t, s, types.FindingPublishingFrequency(want.FindingPublishingFrequency)), nil
	}
	f := control.Finding{Drift: stateDrift(t, s, want)}
	if s.id == "" && s.relation != member {
		f.Message = "there is no detector"
	}
	if s.relation == alone {
		return []control.Finding{f}, nil
	}
	if s.relation == outside && s.through(t, enable) && t.Facts.Email == "" {
		f.Risk, f.Reason = control.ReportOnly, ReasonEmailUnknown
		f.Message = "the account is made a GuardDuty member with its e-mail address, which is not known yet — see the conditions " +
			"of the AWSOrganization; discovery reads it by organizations:ListAccounts"
	}
	return []control.Finding{organizationSays(ctx, t, f, enable)}, nil
}

// stateDrift is turning GuardDuty on or off. A detector that is missing and one that is suspended are both not on, which
// is what is declared.
func stateDrift(t *control.Target, s standing, want DetectorSettings) control.Drift {
	enable := want.State == v1alpha1.Enabled
	before, after := monitoring{Enabled: s.enabled}, monitoring{Enabled: enable}
	d := control.Drift{
		Resource: resource(t), Risk: control.Safe,
		Fields: []control.Field{{Path: "state", Want: stateWord(enable), Got: stateWord(s.enabled)}},
	}
	if !enable {
		d.Risk, d.Weakens = control.Disruptive, true
	}
	frequency := types.FindingPublishingFrequency(want.FindingPublishingFrequency)
	switch {
	case s.through(t, enable):
		before.Member, after.Member = t.Account, t.Account
	case enable && s.id == "":
		after.Frequency, after.Plans = frequency, plansToCreate(want.Plans)
	case enable && frequency != "" && frequency != s.frequency:
		before.Frequency, after.Frequency = s.frequency, frequency
		d.Fields = append(d.Fields, frequencyField(frequency, s.frequency))
	}
	d.Before, d.After = control.JSON(before), control.JSON(after)
	return d
}

func stateWord(on bool) string {
	if on {
		return string(v1alpha1.Enabled)
	}
	return string(v1alpha1.Disabled)
}

// through says whether the change is made through the delegated administrator. An account outside turns itself off; and the
// management account turns itself on, since the administrator can do that only where GuardDuty's service-linked role
// exists already ("Understanding the relationship ...", GuardDuty user guide).
func (s standing) through(t *control.Target, enable bool) bool {
	switch s.relation {
	case member, unread:
		return true
	case outside:
		return enable && t.Account != t.Facts.ManagementAccount
	}
	return false
}
