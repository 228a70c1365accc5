package guardduty

import (
	"context"
	"fmt"
	"slices"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Organization holds what GuardDuty does by itself with the accounts of the organization, in every selected region.
var Organization = control.Control[v1alpha1.GuardDutyOrganization]{
	Meta: control.Meta{
		ID:       "guardduty-organization",
		Protects: true,
		Title:    "GuardDuty in the organization",
		Doc: "The organization's GuardDuty administrator is the declared account, and GuardDuty and its plans turn themselves on " +
			"for ALL accounts, for NEW ones or for NONE. Both are settings of each region and reach every account of the " +
			"organization, whatever accounts the baseline selects; members may take 24 hours to follow. Enforcing makes the " +
			"declared account the administrator where there is none (from the management account; another administrator is " +
			"reported and left) and sets what is declared; the rest is sent as it is. NONE turns nothing off. Every change is " +
			"Disruptive. Undoing a delegation leaves trusted access and the registration in AWS Organizations in place.",
		Scope:         control.Organization,
		Risk:          control.Disruptive,
		Severity:      v1alpha1.SeverityMedium,
		Administrator: service,
		Cost:          "ALL and NEW turn GuardDuty or a plan on in accounts that are then billed for it.",
		Frameworks:    map[string][]string{"SecurityHub": {"GuardDuty.1"}},
		Reads: []string{
			"guardduty:ListOrganizationAdminAccounts", "guardduty:ListDetectors", "guardduty:DescribeOrganizationConfiguration",
		},
		Writes: []string{
			"guardduty:EnableOrganizationAdminAccount", "guardduty:DisableOrganizationAdminAccount",
			"guardduty:UpdateOrganizationConfiguration",
		},
		// "Permissions required to designate a delegated GuardDuty administrator account", GuardDuty user guide.
		Grants: []string{
			"organizations:EnableAWSServiceAccess", "organizations:RegisterDelegatedAdministrator",
			"organizations:ListDelegatedAdministrators", "organizations:ListAWSServiceAccessForOrganization",
			"organizations:DescribeOrganizationalUnit", "organizations:DescribeAccount", "organizations:DescribeOrganization",
			"organizations:ListAccounts",
		},
		Events: []control.Event{
			{Source: service, Name: "UpdateOrganizationConfiguration", Seen: control.SeenInAdministrator},
			{Source: service, Name: "EnableOrganizationAdminAccount", Seen: control.SeenInManagement},
			{Source: service, Name: "DisableOrganizationAdminAccount", Seen: control.SeenInManagement},
		},
	},
	Observe:   observeOrganization,
	Remediate: remediateOrganization,
	Undo:      undoOrganization,
}

// Reasons of findings about the organization.
const (
	// ReasonAdministratorNotDeclared: the AWSOrganization does not say which account is GuardDuty's administrator.
	ReasonAdministratorNotDeclared = "AdministratorNotDeclared"
	// ReasonOtherAdministrator: another account than the declared one is it.
	ReasonOtherAdministrator = "OtherAdministrator"
	// ReasonNoRegion: the baseline selects no region, so that there is nothing to look at.
	ReasonNoRegion = "NoRegion"
)

// regionsAtOnce bounds the requests in flight.
const regionsAtOnce = 8

func observeOrganization(ctx context.Context, t *control.Target, want v1alpha1.GuardDutyOrganization) ([]control.Finding, error) {
	if t.Facts.Administrators[service] == "" {
		return unknown(ReasonAdministratorNotDeclared, "the organization's GuardDuty is administered from one account, and the "+
			"AWSOrganization does not say from which — set spec.delegatedAdministrators.guardduty"), nil
	}
	if len(t.Regions) == 0 {
		return unknown(ReasonNoRegion, "the baseline selects no region — see its regions and those of the AWSOrganization"), nil
	}
	found := make([][]control.Finding, len(t.Regions))
	control.Each(regionsAtOnce, len(t.Regions), func(i int) { found[i] = observeRegion(ctx, t.In(t.Regions[i]), want) })
	return slices.Concat(found...), nil
}

func unknown(reason, message string) []control.Finding {
	return []control.Finding{{Outcome: control.Unknown, Reason: reason, Message: message}}
}

// observeRegion looks first whether the declared account is the administrator in the region: without that there is no
// configuration to judge.
func observeRegion(ctx context.Context, t *control.Target, want v1alpha1.GuardDutyOrganization) []control.Finding {
	found, delegated := observeDelegation(ctx, t)
	resource := t.ARN(service, "organization-configuration")
	waiting := func(forWhat string) []control.Finding {
		return append(found, control.Finding{
			Drift: control.Drift{Resource: resource}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: t.Facts.Administrators[service] + forWhat,
		})
	}
	if !delegated {
		return waiting(" is not GuardDuty's delegated administrator in " + t.Region + " yet")
	}
	admin, err := administratorOf(t)
	if err != nil {
		return append(found, control.Unreadable(resource, err))
	}
	id, err := detectorID(ctx, admin)
	if err != nil {
		return append(found, control.Unreadable(resource, err))
	}
	if id == "" {
		return waiting(" has no detector in " + t.Region + ": turn GuardDuty on there, as a detector section that selects it does")
	}
	now, err := readLever(ctx, admin, id)
	if err != nil {
		return append(found, control.Unreadable(resource, err))
	}
	return append(found, judgeLever(t, resource, want, now)...)
}

// administratorOf is the target in the administrator's account, which t is where the engine runs the check as it should.
func administratorOf(t *control.Target) (*control.Target, error) {
	if t.Account == t.Facts.Administrators[service] {
		return t, nil
	}
	return t.Admin(service)
}

// managementOf is the target in the management account, the only one that may ask for the administrator and name it.
func managementOf(t *control.Target) (*control.Target, error) {
	if t.Account == t.Facts.ManagementAccount {
		return t, nil
	}
	return t.Admin("management")
}

func judgeLever(t *control.Target, resource string, want v1alpha1.GuardDutyOrganization, now lever) []control.Finding {
	wanted := declaredLevers(want)
	c := compare(wanted, now.plans)
	var found []control.Finding
	if len(c.notOffered) > 0 {
		found = append(found, control.Finding{
			Drift: control.Drift{Resource: resource}, Outcome: control.NotApplicable, Reason: ReasonPlanNotOffered,
			Message: "GuardDuty does not offer in " + t.Region + ": " + paths(c.notOffered),
		})
	}
	if len(c.unclear) > 0 {
		found = append(found, control.Unreadable(resource,
			control.Unexpected("DescribeOrganizationConfiguration", "a state that is known for "+paths(c.unclear))))
	}
	raised, lowered := apart(wanted, now.plans, c.departing)
	members := stateOf(string(want.AutoEnable))
	for i, some := range [][]int{raised, lowered} {
		weakens := i == 1
		d := drift(resource, wanted, now.plans, some, weakens)
		before := organizationChange{Region: t.Region, Plans: now.plans.pick(some, true)}
		after := organizationChange{Region: t.Region, Plans: wanted.pick(some, false)}
		if members != unlisted && members != now.members && (members < now.members) == weakens {
			d.Fields = slices.Insert(d.Fields, 0, control.Field{Path: "autoEnable", Want: members.String(), Got: now.members.String()})
			before.AutoEnable, after.AutoEnable = now.members.String(), members.String()
		}
		if len(d.Fields) > 0 {
			d.Before, d.After = control.JSON(before), control.JSON(after)
			found = append(found, control.Finding{Drift: d})
		}
	}
	return found
}

// organizationChange is what a change writes in one region: the delegation, or the configuration.
type organizationChange struct {
	Region string `json:"region"`
	// Administrator is the account that becomes the delegated administrator, or none.
	Administrator string `json:"administrator,omitempty"`
	// AutoEnable and Plans are what changes of the configuration.
	AutoEnable string  `json:"autoEnable,omitempty"`
	Plans      changes `json:"plans,omitempty"`
}

func remediateOrganization(ctx context.Context, t *control.Target, d control.Drift) error {
	to, err := control.Decode[organizationChange](d.After)
	if err != nil {
		return err
	}
	if to.Administrator != "" {
		return delegate(ctx, t.In(to.Region), to.Administrator)
	}
	return setLever(ctx, t.In(to.Region), to)
}

func undoOrganization(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[organizationChange](d.After)
	if err != nil {
		return err
	}
	t = t.In(left.Region)
	if left.Administrator != "" {
		return undelegate(ctx, t, left.Administrator)
	}
	before, err := control.Decode[organizationChange](d.Before)
	if err != nil {
		return err
	}
	now, err := leverNow(ctx, t)
	if err != nil {
		return err
	}
	if left.AutoEnable != "" && left.AutoEnable != now.members.String() || !left.Plans.shownBy(now.plans) {
		return control.ErrChanged
	}
	return setLever(ctx, t, before)
}

func leverNow(ctx context.Context, t *control.Target) (lever, error) {
	admin, err := administratorOf(t)
	if err != nil {
		return lever{}, err
	}
	id, err := administratorDetector(ctx, admin)
	if err != nil {
		return lever{}, fmt.Errorf("before changing the organization's configuration: %w", err)
	}
	return readLever(ctx, admin, id)
}
