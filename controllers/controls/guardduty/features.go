package guardduty

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/guardduty"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Features holds that GuardDuty's protection plans are on or off as declared.
var Features = control.Control[v1alpha1.GuardDutyFeatures]{
	Meta: control.Meta{
		ID:       "guardduty-features",
		Protects: true,
		Title:    "GuardDuty protection plans",
		Doc: "Beyond its foundation GuardDuty looks into S3 data events, EKS audit logs, volumes of suspicious instances, database " +
			"logins, the network of Lambda functions and running workloads. Enforcing turns each declared plan on (it costs money, " +
			"and an agent of Runtime Monitoring is software on your workloads) or off (protection is lost); every change is " +
			"Disruptive. Plans that are not declared and the older EKS Runtime Monitoring are left alone. Where the organization's " +
			"configuration turns a plan on for ALL, Disabled is reported and not written.",
		Scope:    control.Region,
		Risk:     control.Disruptive,
		Severity: v1alpha1.SeverityMedium,
		Cost: "Each plan is billed by itself, per event, per GB scanned or per vCPU, after 30 days on trial in each account and " +
			"region.",
		Frameworks: map[string][]string{"SecurityHub": {
			"GuardDuty.5", "GuardDuty.6", "GuardDuty.7", "GuardDuty.8", "GuardDuty.9", "GuardDuty.10", "GuardDuty.11", "GuardDuty.12",
			"GuardDuty.13",
		}},
		Reads: []string{
			"guardduty:ListDetectors", "guardduty:GetDetector", "guardduty:ListMembers", "guardduty:GetMembers",
			"guardduty:GetMemberDetectors", "guardduty:DescribeOrganizationConfiguration",
		},
		Writes: []string{"guardduty:UpdateDetector", "guardduty:UpdateMemberDetectors"},
		Grants: []string{"iam:CreateServiceLinkedRole"}, // of Malware Protection
		Events: detectorEvents,
	},
	Observe:   observeFeatures,
	Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error { return setPlans(ctx, t, d.After) },
	Undo:      undoFeatures,
}

// ReasonPlanNotOffered is the reason where the region does not offer a plan.
const ReasonPlanNotOffered = "PlanNotOffered"

// planChange is what a change writes.
type planChange struct {
	// Member is the account's id where the change is made through the delegated administrator.
	Member string  `json:"member,omitempty"`
	Plans  changes `json:"plans"`
}

func observeFeatures(ctx context.Context, t *control.Target, want v1alpha1.GuardDutyFeatures) ([]control.Finding, error) {
	s, err := standingOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if !s.enabled {
		return []control.Finding{{
			Drift: control.Drift{Resource: resource(t)}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: "GuardDuty is not on here, so that no plan is — see guardduty-detector",
		}}, nil
	}
	if s.relation == member {
		if s.plans, err = plansOfMember(ctx, t); err != nil && !errors.Is(err, errLeftOut) {
			// The administrator cannot be asked; the account itself can.
			s.detector, err = ownDetector.From(ctx, t)
		}
	}
	if errors.Is(err, errLeftOut) {
		return []control.Finding{{
			Drift: control.Drift{Resource: resource(t)}, Outcome: control.Unknown, Reason: v1alpha1.RowReadFailed,
			Message: "the delegated administrator cannot tell the account's plans: " + err.Error() + " — tried again by itself",
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	return judgePlans(ctx, t, s, declaredPlans(want)), nil
}

func judgePlans(ctx context.Context, t *control.Target, s standing, want states) []control.Finding {
	c := compare(want, s.plans)
	found := notJudged(t, want, c)
	departing := c.departing
	if s.relation != alone {
		var decided []control.Finding
		departing, decided = decidedByOrganization(ctx, t, s.plans, want, departing)
		found = append(found, decided...)
	}
	raised, lowered := apart(want, s.plans, departing)
	for i, some := range [][]int{raised, lowered} {
		if len(some) == 0 {
			continue
		}
		before, after := planChange{Plans: s.plans.pick(some, true)}, planChange{Plans: want.pick(some, false)}
		if s.relation == member || s.relation == unread {
			before.Member, after.Member = t.Account, t.Account
		}
		d := drift(resource(t), want, s.plans, some, i == 1)
		d.Before, d.After = control.JSON(before), control.JSON(after)
		found = append(found, control.Finding{Drift: d})
	}
	return found
}

// notJudged are the findings for plans that the region does not offer (with none offered: for the region) and for those
// whose state is a word that is not known.
func notJudged(t *control.Target, want states, c comparison) []control.Finding {
	var found []control.Finding
	if len(c.notOffered) > 0 {
		f := control.Finding{
			Drift: control.Drift{Resource: resource(t)}, Outcome: control.NotApplicable, Reason: ReasonPlanNotOffered,
			Message: "GuardDuty does not offer here: " + paths(c.notOffered),
		}
		declared := slices.DeleteFunc(slices.Clone(want[:]), func(s state) bool { return s == unlisted })
		if len(c.notOffered) == len(declared) {
			f.Resource = ""
		}
		found = append(found, f)
	}
	if len(c.unclear) > 0 {
		found = append(found, control.Unreadable(resource(t),
			control.Unexpected("GuardDuty", "a state that is known for "+paths(c.unclear))))
	}
	return found
}

// setPlans sends the changed plans, no others.
func setPlans(ctx context.Context, t *control.Target, to []byte) error {
	want, err := control.Decode[planChange](to)
	if err != nil {
		return err
	}
	g, err := governorOf(ctx, t, want.Member)
	if err != nil {
		return err
	}
	features, err := writes(g.now, want.Plans)
	if err != nil {
		return err
	}
	switch {
	case g.member != nil:
		return g.member.setPlans(ctx, memberFeatures(features))
	case g.detector == "":
		return errors.New("there is no detector any more")
	}
	return updateDetector(ctx, t, &guardduty.UpdateDetectorInput{DetectorId: &g.detector, Features: detectorFeatures(features)})
}

// governor is where an account's plans are set, and how they are now.
type governor struct {
	// member is set where that is the delegated administrator, detector where it is the account itself.
	member   *membership
	detector string
	now      states
}

func governorOf(ctx context.Context, t *control.Target, member string) (governor, error) {
	if member == "" {
		d, err := readDetector(ctx, t)
		return governor{detector: d.id, now: d.plans}, err
	}
	m, err := enterAdministrator(ctx, t)
	if err != nil {
		return governor{}, err
	}
	now, err := m.plans(ctx)
	return governor{member: &m, now: now}, err
}

func undoFeatures(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[planChange](d.After)
	if err != nil {
		return err
	}
	g, err := governorOf(ctx, t, left.Member)
	if err != nil {
		return err
	}
	if !left.Plans.shownBy(g.now) {
		return control.ErrChanged
	}
	return setPlans(ctx, t, d.Before)
}
