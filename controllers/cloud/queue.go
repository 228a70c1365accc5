package cloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Figures of SQS's API (ReceiveMessage, DeleteMessageBatch): messages in one call and seconds of a long poll, both the most that
// it takes.
const (
	messagesPerCall = 10
	pollSeconds     = 20
)

const (
	// visibility is for how long a message that was received is not given to anybody again. It is extended while the message is
	// under way, so it only says how late a message comes back that was not.
	visibility = 2 * time.Minute
	// lastBackoff caps the wait after an error of the queue: 1 s, 2 s, 4 s, ... 1 min.
	lastBackoff = time.Minute
	// helpers is how many more calls ask for messages while there are plenty. One brings 10 messages in 10 to 30 ms from SQS in
	// the same region; from afar, in 130 ms, it would bring 75 a second and no more.
	helpers = 3
	// filesAtOnce is how many log files are read at a time. 5,000 accounts in 17 regions have at most 283 new ones a second (one
	// every 5 minutes each); S3 answers in some tens of milliseconds.
	filesAtOnce = 32
	// partSize is how many events a Delivery has at most.
	partSize = 100
	// defaultInFlight is MaxInFlight where it is not set.
	defaultInFlight = 1000
)

// What became of messages and events, as QueueOptions.Observe hears it.
const (
	// EventHandled: events that were delivered and are done.
	EventHandled = "handled"
	// EventForeign: events and messages that no control asks for, and events of the manager's own calls.
	EventForeign = "foreign"
	// EventDuplicate: events that were done before.
	EventDuplicate = "duplicate"
	// EventMalformed: messages and events that cannot be read, each time they come.
	EventMalformed = "malformed"
	// EventParked: messages given up: left to the dead-letter queue, or deleted where there is none.
	EventParked = "parked"
	// EventError: failed calls of the queue, and log files that could not be read this time.
	EventError = "error"
)

// QueueOptions say what a Queue is for.
type QueueOptions struct {
	// Clock tells the time. Needed.
	Clock func() time.Time
	// Wanted says whether an event of this source (without ".amazonaws.com") and name is to be delivered. Needed.
	Wanted func(source, name string) bool
	// OwnRole says whether a role, by its ARN with its path, is one of Plumbline's own. What is called with it is delivered,
	// whatever it is, but not what an AWS service does in its name: that call's own event tells. Nil: none is.
	OwnRole func(arn string) bool
	// Own says whether a request, by its id, was the manager's own: its event is passed over. Nil: it is not known, and what is
	// read with the roles is passed over, since the manager's own reads would be nearly all of it.
	Own func(requestID string) bool
	// Observe counts what became of messages and events, by the outcomes above. May be nil.
	Observe func(outcome string, n int)
	// MaxInFlight is how many messages are received and not done at most. Default: 1,000. Of their events at most ten times as
	// many are delivered and not done.
	MaxInFlight int
}

// Queue receives CloudTrail events from an SQS queue, whether EventBridge sends them or S3 and SNS say where the log files are.
type Queue struct {
	at      address
	options QueueOptions
	base    aws.Config
	logs    logs
	seen    seen
	health  health
	redrive redrive

	ledger ledger
	// files are the places for log files that are read.
	files *semaphore.Weighted
}

// NewQueue makes a Queue from its URL, which says the region and the account, and the manager's own configuration. Nothing is
// called yet.
func NewQueue(base aws.Config, url string, o QueueOptions) (*Queue, error) {
	at, err := addressOf(base, url)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil || o.Wanted == nil {
		return nil, errors.New("a queue needs a clock and a function that says which events are wanted")
	}
	if o.OwnRole == nil {
		o.OwnRole = func(string) bool { return false }
	}
	if o.Observe == nil {
		o.Observe = func(string, int) {}
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultInFlight
	}
	base = base.Copy()
	base.Region = at.region
	maxEvents := int64(max(10*o.MaxInFlight, partSize))
	return &Queue{
		at: at, options: o, base: base, logs: logs{base: base, queue: at, regions: map[string]string{}},
		ledger: ledger{slots: semaphore.NewWeighted(int64(o.MaxInFlight)), events: semaphore.NewWeighted(maxEvents)},
		files:  semaphore.NewWeighted(filesAtOnce),
	}, nil
}

// Health tells whether the queue works. With an error, since is when it began to fail; without, when SQS last answered, zero
// for never.
func (q *Queue) Health() (since time.Time, err error) { return q.health.state(q.options.Clock()) }

// Run receives messages and hands their events to deliver until ctx ends, then deletes what is done and gives back what is not.
// deliver is called from several goroutines at once; while it does not return, its message takes a place. Errors of the queue
// are told by Health and tried again; Run itself returns nil. It must not be called again while it runs.
func (q *Queue) Run(ctx context.Context, deliver func(context.Context, Delivery)) error {
	api := sqs.NewFromConfig(q.base)
	keeper := keeper{Queue: q, api: api, log: logr.FromContextOrDiscard(ctx)}
	var working sync.WaitGroup
	working.Go(func() { keeper.run(ctx) })
	// handle has messages worked out, and says whether there may be more at once.
	handle := func(messages []types.Message) (more bool) {
		for _, m := range messages {
			in := &incoming{Queue: q, api: api, message: m, held: q.ledger.add(m, q.options.Clock()), deliver: deliver}
			working.Go(func() { in.handle(ctx) })
		}
		return len(messages) == messagesPerCall
	}
	helping := semaphore.NewWeighted(helpers)
	var wait time.Duration
	for ctx.Err() == nil {
		messages, failed := q.receive(ctx, api)
		if wait = backoff(wait, failed); failed {
			pause(ctx, wait)
		}
		for more := handle(messages); more && helping.TryAcquire(1); {
			working.Go(func() {
				defer helping.Release(1)
				for ctx.Err() == nil {
					if messages, _ := q.receive(ctx, api); !handle(messages) {
						return
					}
				}
			})
		}
	}
	working.Wait()
	keeper.close(context.WithoutCancel(ctx))
	return nil
}

// backoff is the next wait: none after a success, else 1 s and twice as much each time, up to the cap.
func backoff(last time.Duration, failed bool) time.Duration {
	if !failed {
		return 0
	}
	return min(max(2*last, time.Second), lastBackoff)
}

// receive waits for places and then for messages, each of which takes one.
func (q *Queue) receive(ctx context.Context, api *sqs.Client) (messages []types.Message, failed bool) {
	n := min(messagesPerCall, q.options.MaxInFlight)
	if q.ledger.slots.Acquire(ctx, int64(n)) != nil {
		return nil, false // ctx has ended
	}
	defer func() { q.ledger.slots.Release(int64(n - len(messages))) }()
	out, err := api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.at.url, MaxNumberOfMessages: int32(n), WaitTimeSeconds: pollSeconds,
		VisibilityTimeout:           int32(visibility.Seconds()),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if ctx.Err() == nil {
		q.outcome(ctx, "ReceiveMessage", err)
	}
	if err != nil {
		return nil, true
	}
	return out.Messages[:min(n, len(out.Messages))], false
}

// managersRole is whom to allow a call to that was refused.
const managersRole = "the manager's own role"

// failed says which call of the queue failed and where, and which action is wanted for it: batches have none of their own.
func (q *Queue) failed(operation string, err error) error {
	return &control.CallError{
		Service: "SQS", Operation: operation, Action: "sqs:" + strings.TrimSuffix(operation, "Batch"),
		Account: q.at.account, Region: q.at.region, Role: managersRole, Err: err,
	}
}

// outcome keeps how an operation went. A failure is logged when it begins and when it ends.
func (q *Queue) outcome(ctx context.Context, operation string, err error) {
	log := logr.FromContextOrDiscard(ctx).WithValues("queue", q.at.name, "operation", operation)
	var call *control.CallError
	if err != nil && !errors.As(err, &call) {
		err = q.failed(operation, err)
	}
	if err != nil {
		q.options.Observe(EventError, 1)
	}
	switch changed := q.health.note(operation, err, q.options.Clock()); {
	case changed && err != nil:
		log.Error(err, "the event queue fails")
	case changed:
		log.Info("the event queue works again")
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// receiveCount is how often a message was received, at least once.
func receiveCount(m types.Message) int {
	n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		return 1
	}
	return n
}

// health keeps which operations fail.
type health struct {
	mu       sync.Mutex
	faults   map[string]fault
	answered time.Time
}

type fault struct {
	since, last time.Time
	err         error
}

// faultFor is how long a failure is told that did not come again. The queue itself is asked at least every minute; a log file
// that was refused may be the last that anybody speaks of.
const faultFor = time.Hour

// note keeps how an operation went and says whether that is new.
func (h *health) note(operation string, err error, now time.Time) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, failing := h.faults[operation]
	if err == nil {
		delete(h.faults, operation)
		h.answered = now
		return failing
	}
	if h.faults == nil {
		h.faults = map[string]fault{}
	}
	if !failing {
		before.since = now
	}
	h.faults[operation] = fault{since: before.since, last: now, err: err}
	return !failing || control.Code(before.err) != control.Code(err)
}

// state is the fault that lasts longest.
func (h *health) state(now time.Time) (time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var worst fault
	for operation, f := range h.faults {
		if now.Sub(f.last) > faultFor {
			delete(h.faults, operation)
			continue
		}
		if worst.err == nil || f.since.Before(worst.since) || f.since.Equal(worst.since) && f.err.Error() < worst.err.Error() {
			worst = f
		}
	}
	if worst.err != nil {
		return worst.since, worst.err
	}
	return h.answered, nil
}

// redrive keeps whether the queue has a dead-letter queue.
type redrive struct {
	mu       sync.Mutex
	asked    time.Time
	receives int
}

// redriveFor is how long an answer about the dead-letter queue is good.
const redriveFor = time.Hour

// lastReceive is at which receive a broken message is given up, and whether the queue then moves it by itself. An error means
// that it is not known.
func (q *Queue) lastReceive(ctx context.Context, api *sqs.Client) (n int, moved bool, err error) {
	q.redrive.mu.Lock()
	defer q.redrive.mu.Unlock()
	now := q.options.Clock()
	if q.redrive.asked.IsZero() || now.Sub(q.redrive.asked) > redriveFor {
		out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &q.at.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy}})
		q.outcome(ctx, "GetQueueAttributes", err)
		if err != nil {
			return 0, false, err
		}
		if q.redrive.receives, err = maxReceives(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]); err != nil {
			return 0, false, err
		}
		q.redrive.asked = now
	}
	if q.redrive.receives > 0 {
		return q.redrive.receives, true, nil
	}
	return receivesWithoutRedrive, false, nil
}

// receivesWithoutRedrive is at which receive a broken message is deleted where there is no dead-letter queue.
const receivesWithoutRedrive = 5

// maxReceives is the redrive policy's maxReceiveCount, a number or a string; 0 where there is no policy.
func maxReceives(policy string) (int, error) {
	if policy == "" {
		return 0, nil
	}
	fields := fieldsOf([]byte(policy))
	n, err := strconv.Atoi(firstOf(text(fields["maxReceiveCount"]), string(fields["maxReceiveCount"])))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("the queue's redrive policy has no maxReceiveCount")
	}
	return n, nil
}
