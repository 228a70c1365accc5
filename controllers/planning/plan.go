package planning

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// What bounds the text that AWS or a person chose.
const (
	maxValue   = 256
	maxMessage = 512
)

// plan is what is told; its JSON is what -o json prints.
type plan struct {
	Summary   summary    `json:"summary"`
	Baselines []baseline `json:"baselines"`
	// Waiting is what can be told only once something else holds, Unknown what could not be told, Unreachable which accounts could not
	// be entered.
	Waiting     []unknown     `json:"waiting"`
	Unknown     []unknown     `json:"unknown"`
	Unreachable []unreachable `json:"unreachable"`
	Notes       []string      `json:"notes"`
}

// summary counts. Changed to Excepted are departures, each a resource.
type summary struct {
	Verdict          string `json:"verdict"`
	Accounts         int    `json:"accounts"`
	Checks           int    `json:"checks"`
	Changed          int    `json:"changed"`
	AwaitingApproval int    `json:"awaitingApproval"`
	Held             int    `json:"held"`
	Reported         int    `json:"reported"`
	Excepted         int    `json:"excepted"`
	Waiting          int    `json:"waiting"`
	Unknown          int    `json:"unknown"`
	Unreachable      int    `json:"unreachable"`
}

// The verdicts.
const (
	clean   = "Clean"
	drifted = "Drift"
	untold  = "Incomplete"
)

// baseline is one baseline's part of a plan.
type baseline struct {
	Baseline string `json:"baseline"`
	// Accounts is the number of accounts that it selects, Checks that of its checks in them.
	Accounts int `json:"accounts"`
	Checks   int `json:"checks"`
	// Waves are the names of its rollout's waves, where it names any, and Invalid says why nothing at all would be changed.
	Waves   []string `json:"waves,omitempty"`
	Invalid string   `json:"invalid,omitempty"`
	Changes []change `json:"changes"`
	Costs   []cost   `json:"costs,omitempty"`
	// departures is how many departures there are where they are left out.
	departures int
}

// change is one departure.
type change struct {
	Account     string             `json:"account"`
	AccountName string             `json:"accountName,omitempty"`
	Control     string             `json:"control"`
	Severity    v1alpha1.Severity  `json:"severity"`
	Region      string             `json:"region"`
	Resource    string             `json:"resource"`
	Fields      []fieldChange      `json:"fields"`
	Risk        string             `json:"risk"`
	Weakens     bool               `json:"weakens,omitempty"`
	Reversible  bool               `json:"reversible"`
	Effect      controllers.Effect `json:"effect"`
	Reason      string             `json:"reason,omitempty"`
	Exception   string             `json:"exception,omitempty"`
	Message     string             `json:"message,omitempty"`
	Wave        string             `json:"wave,omitempty"`
}

type fieldChange struct {
	Path string `json:"path"`
	From string `json:"from"`
	To   string `json:"to"`
}

// cost is what enabling a control costs.
type cost struct {
	Control string `json:"control"`
	Cost    string `json:"cost"`
}

// unknown is a check, or one resource of it, that could not be told.
type unknown struct {
	Account  string `json:"account"`
	Baseline string `json:"baseline"`
	Control  string `json:"control,omitempty"`
	Region   string `json:"region,omitempty"`
	Resource string `json:"resource,omitempty"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// unreachable is an account that could not be entered.
type unreachable struct {
	Account     string `json:"account"`
	AccountName string `json:"accountName,omitempty"`
	Role        string `json:"role,omitempty"`
	Reason      string `json:"reason"`
	Message     string `json:"message"`
}

// maker makes a plan of an outlook.
type maker struct {
	*controllers.Outlook
	plan  plan
	index map[string]int
}

func newPlan(found *controllers.Outlook, in *controllers.ForecastInput) *plan {
	m := &maker{Outlook: found, index: map[string]int{}, plan: plan{
		Baselines: []baseline{}, Waiting: []unknown{}, Unknown: []unknown{}, Unreachable: []unreachable{}, Notes: []string{},
	}}
	for _, b := range in.Baselines {
		for _, k := range in.Kinds {
			if fmt.Sprintf("%T", k.New()) == fmt.Sprintf("%T", b) {
				key := k.Name + "/" + b.GetName()
				ro := found.Rollouts[key]
				m.plan.Baselines = append(m.plan.Baselines, baseline{Baseline: key, Waves: ro.Waves, Invalid: ro.Invalid, Changes: []change{}})
			}
		}
	}
	slices.SortFunc(m.plan.Baselines, func(a, b baseline) int { return strings.Compare(a.Baseline, b.Baseline) })
	for i, b := range m.plan.Baselines {
		m.index[b.Baseline] = i
	}
	for i := range found.Accounts {
		m.account(found.Accounts[i])
		found.Accounts[i].Baselines = nil // what was found of tens of thousands of buckets need not be there twice
	}
	return m.finish()
}

func (m *maker) note(format string, args ...any) {
	m.plan.Notes = append(m.plan.Notes, control.Bounded(fmt.Sprintf(format, args...), maxMessage))
}

// said is a message of what a manager goes on with by itself, for whoever asks once.
func said(message string) string {
	return control.Bounded(strings.ReplaceAll(message, "tried again by itself", "plan again later"), maxMessage)
}

func nameOf(a *v1alpha1.AWSAccount) string {
	return control.Bounded(a.Annotations[v1alpha1.AnnotationName], maxValue)
}

func (m *maker) account(a controllers.AccountOutlook) {
	id := a.Account.Name
	if len(a.Baselines) == 0 {
		if a.Untouched != "" {
			m.note("account %s was not looked at: %s", id, a.Untouched)
		}
		return
	}
	m.plan.Summary.Accounts++
	for _, b := range a.Baselines {
		m.plan.Summary.Checks += b.Planned
		of := &m.plan.Baselines[m.index[b.Baseline]]
		of.Accounts, of.Checks = of.Accounts+1, of.Checks+b.Planned
		if a.Err == nil {
			m.baseline(a, b)
		}
	}
	if a.Err != nil {
		reason, message := control.Explain(a.Err)
		m.plan.Unreachable = append(m.plan.Unreachable, unreachable{
			Account: id, AccountName: nameOf(a.Account), Role: a.Role, Reason: reason, Message: said(message)})
	}
	for _, region := range a.Denied {
		m.note("account %s: a service control policy refuses %s, where nothing was looked at", id, region)
	}
}

func (m *maker) baseline(a controllers.AccountOutlook, b controllers.BaselineOutlook) {
	id := a.Account.Name
	if b.Overridden > 0 {
		m.note("account %s: %s decides %d checks of %s, which are not told here", id, b.OverriddenBy, b.Overridden, b.Baseline)
	}
	switch {
	case !b.Regional:
	case a.RegionsErr != nil:
		_, message := control.Explain(a.RegionsErr)
		m.untold(unknown{Account: id, Baseline: b.Baseline, Reason: v1alpha1.ReasonRegionsUnreadable,
			Message: "the enabled regions cannot be read, and those that the AWSOrganization names stand in: " + message})
	case b.Nowhere:
		m.untold(unknown{Account: id, Baseline: b.Baseline, Reason: v1alpha1.ReasonUnknownRegion, Message: "not one of the regions that it selects is enabled in the account" + list(b.UnknownRegions)})
	case len(b.UnknownRegions) > 0:
		m.note("account %s: %s names regions that are not enabled there%s", id, b.Baseline, list(b.UnknownRegions))
	}
	for _, c := range b.Checks {
		m.check(a, c)
	}
}

func list(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}

func (m *maker) untold(u unknown) { m.plan.Unknown = append(m.plan.Unknown, u.bounded()) }

func (u unknown) bounded() unknown {
	u.Resource, u.Message = control.Bounded(u.Resource, maxMessage), said(u.Message)
	return u
}

func (m *maker) check(a controllers.AccountOutlook, c controllers.CheckOutlook) {
	if c.Denied {
		return
	}
	if c.Skipped {
		m.untold(unknown{Account: a.Account.Name, Baseline: c.Baseline, Control: c.Control.ID, Region: c.Region,
			Reason: v1alpha1.ReasonPending, Message: "it was not looked at"})
		return
	}
	for _, j := range c.Findings {
		about := unknown{Account: a.Account.Name, Baseline: c.Baseline, Control: c.Control.ID, Region: c.Region,
			Resource: j.Resource, Reason: j.Reason, Message: j.Message}
		switch {
		case j.Outcome == control.Departs:
			m.change(a, c, j)
		case j.Outcome == control.NotApplicable:
		case controllers.Follows(j):
			m.plan.Waiting = append(m.plan.Waiting, about.bounded())
		default:
			m.untold(about)
		}
	}
}

func (m *maker) change(a controllers.AccountOutlook, c controllers.CheckOutlook, j engine.Judged) {
	b := &m.plan.Baselines[m.index[c.Baseline]]
	risk := c.Control.RiskOf(j.Drift)
	effect, reason, why := c.Effect(j)
	one := change{
		Account: a.Account.Name, AccountName: nameOf(a.Account), Control: c.Control.ID, Severity: c.Control.Severity, Region: c.Region,
		Resource: control.Bounded(j.Resource, maxMessage), Risk: risk.String(), Weakens: c.Control.Weakens(j.Drift) && risk != control.ReportOnly,
		Reversible: c.Control.Reversible() && risk < control.Irreversible, Effect: effect, Reason: reason,
		Exception: j.Excepted, Message: control.Bounded(why, maxMessage), Fields: []fieldChange{},
	}
	for _, f := range j.Fields {
		one.Fields = append(one.Fields, fieldChange{
			Path: control.Bounded(f.Path, maxValue), From: control.Bounded(f.Got, maxValue), To: control.Bounded(f.Want, maxValue)})
	}
	if c.Control.Scope != control.Organization { // a rollout does not concern what is decided in one account
		b.inTurn(&one, m.Rollouts[c.Baseline].Of[a.Account.Name])
	}
	b.Changes = append(b.Changes, one)
	if one.writes() && !one.Weakens {
		b.costs(c.Control)
	}
}

// writes says whether it would be made, now or later.
func (c change) writes() bool {
	return slices.Contains([]controllers.Effect{controllers.EffectChanged, controllers.EffectApproval, controllers.EffectHeld}, c.Effect)
}

// inTurn says in which wave a change is made, and holds it back where the waves are wrong.
func (b *baseline) inTurn(c *change, wave int) {
	if len(b.Waves) == 0 || !c.writes() {
		return
	}
	if b.Invalid != "" && c.Effect == controllers.EffectChanged {
		c.Effect, c.Reason, c.Message = controllers.EffectHeld, v1alpha1.RowRolloutPaused, b.Invalid
	}
	c.Wave = fmt.Sprintf("%d/%d %s", wave+1, len(b.Waves), b.Waves[wave])
}

// costs notes once what a control costs.
func (b *baseline) costs(c control.Bound) {
	if c.Cost != "" && !slices.ContainsFunc(b.Costs, func(k cost) bool { return k.Control == c.ID }) {
		b.Costs = append(b.Costs, cost{c.ID, c.Cost})
	}
}

// finish counts and sorts.
func (m *maker) finish() *plan {
	p := &m.plan
	for i := range p.Baselines {
		b := &p.Baselines[i]
		slices.SortStableFunc(b.Changes, func(x, y change) int {
			return cmp.Or(strings.Compare(x.Account, y.Account), strings.Compare(x.Control, y.Control), strings.Compare(x.Region, y.Region),
				strings.Compare(x.Resource, y.Resource), strings.Compare(x.Risk, y.Risk))
		})
		slices.SortFunc(b.Costs, func(x, y cost) int { return strings.Compare(x.Control, y.Control) })
		for _, c := range b.Changes {
			p.Summary.count(c.Effect)
		}
		if b.Accounts == 0 {
			m.note("%s selects no account that was looked at", b.Baseline)
		}
	}
	slices.SortStableFunc(p.Unknown, inOrder)
	slices.SortStableFunc(p.Waiting, inOrder)
	p.Summary.Waiting = len(p.Waiting)
	p.Summary.Unknown, p.Summary.Unreachable = len(p.Unknown), len(p.Unreachable)
	for _, n := range m.Notes {
		m.note("%s", n)
	}
	p.Summary.Verdict = p.judge()
	return p
}

func inOrder(x, y unknown) int {
	return cmp.Or(strings.Compare(x.Account, y.Account), strings.Compare(x.Baseline, y.Baseline), strings.Compare(x.Control, y.Control),
		strings.Compare(x.Region, y.Region), strings.Compare(x.Resource, y.Resource), strings.Compare(x.Message, y.Message))
}

func (s *summary) count(e controllers.Effect) {
	switch e {
	case controllers.EffectChanged:
		s.Changed++
	case controllers.EffectApproval:
		s.AwaitingApproval++
	case controllers.EffectHeld:
		s.Held++
	case controllers.EffectExcepted:
		s.Excepted++
	default:
		s.Reported++
	}
}

// judge says in one word what comes of the plan.
func (p *plan) judge() string {
	s := p.Summary
	invalid := slices.ContainsFunc(p.Baselines, func(b baseline) bool { return b.Invalid != "" })
	switch {
	case s.Unknown+s.Unreachable > 0, s.Checks == 0, invalid:
		return untold
	case s.Changed+s.AwaitingApproval+s.Held+s.Reported+s.Waiting > 0:
		return drifted
	}
	return clean
}

// verdict is what the command ends with.
func (p *plan) verdict() error {
	switch p.Summary.Verdict {
	case clean:
		return nil
	case drifted:
		return ErrDrift
	}
	var problems []error
	for _, b := range p.Baselines {
		if b.Invalid != "" {
			problems = append(problems, fmt.Errorf("%s: %s", b.Baseline, b.Invalid))
		}
	}
	for i, u := range p.Unreachable {
		if i == 10 {
			problems = append(problems, fmt.Errorf("and %d more accounts that cannot be entered", len(p.Unreachable)-i))
			break
		}
		problems = append(problems, fmt.Errorf("account %s cannot be entered (%s): %s", u.Account, u.Reason, u.Message))
	}
	if n := len(p.Unknown); n > 0 {
		problems = append(problems, fmt.Errorf("what could not be told: %d; the plan lists each with its reason", n))
	}
	if p.Summary.Checks == 0 {
		problems = append(problems, errors.New("nothing was looked at: no baseline has a check in any of the accounts; see its accounts and sections"))
	}
	return errors.Join(problems...)
}
