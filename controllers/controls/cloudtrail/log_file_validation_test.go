package cloudtrail

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

var orgTrail = Trail{Name: "org-trail", HomeRegion: region}

var waiting = []control.Finding{{
	Drift: control.Drift{Resource: trailARN}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
}}

func TestLogFileValidation(t *testing.T) {
	state := func(s v1alpha1.State) On[v1alpha1.LogFileValidation] {
		return On[v1alpha1.LogFileValidation]{
			Trail: orgTrail, Setting: v1alpha1.LogFileValidation{ControlSpec: v1alpha1.ControlSpec{State: s}},
		}
	}
	validating := func(on *bool) func(*fakeTrail) { return func(t *fakeTrail) { t.LogFileValidationEnabled = on } }
	nowhere := state(v1alpha1.Enabled)
	nowhere.Trail = Trail{}

	controltest.Run(t, LogFileValidation, []controltest.Case[On[v1alpha1.LogFileValidation]]{
		{
			Name: "digest files where they are wanted are compliant", Want: state(v1alpha1.Enabled),
			AWS: stage(trailLike(trailARN, validating(aws.Bool(true)))),
		},
		{
			Name: "turning digest files on is Safe", Want: state(v1alpha1.Enabled), Target: asManagement,
			AWS:      stage(trailLike(trailARN, ofStack(validating(aws.Bool(false))))),
			Owner:    theStack,
			Findings: []control.Finding{drift(control.Safe, field("logFileValidation", "Enabled", "Disabled"))},
		},
		{
			Name: "turning digest files off is Disruptive", Want: state(v1alpha1.Disabled),
			AWS:      stage(trailLike(trailARN, validating(aws.Bool(true)))),
			Findings: []control.Finding{drift(control.Disruptive, field("logFileValidation", "Disabled", "Enabled"))},
		},
		{
			Name: "without the flag it is unknown", Want: state(v1alpha1.Disabled),
			AWS:      stage(trailLike(trailARN, validating(nil))),
			Findings: []control.Finding{unexpected()},
		},
		{Name: "without the trail it waits", Want: state(v1alpha1.Enabled), AWS: stage(), Findings: waiting},
		{Name: "without the trail's name it is not judged", Want: nowhere, AWS: stage(), Err: "organizationTrail"},
	})
}
