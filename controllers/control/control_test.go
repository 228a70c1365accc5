package control_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

type section struct{ v1alpha1.ControlSpec }

// flag is a consistent control.
func flag() control.Control[section] {
	return control.Control[section]{
		Meta: control.Meta{
			ID: "ebs-flag", Title: "A flag", Doc: "Why.", Scope: control.Region, Risk: control.Safe, Severity: v1alpha1.SeverityHigh,
			Reads: []string{"ec2:GetEbsEncryptionByDefault"}, Writes: []string{"ec2:EnableEbsEncryptionByDefault"},
		},
		Observe:   func(context.Context, *control.Target, section) ([]control.Finding, error) { return nil, nil },
		Remediate: func(context.Context, *control.Target, control.Drift) error { return nil },
		Undo:      func(context.Context, *control.Target, control.Drift) error { return nil },
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*control.Meta)
		want   string // part of the error; empty: none
	}{
		"a consistent control":                   {func(*control.Meta) {}, ""},
		"an id that is no kebab":                 {func(m *control.Meta) { m.ID = "EBS_flag" }, "kebab-case"},
		"no documentation":                       {func(m *control.Meta) { m.Doc = "" }, "title and doc"},
		"no scope":                               {func(m *control.Meta) { m.Scope = "" }, "scope"},
		"no risk":                                {func(m *control.Meta) { m.Risk = 0 }, "risk"},
		"no severity":                            {func(m *control.Meta) { m.Severity = "" }, "severity"},
		"no reads":                               {func(m *control.Meta) { m.Reads = nil }, "reads"},
		"a reporter that writes":                 {func(m *control.Meta) { m.Risk = control.ReportOnly }, "must declare writes"},
		"a writer that declares none":            {func(m *control.Meta) { m.Writes = nil }, "must declare writes"},
		"a deletion":                             {func(m *control.Meta) { m.Writes = []string{"guardduty:DeleteDetector"} }, "deletes"},
		"a deletion behind another call":         {func(m *control.Meta) { m.Grants = []string{"guardduty:DeleteDetector"} }, "deletes"},
		"a deletion that takes back a setting":   {func(m *control.Meta) { m.Writes = []string{"s3:DeleteBucketPolicy"} }, ""},
		"reading data":                           {func(m *control.Meta) { m.Reads = []string{"s3:GetObject"} }, "data or secrets"},
		"reading secrets":                        {func(m *control.Meta) { m.Reads = []string{"ssm:GetParametersByPath"} }, "data or secrets"},
		"an action that is none":                 {func(m *control.Meta) { m.Reads = []string{"ec2:*"} }, "no IAM action"},
		"an administrator of a regional control": {func(m *control.Meta) { m.Administrator = "guardduty" }, "administrator"},
	} {
		t.Run(name, func(t *testing.T) {
			c := flag()
			tc.change(&c.Meta)
			err := control.Validate([]control.Bound{c.With(nil)})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := control.Validate([]control.Bound{flag().With(nil), flag().With(nil)}); err == nil {
		t.Error("an id that is used twice is not found")
	}
}

func TestAControlIsManagedOnlyWhereItsSectionIsThere(t *testing.T) {
	type facts struct{ Managed, Reversible, Observes, Remediates, Undoes bool }
	of := func(b control.Bound) facts {
		ctx := context.Background()
		_, observe := b.Observe(ctx, nil)
		return facts{
			b.Managed(), b.Reversible(), observe == nil,
			b.Remediate(ctx, nil, control.Drift{}) == nil, b.Undo(ctx, nil, control.Drift{}) == nil,
		}
	}
	reports := flag()
	reports.Remediate, reports.Undo = nil, nil
	want := []facts{
		{true, true, true, true, true}, {Reversible: true, Undoes: true}, {Managed: true, Observes: true},
	}
	got := []facts{of(flag().With(&section{})), of(flag().With(nil)), of(reports.With(&section{}))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheRiskIsTheChangesAndNotOnlyTheControls(t *testing.T) {
	reports := flag()
	reports.Remediate = nil
	enabled, disabled := &section{v1alpha1.ControlSpec{State: v1alpha1.Enabled}}, &section{v1alpha1.ControlSpec{State: v1alpha1.Disabled}}
	for name, tc := range map[string]struct {
		bound   control.Bound
		drift   control.Drift
		risk    control.Risk
		weakens bool
	}{
		"the control's":              {flag().With(enabled), control.Drift{}, control.Safe, false},
		"the change's own":           {flag().With(enabled), control.Drift{Risk: control.Irreversible}, control.Irreversible, false},
		"nothing that can write":     {reports.With(enabled), control.Drift{Risk: control.Safe}, control.ReportOnly, false},
		"a change that weakens":      {flag().With(enabled), control.Drift{Weakens: true}, control.Safe, true},
		"a section that is Disabled": {flag().With(disabled), control.Drift{}, control.Safe, true},
	} {
		t.Run(name, func(t *testing.T) {
			if risk, weakens := tc.bound.RiskOf(tc.drift), tc.bound.Weakens(tc.drift); risk != tc.risk || weakens != tc.weakens {
				t.Errorf("got %v, %v", risk, weakens)
			}
		})
	}
}

func TestDecodeRefusesADriftWithoutAValue(t *testing.T) {
	if _, err := control.Decode[int](nil); err == nil {
		t.Error("nothing decodes")
	}
	if n, err := control.Decode[int](control.JSON(7)); n != 7 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
