package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// ForecastInput is what a forecast is made from.
type ForecastInput struct {
	// Cloud is the way into AWS, with credentials that may assume the audit roles.
	Cloud *cloud.Cloud
	// Organization says how accounts are entered, Accounts are all of its accounts, and Only narrows which of them are looked at;
	// empty: all.
	Organization *v1alpha1.AWSOrganization
	Accounts     []*v1alpha1.AWSAccount
	Only         []string
	// Members is what AWS Organizations says of the accounts; may be empty.
	Members []cloud.Member
	// Kinds are the baseline kinds, Baselines those that are asked about, and Others those that compete with them for the same
	// controls; what these would change is not told.
	Kinds             []control.Kind
	Baselines, Others []control.Baseline
	Exceptions        []*v1alpha1.BaselineException
	// AsDeclared leaves sections in Audit as they are: what departs is only reported. Otherwise all is told as if it were enforced.
	AsDeclared bool
	// Parallel is the number of accounts looked at at a time.
	Parallel int
	// Seen hears of every account that was looked at, from several goroutines; nil: nobody does.
	Seen func(account string)
	// Clock is time.Now except in tests.
	Clock func() time.Time
}

// Forecast says what baselines would change in every account, with the same plan, the same controls and the same exceptions as
// AccountReconciler. It never writes: its plans are those of a manager that may not, and of an account that it has entered no
// session can be had that writes. The error is for the whole question; what could not be told of an account stands in its outlook.
func Forecast(ctx context.Context, in ForecastInput) (*Outlook, error) {
	f := &forecaster{ForecastInput: in, engine: engine.New(engine.Limits{}, unheard{}, in.Clock), email: map[string]string{}}
	if err := f.prepare(); err != nil {
		return nil, err
	}
	chosen, err := f.chosen()
	if err != nil {
		return nil, err
	}
	out := &Outlook{Accounts: make([]AccountOutlook, len(chosen))}
	control.Each(max(in.Parallel, 1), len(chosen), func(i int) {
		if ctx.Err() != nil {
			return
		}
		out.Accounts[i] = f.account(ctx, chosen[i])
		if in.Seen != nil {
			in.Seen(chosen[i].Name)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.rollouts(out)
	out.Notes = append(out.Notes, f.unknownNames()...)
	return out, nil
}

// Outlook is what a forecast has found.
type Outlook struct {
	// Accounts are those looked at, by id.
	Accounts []AccountOutlook
	// Rollouts says, by baseline, in which order its accounts are changed, where it names waves.
	Rollouts map[string]RolloutOutlook
	// Notes is what else a person should know, such as names that stand for nothing.
	Notes []string
}

// AccountOutlook is what was found in one account.
type AccountOutlook struct {
	Account *v1alpha1.AWSAccount
	// Role is the ARN of the role that it was entered with.
	Role string
	// Untouched says why nobody may touch it, as when AWS has suspended it; it was not looked at then.
	Untouched string
	// Err says why it could not be entered, RegionsErr why its regions could not be listed.
	Err, RegionsErr error
	// Denied are selected regions that a service control policy refuses.
	Denied []string
	// Baselines are those that have checks in it.
	Baselines []BaselineOutlook
}

// BaselineOutlook is what was found of one baseline in one account.
type BaselineOutlook struct {
	// Baseline is its kind and name: "S3Baseline/organization".
	Baseline string
	// Planned is the number of checks, Overridden how many others another baseline decides, OverriddenBy its kind and name.
	Planned, Overridden int
	OverriddenBy        string
	// UnknownRegions are regions that it names and that are not enabled; Nowhere is true when none is left of those it selects.
	UnknownRegions []string
	Nowhere        bool
	// Regional is true when it has checks that are of a region.
	Regional bool
	// Checks are in list order. Empty where the account could not be entered.
	Checks []CheckOutlook
}

// CheckOutlook is what was found by one check.
type CheckOutlook struct {
	engine.Result
	// Held is why a manager that may write would change nothing although no approval is needed: the account is new, the baseline
	// suspended, a rollout under way.
	Held engine.Hold
}

// Effect says what would become of a departure.
type Effect string

// The effects.
const (
	// EffectChanged: it would be put right without anybody being asked.
	EffectChanged Effect = "Changed"
	// EffectApproval: it would be proposed, and wait for an approval.
	EffectApproval Effect = "AwaitingApproval"
	// EffectHeld: it would be put right once what holds it back is over; Held of the check, or the message, says what that is.
	EffectHeld Effect = "Held"
	// EffectReported: it would only be reported.
	EffectReported Effect = "Reported"
	// EffectExcepted: an exception excuses it.
	EffectExcepted Effect = "Excepted"
)

// Effect says what would become of one of the check's departures; reason is a constant, and why says more. Both are empty where it
// would be changed at once.
func (c CheckOutlook) Effect(j engine.Judged) (effect Effect, reason, why string) {
	switch held := c.Held.Reason != ""; {
	case j.Excepted != "":
		return EffectExcepted, j.Reason, j.Message
	case j.Reason == v1alpha1.RowAwaitingApproval && held:
		return EffectApproval, c.Held.Reason, j.Message + "; " + c.Held.Message
	case j.Reason == v1alpha1.RowAwaitingApproval:
		return EffectApproval, j.Reason, j.Message
	case j.Reason == v1alpha1.RowWritesDisabled && held:
		return EffectHeld, c.Held.Reason, c.Held.Message
	case j.Reason == v1alpha1.RowWritesDisabled:
		return EffectChanged, "", ""
	case j.Reason == v1alpha1.RowSuspended:
		return EffectHeld, j.Reason, j.Message
	}
	return EffectReported, j.Reason, j.Message
}

// Follows says whether a finding is of a resource that waits for something else that must hold first, as GuardDuty's plans do for
// GuardDuty: what would be changed of it is known only then. What waits without a resource waits for AWS to answer.
func Follows(j engine.Judged) bool { return j.Outcome == control.Waiting && j.Resource != "" }

// forecaster makes a forecast.
type forecaster struct {
	ForecastInput
	engine *engine.Engine
	// declared are all baselines, asked those that are asked about.
	declared []declared
	asked    map[string]bool
	email    map[string]string
	roles    map[string]v1alpha1.AccountRoles
}

func (f *forecaster) prepare() error {
	f.asked, f.roles = map[string]bool{}, map[string]v1alpha1.AccountRoles{}
	for _, b := range f.Baselines {
		d, err := f.declare(b)
		if err != nil {
			return err
		}
		f.declared, f.asked[d.key()] = append(f.declared, d), true
	}
	for _, b := range f.Others {
		d, err := f.declare(b)
		if err != nil {
			return err
		}
		if !f.asked[d.key()] { // what is asked about takes the place of what stands in the cluster
			f.declared = append(f.declared, d)
		}
	}
	for _, m := range f.Members {
		f.email[m.ID] = m.Email
	}
	for _, a := range f.Accounts {
		f.roles[a.Name] = a.Spec.Roles
	}
	return nil
}

// declare makes of a baseline what plans are made from. How far a rollout has come is of other settings.
func (f *forecaster) declare(b control.Baseline) (declared, error) {
	for _, k := range f.Kinds {
		if reflect.TypeOf(k.New()) == reflect.TypeOf(b) {
			return declare(k, b), nil
		}
	}
	return declared{}, fmt.Errorf("%T is no kind of baseline", b)
}

// chosen are the accounts to look at, by id.
func (f *forecaster) chosen() ([]*v1alpha1.AWSAccount, error) {
	var chosen []*v1alpha1.AWSAccount
	for _, id := range f.Only {
		if !slices.ContainsFunc(f.Accounts, func(a *v1alpha1.AWSAccount) bool { return a.Name == id }) {
			return nil, fmt.Errorf("account %s is not known: the organization has %d accounts, and it is none of them", id, len(f.Accounts))
		}
	}
	for _, a := range f.Accounts {
		if len(f.Only) == 0 || slices.Contains(f.Only, a.Name) {
			chosen = append(chosen, a)
		}
	}
	slices.SortFunc(chosen, func(a, b *v1alpha1.AWSAccount) int { return strings.Compare(a.Name, b.Name) })
	return chosen, nil
}

// world is what the account's plan is made from: nothing is known of it yet, and nothing may be written.
func (f *forecaster) world(a *v1alpha1.AWSAccount) world {
	a = a.DeepCopy()
	a.Status = v1alpha1.AWSAccountStatus{}
	return world{
		account: a, organization: &f.Organization.Spec, baselines: f.declared, exceptions: f.Exceptions,
		memory: newMemory(), allowWrites: false, person: true, now: f.Clock(),
	}
}

// concerned says whether a baseline that is asked about has checks in the account.
func (f *forecaster) concerned(w world) bool {
	w.baselines = slices.DeleteFunc(slices.Clone(w.baselines), func(d declared) bool { return !f.asked[d.key()] })
	return w.concerned()
}

func (f *forecaster) account(ctx context.Context, a *v1alpha1.AWSAccount) AccountOutlook {
	w, o := f.world(a), AccountOutlook{Account: a}
	switch {
	case absent(a):
		o.Untouched = "its state in AWS Organizations is " + control.Bounded(a.Annotations[v1alpha1.AnnotationState], 64) + "; it is not touched"
		return o
	case !f.concerned(w):
		return o
	}
	entry, err := f.entry(f.Organization, a.Name, a.Spec.Roles)
	o.Role = entry.AuditRole
	var session *cloud.Session
	if err == nil {
		session, err = enter(f.Cloud, f.Organization, a, f.entry, func(id string) v1alpha1.AccountRoles { return f.roles[id] })
	}
	if err == nil {
		err = f.reach(ctx, session, &w)
	}
	o.Err, o.RegionsErr = err, w.regionsErr
	if err != nil || w.regionsErr != nil {
		w.enabled = regionNames(f.Organization.Spec.Regions)
	}
	p := makePlan(w)
	for i := range p.rows {
		if f.asked[p.rows[i].key()] {
			o.Baselines = append(o.Baselines, outlookOf(&p.rows[i]))
		}
	}
	if err == nil {
		f.look(ctx, &o, w, p, session)
	}
	return o
}

// entry says how an account is entered. ACK's map is followed by managers only.
func (f *forecaster) entry(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles) (cloud.Account, error) {
	r := &AccountReconciler{ACKRole: func(string) (string, error) {
		return "", errors.New("a plan does not read that map; name the role in spec.roles.audit of the AWSAccount")
	}}
	return r.Entry(org, id, own)
}

// reach enters the account and lists its regions.
func (f *forecaster) reach(ctx context.Context, session *cloud.Session, w *world) error {
	ctx, done := context.WithTimeout(ctx, enterFor)
	defer done()
	if err := session.Reach(ctx); err != nil {
		return err
	}
	w.enabled, _, w.regionsErr = f.Cloud.Regions(ctx, session, w.now)
	return nil
}

func outlookOf(r *row) BaselineOutlook {
	return BaselineOutlook{
		Baseline: r.key(), Planned: len(r.checks), Overridden: int(r.overridden), OverriddenBy: r.kind + "/" + r.overriddenBy,
		UnknownRegions: r.unknownRegions, Nowhere: r.nowhere, Regional: r.regional,
	}
}

// look has the account's checks made and puts what came of them into its outlook.
func (f *forecaster) look(ctx context.Context, o *AccountOutlook, w world, p plan, session *cloud.Session) {
	pass := engine.Pass{
		Account: w.account.Name, Partition: f.Organization.Spec.PartitionOrDefault(), Reader: readOnly{engine.Enter(f.Cloud, session)},
	}
	entry, err := f.entry(f.Organization, w.account.Name, w.account.Spec.Roles)
	if err == nil {
		pass.Facts = factsOf(f.Organization, w.account, entry, f.email[w.account.Name])
	}
	held := map[checkID]engine.Hold{}
	p.each(func(r *row, c *check) {
		if !f.asked[r.key()] {
			return
		}
		if !f.AsDeclared {
			c.task.Mode = v1alpha1.ModeEnforce
		}
		held[c.id] = w.heldOtherwise(*r, c)
		pass.Tasks = append(pass.Tasks, c.task)
	})
	denied := map[string]bool{}
	for _, res := range f.run(ctx, pass) {
		if res.Denied {
			denied[res.Region] = true
		}
		for i := range o.Baselines {
			if b := &o.Baselines[i]; b.Baseline == res.Baseline {
				b.Checks = append(b.Checks, CheckOutlook{res, held[res.ID()]})
			}
		}
	}
	for region := range denied {
		o.Denied = append(o.Denied, region)
	}
	slices.Sort(o.Denied)
}

// heldOtherwise is why a manager that may write would change nothing for the check. A rollout, which lets every account be
// changed in its turn, is told of by itself.
func (w world) heldOtherwise(r row, c *check) engine.Hold {
	w.allowWrites, r.rollout = true, engine.Hold{}
	return w.hold(&r, c.task.Control)
}

// RolloutOutlook says in which order a baseline's accounts are changed.
type RolloutOutlook struct {
	// Waves are the names of the waves, the one of all other accounts the last.
	Waves []string
	// Of is each account's wave, counted from 0.
	Of map[string]int
	// Invalid says what is wrong with the waves: nothing would be changed.
	Invalid string
}

func (f *forecaster) rollouts(out *Outlook) {
	out.Rollouts = map[string]RolloutOutlook{}
	for _, d := range f.declared {
		spec, _ := d.object.Common()
		all := wavesOf(spec, 0)
		if !f.asked[d.key()] || len(all.named()) == 0 {
			continue
		}
		s, ro := sum{declared: d}, RolloutOutlook{Of: map[string]int{}}
		for i := range all.count() {
			ro.Waves = append(ro.Waves, all.name(i))
		}
		for _, a := range out.Accounts {
			if slices.ContainsFunc(a.Baselines, func(b BaselineOutlook) bool { return b.Baseline == d.key() }) {
				ro.Of[a.Account.Name], _ = all.of(a.Account)
				s.members = append(s.members, enrolled{account: a.Account})
			}
		}
		ro.Invalid = s.overlap(all)
		out.Rollouts[d.key()] = ro
	}
}

// unknownNames says which controls exceptions name that there are none of, or that nothing excuses.
func (f *forecaster) unknownNames() []string {
	var notes []string
	r := &ExceptionReconciler{Kinds: f.Kinds}
	for _, x := range f.Exceptions {
		unknown, never := r.names(x.Spec.Controls)
		if len(unknown) > 0 {
			notes = append(notes, fmt.Sprintf("BaselineException %s names no control: %s — docs/controls.md lists the ids", x.Name, strings.Join(unknown, ", ")))
		}
		if len(never) > 0 {
			notes = append(notes, fmt.Sprintf("BaselineException %s names what cannot be excused: %s", x.Name, strings.Join(never, ", ")))
		}
	}
	slices.SortFunc(notes, cmp.Compare[string])
	return notes
}
