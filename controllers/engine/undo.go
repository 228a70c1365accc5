package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Undo takes one change of the task's control back: the drift's before-state is written where AWS is still as the change left
// it. ErrChanged says that it no longer is. The task's control need not be managed by any baseline.
func (e *Engine) Undo(ctx context.Context, p Pass, t *Task, d control.Drift) error {
	if !t.Control.Reversible() {
		return errors.New(t.Control.ID + " cannot undo its changes")
	}
	r := &run{Engine: e, Pass: p, began: e.clock(), log: logr.FromContextOrDiscard(ctx)}
	// Taking changes back counts among the accounts that are changed at a time.
	held, ok := e.places.hold(r.Account)
	if !ok {
		return &refusedError{v1alpha1.RowCapReached, fmt.Sprintf("at most %d accounts are changed at a time; waits for a place", e.limits.AccountsAtOnce)}
	}
	defer held()
	opened, err := r.reach(ctx, t)
	if err != nil {
		return err
	}
	return r.write(ctx, opened, t.change(r.Account, d), func(ctx context.Context, target *control.Target) error {
		return t.Control.Undo(ctx, target, d)
	})
}

// Look observes the task's check once, and changes nothing.
func (e *Engine) Look(ctx context.Context, p Pass, t *Task) Result {
	r := &run{Engine: e, Pass: p, began: e.clock(), log: logr.FromContextOrDiscard(ctx)}
	return r.observe(ctx, t, control.NewMemo(ctx), false)
}

// Refused says whether a write was not even begun, and why.
func Refused(err error) (Hold, bool) {
	var refused *refusedError
	if errors.As(err, &refused) {
		return Hold{refused.reason, refused.message}, true
	}
	return Hold{}, false
}
