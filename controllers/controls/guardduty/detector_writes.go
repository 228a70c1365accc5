package guardduty

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// setMonitoring writes one state of GuardDuty, by the way that the drift was made for.
func setMonitoring(ctx context.Context, t *control.Target, to []byte) error {
	want, err := control.Decode[monitoring](to)
	if err != nil {
		return err
	}
	if want.Member == "" {
		return setDetector(ctx, t, want)
	}
	m, err := enterAdministrator(ctx, t)
	if err != nil {
		return err
	}
	if want.Enabled {
		return m.enable(ctx, t.Facts.Email)
	}
	return m.suspend(ctx)
}

func setDetector(ctx context.Context, t *control.Target, want monitoring) error {
	now, err := readDetector(ctx, t)
	switch {
	case err != nil:
		return err
	case now.id != "":
		return updateDetector(ctx, t, &guardduty.UpdateDetectorInput{
			DetectorId: &now.id, Enable: &want.Enabled, FindingPublishingFrequency: want.Frequency,
		})
	case !want.Enabled:
		return nil
	}
	return createDetector(ctx, t, want)
}

func updateDetector(ctx context.Context, t *control.Target, in *guardduty.UpdateDetectorInput) error {
	if _, err := guardduty.NewFromConfig(t.AWS).UpdateDetector(ctx, in); err != nil {
		return refused("updating the detector", err)
	}
	return nil
}

// plansToCreate names every plan: CreateDetector turns on each optional plan that it is not told to leave off.
func plansToCreate(f *v1alpha1.GuardDutyFeatures) changes {
	var s states
	if f != nil {
		s = declaredPlans(*f)
	}
	c := changes{}
	for i, p := range plans {
		c[p.path] = off.String()
		if s[i] == on {
			c[p.path] = on.String()
		}
	}
	return c
}

func createDetector(ctx context.Context, t *control.Target, want monitoring) error {
	named := plansToCreate(nil)
	for path, word := range want.Plans {
		named[path] = word
	}
	features, err := writes(states{}, named)
	if err != nil {
		return err
	}
	_, err = guardduty.NewFromConfig(t.AWS).CreateDetector(ctx, &guardduty.CreateDetectorInput{
		Enable: aws.Bool(true), FindingPublishingFrequency: want.Frequency, Features: detectorFeatures(features),
	})
	if control.IsCode(err, "BadRequestException") {
		return createWhereFewerPlans(ctx, t, want, named)
	}
	if err != nil {
		return refused("creating the detector", err)
	}
	return nil
}

// createWhereFewerPlans is for a region that does not offer every plan and refuses to hear of the others: the detector is
// created suspended, which costs nothing, and is turned on together with the plans that the region turns out to list.
func createWhereFewerPlans(ctx context.Context, t *control.Target, want monitoring, named changes) error {
	_, err := guardduty.NewFromConfig(t.AWS).CreateDetector(ctx, &guardduty.CreateDetectorInput{
		Enable: aws.Bool(false), FindingPublishingFrequency: want.Frequency,
	})
	if err != nil {
		return refused("creating the detector", err)
	}
	now, err := readDetector(ctx, t)
	if err != nil {
		return err
	}
	if now.id == "" {
		return fmt.Errorf("creating the detector: %w", control.Unexpected("ListDetectors", "the detector just created"))
	}
	for i, p := range plans {
		if now.plans[i] == unlisted {
			delete(named, p.path)
		}
	}
	features, err := writes(now.plans, named)
	if err != nil {
		return err
	}
	return updateDetector(ctx, t, &guardduty.UpdateDetectorInput{
		DetectorId: &now.id, Enable: aws.Bool(true), Features: detectorFeatures(features),
	})
}

// observeFrequency judges how often an account that is on publishes findings that occur again.
func observeFrequency(
	ctx context.Context, t *control.Target, s standing, want types.FindingPublishingFrequency,
) []control.Finding {
	got, governed := s.frequency, s.relation == member || s.relation == unread
	if governed {
		says, _, err := administrator.From(ctx, t)
		if err != nil {
			return []control.Finding{control.Unreadable(resource(t), err)}
		}
		got = says.frequency
	}
	if got == "" {
		return []control.Finding{control.Unreadable(resource(t), control.Unexpected("GetDetector", "findingPublishingFrequency"))}
	}
	if got == want {
		return nil
	}
	f := control.Finding{Drift: control.Drift{
		Resource: resource(t), Risk: control.Safe, Fields: []control.Field{frequencyField(want, got)},
		Before: control.JSON(monitoring{Enabled: true, Frequency: got}),
		After:  control.JSON(monitoring{Enabled: true, Frequency: want}),
	}}
	if governed {
		f.Risk, f.Reason = control.ReportOnly, ReasonFollowsAdministrator
		f.Message = "a member publishes as often as GuardDuty's delegated administrator " + t.Facts.Administrators[service] +
			" — declare the frequency for that account"
	}
	return []control.Finding{f}
}

func frequencyField(want, got types.FindingPublishingFrequency) control.Field {
	return control.Field{Path: "findingPublishingFrequency", Want: string(want), Got: string(got)}
}

// undoDetector never creates or deletes: a detector that a change created is suspended.
func undoDetector(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[monitoring](d.After)
	if err != nil {
		return err
	}
	as, err := left.shown(ctx, t)
	if err != nil {
		return err
	}
	if !as {
		return control.ErrChanged
	}
	return setMonitoring(ctx, t, d.Before)
}

// shown says whether GuardDuty is as a change left it.
func (m monitoring) shown(ctx context.Context, t *control.Target) (bool, error) {
	if m.Member == "" {
		now, err := readDetector(ctx, t)
		frequency := m.Frequency == "" || m.Frequency == now.frequency
		return now.id != "" && now.enabled == m.Enabled && frequency, err
	}
	account, err := enterAdministrator(ctx, t)
	if err != nil {
		return false, err
	}
	how, err := account.relationship(ctx)
	enabled, ok := associated(how)
	return ok && enabled == m.Enabled, err
}
