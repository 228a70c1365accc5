package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// ledger is what one pass over an account puts on record.
type ledger struct {
	*Remediations
	world
	// role is the ARN of the account's enforce role.
	role string
	// held are the Remediations that this pass has proposed or found as they should be; they need no second look.
	held map[string]bool
	// again are the controls, as baseline and id, that are to be looked at again soon.
	again map[[2]string]bool
	// inBatch are the records that belong to the batch which their status says was approved, as far as the enforcer asked.
	inBatch map[string]bool
}

var _ engine.Ledger = (*ledger)(nil)

func newLedger(s *Remediations, w world, role string) *ledger {
	return &ledger{Remediations: s, world: w, role: role, held: map[string]bool{}, again: map[[2]string]bool{}}
}

// byPlumbline is who decided where the baseline's own settings let a change be made without asking.
const byPlumbline = "plumbline"

// Propose puts what waits for an approval on record. What could not be put there is proposed in a minute.
func (l *ledger) Propose(ctx context.Context, p engine.Plan) []engine.Ruling {
	rulings, err := l.propose(ctx, p)
	if err != nil {
		rulings = l.all(p, engine.Ruling{
			Message: "could not be proposed: " + control.Bounded(err.Error(), 256), Again: l.now.Add(settleAfter),
		})
	}
	return rulings
}

func (*ledger) all(p engine.Plan, r engine.Ruling) []engine.Ruling {
	return slices.Repeat([]engine.Ruling{r}, len(p.Changes))
}

// Refused says of which changes of a plan somebody has rejected as they are.
func (l *ledger) Refused(p engine.Plan) []engine.Ruling {
	all := make([]engine.Ruling, len(p.Changes))
	d, there := keyed(l.baselines, p.Baseline)
	if !there {
		return all
	}
	var changes []v1alpha1.RemediationChange
	for _, r := range l.records {
		s := &r.Status
		if s.Phase != v1alpha1.RemediationRejected || s.Decided == nil || s.Control != p.Control.ID || s.BaselineUID != d.object.GetUID() || s.Revision != d.revision {
			continue
		}
		if changes == nil { // which takes digests of everything, and is seldom needed
			changes = changesOf(p)
		}
		for i, c := range changes {
			if slices.ContainsFunc(s.Changes, func(in v1alpha1.RemediationChange) bool { return isOf(in, c) }) {
				all[i] = engine.Ruling{Record: r.Name, Message: fmt.Sprintf(
					"rejected by %s: %s; delete that Remediation to have it proposed again", s.Decided.By, s.Decided.Reason)}
			}
		}
	}
	return all
}

func (l *ledger) propose(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	if begun := l.find(p, isBegun); begun != nil {
		return l.goOn(begun, p), nil
	}
	open := l.find(p, func(r *v1alpha1.Remediation) bool { return isWaiting(r) && !isAutomatic(r) })
	changes, err := l.proposable(ctx, open, p)
	if err != nil {
		return nil, err
	}
	held := fitting(changes)
	status := l.statusOf(p.Baseline, p.Control, held)
	if left := len(changes) - len(held); left > 0 {
		status.Message += fmt.Sprintf("; there is no room in it for %d more, which are proposed once it is decided and done", left)
	}
	switch {
	case open == nil:
	case open.Status.PlanDigest == status.PlanDigest:
		l.held[open.Name] = true
		return l.rule(open, p), l.say(ctx, open, status.Message)
	default:
		if err := l.supersede(ctx, open, "what is there, or what is wanted, has changed since it was proposed"); err != nil {
			return nil, err
		}
	}
	made, err := l.make(ctx, status, p.Control.Documents, l.count(status.PlanDigest))
	waits := ticket{l.account.Name, p.Baseline, p.Control.ID}
	if errors.Is(err, errFull) {
		l.line.join(waits, errors.Is(err, errFullInAll))
		return l.all(p, engine.Ruling{Message: fmt.Sprintf(
			"not proposed yet: %d proposals may be open for a baseline and %d in all; approve or reject some", MaxOpenPerBaseline, MaxOpen)}), nil
	}
	if err != nil {
		return nil, err
	}
	l.line.leave(waits)
	l.held[made.Name] = true
	return l.rule(made, p), nil
}

// isWaiting and isBegun tell Remediations apart by their phase: those that are not begun, what was handed over among them, and those
// that a person approved and that are.
func isWaiting(r *v1alpha1.Remediation) bool {
	return r.Status.Phase == v1alpha1.RemediationProposed || r.Status.Phase == v1alpha1.RemediationApproved
}

func isBegun(r *v1alpha1.Remediation) bool {
	return r.Status.Phase == v1alpha1.RemediationApplying && !isAutomatic(r)
}

// isAutomatic says whether nobody was asked.
func isAutomatic(r *v1alpha1.Remediation) bool {
	return r.Status.Decided != nil && r.Status.Decided.By == byPlumbline
}

// find is the account's Remediation of the plan's control and baseline of which is holds, unless it has expired.
func (l *ledger) find(p engine.Plan, is func(*v1alpha1.Remediation) bool) *v1alpha1.Remediation {
	for _, r := range l.records {
		if r.Status.Control == p.Control.ID && r.Status.Baseline == p.Baseline && is(r) && !r.Expired(l.now) && (isWaiting(r) || l.fits(r)) {
			return r
		}
	}
	return nil
}

// count is how many Remediations of a plan have ended, as far as the cache knows.
func (l *ledger) count(planDigest string) (n int) {
	for _, r := range l.records {
		if r.Status.PlanDigest == planDigest && !r.Status.Phase.Open() {
			n++
		}
	}
	return n
}

// fits says whether a Remediation is of the baseline, the settings and the role of today.
func (l *ledger) fits(r *v1alpha1.Remediation) bool {
	d, there := keyed(l.baselines, r.Status.Baseline)
	return there && d.object.GetUID() == r.Status.BaselineUID && d.revision == r.Status.Revision && l.role == r.Status.Role
}

// proposable are the changes to propose: those of the pass, and those of the open one whose resources the pass did not see. They stand
// in one order, whatever the order in which they were found; one proposal holds the first of them.
func (l *ledger) proposable(ctx context.Context, open *v1alpha1.Remediation, p engine.Plan) ([]v1alpha1.RemediationChange, error) {
	changes := changesOf(p)
	for i := range changes {
		changes[i].ManagedBy = lastKnown(changes[i], open)
	}
	if open != nil && slices.ContainsFunc(open.Status.Changes, func(c v1alpha1.RemediationChange) bool { return !p.Saw(c.Region, c.Resource) }) {
		whole, err := l.read(ctx, open.Name)
		if err != nil {
			return nil, err
		}
		for _, c := range whole.Status.Changes {
			if !p.Saw(c.Region, c.Resource) {
				changes = append(changes, c)
			}
		}
	}
	slices.SortFunc(changes, func(a, b v1alpha1.RemediationChange) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Resource, b.Resource),
			strings.Compare(a.AfterDigest, b.AfterDigest), strings.Compare(a.BeforeDigest, b.BeforeDigest))
	})
	return changes, nil
}

// fitting are as many of the first changes as one Remediation holds: at least one.
func fitting(changes []v1alpha1.RemediationChange) []v1alpha1.RemediationChange {
	size := 0
	for i, c := range changes {
		size += len(encode(c))
		if i > 0 && (i == maxChanges || size > maxPlan) {
			return changes[:i]
		}
	}
	return changes
}

func changesOf(p engine.Plan) []v1alpha1.RemediationChange {
	var all []v1alpha1.RemediationChange
	for _, c := range p.Changes {
		all = append(all, changeOf(p.Control, c))
	}
	return all
}

func changeOf(b control.Bound, c engine.Planned) v1alpha1.RemediationChange {
	d := c.Drift
	out := v1alpha1.RemediationChange{
		Region: c.Region, Resource: d.Resource, Risk: b.RiskOf(d).String(), Weakens: b.Weakens(d),
		Before: string(d.Before), After: string(d.After), BeforeDigest: digestOf(d.Before), AfterDigest: digestOf(d.After),
		ManagedBy: c.Owner,
	}
	if c.OwnerUnread != "" {
		out.ManagedBy, out.Message = v1alpha1.ManagedByUnknown, "who manages it could not be read: "+control.Bounded(c.OwnerUnread, 512)
	}
	for _, f := range d.Fields {
		out.Fields = append(out.Fields, v1alpha1.RemediationField{
			Path: f.Path, From: control.Bounded(f.Got, 256), To: control.Bounded(f.Want, 256),
		})
	}
	return out
}

// digestOf is SHA-256, the first 32 hex digits: half of it, so that whoever can choose what is there still cannot make two
// plans with one digest.
func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// isOf says whether two changes are the same: what is there, and what will be.
func isOf(a, b v1alpha1.RemediationChange) bool {
	return a.Region == b.Region && a.Resource == b.Resource && a.BeforeDigest == b.BeforeDigest && a.AfterDigest == b.AfterDigest
}

// statusOf is a proposal's status.
func (l *ledger) statusOf(baseline string, b control.Bound, changes []v1alpha1.RemediationChange) v1alpha1.RemediationStatus {
	s := v1alpha1.RemediationStatus{
		Phase: v1alpha1.RemediationProposed, Account: l.account.Name, Control: b.ID, Baseline: baseline, Role: l.role,
		Reversible: b.Reversible(), Changes: changes, Progress: progress(changes), Risk: riskOf(changes),
		ManagedBy: managedBy(changes),
	}
	if d, there := keyed(l.baselines, baseline); there {
		s.BaselineUID, s.Revision = d.object.GetUID(), d.revision
	}
	expires := metav1.NewTime(l.now.UTC().Add(proposalLasts).Truncate(time.Second))
	s.Expires, s.PlanDigest = &expires, planDigest(&s)
	s.Digest = approvalDigest(s.PlanDigest, s.Expires)
	s.Message = ofOwner(s.ManagedBy) + "waits for an approval: kubectl plumbline approve, or spec.approval with status.digest"
	return s
}

// approvalDigest is what an approval names: the digest of a plan and of until when it may be approved.
func approvalDigest(plan string, expires *metav1.Time) string {
	return digestOf([]byte(plan + " " + expires.UTC().Format(time.RFC3339)))
}

// planDigest is the digest of what a Remediation would do, where and for which baseline, but not of when.
func planDigest(s *v1alpha1.RemediationStatus) string {
	lines := []string{s.Account, s.Role, s.Baseline, string(s.BaselineUID), s.Revision, s.Control}
	for _, c := range s.Changes {
		line := []string{c.Region, c.Resource, c.Risk, c.BeforeDigest, c.AfterDigest}
		if c.ManagedBy != "" {
			line = append(line, c.ManagedBy)
		}
		lines = append(lines, strings.Join(line, "\t"))
	}
	return digestOf(encode(lines))
}

// progress is how many of the changes were made.
func progress(changes []v1alpha1.RemediationChange) string {
	made := 0
	for _, c := range changes {
		switch c.Outcome {
		case v1alpha1.ChangeApplied, v1alpha1.ChangeUndoing, v1alpha1.ChangeUndone, v1alpha1.ChangeKept:
			made++
		}
	}
	return fmt.Sprintf("%d/%d", made, len(changes))
}

// riskOf is the highest risk among the changes.
func riskOf(changes []v1alpha1.RemediationChange) string {
	risk, weakens := control.Safe, false
	for _, c := range changes {
		for r := control.Safe; r <= control.Irreversible; r++ {
			if r.String() == c.Risk {
				risk = max(risk, r)
			}
		}
		weakens = weakens || c.Weakens
	}
	if weakens {
		return risk.String() + ", weakens security"
	}
	return risk.String()
}

// rule says what becomes of the plan's changes under a proposal that covers them: they are made once it was approved and each
// of its resources was seen to be as it was.
func (l *ledger) rule(r *v1alpha1.Remediation, p engine.Plan) []engine.Ruling {
	covered := engine.Ruling{Record: r.Name}
	if r.Status.Phase == v1alpha1.RemediationApproved {
		covered = engine.Ruling{Record: r.Name, Approved: true}
		if slices.ContainsFunc(r.Status.Changes, func(c v1alpha1.RemediationChange) bool { return !p.Saw(c.Region, c.Resource) }) {
			covered = engine.Ruling{Record: r.Name, Message: "approved, and made once every resource of " + r.Name + " could be looked at again"}
		}
	}
	rest := engine.Ruling{Message: fmt.Sprintf("proposed once %s is done; a proposal holds at most %d resources", r.Name, maxChanges)}
	return l.rulings(r, p, covered, rest)
}

// goOn says what becomes of the plan's changes while a Remediation that was approved is being made: what is in it and was not
// tried goes on.
func (l *ledger) goOn(r *v1alpha1.Remediation, p engine.Plan) []engine.Ruling {
	return l.rulings(r, p, engine.Ruling{Record: r.Name, Approved: true}, engine.Ruling{Message: "proposed once " + r.Name + " is done"})
}

func (*ledger) rulings(r *v1alpha1.Remediation, p engine.Plan, covered, rest engine.Ruling) []engine.Ruling {
	var all []engine.Ruling
	for _, c := range changesOf(p) {
		ruling := rest
		if slices.ContainsFunc(r.Status.Changes, func(in v1alpha1.RemediationChange) bool { return in.Outcome == "" && isOf(in, c) }) {
			ruling = covered
		}
		all = append(all, ruling)
	}
	return all
}

// say brings what a proposal says of itself up to date.
func (l *ledger) say(ctx context.Context, open *v1alpha1.Remediation, message string) error {
	if open.Status.Phase != v1alpha1.RemediationProposed || open.Status.Message == message {
		return nil
	}
	return l.update(ctx, open.Name, func(r *v1alpha1.Remediation) bool {
		if r.Status.Phase != v1alpha1.RemediationProposed || r.Status.Digest != open.Status.Digest {
			return false
		}
		r.Status.Message = message
		return true
	})
}

// supersede ends a proposal that is no longer true.
func (l *ledger) supersede(ctx context.Context, r *v1alpha1.Remediation, why string) error {
	return l.update(ctx, r.Name, func(r *v1alpha1.Remediation) bool {
		if !isWaiting(r) {
			return false
		}
		l.end(r, v1alpha1.RemediationSuperseded, why)
		return true
	})
}
