package kubectl

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// verb is a sort of decision.
type verb struct {
	// name is that of the command, past and noted what became of the change and of the decision.
	name, short, past, noted string
	// mustExplain demands a reason.
	mustExplain bool
	// refusal says why a Remediation cannot be decided so, and what to do; nil where it can.
	refusal func(*v1alpha1.Remediation, time.Time) error
	// set writes the decision.
	set func(*v1alpha1.RemediationSpec, *v1alpha1.Decision)
	// wanted are the phases in which the decision has come true; over says whether nothing more will happen.
	wanted []v1alpha1.RemediationPhase
	over   func(*v1alpha1.Remediation) bool
}

// refused says whether the controller does not count the decision.
func refused(r *v1alpha1.Remediation) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionDecisionRefused)
}

var approving = verb{
	name: "approve", short: "Approve proposed changes, after showing them", past: "approved", noted: "approved",
	refusal: notApprovable,
	set: func(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision) {
		s.Approval, s.Rejected = d, nil // a rejection that stands there was of another digest
	},
	wanted: []v1alpha1.RemediationPhase{v1alpha1.RemediationApplied},
	over:   func(r *v1alpha1.Remediation) bool { return !r.Status.Phase.Open() || refused(r) },
}

func notApprovable(r *v1alpha1.Remediation, now time.Time) error {
	switch d := r.Spec.Approval; {
	case r.Status.Phase == v1alpha1.RemediationProposed && r.Expired(now), r.Status.Phase == v1alpha1.RemediationExpired:
		return fmt.Errorf("%s has expired; if it still departs it is proposed anew: kubectl plumbline recheck %s, then kubectl get rem", r.Name, r.Status.Account)
	case r.Status.Phase != v1alpha1.RemediationProposed:
		return wrongPhase(r, "approved", "only a proposed one can be")
	case d != nil && d.Digest == r.Status.Digest && !refused(r):
		return fmt.Errorf("%s was approved by %s already, and the controller has not taken note of it yet; see that the manager runs", r.Name, d.By)
	}
	return undecidable(r)
}

var rejecting = verb{
	name: "reject", short: "Refuse proposed changes, with a reason", past: "rejected", noted: "rejected", mustExplain: true,
	refusal: func(r *v1alpha1.Remediation, now time.Time) error {
		switch {
		case r.Status.Phase != v1alpha1.RemediationProposed && r.Status.Phase != v1alpha1.RemediationApproved:
			return wrongPhase(r, "rejected", "only one that was not begun can be")
		case r.Expired(now):
			return fmt.Errorf("%s has expired; there is nothing to reject", r.Name)
		}
		return undecidable(r)
	},
	set: func(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision) {
		s.Rejected, s.Approval = d, nil // the two contradict each other
	},
	wanted: []v1alpha1.RemediationPhase{v1alpha1.RemediationRejected},
	over: func(r *v1alpha1.Remediation) bool {
		return !r.Status.Phase.Open() || r.Status.Phase == v1alpha1.RemediationApplying || refused(r)
	},
}

var undoing = verb{
	name: "undo", short: "Have changes taken back that were made", past: "undone", noted: "undo asked for",
	refusal: func(r *v1alpha1.Remediation, _ time.Time) error {
		made := func(c v1alpha1.RemediationChange) bool { return c.Outcome == v1alpha1.ChangeApplied }
		switch phase := r.Status.Phase; {
		case phase != v1alpha1.RemediationApplied && phase != v1alpha1.RemediationFailed:
			return wrongPhase(r, "undone", "only what was made can be")
		case meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionUndoing):
			return fmt.Errorf("%s is being undone already; kubectl get rem %s -o wide says how far it is", r.Name, r.Name)
		case !r.Status.Reversible:
			return fmt.Errorf("%s cannot be undone: the changes of %s are not reversible; kubectl plumbline explain %s", r.Name, r.Status.Control, r.Status.Control)
		case !slices.ContainsFunc(r.Status.Changes, made):
			return fmt.Errorf("%s has no change left that could be undone; see its status.changes", r.Name)
		}
		return undecidable(r)
	},
	set:    func(s *v1alpha1.RemediationSpec, d *v1alpha1.Decision) { s.Undo = d },
	wanted: []v1alpha1.RemediationPhase{v1alpha1.RemediationUndone},
	over:   func(r *v1alpha1.Remediation) bool { return r.Status.Phase == v1alpha1.RemediationUndone || refused(r) },
}

// undecidable refuses what the controller has not written whole yet.
func undecidable(r *v1alpha1.Remediation) error {
	if r.Status.Digest == "" {
		return fmt.Errorf("%s has no digest yet; try again in a moment", r.Name)
	}
	return nil
}

// wrongPhase says where the Remediation stands and what can be done there.
func wrongPhase(r *v1alpha1.Remediation, past, rule string) error {
	next := "kubectl get rem lists the others"
	switch r.Status.Phase {
	case v1alpha1.RemediationProposed:
		next = "it waits for kubectl plumbline approve, or reject"
	case v1alpha1.RemediationApproved, v1alpha1.RemediationApplying:
		next = "wait until it is over"
	case v1alpha1.RemediationApplied, v1alpha1.RemediationFailed:
		next = "kubectl plumbline undo takes back what was made"
	case v1alpha1.RemediationSuperseded, v1alpha1.RemediationUndone:
		next = "if it still departs there is a newer one: kubectl get rem -l " + v1alpha1.LabelAccount + "=" + r.Status.Account
	case v1alpha1.RemediationRejected:
		next = "to have it proposed again: kubectl delete rem " + r.Name
	case "":
		next = "it is being written; try again in a moment"
	}
	return fmt.Errorf("%s cannot be %s: it is %s, and %s; %s", r.Name, past, orNone(string(r.Status.Phase)), rule, next)
}
