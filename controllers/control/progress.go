package control

import (
	"context"
	"sync/atomic"
)

// Progress says whether what is done under a context gets on: a pass that works through twenty thousand buckets does, one
// that waits for a service that hangs does not.
type Progress struct{ answers, waiting atomic.Int64 }

// Answers is the number of answers of AWS so far.
func (p *Progress) Answers() int64 { return p.answers.Load() }

// Waits says whether something waits for its turn.
func (p *Progress) Waits() bool { return p.waiting.Load() > 0 }

type progressKey struct{}

// WithProgress watches what is done under the context it returns.
func WithProgress(ctx context.Context) (context.Context, *Progress) {
	p := &Progress{}
	return context.WithValue(ctx, progressKey{}, p), p
}

// Answered notes that AWS has answered a request made under the context.
func Answered(ctx context.Context) {
	if p, ok := ctx.Value(progressKey{}).(*Progress); ok {
		p.answers.Add(1)
	}
}

// Waits notes that what is done under the context waits for its turn, until what it returns is called: for a read that
// accounts share, a rate limit of Plumbline's own, or its turn among the calls under way. That is no fault of AWS's.
func Waits(ctx context.Context) (ended func()) {
	p, ok := ctx.Value(progressKey{}).(*Progress)
	if !ok {
		return func() {}
	}
	p.waiting.Add(1)
	return func() { p.waiting.Add(-1) }
}
