package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// worstAccounts is the number of accounts that a baseline names.
const worstAccounts = 10

// status writes the sums into a baseline's status.
func (s *sum) status(out *v1alpha1.BaselineStatus, generation int64, allowWrites bool, now time.Time) {
	spec, _ := s.object.Common()
	out.ObservedGeneration, out.Revision = generation, s.revision
	out.Mode = s.mode(spec)
	out.Accounts, out.Compliant, out.Drifted, out.Unknown = s.selected, s.compliant, s.drifted, s.unknown
	out.Stale, out.Checks = s.stale, s.checks
	out.Controls, out.WorstAccounts, out.Proposals = s.controlCounts(), s.worstOnes(), s.proposals()
	if s.answered {
		out.LastHandledReconcileAt = s.token
	}
	c := conditions{&out.Conditions, generation, now}
	c.approvalsRefused(s.refused)
	c.rolloutPaused(out.Rollout)
	out.State = s.compliance(c)
	s.readiness(c, spec, allowWrites)
}

// approvalsRefused says which entries of spec.approvals do not count, with the reason of the first.
func (c conditions) approvalsRefused(refused []refusal) {
	var messages []string
	reason := ""
	for _, r := range refused {
		reason, messages = cmp.Or(reason, r.reason), append(messages, r.message)
	}
	c.only(len(refused) > 0, v1alpha1.ConditionApprovalsRefused, reason, strings.Join(messages, "; "))
}

// rolloutPaused says that the rollout has stopped, and why.
func (c conditions) rolloutPaused(ro *v1alpha1.RolloutStatus) {
	switch {
	case ro != nil && ro.Invalid != "":
		c.only(true, v1alpha1.ConditionRolloutPaused, v1alpha1.ReasonOverlappingWaves, ro.Invalid)
	case ro != nil && ro.Paused != "":
		c.only(true, v1alpha1.ConditionRolloutPaused, v1alpha1.ReasonTooMuchTrouble, ro.Summary+"; "+howToResume)
	default:
		c.only(false, v1alpha1.ConditionRolloutPaused, "", "")
	}
}

// mode is what MODE shows: Enforce when anything is enforced, and Audit while suspended.
func (s *sum) mode(spec *v1alpha1.BaselineSpec) v1alpha1.Mode {
	if s.enforces(spec) && !spec.Suspend {
		return v1alpha1.ModeEnforce
	}
	return v1alpha1.ModeAudit
}

func (s *sum) enforces(spec *v1alpha1.BaselineSpec) bool {
	return slices.ContainsFunc(s.controls, func(b control.Bound) bool { return spec.EffectiveMode(b.Spec) == v1alpha1.ModeEnforce })
}

func (s *sum) controlCounts() []v1alpha1.BaselineControlCount {
	var all []v1alpha1.BaselineControlCount
	for _, n := range s.perControl {
		if n.Drifted+n.Unknown+n.Excepted > 0 {
			all = append(all, *n)
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.BaselineControlCount) int { return strings.Compare(a.Control, b.Control) })
	return all
}

func (s *sum) worstOnes() []v1alpha1.BaselineAccountCount {
	slices.SortFunc(s.worst, func(a, b v1alpha1.BaselineAccountCount) int {
		return cmp.Or(cmp.Compare(b.Drifted, a.Drifted), cmp.Compare(b.Unknown, a.Unknown), strings.Compare(a.Account, b.Account))
	})
	return s.worst[:min(len(s.worst), worstAccounts)]
}

// compliance sets Compliant and what stands beside it, and returns the state in one word.
func (s *sum) compliance(c conditions) v1alpha1.BaselineState {
	c.only(s.pending > 0, v1alpha1.ConditionReconciling, v1alpha1.ReasonPending, s.pendingMessage())
	overridden := s.checks.Overridden
	c.only(overridden > 0, v1alpha1.ConditionOverridden, v1alpha1.ReasonOverriddenByPriority,
		fmt.Sprintf("%d checks are decided by %s %s, which has the higher priority or the name that sorts first", overridden, s.kind.Name, s.overriddenBy))
	unknown := s.unknownRegions()
	c.only(len(unknown) > 0, v1alpha1.ConditionUnknownNames, v1alpha1.ReasonUnknownRegion,
		"enabled in none of the selected accounts: "+strings.Join(unknown, ", ")+" — mend regions.include, or regions of the AWSOrganization")
	c.only(s.stale > 0, v1alpha1.ConditionStale, v1alpha1.ReasonNotObservedLately,
		fmt.Sprintf("%d of %d accounts have checks that were not looked at for twice as long as they should be", s.stale, s.selected))
	v := s.verdict()
	c.set(v1alpha1.ConditionCompliant, v.status, v.reason, v.message)
	return v.state
}

func (s *sum) pendingMessage() string {
	return fmt.Sprintf("%d of %d accounts are not looked at yet with these settings", s.pending, s.selected)
}

// verdict is what the numbers amount to.
type verdict struct {
	status          metav1.ConditionStatus
	state           v1alpha1.BaselineState
	reason, message string
}

// verdict is the first of these that holds. What was not looked at is never compliant.
func (s *sum) verdict() verdict {
	const no, unknown = metav1.ConditionFalse, metav1.ConditionUnknown
	undecided := s.undecided()
	for _, v := range []struct {
		when bool
		verdict
	}{
		{s.drifted > 0 && s.failed > 0, verdict{no, v1alpha1.BaselineDrifted, v1alpha1.ReasonRemediationFailed,
			fmt.Sprintf("%d of %d accounts have drifted; changes failed in %d", s.drifted, s.selected, s.failed)}},
		{s.drifted > 0, verdict{no, v1alpha1.BaselineDrifted, v1alpha1.ReasonDrifted,
			fmt.Sprintf("%d of %d accounts have drifted", s.drifted, s.selected)}},
		{s.pending > 0, verdict{unknown, v1alpha1.BaselinePending, v1alpha1.ReasonPending, s.pendingMessage()}},
		{len(undecided) > 0, verdict{unknown, v1alpha1.BaselineUnknown, v1alpha1.ReasonChecksUnknown,
			"settings of the whole organization are decided in account " + strings.Join(undecided, ", ") +
				", and there is no such AWSAccount — see managementAccount, delegatedAdministrators and discovery of the AWSOrganization"}},
		{s.selected == 0, verdict{unknown, v1alpha1.BaselineUnknown, v1alpha1.ReasonNoAccountSelected, "no account is selected"}},
		{s.unreachable > 0 && s.unreachable == s.unknown, verdict{unknown, v1alpha1.BaselineUnknown, v1alpha1.ReasonSelectedAccountsUnreachable,
			fmt.Sprintf("%d of %d accounts cannot be entered", s.unreachable, s.selected)}},
		{s.unknown > 0, verdict{unknown, v1alpha1.BaselineUnknown, v1alpha1.ReasonChecksUnknown,
			fmt.Sprintf("in %d of %d accounts something could not be told", s.unknown, s.selected)}},
		{s.checks.Total == 0 && s.checks.Overridden > 0, verdict{unknown, v1alpha1.BaselineOverridden, v1alpha1.ReasonOverriddenByPriority,
			"every check is decided by another baseline"}},
		{s.checks.Total == 0, verdict{unknown, v1alpha1.BaselineUnknown, v1alpha1.ReasonNoChecks,
			"there is nothing to check in the selected accounts and regions"}},
	} {
		if v.when {
			return v.verdict
		}
	}
	return verdict{metav1.ConditionTrue, v1alpha1.BaselineCompliant, v1alpha1.ReasonAllChecksHold,
		fmt.Sprintf("all %d checks in %d accounts hold or are excused", s.checks.Total, s.selected)}
}

// undecided are the accounts in which settings of the whole organization are decided, and that nobody looks at.
func (s *sum) undecided() []string {
	var all []string
	for id, there := range s.deciding {
		if !there {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// unknownRegions are the regions that the baseline names and that none of its accounts has. Before one was looked at, none
// is known to be wrong.
func (s *sum) unknownRegions() []string {
	spec, _ := s.object.Common()
	var all []string
	named := included(spec.Regions)
	if len(named) == 0 {
		named = s.organization.Regions
	}
	for _, r := range named {
		if len(s.regions) > 0 && !s.regions[string(r)] {
			all = append(all, string(r))
		}
	}
	return all
}

// readiness sets Ready and Enforcing.
func (s *sum) readiness(c conditions, spec *v1alpha1.BaselineSpec, allowWrites bool) {
	if s.organization.ManagementAccount == "" {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoOrganization, "there is no AWSOrganization; create one (config/samples)")
	} else {
		c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "the spec is accepted and the numbers are current")
	}
	switch {
	case !s.enforces(spec):
		meta.RemoveStatusCondition(c.all, v1alpha1.ConditionEnforcing)
	case spec.Suspend:
		c.set(v1alpha1.ConditionEnforcing, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "spec.suspend is true; reported as in Audit")
	case !allowWrites:
		c.set(v1alpha1.ConditionEnforcing, metav1.ConditionFalse, v1alpha1.ReasonWritesDisabled,
			"the manager runs without --allow-writes and changes nothing; start it with --allow-writes once the reported drift is what you expect")
	default:
		c.set(v1alpha1.ConditionEnforcing, metav1.ConditionTrue, v1alpha1.ReasonWritesAllowed, "departures are put right within approval and caps")
	}
}
