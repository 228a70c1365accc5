// Package engine runs the checks that are due in one account: it observes in parallel, decides from each change's risk what
// may be put right, writes one change at a time, and observes again before it believes that a change has worked.
//
// It knows nothing of Kubernetes. What is due is decided before it (controllers/plan.go), what its results mean for the
// account's status after it (controllers/summary.go).
package engine

import (
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// CheckID names a check within an account: the baseline that declares it ("S3Baseline/organization"), its control and its
// region.
type CheckID struct{ Baseline, Control, Region string }

// Task is one check that is due.
type Task struct {
	// Control is the control with its baseline's settings.
	Control control.Bound
	// Baseline is the kind and name of the baseline that declares it: "S3Baseline/organization".
	Baseline string
	// Region is the region of the check, v1alpha1.GlobalRegion for a control of the account or the organization.
	Region string
	// Regions are the regions that the baseline selects in the account.
	Regions []string
	// Every is how often the check is observed at least; answers that many accounts share are used for a part of that.
	Every time.Duration
	// Since is since when an answer that accounts share must have been read at least; zero: it may be older.
	Since time.Time
	// Named are the resources that are to be read live, for Target.Named. Nil: none.
	Named func() []string
	// Mode and Approval are those in effect for the section.
	Mode     v1alpha1.Mode
	Approval v1alpha1.Approval
	// Hold, when it has a reason, keeps every change of the task from being made, whatever mode and approval say.
	Hold Hold
	// Caps bound the changes of the task's baseline.
	Caps Caps
	// Excused names the exception that excuses a resource, or "". Nil: nothing is excused.
	Excused func(resource string) string
	// Looks says how often a drift (by its Judged.ID) was looked at since it was changed without showing the change. Nil:
	// never.
	Looks func(drift string) int
	// Withdrawn says who has undone the change of a drift, which then waits for an approval. Nil: nobody.
	Withdrawn func(d control.Drift) string
}

// ID names the check.
func (t *Task) ID() CheckID { return CheckID{t.Baseline, t.Control.ID, t.Region} }

// RowExcepted is the reason of a departure that an exception excuses.
const RowExcepted = "Excepted"

// Caps bound the changes of one baseline, within the Limits of all; zero: no bound of its own.
type Caps struct {
	// Changes is the number of changes in one account and pass, Accounts the number of accounts with changes under way at a time.
	Changes, Accounts int
}

// Hold says why no change may be made.
type Hold struct{ Reason, Message string }

// Result is what came of one task.
type Result struct {
	*Task
	// At is when the last observation began or, where it rests on an answer that accounts share, when that was read.
	At time.Time
	// Age is how much before the observation that was; zero where it rests on none.
	Age time.Duration
	// Index is what the last observation rested on beside live reads; zero: on nothing.
	Index control.Index
	// Took is how long observing took.
	Took time.Duration
	// Findings are judged: each says why it stands. Nothing in it means compliant.
	Findings []Judged
	// Skipped is true when the task was not begun, or not ended, before the pass was over; it is still due.
	Skipped bool
	// Late is true when it was skipped for want of an answer that accounts share and that is under way.
	Late bool
	// Refused is true when a service control policy refused the whole question, Denied when it refuses the region as such.
	Refused, Denied bool
	// Changed is the number of changes tried.
	Changed int

	// blind is true when the whole question failed: nothing is known of any resource.
	blind bool
}

// Judged is a finding with what is to become of it.
type Judged struct {
	control.Finding
	// Excepted names the exception that excuses it.
	Excepted string
	// Failed is true when a change was tried and failed.
	Failed bool
	// Record names what has it on record where it waits for an approval.
	Record string
	// Owner is who else manages the resource; empty: nobody, or nobody was asked. OwnerUnread says why that could not be read.
	Owner, OwnerUnread string
	// Looks is how often it was looked at since it was changed; 0 when no change is being waited for.
	Looks int

	// due is true for a departure that may be put right now and was not yet; approved is true when that is so because a person
	// has approved; asked is true once it is known who manages the resource, or that it cannot be.
	due, approved, asked bool
	// said is the control's own message.
	said string
}

// awsRegion is the region of AWS that the task runs in.
func (t *Task) awsRegion(partition string) string {
	if t.Region == v1alpha1.GlobalRegion {
		return control.HomeRegion(partition)
	}
	return t.Region
}

// oneRegion is the region of a check that is of one; empty otherwise.
func oneRegion(region string) string {
	if region == v1alpha1.GlobalRegion {
		return ""
	}
	return region
}

// sharedAge is how old an answer may be that accounts share: a quarter of the interval at most, so that the check is never
// due again before there is a newer one.
func (t *Task) sharedAge(now time.Time) time.Duration {
	age := min(control.SharedMaxAge, t.Every/4)
	if t.Since.IsZero() {
		return age
	}
	return min(age, max(now.Sub(t.Since), 1)) // none would stand for the longest
}

// judge says why a finding stands, and whether it is to be put right now.
func (t *Task) judge(f control.Finding) Judged {
	j := Judged{Finding: f, said: f.Message}
	if f.Outcome != control.Departs {
		return j
	}
	if t.Excused != nil && !t.Control.NotExcusable {
		if j.Excepted = t.Excused(f.Resource); j.Excepted != "" {
			return j.because(RowExcepted, "excused by the exception "+j.Excepted)
		}
	}
	if reason, message := t.heldBack(j); reason != "" {
		return j.because(reason, message)
	}
	return t.dueNow(j)
}

// dueNow is a finding that may be put right, unless its change is waited for.
func (t *Task) dueNow(j Judged) Judged {
	if t.Looks != nil {
		if j.Looks = t.Looks(j.ID()); j.Looks > 0 && j.Looks < looksUntilFailed {
			// It was changed a moment ago; AWS may not show it yet. Looking again is all that is needed.
			return j.settling()
		}
	}
	j.due, j.Looks = true, 0
	return j
}

// heldBack says why a departure is not put right; nothing when it may be.
func (t *Task) heldBack(j Judged) (reason, message string) {
	f, risk := j.Finding, t.Control.RiskOf(j.Drift)
	switch {
	case risk == control.ReportOnly:
		return orElse(f.Reason, v1alpha1.RowReportOnly),
			orElse(j.said, "Plumbline does not change this; see "+t.Control.ID+" in docs/controls.md")
	case t.Hold.Reason == v1alpha1.RowSuspended:
		return t.Hold.Reason, t.Hold.Message
	case t.Mode != v1alpha1.ModeEnforce:
		return v1alpha1.RowAudit, with(t.inAudit(f.Drift, risk), j.said)
	case t.Hold.Reason == v1alpha1.RowRolloutWaiting || t.Hold.Reason == v1alpha1.RowRolloutPaused:
		return t.Hold.Reason, with(t.Hold.Message, t.afterwards(f.Drift, risk)) // nor is it proposed before its turn comes
	case t.needsApproval(f.Drift, risk):
		return v1alpha1.RowAwaitingApproval, with(t.proposal(j, risk), j.said)
	case t.withdrawn(f) != "":
		return v1alpha1.RowAwaitingApproval, with(with("undone by "+t.withdrawn(f)+"; put right again once it is approved", j.owned()), j.said)
	case j.owned() != "":
		return v1alpha1.RowAwaitingApproval, with(t.proposal(j, risk), j.said)
	}
	return t.Hold.Reason, t.Hold.Message
}

// needsApproval is the table of design: Risk is the change's, and a change that weakens security needs one in every mode.
func (t *Task) needsApproval(d control.Drift, risk control.Risk) bool {
	if t.Control.Weakens(d) {
		return true
	}
	switch t.Approval {
	case v1alpha1.ApprovalAll:
		return true
	case v1alpha1.ApprovalIrreversible:
		return risk >= control.Irreversible
	}
	return risk >= control.Disruptive
}

// afterwards says that a change waits for an approval once nothing else holds it back; nothing where it does not.
func (t *Task) afterwards(d control.Drift, risk control.Risk) string {
	if t.needsApproval(d, risk) {
		return "then waits for an approval"
	}
	return ""
}

// withdrawn is who has undone the change; empty: nobody.
func (t *Task) withdrawn(f control.Finding) string {
	if t.Withdrawn == nil {
		return ""
	}
	return t.Withdrawn(f.Drift)
}

// inAudit says what mode: Enforce would do.
func (t *Task) inAudit(d control.Drift, risk control.Risk) string {
	switch {
	case t.Control.Weakens(d):
		return "mode: Enforce would propose the change (weakens security); it waits for an approval in every mode"
	case t.needsApproval(d, risk):
		return "mode: Enforce would propose the change (" + risk.String() + "); it then waits for an approval"
	}
	return "would be changed with mode: Enforce (" + risk.String() + ")"
}

// proposal says what would be changed. Who manages the resource stands first, for a row has only so much room.
func (t *Task) proposal(j Judged, risk control.Risk) string {
	what := "would be changed"
	for i, f := range j.Fields {
		if i == 0 {
			what = "would set "
		} else {
			what += ", "
		}
		what += f.Path + " from " + control.Bounded(f.Got, 80) + " to " + control.Bounded(f.Want, 80)
	}
	what = control.Bounded(what, 300)
	switch {
	case t.Control.Weakens(j.Drift):
		return with(j.owned(), what+" (weakens security); waits for an approval in every mode")
	case j.owned() != "":
		return j.owned() + "; " + what + " (" + risk.String() + "); waits for an approval in every mode"
	case risk == control.Disruptive:
		return what + " (Disruptive); waits for an approval, or is applied with approval: Irreversible on the section"
	}
	return what + " (" + risk.String() + "); waits for an approval"
}

// ID names the drift within its check, the same at every look. One resource may have several that differ in risk.
func (j Judged) ID() string {
	id := j.Resource + " " + j.Risk.String()
	for _, f := range j.Fields {
		id += " " + f.Path
	}
	return id
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// with adds what else there is to say, such as the evidence that a change would break something.
func with(message, more string) string {
	if message == "" || more == "" {
		return message + more
	}
	return message + "; " + more
}

func (j Judged) because(reason, message string) Judged {
	j.Reason, j.Message, j.due = reason, message, false
	return j
}

// looksUntilFailed is the look at which a change that AWS still does not show counts as failed.
const looksUntilFailed = 3

// settling is the finding at one more look after its change.
func (j Judged) settling() Judged {
	j.Looks++
	if j.Looks >= looksUntilFailed {
		j.Failed = true
		return j.because(v1alpha1.RowRemediationFailed, "the change was made and AWS does not show it at the third look; tried again later")
	}
	return j.because(v1alpha1.RowSettling, "the change was made and AWS does not show it yet; looked at again in a minute")
}
