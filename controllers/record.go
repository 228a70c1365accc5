package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Record tells people and machines what happened: events on transitions, a log line before and after every write, and
// metrics. Its label sets never multiply control, account and region.
type Record struct {
	events  events.EventRecorder
	metrics metrics

	mu       sync.Mutex
	observed map[string]time.Time // by account
	clock    func() time.Time
}

var _ engine.Recorder = (*Record)(nil)

// NewRecord makes a Record and registers its metrics.
func NewRecord(recorder events.EventRecorder, registry prometheus.Registerer, clock func() time.Time) *Record {
	r := &Record{events: recorder, observed: map[string]time.Time{}, clock: clock}
	r.metrics = newMetrics(registry, r.oldestAge)
	return r
}

func (r *Record) oldestAge() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var age time.Duration
	for _, at := range r.observed {
		age = max(age, r.clock().Sub(at))
	}
	return age.Seconds()
}

// Handled tells how long events took from the queue into a status.
func (r *Record) Handled(marks []*mark) {
	for _, m := range marks {
		r.metrics.eventSeconds.Observe(r.clock().Sub(m.received).Seconds())
	}
}

// Messages counts what came out of the event queue, by what became of it.
func (r *Record) Messages(outcome string, n int) {
	r.metrics.events.WithLabelValues(outcome).Add(float64(n))
}

// UnjudgedUseOfRole counts a call by one of Plumbline's roles of which nobody can say any more whose it was.
func (r *Record) UnjudgedUseOfRole() { r.metrics.unjudged.Inc() }

// UnexpectedUseOfRole raises the alarm: one of Plumbline's roles was used, and not by this manager.
func (r *Record) UnexpectedUseOfRole(a *v1alpha1.AWSAccount, e *cloud.Event) {
	r.metrics.roleUses.Inc()
	call := control.Bounded(e.Source, maxActor) + ":" + control.Bounded(e.Name, maxActor)
	ctrl.Log.Info("unexpected use of role", "account", a.Name, "region", e.Region, "role", e.Role, "call", call,
		"actor", e.Actor, "time", e.Time, "requestID", e.RequestID, "errorCode", e.ErrorCode)
	note := fmt.Sprintf("%s called %s in %s at %s with %s (request %s), and this manager did not; look who holds the role's credentials",
		e.Actor, call, e.Region, e.Time.UTC().Format(time.RFC3339), e.Role, control.Bounded(e.RequestID, maxActor))
	r.event(a, corev1.EventTypeWarning, "UnexpectedUseOfRole", call, note)
}

// AWSCall counts an attempt at an AWS call.
func (r *Record) AWSCall(a cloud.Attempt) {
	r.metrics.calls.WithLabelValues(a.Service, a.Operation, a.Outcome).Inc()
	purpose := a.Purpose
	if purpose == "" {
		purpose = "other"
	}
	r.metrics.requests.WithLabelValues(purpose).Inc()
}

// WatchCircuits shows how many services are left alone because they did not answer.
func (*Record) WatchCircuits(registry prometheus.Registerer, open func() int) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plumbline_circuits_open",
		Help: "Services that are not asked for a while because they did not answer, in one account and region or in a region for all accounts.",
	}, func() float64 { return float64(open()) }))
}

// Remediation tells of a Remediation that was made, or came into another phase.
func (r *Record) Remediation(rem *v1alpha1.Remediation) {
	eventType := corev1.EventTypeNormal
	if rem.Status.Phase == v1alpha1.RemediationFailed {
		eventType = corev1.EventTypeWarning
	}
	r.event(rem, eventType, string(rem.Status.Phase), rem.Status.Control, rem.Status.Message)
}

// Pass counts the requests of one pass over one account.
func (r *Record) Pass(requests int64) { r.metrics.passes.Observe(float64(requests)) }

// Observed counts how a check went.
func (r *Record) Observed(id, outcome string, took time.Duration) {
	r.metrics.outcomes.WithLabelValues(id, outcome).Inc()
	r.metrics.durations.WithLabelValues(id).Observe(took.Seconds())
}

type accountKey struct{}

// withAccount lets the recorder of a pass know whose events it writes.
func withAccount(ctx context.Context, a *v1alpha1.AWSAccount) context.Context {
	return context.WithValue(ctx, accountKey{}, a)
}

// Changing tells of a write before it is made.
func (r *Record) Changing(ctx context.Context, c engine.Change) {
	ctrl.LoggerFrom(ctx).Info("changing", "account", c.Account, "region", c.Region, "control", c.Control, "baseline", c.Baseline,
		"resource", c.Resource, "risk", c.Risk.String(), "beforeDigest", c.BeforeDigest, "fields", paths(c.Fields))
	r.onChange(ctx, c, corev1.EventTypeNormal, "Changing", fmt.Sprintf("%s: changing %s in %s (%s, before-state %s)",
		c.Control, c.Resource, c.Region, paths(c.Fields), c.BeforeDigest))
}

// Changed tells of a write's outcome.
func (r *Record) Changed(ctx context.Context, c engine.Change, err error) {
	log := ctrl.LoggerFrom(ctx).WithValues("account", c.Account, "region", c.Region, "control", c.Control, "baseline", c.Baseline,
		"resource", c.Resource, "beforeDigest", c.BeforeDigest)
	if err != nil {
		r.metrics.changes.WithLabelValues(c.Control, "failed").Inc()
		_, message := control.Explain(err)
		log.Info("change failed", "outcome", message)
		r.onChange(ctx, c, corev1.EventTypeWarning, "ChangeFailed", fmt.Sprintf("%s: %s in %s: %s", c.Control, c.Resource, c.Region, message))
		return
	}
	r.metrics.changes.WithLabelValues(c.Control, "applied").Inc()
	log.Info("changed", "outcome", "applied")
	r.onChange(ctx, c, corev1.EventTypeNormal, "Changed", fmt.Sprintf("%s: changed %s in %s (before-state %s)",
		c.Control, c.Resource, c.Region, c.BeforeDigest))
}

func paths(fields []control.Field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Path)
	}
	return control.Bounded(strings.Join(all, ","), 200)
}

// onChange writes an event of a write on the pass's account. The recorder folds events into one that differ in their note
// alone, so the resource and its before-state stand in related: every write then has an event of its own.
func (r *Record) onChange(ctx context.Context, c engine.Change, eventType, reason, note string) {
	a, ok := ctx.Value(accountKey{}).(*v1alpha1.AWSAccount)
	if !ok {
		return
	}
	related := &corev1.ObjectReference{Kind: "AWSResource", Name: control.Bounded(c.Resource, 512), FieldPath: c.Region, ResourceVersion: c.BeforeDigest}
	r.events.Eventf(a, related, eventType, reason, control.Bounded(c.Control, 128), "%s", control.Bounded(note, 1000))
}

// event writes an event; notes are bounded by the API at 1 KiB.
func (r *Record) event(about runtime.Object, eventType, reason, action, note string) {
	r.events.Eventf(about, nil, eventType, reason, control.Bounded(action, 128), "%s", control.Bounded(note, 1000))
}

// Transitions tells what changed in an account: its state, and which controls drifted or hold again.
func (r *Record) Transitions(a *v1alpha1.AWSAccount, before, after *v1alpha1.AWSAccountStatus) {
	if before.State != after.State {
		eventType := corev1.EventTypeNormal
		if after.State == v1alpha1.AccountDrifted || after.State == v1alpha1.AccountUnreachable {
			eventType = corev1.EventTypeWarning
		}
		r.event(a, eventType, string(after.State), "Observe", stateNote(before, after))
	}
	r.contested(a, before, after)
	was, is := drifted(before), drifted(after)
	notes := map[string]string{}
	for id, entry := range is {
		if was[id] == nil {
			notes[id] = id + " has drifted (" + entry.Reason + ")"
		}
	}
	r.ofControls(a, corev1.EventTypeWarning, "ControlDrifted", notes)
	notes = map[string]string{}
	for id, entry := range was {
		if is[id] != nil || !settled(entry, after) {
			continue
		}
		notes[id] = id + " has no drift any more"
		if now := findControl(after.Controls, id, entry.Baseline); now != nil && len(now.Excepted) > 0 {
			notes[id] += "; what departs is excused"
		}
	}
	r.ofControls(a, corev1.EventTypeNormal, "ControlSettled", notes)
}

// contested tells of changes that others change back each time, and who did last. Kubernetes knows no severity beyond Warning, so it
// stands first in the note: Critical where a protection is taken away again and again, else the control's own.
func (r *Record) contested(a *v1alpha1.AWSAccount, before, after *v1alpha1.AWSAccountStatus) {
	known := map[rowKey]bool{}
	for _, d := range before.Drift {
		known[keyOf(d)] = d.Reason == v1alpha1.RowContested
	}
	for _, d := range after.Drift {
		if d.Reason != v1alpha1.RowContested || known[keyOf(d)] {
			continue
		}
		r.metrics.contested.WithLabelValues(d.Control).Inc()
		actor := d.By
		if actor == "" {
			actor = "somebody; no event told whom"
		}
		severity := string(d.Severity)
		if !strings.Contains(d.Message, engine.RestoresNoProtection) {
			severity = string(v1alpha1.SeverityCritical) + ", a protection is taken away again and again"
		}
		r.event(a, corev1.EventTypeWarning, v1alpha1.RowContested, d.Control, fmt.Sprintf("%s: %s of %s in %s: %s; last changed by %s",
			severity, d.Field, d.Resource, d.Region, d.Message, actor))
	}
}

// oneByOne is up to how many controls have an event each. The first look at an account finds a dozen that have drifted, and
// events for each in thousands of accounts would cost the API server more than the statuses do.
const oneByOne = 3

// ofControls writes an event of each control, or one that names them all where they are many.
func (r *Record) ofControls(a *v1alpha1.AWSAccount, eventType, reason string, notes map[string]string) {
	ids := slices.Sorted(maps.Keys(notes))
	if len(ids) > oneByOne {
		r.event(a, eventType, reason, "Observe", fmt.Sprintf("%d controls: %s", len(ids), strings.Join(ids, ", ")))
		return
	}
	for _, id := range ids {
		r.event(a, eventType, reason, id, notes[id])
	}
}

func stateNote(before, after *v1alpha1.AWSAccountStatus) string {
	note := fmt.Sprintf("%s -> %s", before.State, after.State)
	if c := findCondition(after.Conditions, v1alpha1.ConditionCompliant); c != nil {
		note += ": " + c.Message
	}
	if c := findCondition(after.Conditions, v1alpha1.ConditionReachable); c != nil && c.Status != metav1.ConditionTrue {
		note += "; " + c.Message
	}
	return note
}

// drifted are the entries of controls that have drifted, by the control's id.
func drifted(s *v1alpha1.AWSAccountStatus) map[string]*v1alpha1.AccountControl {
	all := map[string]*v1alpha1.AccountControl{}
	for i := range s.Controls {
		if c := &s.Controls[i]; len(c.Drifted) > 0 {
			all[c.Control] = c
		}
	}
	return all
}

// settled says whether a control that had drifted was seen to hold: it is still to be looked at, and nothing of it is
// unknown.
func settled(was *v1alpha1.AccountControl, after *v1alpha1.AWSAccountStatus) bool {
	if now := findControl(after.Controls, was.Control, was.Baseline); now != nil && len(now.Unknown) > 0 {
		return false
	}
	worked := findCondition(after.Conditions, v1alpha1.ConditionReachable)
	return worked != nil && worked.Status == metav1.ConditionTrue && findCondition(after.Conditions, v1alpha1.ConditionReconciling) == nil &&
		slices.ContainsFunc(after.Baselines, func(b v1alpha1.AccountBaseline) bool { return b.Kind+"/"+b.Name == was.Baseline })
}

// Account notes when an account was last observed; one in which nothing was observed yet, since when it is there.
func (r *Record) Account(id string, created time.Time, s *v1alpha1.AWSAccountStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.State == v1alpha1.AccountLeft, s.State == v1alpha1.AccountSuspended, s.Checks.Total == 0:
		delete(r.observed, id)
	case s.LastObservedTime != nil:
		r.observed[id] = s.LastObservedTime.Time
	default:
		r.observed[id] = created
	}
}

// Forget drops an account that is no longer there.
func (r *Record) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.observed, id)
}

// Organization tells when discovery begins to work or to fail.
func (r *Record) Organization(org *v1alpha1.AWSOrganization, before *v1alpha1.AWSOrganizationStatus) {
	r.readyTransition(org, before.Conditions, org.Status.Conditions)
}

func (r *Record) readyTransition(about runtime.Object, before, after []metav1.Condition) {
	was, is := findCondition(before, v1alpha1.ConditionReady), findCondition(after, v1alpha1.ConditionReady)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	eventType := corev1.EventTypeNormal
	if is.Status != metav1.ConditionTrue {
		eventType = corev1.EventTypeWarning
	}
	r.event(about, eventType, is.Reason, "Reconcile", is.Message)
}

// Baseline tells when a baseline's state changes, and when it cannot enforce.
func (r *Record) Baseline(b control.Baseline, before, after *v1alpha1.BaselineStatus) {
	if before.State != after.State {
		eventType, note := corev1.EventTypeNormal, fmt.Sprintf("%s -> %s", before.State, after.State)
		if after.State == v1alpha1.BaselineDrifted {
			eventType = corev1.EventTypeWarning
		}
		if c := findCondition(after.Conditions, v1alpha1.ConditionCompliant); c != nil {
			note += ": " + c.Message
		}
		r.event(b, eventType, string(after.State), "RollUp", note)
	}
	was, is := findCondition(before.Conditions, v1alpha1.ConditionEnforcing), findCondition(after.Conditions, v1alpha1.ConditionEnforcing)
	if is != nil && is.Status == metav1.ConditionFalse && (was == nil || was.Reason != is.Reason) {
		r.event(b, corev1.EventTypeWarning, is.Reason, "RollUp", is.Message)
	}
}

// Baselines sets the gauges from a roll-up; what is no longer there is gone from them.
func (r *Record) Baselines(sums []*sum) {
	r.metrics.checks.Reset()
	r.metrics.accounts.Reset()
	r.metrics.stale.Reset()
	for _, s := range sums {
		name := s.object.GetName()
		for state, n := range map[string]int32{
			"compliant": s.checks.Compliant, "drifted": s.checks.Drifted, "excepted": s.checks.Excepted, "unknown": s.checks.Unknown,
		} {
			r.metrics.checks.WithLabelValues(s.kind.Name, name, state).Set(float64(n))
		}
		for state, n := range map[string]int32{"compliant": s.compliant, "drifted": s.drifted, "unknown": s.unknown} {
			r.metrics.accounts.WithLabelValues(s.kind.Name, name, state).Set(float64(n))
		}
		r.metrics.stale.WithLabelValues(s.kind.Name, name).Set(float64(s.stale))
	}
}
