package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// The table of design.md section 6, in every combination with what overrides it.
func TestWhatMayBeWritten(t *testing.T) {
	const (
		apply   = "apply"
		report  = v1alpha1.RowAudit
		approve = v1alpha1.RowAwaitingApproval
		never   = v1alpha1.RowReportOnly
	)
	enforce, audit := v1alpha1.ModeEnforce, v1alpha1.ModeAudit
	table := []struct {
		mode     v1alpha1.Mode
		approval v1alpha1.Approval
		want     [4]string // Safe, Disruptive, Irreversible, ReportOnly
	}{
		{audit, v1alpha1.ApprovalAll, [4]string{report, report, report, never}},
		{audit, v1alpha1.ApprovalDisruptive, [4]string{report, report, report, never}},
		{audit, v1alpha1.ApprovalIrreversible, [4]string{report, report, report, never}},
		{"", "", [4]string{report, report, report, never}},
		{enforce, v1alpha1.ApprovalAll, [4]string{approve, approve, approve, never}},
		{enforce, v1alpha1.ApprovalDisruptive, [4]string{apply, approve, approve, never}},
		{enforce, "", [4]string{apply, approve, approve, never}},
		{enforce, v1alpha1.ApprovalIrreversible, [4]string{apply, apply, approve, never}},
	}
	holds := []string{"", v1alpha1.RowSuspended, v1alpha1.RowWritesDisabled, v1alpha1.RowManagementAccount, v1alpha1.RowNewAccount}
	type circumstances struct {
		weakens, disabled, excused, excusable bool
		hold                                  string
	}
	// over is what circumstances make of the table's word.
	over := func(word string, c circumstances) string {
		switch {
		case c.excused && c.excusable:
			return "Excepted"
		case word == never:
			return never
		case c.hold == v1alpha1.RowSuspended:
			return c.hold
		case word == report:
			return report
		case c.weakens || c.disabled:
			return approve
		case word == apply && c.hold != "":
			return c.hold
		}
		return word
	}
	var all []circumstances
	for _, hold := range holds {
		for bits := range 16 {
			all = append(all, circumstances{bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0, hold})
		}
	}
	for _, row := range table {
		for i, risk := range []control.Risk{control.Safe, control.Disruptive, control.Irreversible, control.ReportOnly} {
			for _, c := range all {
				l := newLake(t, Limits{})
				b := l.encrypted(func(c *control.Control[section]) { c.Risk = control.Irreversible })
				b.NotExcusable = !c.excusable
				if c.disabled {
					b.Spec.State = v1alpha1.Disabled
				}
				task := enforced(b, ireland)
				task.Mode, task.Approval, task.Hold = row.mode, row.approval, Hold{Reason: c.hold, Message: "held"}
				if c.excused {
					task.Excused = func(string) string { return "blx" }
				}
				d := drift("vol")
				d.Risk, d.Weakens = risk, c.weakens
				j := task.judge(control.Finding{Drift: d})
				got := j.Reason
				if j.due {
					got += apply
				}
				if want := over(row.want[i], c); got != want {
					t.Errorf("mode %q, approval %q, %v, %+v: got %s, want %s", row.mode, row.approval, risk, c, got, want)
				}
			}
		}
	}
}

func TestJudge(t *testing.T) {
	l := newLake(t, Limits{})
	said := func(f control.Finding, change func(*Task)) Judged {
		task := enforced(l.encrypted(), ireland)
		change(&task)
		return task.judge(f)
	}
	departs := control.Finding{Drift: drift("vol")}
	reported := departs
	reported.Risk, reported.Reason, reported.Message = control.ReportOnly, v1alpha1.RowContradictsOrganization, "the organization says ALL"
	for name, tc := range map[string]struct {
		got  Judged
		want Judged
	}{
		"what could not be judged keeps its own words": {
			said(control.Finding{Outcome: control.Unknown, Reason: "KeyNotFound", Message: "no such key"}, func(*Task) {}),
			Judged{Finding: control.Finding{Outcome: control.Unknown, Reason: "KeyNotFound", Message: "no such key"}},
		},
		"what only reports keeps its own reason": {
			said(reported, func(*Task) {}), Judged{Finding: reported},
		},
		"a proposal says what it would do": {
			said(departs, func(t *Task) { t.Approval = v1alpha1.ApprovalAll }),
			Judged{Finding: control.Finding{
				Drift: departs.Drift, Reason: v1alpha1.RowAwaitingApproval, Message: "would set encrypted from false to true (Safe); waits for an approval",
			}},
		},
		"a proposal that weakens says so": {
			said(departs, func(t *Task) { t.Control.Spec.State = v1alpha1.Disabled }),
			Judged{Finding: control.Finding{
				Drift: departs.Drift, Reason: v1alpha1.RowAwaitingApproval,
				Message: "would set encrypted from false to true (weakens security); waits for an approval in every mode",
			}},
		},
		"what waits for its wave is not proposed yet": {
			said(departs, func(t *Task) {
				t.Approval, t.Hold = v1alpha1.ApprovalAll, Hold{v1alpha1.RowRolloutWaiting, "wave 1 is under way"}
			}),
			Judged{Finding: control.Finding{
				Drift: departs.Drift, Reason: v1alpha1.RowRolloutWaiting, Message: "wave 1 is under way; then waits for an approval",
			}},
		},
		"an exception is named": {
			said(departs, func(t *Task) { t.Excused = func(string) string { return "legacy" } }),
			Judged{Excepted: "legacy", Finding: control.Finding{Drift: departs.Drift, Reason: "Excepted", Message: "excused by the exception legacy"}},
		},
		"a change that is waited for is not made again": {
			said(departs, func(t *Task) { t.Looks = func(string) int { return 1 } }),
			Judged{Looks: 2, Finding: control.Finding{
				Drift: departs.Drift, Reason: v1alpha1.RowSettling, Message: "the change was made and AWS does not show it yet; looked at again in a minute",
			}},
		},
		"at the third look it has failed": {
			said(departs, func(t *Task) { t.Looks = func(string) int { return 2 } }),
			Judged{Looks: 3, Failed: true, Finding: control.Finding{
				Drift: departs.Drift, Reason: v1alpha1.RowRemediationFailed,
				Message: "the change was made and AWS does not show it at the third look; tried again later",
			}},
		},
		"after that it is made again": {
			said(departs, func(t *Task) { t.Looks = func(string) int { return 3 } }), Judged{Finding: departs, due: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got, cmp.AllowUnexported(Judged{}), cmpopts.IgnoreFields(Judged{}, "said")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStateByPrecedence(t *testing.T) {
	departs := Judged{Finding: control.Finding{Drift: control.Drift{Resource: "a"}}}
	excepted := departs
	excepted.Excepted = "blx"
	is := func(o control.Outcome, resource string) Judged {
		return Judged{Finding: control.Finding{Outcome: o, Drift: control.Drift{Resource: resource}}}
	}
	for name, tc := range map[string]struct {
		findings []Judged
		denied   bool
		want     State
	}{
		"nothing found":                            {nil, false, Compliant},
		"a departure before everything":            {[]Judged{is(control.Unknown, "b"), excepted, departs}, false, Drifted},
		"what is not known before what is excused": {[]Judged{excepted, is(control.Unknown, "b")}, false, Unknown},
		"waiting is not knowing":                   {[]Judged{is(control.Waiting, "b")}, false, Unknown},
		"an outcome that nobody knows is unknown":  {[]Judged{is("Fine", "b")}, false, Unknown},
		"excused":                                   {[]Judged{excepted}, false, Excepted},
		"a service that does not exist there":       {[]Judged{is(control.NotApplicable, "")}, false, NotApplicable},
		"a resource that the control does not mean": {[]Judged{is(control.NotApplicable, "b")}, false, Compliant},
		"a region that is refused":                  {[]Judged{is(control.Unknown, "")}, true, RegionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Result{Findings: tc.findings, Denied: tc.denied}).State(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTheHomeRegionAnswersForWhatIsOfNoRegion(t *testing.T) {
	for partition, want := range map[string]string{"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"} {
		if got := (&Task{Region: v1alpha1.GlobalRegion}).awsRegion(partition); got != want {
			t.Errorf("%s: %s", partition, got)
		}
		if got := (&Task{Region: ireland}).awsRegion(partition); got != ireland {
			t.Errorf("%s: %s", partition, got)
		}
	}
}

func ExampleLimits_Defaults() {
	fmt.Printf("%+v\n", Limits{ChangesPerPass: 3}.Defaults())
	// Output: {ChangesPerPass:3 AccountsAtOnce:5 StartFor:10s VerifyFor:25s Parallel:16}
}
