package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
)

const (
	// keepEvery is how often the keeper looks: a message that is done is deleted at most that much later.
	keepEvery = time.Second
	// extendBefore is how long before a message would come back its visibility is extended.
	extendBefore = time.Minute
	// holdFor is how long a message is held that is never done. SQS allows 12 hours; one that nobody finishes is to be seen again
	// sooner, and its place is wanted.
	holdFor = 2 * time.Hour
	// deletions is how often the deletion of one message is tried before it is left to come back.
	deletions = 5
	// closeWithin is how long the end of Run takes at most.
	closeWithin = 5 * time.Second
)

// held is a message that was received and takes a place.
type held struct {
	receipt string
	// since is when it was received, until when it would be given to others.
	since, until time.Time
	// parts are those that are not done, the reading of the message itself among them; events are the places of their events.
	parts  int
	events int64
	tries  int
	state  heldState
}

type heldState int

const (
	// underWay: its visibility is extended.
	underWay heldState = iota
	// done: it is to be deleted.
	done
	// returning: others are to have it at once.
	returning
	// gone: it takes no place any more.
	gone
)

// ledger holds the messages that were received and are not done or not deleted.
type ledger struct {
	// slots are the places for messages, events those for events that were delivered and are not done.
	slots, events *semaphore.Weighted

	mu  sync.Mutex
	all map[*held]struct{}
}

// add enters a message whose place was taken before.
func (l *ledger) add(m types.Message, now time.Time) *held {
	h := &held{receipt: aws.ToString(m.ReceiptHandle), since: now, until: now.Add(visibility), parts: 1}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*held]struct{}{}
	}
	l.all[h] = struct{}{}
	return h
}

// begin waits for places for n events and says that a part of the message is under way; end gives them back.
func (l *ledger) begin(ctx context.Context, h *held, n int64) error {
	if err := l.events.Acquire(ctx, n); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h.parts++
	h.events += n
	return nil
}

func (l *ledger) end(h *held, n int64) {
	l.mu.Lock()
	if h.events >= n { // else they were taken back
		h.events -= n
		l.events.Release(n)
	}
	l.mu.Unlock()
	l.finish(h)
}

// finish says that a part of the message is done, or its reading. With the last of them the message is to be deleted.
func (l *ledger) finish(h *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.parts--; h.parts == 0 && h.state == underWay {
		h.state = done
	}
}

// abandon leaves a message to come back: at once, or when its visibility timeout is over.
func (l *ledger) abandon(h *held, atOnce bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.state != underWay {
		return
	}
	if h.state = returning; !atOnce {
		l.remove(h)
	}
}

// drop takes messages out; their places are free, those of their events as well: nobody waits for them any more.
func (l *ledger) drop(list ...*held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range list {
		l.events.Release(h.events)
		h.events = 0
		l.remove(h)
	}
}

func (l *ledger) remove(h *held) {
	if h.state == gone {
		return
	}
	h.state = gone
	delete(l.all, h)
	l.slots.Release(1)
}

// in are the messages of a state for which more holds, the oldest first.
func (l *ledger) in(s heldState, more func(*held) bool) []*held {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*held
	for h := range l.all {
		if h.state == s && more(h) {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *held) int { return a.since.Compare(b.since) })
	return list
}

func always(*held) bool { return true }

// keeper deletes what is done and extends what is under way.
type keeper struct {
	*Queue
	api *sqs.Client
	log logr.Logger
	// wait grows with every failure; nothing is called before next.
	wait time.Duration
	next time.Time
}

func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.keep(ctx)
		}
	}
}

func (k *keeper) keep(ctx context.Context) {
	now := k.options.Clock()
	if now.Before(k.next) {
		return
	}
	k.letGo(now)
	err := errors.Join(
		k.delete(ctx),
		k.extend(ctx, k.ledger.in(underWay, func(h *held) bool { return h.until.Sub(now) < extendBefore }), visibility),
		k.giveBack(ctx, k.ledger.in(returning, always)),
	)
	k.wait = backoff(k.wait, err != nil)
	k.next = now.Add(k.wait)
}

// letGo lets messages come back that were held for too long.
func (k *keeper) letGo(now time.Time) {
	old := k.ledger.in(underWay, func(h *held) bool { return now.Sub(h.since) >= holdFor })
	if len(old) > 0 {
		k.log.Info("messages were not done in time and will come back", "queue", k.at.name, "messages", len(old), "after", holdFor.String())
		k.ledger.drop(old...)
	}
}

// delete deletes what is done. One whole failure ends it: the rest would fail as well.
func (k *keeper) delete(ctx context.Context) error {
	for batch := range slices.Chunk(k.ledger.in(done, always), messagesPerCall) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(batch))
		for i, h := range batch {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &h.receipt}
		}
		out, err := k.api.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &k.at.url, Entries: entries})
		if err != nil {
			return k.report(ctx, "DeleteMessageBatch", err)
		}
		refused := refusals(out.Failed)
		for i, h := range batch {
			h.tries++
			if r, ok := refused[i]; !ok || r.SenderFault || h.tries >= deletions {
				k.ledger.drop(h) // deleted, or its receipt is good no more: then it comes back and is a duplicate
			}
		}
		if err := k.report(ctx, "DeleteMessageBatch", entryError(out.Failed)); err != nil {
			return err
		}
	}
	return nil
}

// extend sets for how long from now messages are not given to others.
func (k *keeper) extend(ctx context.Context, list []*held, by time.Duration) error {
	for batch := range slices.Chunk(list, messagesPerCall) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(batch))
		for i, h := range batch {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &h.receipt, VisibilityTimeout: int32(by.Seconds())}
		}
		out, err := k.api.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &k.at.url, Entries: entries})
		if err != nil {
			return k.report(ctx, "ChangeMessageVisibilityBatch", err)
		}
		refused := refusals(out.Failed)
		for i, h := range batch {
			if _, ok := refused[i]; !ok {
				h.until = k.options.Clock().Add(by)
			}
		}
		if err := k.report(ctx, "ChangeMessageVisibilityBatch", entryError(out.Failed)); err != nil {
			return err
		}
	}
	return nil
}

// giveBack lets others have messages at once. Where that fails they have them when their visibility timeout is over.
func (k *keeper) giveBack(ctx context.Context, list []*held) error {
	err := k.extend(ctx, list, 0)
	k.ledger.drop(list...)
	return err
}

// report keeps how a call went and hands its error on.
func (k *keeper) report(ctx context.Context, operation string, err error) error {
	if err == nil || ctx.Err() == nil {
		k.outcome(ctx, operation, err)
	}
	return err
}

// entryError is the first entry's failure that is the queue's fault: a receipt that is good no more is nobody's.
func entryError(failed []types.BatchResultErrorEntry) error {
	for _, f := range failed {
		if !f.SenderFault {
			return fmt.Errorf("%s for one of the messages", aws.ToString(f.Code))
		}
	}
	return nil
}

// refusals are the entries that failed, by their places in the batch.
func refusals(failed []types.BatchResultErrorEntry) map[int]types.BatchResultErrorEntry {
	all := map[int]types.BatchResultErrorEntry{}
	for _, f := range failed {
		if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil {
			all[i] = f
		}
	}
	return all
}

// close deletes what is done and gives back what is not, so that another manager has it at once.
func (k *keeper) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	err := k.delete(ctx)
	if err == nil {
		err = k.giveBack(ctx, append(k.ledger.in(underWay, always), k.ledger.in(returning, always)...))
	}
	if err != nil {
		k.log.Info("messages could not be deleted or given back and come back by themselves", "queue", k.at.name)
	}
	for s := underWay; s < gone; s++ {
		k.ledger.drop(k.ledger.in(s, always)...)
	}
}
