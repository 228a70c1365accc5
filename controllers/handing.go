package controllers

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// handing is the observer's ledger: what the engine would write is put on record for the enforcer, and not written.
type handing struct{ *ledger }

// Begin hands over what is not on record yet, and says of all how it stands with it.
func (l handing) Begin(ctx context.Context, p engine.Plan) ([]engine.Ruling, error) {
	if p.Approved {
		r := l.find(p, isApproved)
		if r == nil {
			return nil, errNotThere
		}
		return l.all(p, l.ruling(r)), nil
	}
	rulings := make([]engine.Ruling, len(p.Changes))
	rest := p
	rest.Changes = nil
	for i, c := range changesOf(p) {
		if r := l.handed(p, c); r != nil {
			rulings[i] = l.ruling(r)
		} else {
			rest.Changes = append(rest.Changes, p.Changes[i])
		}
	}
	made, err := l.handOverRest(ctx, rest)
	if err != nil {
		return nil, err
	}
	for i := range rulings {
		if rulings[i].Reason == "" {
			rulings[i], made = made[0], made[1:]
		}
	}
	return rulings, nil
}

// handed is what has a change that needs no approval on record for the enforcer; nil: nothing.
func (l *ledger) handed(p engine.Plan, c v1alpha1.RemediationChange) *v1alpha1.Remediation {
	return l.find(p, func(r *v1alpha1.Remediation) bool {
		return isBeingMade(r) && isAutomatic(r) && l.fits(r) &&
			slices.ContainsFunc(r.Status.Changes, func(in v1alpha1.RemediationChange) bool { return in.Outcome == "" && isOf(in, c) })
	})
}

// handOverRest puts what is new on record. What the enforcer has just failed at waits, as it does where one process has both
// hands.
func (l handing) handOverRest(ctx context.Context, p engine.Plan) (rulings []engine.Ruling, err error) {
	for rest := changesOf(p); len(rest) > 0; {
		changes := fitting(rest)
		rest = rest[len(changes):]
		ruling, err := l.handOverOne(ctx, p, changes)
		if err != nil {
			return nil, err
		}
		rulings = append(rulings, slices.Repeat([]engine.Ruling{ruling}, len(changes))...)
	}
	return rulings, nil
}

// handOverOne puts as many changes on record as one Remediation holds.
func (l handing) handOverOne(ctx context.Context, p engine.Plan, changes []v1alpha1.RemediationChange) (engine.Ruling, error) {
	last := l.lastFailed(p, changes)
	if last != nil && l.justFailed(last) {
		return engine.Ruling{Reason: v1alpha1.RowRemediationFailed, Failed: true, Record: last.Name, Message: l.whyFailed(ctx, last)}, nil
	}
	full, err := l.isFull(ctx)
	if err != nil {
		return engine.Ruling{}, err
	}
	if full {
		return engine.Ruling{Reason: v1alpha1.RowCapReached, Message: fmt.Sprintf(
			"not handed over yet: the enforcer has %d Remediations to make already; look whether it runs, and what keeps it from them: kubectl get rem", MaxOpen)}, nil
	}
	made, err := l.beginOwn(ctx, p, changes)
	if err != nil {
		return engine.Ruling{}, err
	}
	ruling := l.ruling(made)
	ruling.Failed = last != nil // until it is known that it fails no longer
	return ruling, nil
}

// lastFailed is the record under which the enforcer has tried these very changes and failed; nil: none.
func (l handing) lastFailed(p engine.Plan, changes []v1alpha1.RemediationChange) *v1alpha1.Remediation {
	digest := planDigest(new(l.statusOf(p.Baseline, p.Control, changes)))
	i := slices.IndexFunc(l.records, func(r *v1alpha1.Remediation) bool {
		return r.Status.PlanDigest == digest && r.Status.Phase == v1alpha1.RemediationFailed && isAutomatic(r)
	})
	if i < 0 {
		return nil
	}
	return l.records[i]
}

// justFailed says whether a record has failed since its control was last looked at: then nobody has waited yet.
func (l handing) justFailed(r *v1alpha1.Remediation) bool {
	return l.stirred[handedOf{r.Status.Baseline, r.Status.Control}]
}

// whyFailed is what AWS said of the first change that failed. The cache has none of what is finished.
func (l handing) whyFailed(ctx context.Context, r *v1alpha1.Remediation) string {
	whole := &v1alpha1.Remediation{}
	if err := l.Live.Get(ctx, client.ObjectKeyFromObject(r), whole); err == nil {
		for _, c := range whole.Status.Changes {
			if c.Outcome == v1alpha1.ChangeFailed && c.Message != "" {
				return c.Message
			}
		}
	}
	return r.Status.Message
}

// isFull says whether so many changes are handed over that no more may be: where accounts have no enforce role, or no enforcer runs,
// nothing of it is ever made.
func (s *Remediations) isFull(ctx context.Context) (bool, error) {
	var all v1alpha1.RemediationList
	if err := s.Client.List(ctx, &all, client.MatchingFields{phaseIndex: string(v1alpha1.RemediationApproved)}, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing remediations: %w", err)
	}
	return len(all.Items) >= MaxOpen, nil
}

// ruling says how it stands with what was handed over.
func (handing) ruling(r *v1alpha1.Remediation) engine.Ruling {
	ruling := engine.Ruling{Reason: v1alpha1.RowHandedOver, Record: r.Name, Message: toEnforcer}
	switch is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver); {
	case r.Status.Phase == v1alpha1.RemediationApplying:
		ruling.Message = "being made by the enforcer"
	case is != nil && is.Reason != v1alpha1.ReasonWaitsForEnforcer:
		ruling.Reason, ruling.Message = is.Reason, is.Message
	}
	return ruling
}

// keepHanded notes how what is handed over stands now that the account was looked at.
func (r *AccountReconciler) keepHanded(w world, l *ledger, results []engine.Result) {
	if w.handsOver && l != nil {
		r.handed.keep(w.account.Name, l.records, w.unlooked(results))
	}
}

// unlooked says of which controls a pass has looked at no check although something was stirred of them.
func (w world) unlooked(results []engine.Result) func(handedOf) bool {
	if len(w.stirred) == 0 { // as in most passes
		return func(handedOf) bool { return false }
	}
	looked := map[handedOf]bool{}
	for _, res := range results {
		if !res.Skipped {
			looked[handedOf{res.Baseline, res.Control.ID}] = true
		}
	}
	planned := map[handedOf]bool{}
	for _, d := range w.baselines {
		for _, b := range d.controls {
			planned[handedOf{d.key(), b.ID}] = true
		}
	}
	return func(of handedOf) bool { return w.stirred[of] && planned[of] && !looked[of] }
}
