package guardduty

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

var ignoreSerde = cmpopts.IgnoreUnexported(types.OrganizationFeatureConfiguration{}, types.OrganizationAdditionalConfiguration{})

func TestTheCatalogueIsConsistent(t *testing.T) {
	all := Controls(&v1alpha1.GuardDutyBaseline{})
	if err := control.Validate(all); err != nil {
		t.Error(err)
	}
	var ids []string
	for _, b := range all {
		if b.Managed() {
			t.Errorf("%s is managed by an empty baseline", b.ID)
		}
		ids = append(ids, b.ID)
	}
	if diff := cmp.Diff([]string{"guardduty-organization", "guardduty-detector", "guardduty-features"}, ids); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestADetectorIsCreatedWithPlansOnlyWhereTheirSectionAsksForNoApproval(t *testing.T) {
	const enforce, audit, consents = v1alpha1.ModeEnforce, v1alpha1.ModeAudit, v1alpha1.ApprovalIrreversible
	for name, tc := range map[string]struct {
		baseline, features v1alpha1.ControlSpec
		want               bool
	}{
		"both in Audit":                          {v1alpha1.ControlSpec{Mode: audit}, v1alpha1.ControlSpec{}, false},
		"Enforce, and plans wait for approval":   {v1alpha1.ControlSpec{Mode: enforce}, v1alpha1.ControlSpec{}, false},
		"Enforce, and the baseline consents":     {v1alpha1.ControlSpec{Mode: enforce, Approval: consents}, v1alpha1.ControlSpec{}, true},
		"Enforce, and the features consent":      {v1alpha1.ControlSpec{Mode: enforce}, v1alpha1.ControlSpec{Approval: consents}, true},
		"the features in Audit, with consent":    {v1alpha1.ControlSpec{Mode: enforce, Approval: consents}, v1alpha1.ControlSpec{Mode: audit}, false},
		"only the features in Enforce, consents": {v1alpha1.ControlSpec{}, v1alpha1.ControlSpec{Mode: enforce, Approval: consents}, true},
		"no mode, that is Audit":                 {v1alpha1.ControlSpec{Approval: consents}, v1alpha1.ControlSpec{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &v1alpha1.GuardDutyBaseline{}
			b.Spec.Mode, b.Spec.Approval = tc.baseline.Mode, tc.baseline.Approval
			b.Spec.Detector = &v1alpha1.GuardDutyDetector{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}
			tc.features.State = v1alpha1.Enabled
			b.Spec.Features = &v1alpha1.GuardDutyFeatures{ControlSpec: tc.features, S3DataEvents: v1alpha1.Enabled}
			got, ok := Controls(b)[1].Settings.(DetectorSettings)
			if !ok || (got.Plans != nil) != tc.want {
				t.Errorf("settings %+v, want plans: %v", got, tc.want)
			}
		})
	}
}
