package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-logr/logr"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// incoming is one message that was received.
type incoming struct {
	*Queue
	api     *sqs.Client
	message types.Message
	held    *held
	deliver func(context.Context, Delivery)

	part                          []Event
	foreign, duplicate, malformed int
}

// handle delivers the message's events. A message without any is done at once; one that cannot be read comes back.
func (in *incoming) handle(ctx context.Context) {
	err := in.read(ctx)
	if len(in.part) > 0 { // also where a log file broke off: what was read of it is true
		err = errors.Join(err, in.flush(ctx))
	}
	for outcome, n := range map[string]int{EventForeign: in.foreign, EventDuplicate: in.duplicate, EventMalformed: in.malformed} {
		if n > 0 {
			in.options.Observe(outcome, n)
		}
	}
	switch {
	case err == nil:
		in.ledger.finish(in.held)
	case ctx.Err() != nil:
		in.ledger.abandon(in.held, true) // it was not read to its end: others are to have it at once
	default:
		in.unreadable(ctx, err)
	}
}

// read takes the events out of the message, or out of the log files it names.
func (in *incoming) read(ctx context.Context) error {
	c, err := parse(aws.ToString(in.message.Body))
	switch {
	case err != nil:
		return err
	case c.event != nil:
		return in.take(ctx, c.event, c.from)
	case len(c.files) == 0:
		in.foreign++
	}
	for _, f := range c.files {
		if err := in.readFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// take keeps an event that is wanted and was not done before.
func (in *incoming) take(ctx context.Context, r *record, from origin) error {
	e, err := r.event(from)
	switch {
	case err != nil:
		return err
	case r.EventCategory == "Insight", !in.options.Wanted(e.Source, e.Name) && !in.byOwnRole(&e), in.isOwn(&e):
		in.foreign++
		return nil
	case in.seen.has(e.ID, in.options.Clock()):
		in.duplicate++
		return nil
	}
	if in.part = append(in.part, e); len(in.part) < partSize {
		return nil
	}
	return in.flush(ctx)
}

// byOwnRole says whether a call was made with one of Plumbline's roles, so far as that is to be told.
func (in *incoming) byOwnRole(e *Event) bool {
	return e.Role != "" && e.Through == "" && (in.options.Own != nil || !e.ReadOnly) && in.options.OwnRole(e.Role)
}

// isOwn says whether a call was the manager's own.
func (in *incoming) isOwn(e *Event) bool {
	return e.Role != "" && in.options.Own != nil && in.options.Own(e.RequestID)
}

// flush delivers what was kept, when there is room.
func (in *incoming) flush(ctx context.Context) error {
	part, n := in.part, int64(len(in.part))
	in.part = nil
	if err := in.ledger.begin(ctx, in.held, n); err != nil {
		return err
	}
	done := sync.OnceFunc(func() {
		for _, e := range part {
			in.seen.add(e.ID, in.options.Clock())
		}
		in.options.Observe(EventHandled, len(part))
		in.ledger.end(in.held, n)
	})
	in.deliver(ctx, Delivery{Events: part, Done: done})
	return nil
}

// readFile takes the events out of a log file.
func (in *incoming) readFile(ctx context.Context, f logFile) error {
	if err := in.files.Acquire(ctx, 1); err != nil {
		return err
	}
	defer in.files.Release(1)
	body, err := in.logs.open(ctx, f)
	switch {
	case ctx.Err() != nil:
	case missing(err):
		in.options.Observe(EventError, 1) // one file that is gone says nothing of the others
	default:
		in.outcome(ctx, "GetObject", err)
	}
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // nothing was written
	return readLog(body, func(r *record) error {
		err := in.take(ctx, r, f.from)
		if errors.Is(err, errNotAnEvent) {
			in.malformed++ // one record of many
			return nil
		}
		return err
	})
}

// unreadable leaves a message to come back when its visibility timeout is over, until it has come too often: then the queue
// moves it to its dead-letter queue, or, where it has none, it is deleted. Where there is none, a message whose log file is
// refused or not answered is not deleted either: that is nothing of the message's and may be mended.
func (in *incoming) unreadable(ctx context.Context, cause error) {
	log := logr.FromContextOrDiscard(ctx).WithValues("queue", in.at.name, "message", aws.ToString(in.message.MessageId))
	var call *control.CallError
	failedCall := errors.As(cause, &call)
	if !failedCall {
		in.options.Observe(EventMalformed, 1)
	}
	last, moved, err := in.lastReceive(ctx, in.api)
	if err != nil || receiveCount(in.message) < last || !moved && failedCall && !missing(cause) {
		in.ledger.abandon(in.held, false)
		return
	}
	in.options.Observe(EventParked, 1)
	sum := sha256.Sum256([]byte(aws.ToString(in.message.Body)))
	log.Error(cause, "giving up a message that cannot be read", "receives", receiveCount(in.message),
		"sha256", hex.EncodeToString(sum[:]), "deadLetterQueue", moved)
	if moved {
		in.ledger.abandon(in.held, true) // the next receive moves it; there is nothing to wait for
		return
	}
	in.ledger.finish(in.held)
}

// missing says whether S3 answered that there is no such log file.
func missing(err error) bool { return control.IsCode(err, "NoSuchKey", "NoSuchBucket", "NotFound") }
