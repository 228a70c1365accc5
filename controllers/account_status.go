package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

func findCondition(all []metav1.Condition, conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(all, conditionType)
}

// conditions sets and removes conditions of one object at one generation.
type conditions struct {
	all        *[]metav1.Condition
	generation int64
	now        time.Time
}

func (c conditions) set(conditionType string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(c.all, metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: control.Bounded(message, 1024),
		ObservedGeneration: c.generation, LastTransitionTime: metav1.NewTime(c.now.UTC().Truncate(time.Second)),
	})
}

// only sets a condition that is present only while true.
func (c conditions) only(when bool, conditionType, reason, message string) {
	if when {
		c.set(conditionType, metav1.ConditionTrue, reason, message)
		return
	}
	meta.RemoveStatusCondition(c.all, conditionType)
}

// status is the account's status after a pass, cut to fit. What was cut is kept in memory.
func (w world) status(p plan, results []engine.Result) v1alpha1.AWSAccountStatus {
	s, fallen := summarize(w, p, results)
	setConditions(&s, w, p)
	w.memory.learned = &uncut{s.Controls, fallen}
	fit(&s)
	return s
}

// setConditions works out the account's state and conditions from its counts.
func setConditions(s *v1alpha1.AWSAccountStatus, w world, p plan) {
	c := conditions{&s.Conditions, w.account.Generation, w.now}
	pending, failed := p.pending(), int32(0)
	for _, b := range s.Baselines {
		failed += b.Failed
	}
	c.set(v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "the audit role was assumed")
	c.only(pending > 0, v1alpha1.ConditionReconciling, v1alpha1.ReasonPending, fmt.Sprintf("%d checks are not looked at yet", pending))
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionStalled)
	c.unknownRegions(p)
	c.stale(p, s.Baselines)
	switch {
	case w.regionsErr != nil:
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRegionsUnreadable, regionsUnreadable(w.regionsErr))
	case failed > 0:
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRemediationFailed,
			fmt.Sprintf("changes of %d checks were tried and failed; see status.drift", failed))
	default:
		c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "the account is observed")
	}
	s.State = setCompliant(c, s, pending, w.regionsErr)
}

// unknownRegions says which regions somebody names that the account does not have.
func (c conditions) unknownRegions(p plan) {
	unknown := p.unknownRegions()
	c.only(len(unknown) > 0, v1alpha1.ConditionUnknownNames, v1alpha1.ReasonUnknownRegion,
		"not enabled in this account: "+strings.Join(unknown, ", ")+" — enable the region or take it out of regions.include")
}

func regionsUnreadable(err error) string {
	_, message := control.Explain(err)
	return "the enabled regions cannot be read: " + message
}

// setCompliant sets the Compliant condition from the counts and returns the state in one word.
func setCompliant(c conditions, s *v1alpha1.AWSAccountStatus, pending int32, regionsErr error) v1alpha1.AccountState {
	n := s.Checks
	switch {
	case n.Drifted > 0:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonDrifted,
			fmt.Sprintf("%d of %d checks have drifted", n.Drifted, n.Total))
		return v1alpha1.AccountDrifted
	case pending > 0 && n.Unknown <= pending:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonPending,
			fmt.Sprintf("%d of %d checks are not looked at yet", pending, n.Total))
		return v1alpha1.AccountPending
	case regionsErr != nil:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonRegionsUnreadable, regionsUnreadable(regionsErr))
		return v1alpha1.AccountUnknown
	case n.Unknown > 0:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonChecksUnknown,
			fmt.Sprintf("%d of %d checks could not be told; see status.controls and the condition UnknownNames", n.Unknown, n.Total))
		return v1alpha1.AccountUnknown
	case n.Total == 0:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonNoChecks, "no baseline has a check in this account")
		return v1alpha1.AccountUnknown
	case len(s.DeniedRegions) > 0:
		c.set(v1alpha1.ConditionCompliant, metav1.ConditionTrue, v1alpha1.ReasonCompliantExceptDenied,
			"all checks hold; a service control policy refuses "+strings.Join(s.DeniedRegions, ", ")+
				" — leave these out with regions: {exclude: ["+strings.Join(s.DeniedRegions, ", ")+"]}")
		return v1alpha1.AccountCompliant
	}
	c.set(v1alpha1.ConditionCompliant, metav1.ConditionTrue, v1alpha1.ReasonAllChecksHold, fmt.Sprintf("all %d checks hold or are excused", n.Total))
	return v1alpha1.AccountCompliant
}

// pending is the number of checks that were never looked at with today's settings.
func (p plan) pending() int32 {
	var n int32
	for _, r := range p.rows {
		for _, c := range r.checks {
			if !c.known {
				n++
			}
		}
	}
	return n
}

func (p plan) unknownRegions() []string {
	var all []string
	for _, r := range p.rows {
		for _, region := range r.unknownRegions {
			all = append(all, region+" ("+r.key()+")")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unreachableStatus keeps what was last seen and counts every check as unknown.
func unreachableStatus(w world, p plan, err error) v1alpha1.AWSAccountStatus {
	s := *w.account.Status.DeepCopy()
	s.ObservedGeneration = w.account.Generation
	s.Name, s.OrganizationPath = nameOf(w.account), pathOf(w.account)
	s.State = v1alpha1.AccountUnreachable
	s.Checks, s.Baselines = v1alpha1.CheckCounts{}, nil
	for _, r := range p.rows {
		row := v1alpha1.AccountBaseline{Kind: r.kind, Name: r.name}
		if r.stored != nil {
			row = *r.stored.DeepCopy()
		}
		n := int32(len(r.checks)) //nolint:gosec // a plan has far fewer checks than an int32 counts
		row.Checks = v1alpha1.CheckCounts{Total: n, Unknown: n, Overridden: r.overridden}
		s.Baselines = append(s.Baselines, row)
		s.Checks.Add(row.Checks)
	}
	s.Summary = fmt.Sprintf("0/%d", s.Checks.Total)
	reason, message := whyUnreachable(err)
	c := conditions{&s.Conditions, w.account.Generation, w.now}
	c.set(v1alpha1.ConditionReachable, metav1.ConditionFalse, reason, message)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable, message)
	c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonUnreachable, "the account cannot be entered; rows show what was last seen")
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionStalled)
	c.unknownRegions(p)
	c.stale(p, s.Baselines)
	return s
}

// whyUnreachable is the condition's reason and message.
func whyUnreachable(err error) (reason, message string) {
	reason, message = control.Explain(err)
	if reason != v1alpha1.ReasonWrongAccount && reason != v1alpha1.ReasonRoleRefused {
		reason = v1alpha1.ReasonUnreachable
	}
	return reason, message
}

// nameOf and pathOf are the account's name and OU path, as discovery or a person wrote them.
func nameOf(a *v1alpha1.AWSAccount) string {
	return control.Bounded(a.Annotations[v1alpha1.AnnotationName], maxValue)
}

func pathOf(a *v1alpha1.AWSAccount) string {
	return control.Bounded(a.Annotations[v1alpha1.AnnotationOUPath], 1024)
}

// absentStatus marks an account that left the organization, or that AWS suspended or is closing. It is not touched.
func absentStatus(a *v1alpha1.AWSAccount, now time.Time) v1alpha1.AWSAccountStatus {
	s := *a.Status.DeepCopy()
	s.ObservedGeneration = a.Generation
	s.Name, s.OrganizationPath = nameOf(a), pathOf(a)
	s.Checks, s.Summary, s.Baselines, s.Controls, s.Drift, s.DriftedResources = v1alpha1.CheckCounts{}, "0/0", nil, nil, nil, 0
	reason, message := v1alpha1.ReasonSuspendedByAWS, "the account's state in AWS Organizations is "+a.Annotations[v1alpha1.AnnotationState]+"; it is not touched"
	s.State = v1alpha1.AccountSuspended
	switch a.Annotations[v1alpha1.AnnotationState] {
	case stateLeft:
		s.State, reason, message = v1alpha1.AccountLeft, v1alpha1.ReasonLeft, "the account is no longer in the organization; it is not touched"
	case stateExcluded:
		s.State, reason, message = v1alpha1.AccountLeft, v1alpha1.ReasonExcluded,
			"AWSOrganization.spec.discovery leaves the account out; it is not touched"
	}
	c := conditions{&s.Conditions, a.Generation, now}
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, reason, message)
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionReachable)
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionUnknownNames)
	meta.RemoveStatusCondition(c.all, v1alpha1.ConditionStale)
	c.only(true, v1alpha1.ConditionStalled, reason, message)
	return s
}

// withoutOrganization says that nothing tells how to enter the account.
func withoutOrganization(a *v1alpha1.AWSAccount, now time.Time) v1alpha1.AWSAccountStatus {
	s := *a.Status.DeepCopy()
	s.ObservedGeneration = a.Generation
	message := "there is no AWSOrganization; create one to say how accounts are entered (config/samples)"
	c := conditions{&s.Conditions, a.Generation, now}
	s.State = v1alpha1.AccountUnknown
	s.Checks = s.Checks.Unlooked()
	for i := range s.Baselines {
		s.Baselines[i].Checks = s.Baselines[i].Checks.Unlooked()
	}
	s.Summary = fmt.Sprintf("0/%d", s.Checks.Total)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoOrganization, message)
	c.set(v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonNoOrganization, message)
	for _, unsaid := range []string{v1alpha1.ConditionReachable, v1alpha1.ConditionReconciling, v1alpha1.ConditionUnknownNames} {
		meta.RemoveStatusCondition(c.all, unsaid)
	}
	c.only(true, v1alpha1.ConditionStalled, v1alpha1.ReasonNoOrganization, message)
	return s
}
