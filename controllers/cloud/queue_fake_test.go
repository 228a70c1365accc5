package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

const queueURL = "https://sqs.eu-central-1.amazonaws.com/111122223333/plumbline-events"

// service is SQS and S3 as their references describe them, inside the SDK: long polls, visibility, receive counts, receipts that
// are good for the last receive only, redrive, batches that fail in part.
type service struct {
	mu       sync.Mutex
	messages map[string]*queued
	sent     int
	redrive  int
	dead     []string
	objects  map[string][]byte
	// home is the bucket's region, anywhere if empty; cut ends every body with an error. asked are the regions S3 was asked in.
	home  string
	cut   bool
	asked []string
	// failing are errors by operation; refused refuses that many entries of a deletion.
	failing map[string]error
	refused int
	calls   map[string]int
}

type queued struct {
	id, body string
	visible  time.Time
	receives int
}

func (s *service) send(bodies ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range bodies {
		s.sent++
		id := fmt.Sprintf("message-%04d", s.sent)
		s.messages[id] = &queued{id: id, body: body}
	}
}

// left are the messages in the queue with how often each was received.
func (s *service) left() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for id, m := range s.messages {
		all[id] = m.receives
	}
	return all
}

// visible are those that anybody would get now.
func (s *service) visible() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.messages {
		if !m.visible.After(time.Now()) {
			n++
		}
	}
	return n
}

func (s *service) fail(operation string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[operation] = err
}

func (s *service) called(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

func (s *service) config() aws.Config {
	return aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}, APIOptions: []func(*middleware.Stack) error{
		func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Service", func(
				ctx context.Context, in middleware.InitializeInput, _ middleware.InitializeHandler,
			) (middleware.InitializeOutput, middleware.Metadata, error) {
				out, err := s.answer(ctx, in.Parameters)
				return middleware.InitializeOutput{Result: out}, middleware.Metadata{}, err
			}), middleware.After)
		}}}
}

func (s *service) answer(ctx context.Context, in any) (any, error) {
	if in, ok := in.(*sqs.ReceiveMessageInput); ok {
		return s.receive(ctx, in)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch in := in.(type) {
	case *sqs.DeleteMessageBatchInput:
		return s.deleteBatch(in)
	case *sqs.ChangeMessageVisibilityBatchInput:
		return s.changeBatch(in)
	case *sqs.GetQueueAttributesInput:
		out := &sqs.GetQueueAttributesOutput{Attributes: map[string]string{}}
		if s.redrive > 0 {
			out.Attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn": "arn", "maxReceiveCount": "%d"}`, s.redrive)
		}
		return out, s.note("GetQueueAttributes")
	case *s3.GetObjectInput:
		if err := s.note("GetObject"); err != nil {
			return nil, err
		}
		s.asked = append(s.asked, awsmiddleware.GetRegion(ctx))
		if s.home != "" && s.home != awsmiddleware.GetRegion(ctx) {
			return nil, &smithyhttp.ResponseError{Err: &smithy.GenericAPIError{Code: "PermanentRedirect"}, Response: &smithyhttp.Response{
				Response: &http.Response{StatusCode: http.StatusMovedPermanently, Header: http.Header{"X-Amz-Bucket-Region": {s.home}}}}}
		}
		content, ok := s.objects[*in.Key]
		if !ok {
			return nil, &smithy.GenericAPIError{Code: "NoSuchKey", Message: "The specified key does not exist."}
		}
		var body io.Reader = bytes.NewReader(content)
		if s.cut {
			body = io.MultiReader(io.LimitReader(body, 20), iotest.ErrReader(io.ErrUnexpectedEOF))
		}
		return &s3.GetObjectOutput{Body: io.NopCloser(body)}, nil
	}
	return nil, fmt.Errorf("nobody answers %T", in)
}

func (s *service) note(operation string) error {
	s.calls[operation]++
	return s.failing[operation]
}

func (s *service) receive(ctx context.Context, in *sqs.ReceiveMessageInput) (any, error) {
	for end := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second); ; {
		out, err := s.poll(in)
		if err != nil || len(out.Messages) > 0 || !time.Now().Before(end) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *service) poll(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note("ReceiveMessage"); err != nil {
		return nil, err
	}
	out := &sqs.ReceiveMessageOutput{}
	for _, id := range slices.Sorted(maps.Keys(s.messages)) {
		m := s.messages[id]
		switch {
		case m.visible.After(time.Now()) || len(out.Messages) == int(in.MaxNumberOfMessages):
			continue
		case s.redrive > 0 && m.receives >= s.redrive:
			s.dead = append(s.dead, id)
			delete(s.messages, id)
			continue
		}
		m.receives++
		m.visible = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
		out.Messages = append(out.Messages, types.Message{MessageId: &m.id, Body: &m.body, ReceiptHandle: aws.String(m.receipt()),
			Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.receives)}})
	}
	return out, nil
}

func (m *queued) receipt() string { return fmt.Sprintf("%s/%d", m.id, m.receives) }

func (s *service) deleteBatch(in *sqs.DeleteMessageBatchInput) (any, error) {
	if err := s.note("DeleteMessageBatch"); err != nil {
		return nil, err
	}
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		m := s.held(*e.ReceiptHandle)
		switch {
		case m == nil:
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true})
		case s.refused > 0:
			s.refused--
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
		default:
			delete(s.messages, m.id)
			out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
		}
	}
	return out, nil
}

func (s *service) changeBatch(in *sqs.ChangeMessageVisibilityBatchInput) (any, error) {
	if err := s.note("ChangeMessageVisibilityBatch"); err != nil {
		return nil, err
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		m := s.held(*e.ReceiptHandle)
		if m == nil {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("MessageNotInflight"), SenderFault: true})
			continue
		}
		m.visible = time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func (s *service) held(receipt string) *queued {
	for _, m := range s.messages {
		if m.receipt() == receipt {
			return m
		}
	}
	return nil
}

// scene is a Queue at work on the service.
type scene struct {
	*service
	t     *testing.T
	queue *Queue
	stop  func()

	mu        sync.Mutex
	delivered []Delivery
	outcomes  map[string]int
	logged    []string
	// doneAtOnce: what is delivered is done.
	doneAtOnce bool
}

// play runs a test in time of its own: a minute in it takes no time.
func play(t *testing.T, test func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, outcomes: map[string]int{}, service: &service{
			messages: map[string]*queued{}, objects: map[string][]byte{}, failing: map[string]error{}, calls: map[string]int{}}}
		test(s)
		if s.stop != nil {
			s.stop()
		}
	})
}

func (s *scene) start(change ...func(*QueueOptions)) {
	s.t.Helper()
	o := QueueOptions{
		Clock:   time.Now,
		Wanted:  func(source, name string) bool { return source == "s3" && name == "PutBucketPolicy" },
		OwnRole: func(arn string) bool { return arn == "arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce" },
		Observe: func(outcome string, n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.outcomes[outcome] += n
		},
	}
	for _, c := range change {
		c(&o)
	}
	queue, err := NewQueue(s.config(), queueURL, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.queue = queue
	s.run()
}

func (s *scene) run() {
	ctx, cancel := context.WithCancel(logr.NewContext(s.t.Context(), funcr.New(func(_, args string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logged = append(s.logged, args)
	}, funcr.Options{})))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.queue.Run(ctx, s.deliver); err != nil {
			s.t.Error(err)
		}
	}()
	s.stop = func() {
		cancel()
		<-ended
		s.stop = nil
	}
}

func (s *scene) deliver(_ context.Context, d Delivery) {
	s.mu.Lock()
	s.delivered = append(s.delivered, d)
	atOnce := s.doneAtOnce
	s.mu.Unlock()
	if atOnce {
		d.Done()
	}
}

// after lets time pass and then everything that is due happen.
func (s *scene) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// deliveries are those so far; ids are their events'.
func (s *scene) deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.delivered)
}

func (s *scene) ids() []string {
	var all []string
	for _, d := range s.deliveries() {
		for _, e := range d.Events {
			all = append(all, e.ID)
		}
	}
	slices.Sort(all)
	return all
}

func (s *scene) counted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.outcomes)
}

// event is a message by EventBridge with an event of this id.
func (s *scene) event(id string) string {
	return eventBridge(apiCall, "aws.s3", with(s.t, putPolicy, map[string]any{"eventID": id}))
}

var errDenied = error(&smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"})

var errNoAnswer = errors.New("dial tcp: connection refused")
