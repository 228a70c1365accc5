package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// Posture is what a cluster declares, against which the statuses of its accounts are read by whoever reports on them. It is
// the account's own plan and its own merge, without a look at AWS: what a report calls compliant is what a pass would.
type Posture struct {
	// Organization is the organization; nil where there is none, and then nothing is known.
	Organization *v1alpha1.AWSOrganization

	baselines  []declared
	exceptions []*v1alpha1.BaselineException
	now        time.Time
}

// Standing is how the checks of one control of one baseline stand in one account.
type Standing struct {
	// Account is the account's id.
	Account string
	// Baseline is the kind and name of the baseline. Example: S3Baseline/organization
	Baseline string
	// Control is the control's id, Severity that of its departures.
	Control  string
	Severity v1alpha1.Severity
	// Checks counts its checks. What was not looked at with today's settings is unknown.
	Checks v1alpha1.CheckCounts
}

// ReadPosture reads what the cluster declares now.
func ReadPosture(ctx context.Context, c client.Reader, kinds []control.Kind, now time.Time) (*Posture, error) {
	p := &Posture{now: now}
	var err error
	if p.Organization, err = theOrganization(ctx, c); err != nil && !errors.Is(err, errNoOrganization) {
		return nil, err
	}
	if p.baselines, err = new(declarations).list(ctx, c, kinds); err != nil {
		return nil, err
	}
	slices.SortFunc(p.baselines, func(a, b declared) int { return strings.Compare(a.key(), b.key()) })
	p.exceptions, err = listExceptions(ctx, c)
	return p, err
}

// Keeps says whether the account is worked on: it is in the organization, and AWS has not suspended it.
func (*Posture) Keeps(a *v1alpha1.AWSAccount) bool { return !absent(a) }

// Deciding is the account in which a control of Organization scope is decided; empty without an organization.
func (p *Posture) Deciding(m *control.Meta) string { return deciding(p.organization(), m) }

func (p *Posture) organization() *v1alpha1.AWSOrganizationSpec {
	if p.Organization == nil {
		return &v1alpha1.AWSOrganizationSpec{}
	}
	return &p.Organization.Spec
}

// Standings are those of every control that a baseline declares for the account, by baseline. An account that is not worked on
// has none.
func (p *Posture) Standings(a *v1alpha1.AWSAccount) []Standing {
	if absent(a) {
		return nil
	}
	w := world{
		account: a, organization: p.organization(), baselines: p.baselines, exceptions: p.exceptions,
		enabled: a.Status.Regions, memory: newMemory(), now: p.now,
	}
	w.memory.faceStatus(a, p.now)
	all, plan := []Standing{}, makePlan(w)
	for i := range plan.rows {
		all = append(all, p.ofRow(w, &plan.rows[i])...)
	}
	return all
}

// ofRow are the standings of one baseline.
func (p *Posture) ofRow(w world, r *row) (all []Standing) {
	d, _ := keyed(p.baselines, r.key())
	m := newMerge(w, nil)
	for _, b := range d.controls {
		if !concerns(w.organization, r.spec, b, w.account) {
			continue
		}
		s := Standing{Account: w.account.Name, Baseline: r.key(), Control: b.ID, Severity: b.Severity}
		own := 0
		for i := range r.checks {
			if c := &r.checks[i]; c.id.Control == b.ID {
				own++
				count(&s.Checks, p.stateOf(m, c))
			}
		}
		s.Checks.Overridden = int32(len(regionsOf(b, r.open)) - own) //nolint:gosec // an account has some 30 regions
		if b.Scope == control.Region && (r.nowhere || regionsUnread(w.account)) {
			count(&s.Checks, engine.Unknown) // there may be a region that nobody knows of, or only regions that do not exist
		}
		all = append(all, s)
	}
	return all
}

// stateOf is the state of a check by what the status says. Where the account cannot be entered, or nothing says how, what was
// seen last is not known to be so.
func (p *Posture) stateOf(m *merge, c *check) engine.State {
	if p.Organization == nil || m.account.Status.State == v1alpha1.AccountUnreachable {
		return engine.Unknown
	}
	return m.check(c)
}

func regionsUnread(a *v1alpha1.AWSAccount) bool {
	ready := findCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonRegionsUnreadable
}

// Undecided are the standings of what is decided in an account that is not among those given: nobody looks there.
func (p *Posture) Undecided(accounts []v1alpha1.AWSAccount) (all []Standing) {
	if p.Organization == nil {
		return nil
	}
	for _, d := range p.baselines {
		for _, b := range d.controls {
			where := p.Deciding(b.Meta)
			is := func(a v1alpha1.AWSAccount) bool { return a.Name == where && !absent(&a) }
			if b.Managed() && b.Scope == control.Organization && !slices.ContainsFunc(accounts, is) {
				all = append(all, Standing{
					Account: where, Baseline: d.key(), Control: b.ID, Severity: b.Severity, Checks: v1alpha1.CheckCounts{Total: 1, Unknown: 1},
				})
			}
		}
	}
	return all
}
