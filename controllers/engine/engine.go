package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

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
	limits   Limits
	recorder Recorder
	clock    func() time.Time
	// sleep waits, and says whether ctx is still alive.
	sleep  func(ctx context.Context, d time.Duration) bool
	shared *control.SharedMemo
	places places
	admins adminLocks
	// contests bound how often what others change back is put right.
	contests contests
}

// New makes an Engine. clock is time.Now except in tests.
func New(limits Limits, recorder Recorder, clock func() time.Time) *Engine {
	limits = limits.Defaults()
	return &Engine{
		limits: limits, recorder: recorder, clock: clock, sleep: sleep, shared: control.NewSharedMemo(clock),
		places: newPlaces(limits.AccountsAtOnce), contests: newContests(),
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Pass is one account's turn.
type Pass struct {
	// Account and Partition are the account's, Facts what is known of it.
	Account, Partition string
	Facts              control.Facts
	// Reader is the account entered with its audit role.
	Reader Reader
	// Planned are all checks of the account, those of Tasks among them.
	Planned []CheckID
	// Tasks are due, in the order in which their changes are to be made.
	Tasks []*Task
	// Yield says whether something waits for the account that is more urgent. The pass then begins no check any more but the
	// first Limits.Parallel of Tasks: some, so that nothing is put off for ever. Nil: nothing does.
	Yield func() bool
	// Ledger has on record what is changed. Nil: nothing waits for anybody, and what needs an approval is not made.
	Ledger Ledger
	// HandsOver is true where another process makes the changes: the Ledger lets none be written, and the enforce role is not
	// assumed.
	HandsOver bool
	// Halted says, right before each change for a baseline, why it must not be made after all. Nil: it may.
	Halted func(baseline string) Hold
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
	defer r.settlePlace()
	r.observeAll(ctx)
	r.denyRegions(ctx)
	if changes := r.selectChanges(ctx); len(changes) > 0 {
		r.makeChanges(ctx, changes)
		r.verify(ctx)
	}
	for _, res := range r.results {
		if !res.Skipped {
			e.recorder.Observed(res.Control.ID, string(res.State()), res.Took)
		}
	}
	return r.results
}

// Renew makes way for a pass that somebody asks for: what accounts share is forgotten, once per token, and the account is
// changed at once although its last pass had more changes than it may make.
func (e *Engine) Renew(account, token string) {
	e.places.hurry(account)
	e.shared.Renew(token)
}

// Release gives an account's place among those that are changed back, and forgets who contests what in it, for an account
// that is no longer worked on.
func (e *Engine) Release(account string) {
	e.places.release(account)
	e.contests.forget(account)
}

// Rest gives an account's place among those that are changed back; who contests what in it is kept.
func (e *Engine) Rest(account string) { e.places.release(account) }

// run is the state of one pass.
type run struct {
	*Engine
	Pass
	began time.Time
	// writing is when the pass began to make its changes. However long observing took, some are made: else an account that is
	// slow to observe would never be put right.
	writing time.Time
	// late is true once a check has waited in vain for an answer that accounts share: the others then take what is there.
	late atomic.Bool
	// hands are those that were opened to see whether anything can be written at all, by the change that uses them.
	hands   map[*Judged]*hand
	log     logr.Logger
	results []Result
}

// sharedPatience is how long a check waits for an answer that many accounts share, once in a pass. Listing thousands of members
// takes half a minute, in which the other accounts would wait for no reason.
const sharedPatience = 2 * time.Second

// target is what a control may see of the account. memo is nil where every read is to be made afresh.
func (r *run) target(t *Task, c control.Connector, actions []string, memo *control.Memo, verifying bool) *control.Target {
	now, patience := r.clock(), sharedPatience
	if r.late.Load() {
		patience = control.NoPatience
	}
	var named []string
	if t.Named != nil {
		named = t.Named()
	}
	return control.NewTarget(control.Target{
		Account: r.Account, Partition: r.Partition, Region: t.awsRegion(r.Partition), Regions: t.Regions,
		Facts: r.Facts, Now: now, Verifying: verifying, SharedAge: t.sharedAge(now),
		Patience: patience, Since: t.Since, Named: named,
	}, c, actions, memo, r.shared)
}

// settlePlace keeps the account's place while a change is waited for, and gives it back otherwise.
func (r *run) settlePlace() { r.places.settle(r.Account, r.Planned, r.results) }

// panicked logs a control's panic with its stack and says what a person may know of it.
func (r *run) panicked(t *Task, p any) error {
	r.log.Error(fmt.Errorf("panic: %v", p), "control panicked", "control", t.Control.ID, "region", t.Region, "stack", string(debug.Stack()))
	return fmt.Errorf("%w: the control failed on what AWS answered; the manager's log has the details", control.ErrUnexpected)
}
