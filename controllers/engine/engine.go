package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Limits are what bounds a pass and the writes of all passes together.
type Limits struct {
	// ChangesPerPass is the number of changes in one account and pass; default 25.
	ChangesPerPass int
	// AccountsAtOnce is the number of accounts with changes that are not verified yet; default 5.
	AccountsAtOnce int
	// StartFor is how long a pass begins new checks and, from when they are observed, new changes; default 10 s.
	StartFor time.Duration
	// VerifyFor is how long after its first change a pass goes on looking for its changes; default 25 s.
	VerifyFor time.Duration
	// Parallel is the number of checks observed at a time in one account; default 16.
	Parallel int
}

// Defaults fills in what is zero.
func (l Limits) Defaults() Limits {
	set := func(v *int, to int) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&l.ChangesPerPass, 25)
	set(&l.AccountsAtOnce, 5)
	set(&l.Parallel, 16)
	if l.StartFor <= 0 {
		l.StartFor = 10 * time.Second
	}
	if l.VerifyFor <= 0 {
		l.VerifyFor = 25 * time.Second
	}
	return l
}

// Change is one write, as the Recorder hears of it.
type Change struct {
	Account, Region, Control, Baseline, Resource string
	Risk                                         control.Risk
	// BeforeDigest is SHA-256 of the before-state, the first 12 hex digits; the state itself may quote policies and is not
	// told.
	BeforeDigest string
	// Fields are what departed.
	Fields []control.Field
}

// Recorder hears of every write before it is made, and of its outcome (nil: it was made) after.
type Recorder interface {
	Changing(ctx context.Context, c Change)
	Changed(ctx context.Context, c Change, err error)
	// Observed hears how each check went: its control, its outcome in one word, and how long it took.
	Observed(control, outcome string, took time.Duration)
}

// Engine runs passes. One Engine serves all accounts: it holds what bounds their writes together.
type Engine struct {
	cloud    *cloud.Cloud
	limits   Limits
	recorder Recorder
	clock    func() time.Time
	shared   *control.SharedMemo

	mu     sync.Mutex
	places map[string]bool // accounts with changes not verified yet
	admins map[string]*sync.Mutex
}

// New makes an Engine. clock is time.Now except in tests.
func New(c *cloud.Cloud, limits Limits, recorder Recorder, clock func() time.Time) *Engine {
	return &Engine{
		cloud: c, limits: limits.Defaults(), recorder: recorder, clock: clock, shared: control.NewSharedMemo(),
		places: map[string]bool{}, admins: map[string]*sync.Mutex{},
	}
}

// Pass is one account's turn.
type Pass struct {
	// Account and Partition are the account's, Facts what is known of it.
	Account, Partition string
	Facts              control.Facts
	// Reader is the account entered with its audit role.
	Reader Reader
	// Tasks are due, in the order in which their changes are to be made.
	Tasks []Task
}

// Reader is an account entered to read, from which sessions that write are opened. *cloud.Session is one.
type Reader interface {
	control.Connector
	// Writer enters the account with its enforce role for one change.
	Writer(cloud.Change) Writer
	// Denied says whether a service control policy refuses the region as such.
	Denied(ctx context.Context, region string) bool
}

// Enter makes a Reader of a session.
func Enter(c *cloud.Cloud, s *cloud.Session) Reader { return entered{s, c} }

type entered struct {
	*cloud.Session
	cloud *cloud.Cloud
}

func (e entered) Writer(ch cloud.Change) Writer { return e.Enforce(ch) }

func (e entered) Denied(ctx context.Context, region string) bool {
	return e.cloud.Denied(ctx, e.Session, region)
}

// Writer is an account entered for one change.
type Writer interface {
	control.Connector
	// Reach makes sure that the enforce role can be assumed and leads into the right account.
	Reach(ctx context.Context) error
}

// Run observes every task, makes the changes that may be made now, and verifies them. It returns one Result per task, in
// their order. It never returns an AWS error: errors are findings.
func (e *Engine) Run(ctx context.Context, p Pass) []Result {
	r := &run{Engine: e, Pass: p, began: e.clock(), log: logr.FromContextOrDiscard(ctx)}
	r.memo = control.NewMemo(ctx)
	r.observeAll(ctx)
	r.denyRegions(ctx)
	if changes := r.selectChanges(); len(changes) > 0 {
		r.makeChanges(ctx, changes)
		r.verify(ctx)
	}
	r.settlePlace()
	for _, res := range r.results {
		if !res.Skipped {
			e.recorder.Observed(res.Control.ID, string(res.State()), res.Took)
		}
	}
	return r.results
}

// run is the state of one pass.
type run struct {
	*Engine
	Pass
	began time.Time
	// writing is when the pass began to make its changes. However long observing took, some are made: else an account that is
	// slow to observe would never be put right.
	writing time.Time
	log     logr.Logger
	memo    *control.Memo
	results []Result
}

func (r *run) target(t Task, c control.Connector, actions []string, memo *control.Memo, verifying bool) *control.Target {
	return control.NewTarget(control.Target{
		Account: r.Account, Partition: r.Partition, Region: t.awsRegion(r.Partition), Regions: t.Regions,
		Facts: r.Facts, Now: r.clock(), Verifying: verifying,
	}, c, actions, memo, r.shared)
}

func (r *run) observeAll(ctx context.Context) {
	r.results = make([]Result, len(r.Tasks))
	var g errgroup.Group
	g.SetLimit(r.limits.Parallel)
	for i, t := range r.Tasks {
		g.Go(func() error {
			if ctx.Err() != nil || r.clock().Sub(r.began) > r.limits.StartFor {
				r.results[i] = Result{Task: t, Skipped: true}
				return nil
			}
			r.results[i] = r.observe(ctx, t, r.memo, false)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
}

// observe looks once. An error becomes a finding for the whole check; so does a panic, with its stack in the log.
func (r *run) observe(ctx context.Context, t Task, memo *control.Memo, verifying bool) (res Result) {
	res = Result{Task: t, At: r.clock()}
	defer func() {
		res.Took = r.clock().Sub(res.At)
		if p := recover(); p != nil {
			r.log.Error(fmt.Errorf("panic: %v", p), "control panicked", "control", t.Control.ID, "region", t.Region,
				"stack", string(debug.Stack()))
			res.Findings = []Judged{{Finding: control.Finding{
				Outcome: control.Unknown, Reason: control.ReasonUnexpectedData,
				Message: "the control failed on AWS's answer; the manager's log has the details",
			}}}
		}
	}()
	found, err := t.Control.Observe(ctx, r.target(t, r.Reader, t.Control.Reads, memo, verifying))
	for _, f := range found {
		j, _ := t.judge(f)
		res.Findings = append(res.Findings, j)
	}
	if err != nil {
		res.Findings = append(res.Findings, Judged{Finding: control.Unreadable("", err)})
		res.Denied = control.IsDeniedBySCP(err)
	}
	return res
}

// denyRegions settles in which regions the service control policy refuses everything: those where each check was refused
// so, and one harmless call is refused as well. Elsewhere a refusal concerns single actions and stays an unknown.
func (r *run) denyRegions(ctx context.Context) {
	looked, refused := map[string]int{}, map[string]int{}
	for _, res := range r.results {
		if res.Skipped || res.Region == v1alpha1.GlobalRegion {
			continue
		}
		looked[res.Region]++
		if res.Denied {
			refused[res.Region]++
		}
	}
	denied := map[string]bool{}
	for region, n := range refused {
		denied[region] = n == looked[region] && r.Reader.Denied(ctx, region)
	}
	for i := range r.results {
		r.results[i].Denied = denied[r.results[i].Region]
	}
}

// change is a drift that is to be put right now.
type change struct {
	result, finding int
}

// selectChanges picks the changes of this pass before the first is made: the first ones in list order up to the cap, and
// none where too many other accounts have changes under way.
func (r *run) selectChanges() []change {
	var all []change
	for i, res := range r.results {
		if res.Skipped || res.Denied {
			continue
		}
		for k, j := range res.Findings {
			if _, now := res.judge(j.Finding); now && j.Excepted == "" {
				all = append(all, change{i, k})
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	allowed := r.limits.ChangesPerPass
	message := fmt.Sprintf("at most %d changes in one account and pass; made in a later one", allowed)
	if !r.takePlace() {
		allowed, message = 0, fmt.Sprintf("at most %d accounts are changed at a time; waits for a place", r.limits.AccountsAtOnce)
	}
	for _, c := range all[min(allowed, len(all)):] {
		j := &r.results[c.result].Findings[c.finding]
		*j = j.because(v1alpha1.RowCapReached, message)
	}
	return all[:min(allowed, len(all))]
}

// takePlace makes the account one of those that are changed at a time, if there is room.
func (r *run) takePlace() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.places[r.Account] && len(r.places) >= r.limits.AccountsAtOnce {
		return false
	}
	r.places[r.Account] = true
	return true
}

// settlePlace gives the account's place back unless a change of it is still waited for.
func (r *run) settlePlace() {
	for _, res := range r.results {
		for _, j := range res.Findings {
			if j.Reason == v1alpha1.RowSettling {
				return
			}
		}
	}
	r.Release(r.Account)
}

// Renew forgets what accounts share, once per token: somebody asks for everything to be looked at again.
func (e *Engine) Renew(token string) { e.shared.Renew(token) }

// Release gives an account's place back, for an account that is no longer worked on.
func (e *Engine) Release(account string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.places, account)
}

// makeChanges writes in list order: one change at a time per region, the regions side by side. A change of the whole account
// waits for those of regions that stand before it, and those after it wait for it: what it forbids may be what they need.
func (r *run) makeChanges(ctx context.Context, changes []change) {
	r.writing = r.clock()
	global := func(c change) bool { return r.results[c.result].Region == v1alpha1.GlobalRegion }
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && global(changes[n]) == global(changes[0]) {
			n++
		}
		r.makeSideBySide(ctx, changes[:n])
		changes = changes[n:]
	}
}

func (r *run) makeSideBySide(ctx context.Context, changes []change) {
	var order []string
	lanes := map[string][]change{}
	for _, c := range changes {
		region := r.results[c.result].Region
		if _, ok := lanes[region]; !ok {
			order = append(order, region)
		}
		lanes[region] = append(lanes[region], c)
	}
	var g errgroup.Group
	for _, region := range order {
		g.Go(func() error {
			for _, c := range lanes[region] {
				r.makeChange(ctx, &r.results[c.result], &r.results[c.result].Findings[c.finding])
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
}

// writeTimeout bounds one change.
const writeTimeout = 30 * time.Second

func (r *run) makeChange(ctx context.Context, res *Result, j *Judged) {
	if ctx.Err() != nil || r.clock().Sub(r.writing) > r.limits.StartFor {
		*j = j.because(v1alpha1.RowCapReached, "the pass ended before this change; made in the next")
		return
	}
	b := res.Control
	unlock := r.adminLock(res.Region)
	defer unlock.all()
	writer := r.Reader.Writer(cloud.Change{
		Control: b.ID, Actions: slices.Concat(b.Reads, b.Writes, b.Grants), Entered: unlock.enter,
	})
	if err := writer.Reach(ctx); err != nil {
		reason, message := control.Explain(err)
		*j = j.because(v1alpha1.RowRoleMissing, "the enforce role cannot be assumed ("+reason+"): "+message)
		return
	}
	record := Change{
		Account: r.Account, Region: res.Region, Control: b.ID, Baseline: res.Baseline, Resource: j.Resource,
		Risk: b.RiskOf(j.Drift), BeforeDigest: digest(j.Before), Fields: j.Fields,
	}
	r.recorder.Changing(ctx, record)
	// A manager that is told to stop ends the write it has begun: half a change is worse than a late exit.
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	err := r.remediate(writing, res.Task, writer, j.Drift)
	r.recorder.Changed(ctx, record, err)
	// A refused write may still have been made in part; only a new look tells.
	res.Changed++
	r.shared.Forget(domainOf(b.ID))
	if err != nil {
		j.Failed = true
		reason, message := control.Explain(err)
		if reason != control.ReasonManagedByOrganizationPolicy {
			reason = v1alpha1.RowRemediationFailed
		}
		*j = j.because(reason, message)
	}
}

// remediate writes one drift. The target has no memo: what is modified is read afresh.
func (r *run) remediate(ctx context.Context, t Task, w Writer, d control.Drift) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error(fmt.Errorf("panic: %v", p), "control panicked", "control", t.Control.ID, "region", t.Region,
				"stack", string(debug.Stack()))
			err = fmt.Errorf("%w: the control failed while changing %s", control.ErrUnexpected, d.Resource)
		}
	}()
	return t.Control.Remediate(ctx, r.target(t, w, t.Control.Actions(), nil, true), d)
}

// domainOf is the service in a control's id: "guardduty" of "guardduty-detector".
func domainOf(id string) string {
	domain, _, _ := strings.Cut(id, "-")
	return domain
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:12]
}

// verify looks again at every control that changed something, until AWS shows the changes or the pass is over.
func (r *run) verify(ctx context.Context) {
	for pause := 250 * time.Millisecond; ; pause *= 2 {
		open := false
		for i := range r.results {
			if r.results[i].Changed > 0 {
				open = r.lookAgain(ctx, i) || open
			}
		}
		if !open || r.clock().Sub(r.writing)+pause > r.limits.VerifyFor {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// lookAgain observes one changed control and says whether a change is still not to be seen. What failed stays failed, what
// was capped stays capped; a change that does not show is Settling.
func (r *run) lookAgain(ctx context.Context, i int) bool {
	before := r.results[i]
	was := map[string]Judged{}
	for _, j := range before.Findings {
		was[j.ID()] = j
	}
	after := r.observe(ctx, before.Task, control.NewMemo(ctx), true)
	after.Changed = before.Changed
	open := false
	for k, j := range after.Findings {
		if j.Outcome != control.Departs || j.Reason != "" {
			continue // judged already: no change of this pass is waited for
		}
		old, known := was[j.ID()]
		switch {
		case known && (old.Failed || old.Reason == v1alpha1.RowCapReached || old.Reason == v1alpha1.RowRoleMissing):
			after.Findings[k] = j.because(old.Reason, old.Message)
			after.Findings[k].Failed = old.Failed
		case known:
			j.Looks = 0
			after.Findings[k] = j.settling()
			open = true
		default:
			// Departs since this pass looked first: the next pass puts it right.
			after.Findings[k] = j.because(v1alpha1.RowWaiting, "waited for the changes of this pass; made in the next")
		}
	}
	r.results[i] = after
	return open
}

// adminLock serialises changes made in an administrator's account, per account and region.
func (r *run) adminLock(region string) *adminLocks {
	return &adminLocks{engine: r.Engine, region: region, held: map[string]*sync.Mutex{}}
}

type adminLocks struct {
	engine *Engine
	region string
	held   map[string]*sync.Mutex
}

func (l *adminLocks) enter(account string) {
	if l.held[account] != nil {
		return
	}
	l.engine.mu.Lock()
	key := account + "/" + l.region
	m := l.engine.admins[key]
	if m == nil {
		m = &sync.Mutex{}
		l.engine.admins[key] = m
	}
	l.engine.mu.Unlock()
	m.Lock()
	l.held[account] = m
}

func (l *adminLocks) all() {
	for _, m := range l.held {
		m.Unlock()
	}
}
