package guardduty

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// administration is what the delegated administrator has set in one region.
type administration struct {
	// frequency is the administrator's, which its members follow.
	frequency types.FindingPublishingFrequency
	lever     lever
}

// lever is what GuardDuty does by itself with the accounts of the organization.
type lever struct {
	members state
	plans   states
}

var administrator = control.Shared[administration]{
	Key: "guardduty.administrator", Service: service,
	Actions: []string{"guardduty:ListDetectors", "guardduty:GetDetector", "guardduty:DescribeOrganizationConfiguration"},
	Do: func(ctx context.Context, admin *control.Target) (administration, error) {
		d, err := readDetector(ctx, admin)
		if err != nil {
			return administration{}, err
		}
		if d.id == "" {
			return administration{}, control.Unexpected("ListDetectors", "the delegated administrator's detector")
		}
		l, err := readLever(ctx, admin, d.id)
		return administration{frequency: d.frequency, lever: l}, err
	},
}

func readLever(ctx context.Context, admin *control.Target, id string) (lever, error) {
	pages := guardduty.NewDescribeOrganizationConfigurationPaginator(guardduty.NewFromConfig(admin.AWS),
		&guardduty.DescribeOrganizationConfigurationInput{DetectorId: &id},
		func(o *guardduty.DescribeOrganizationConfigurationPaginatorOptions) { o.StopOnDuplicateToken = true })
	var l lever
	var features []types.OrganizationFeatureConfigurationResult
	var next string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return lever{}, fmt.Errorf("reading the organization's configuration: %w", err)
		}
		if said := stateOf(string(page.AutoEnableOrganizationMembers)); said != unlisted {
			l.members = said
		}
		features, next = append(features, page.Features...), aws.ToString(page.NextToken)
	}
	if next != "" {
		return lever{}, control.Unexpected("DescribeOrganizationConfiguration", "an end")
	}
	if l.members < forNone || len(features) == 0 {
		return lever{}, control.Unexpected("DescribeOrganizationConfiguration", "autoEnableOrganizationMembers and features")
	}
	l.plans = organizationPlans(features)
	return l, nil
}

// joinWindow is how long AWS may take to apply the organization's configuration to an account.
const joinWindow = 24 * time.Hour

// justJoined says whether the organization's own configuration may still be on its way to the account.
func justJoined(t *control.Target) bool {
	return !t.Facts.JoinedAt.IsZero() && t.Now.Sub(t.Facts.JoinedAt) < joinWindow
}

// organizationSays leaves a departing state to the organization's configuration where that decides it.
func organizationSays(ctx context.Context, t *control.Target, f control.Finding, enable bool) control.Finding {
	if enable && !justJoined(t) {
		return f
	}
	says, _, err := administrator.From(ctx, t)
	switch {
	case err != nil:
		return control.Unreadable(f.Resource, err)
	case !enable && says.lever.members == forAll:
		return contradicts(f, "GuardDuty itself")
	case enable && says.lever.members > forNone:
		return onItsWay(f.Resource, "GuardDuty")
	}
	return f
}

// contradicts is a departure that the organization's configuration would bring back at once.
func contradicts(f control.Finding, what string) control.Finding {
	f.Risk, f.Reason = control.ReportOnly, v1alpha1.RowContradictsOrganization
	f.Message = "the organization's configuration turns on " + what + " in ALL accounts, this one included: nothing is " +
		"written — lower autoEnable in the organization section, or declare Enabled here"
	return f
}

// onItsWay is an account that joined a short while ago and that the organization's configuration includes.
func onItsWay(resource, what string) control.Finding {
	return control.Finding{
		Drift: control.Drift{Resource: resource}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
		Message: "the account joined less than 24 hours ago, and the organization's configuration turns on by itself: " + what,
	}
}

// decidedByOrganization takes out the plans that the organization's configuration decides: those it would turn on again, and
// those it is about to turn on in an account that has just joined.
func decidedByOrganization(ctx context.Context, t *control.Target, got, want states, departing []int) (
	rest []int, decided []control.Finding,
) {
	maybe := func(i int) bool { return want[i] == off || justJoined(t) }
	if !slices.ContainsFunc(departing, maybe) {
		return departing, nil
	}
	says, _, err := administrator.From(ctx, t)
	if err != nil {
		return slices.DeleteFunc(slices.Clone(departing), maybe), []control.Finding{control.Unreadable(resource(t), err)}
	}
	auto := says.lever.plans
	against := func(i int) bool { return want[i] == off && auto[i] == forAll }
	coming := func(i int) bool { return want[i] == on && justJoined(t) && auto[i] > forNone }
	if some := filter(departing, against); len(some) > 0 {
		decided = append(decided, contradicts(control.Finding{Drift: drift(resource(t), want, got, some, true)}, paths(some)))
	}
	if some := filter(departing, coming); len(some) > 0 {
		decided = append(decided, onItsWay(resource(t), paths(some)))
	}
	return filter(departing, func(i int) bool { return !against(i) && !coming(i) }), decided
}

func filter(indexes []int, keep func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(indexes), func(i int) bool { return !keep(i) })
}
