// Package events tests the event queue over the wire, against the emulator of AWS, and what hack/generate makes for it under
// config/events.
package events

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	tooling = "444455556666"
	region  = "eu-central-1"
)

// TestQueue receives from moto's SQS and reads from its S3, with the manager's code and nothing in between.
func TestQueue(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	e := startEmulator(ctx, t)
	base := e.Config(tooling, region)

	t.Run("a message is deleted when it is done; one that is not comes back", func(t *testing.T) {
		q := newQueue(ctx, t, base, "done", 5)
		q.send(ctx, t, bridged("done"), bridged("open"), `{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "trail"}`)
		first := q.run(ctx, t, func(id string) bool { return id == "done" })
		first.await(ctx, t, "done", "open")
		q.await(ctx, t, counts{inFlight: 1})
		first.stop()
		q.await(ctx, t, counts{visible: 1})
		second := q.run(ctx, t, func(string) bool { return true })
		second.await(ctx, t, "open")
		q.await(ctx, t, counts{})
		second.stop()
	})
	t.Run("a message that cannot be read ends in the dead-letter queue, the others do not wait for it", func(t *testing.T) {
		q := newQueue(ctx, t, base, "poison", 1)
		q.send(ctx, t, "hello", bridged("fine"), strings.Repeat("[", 200<<10))
		r := q.run(ctx, t, func(string) bool { return true })
		r.await(ctx, t, "fine")
		q.await(ctx, t, counts{dead: 2})
		r.stop()
	})
	t.Run("a log file is read from the bucket", func(t *testing.T) {
		q := newQueue(ctx, t, base, "log", 5)
		key := "AWSLogs/o-abcd123456/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1235Z_AbC123dEf.json.gz"
		putLog(ctx, t, base, "organization-trail", key, record("first"), record("second"))
		q.send(ctx, t, fmt.Sprintf(`{"Records": [{"eventSource": "aws:s3", "awsRegion": %q, "eventName": "ObjectCreated:Put",
			"s3": {"bucket": {"name": "organization-trail"}, "object": {"key": %q}}}]}`, region, key))
		r := q.run(ctx, t, func(string) bool { return true })
		r.await(ctx, t, "first", "second")
		q.await(ctx, t, counts{})
		r.stop()
	})
	t.Run("a queue that does not exist is told", func(t *testing.T) {
		q := queue{url: e.URL + "/" + tooling + "/none", base: base}
		r := q.run(ctx, t, nil)
		eventually(ctx, t, "Health tells", func() error {
			if _, err := r.queue.Health(); err == nil || !strings.Contains(err.Error(), "SQS ReceiveMessage in "+tooling+"/"+region) {
				return fmt.Errorf("health: %w", err)
			}
			return nil
		})
		r.stop()
	})
}

func startEmulator(ctx context.Context, t *testing.T) *stack.Emulator {
	t.Helper()
	e, err := stack.StartEmulator(ctx, stack.EmulatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func record(id string) string {
	return fmt.Sprintf(`{"eventID": %q, "eventSource": "s3.amazonaws.com", "eventName": "PutBucketPolicy", "awsRegion": "eu-west-1",
		"recipientAccountId": "111122223333", "eventTime": "2026-03-01T12:30:45Z"}`, id)
}

func bridged(id string) string {
	return fmt.Sprintf(`{"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.s3", "account": "111122223333",
		"region": "eu-west-1", "detail": %s}`, record(id))
}

func putLog(ctx context.Context, t *testing.T, base aws.Config, bucket, key string, records ...string) {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, `{"Records": [`+strings.Join(records, ",")+`]}`); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	api := s3.NewFromConfig(base, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{
		LocationConstraint: s3types.BucketLocationConstraint(base.Region)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(packed.Bytes()),
		ContentEncoding: aws.String("gzip"), ContentType: aws.String("application/json")}); err != nil {
		t.Fatal(err)
	}
}

// A queue is one of the emulator's with its dead-letter queue.
type queue struct {
	api       *sqs.Client
	base      aws.Config
	url, dead string
}

func newQueue(ctx context.Context, t *testing.T, base aws.Config, name string, receives int) queue {
	t.Helper()
	q := queue{api: sqs.NewFromConfig(base), base: base}
	dead, err := q.api.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-dead")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := q.api.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn": "arn:aws:sqs:%s:%s:%s-dead", "maxReceiveCount": %d}`, base.Region, tooling, name, receives)}})
	if err != nil {
		t.Fatal(err)
	}
	q.url, q.dead = aws.ToString(made.QueueUrl), aws.ToString(dead.QueueUrl)
	return q
}

func (q queue) send(ctx context.Context, t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := q.api.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
}

// counts are the numbers of messages that SQS tells.
type counts struct{ visible, inFlight, dead int }

func (q queue) await(ctx context.Context, t *testing.T, want counts) {
	t.Helper()
	eventually(ctx, t, fmt.Sprintf("the queue has %+v", want), func() error {
		var got counts
		for url, into := range map[string][2]*int{q.url: {&got.visible, &got.inFlight}, q.dead: {&got.dead, new(int)}} {
			out, err := q.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
				QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
			if err != nil {
				return err
			}
			for i, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
				if _, err := fmt.Sscan(out.Attributes[name], into[i]); err != nil {
					return err
				}
			}
		}
		if got != want {
			return fmt.Errorf("it has %+v", got)
		}
		return nil
	})
}

// A receiver is a cloud.Queue at work.
type receiver struct {
	queue *cloud.Queue
	stop  func()
	mu    sync.Mutex
	ids   []string
}

// run receives until stop is called; an event is done if done says so.
func (q queue) run(ctx context.Context, t *testing.T, done func(id string) bool) *receiver {
	t.Helper()
	made, err := cloud.NewQueue(q.base, q.url, cloud.QueueOptions{Clock: time.Now,
		Wanted: func(source, name string) bool { return source == "s3" && name == "PutBucketPolicy" }})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{queue: made}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- made.Run(ctx, func(_ context.Context, d cloud.Delivery) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, e := range d.Events {
				r.ids = append(r.ids, e.ID)
			}
			if done(d.Events[0].ID) {
				d.Done()
			}
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *receiver) await(ctx context.Context, t *testing.T, ids ...string) {
	t.Helper()
	eventually(ctx, t, fmt.Sprintf("%v are delivered", ids), func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := slices.Sorted(slices.Values(r.ids)); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
			return fmt.Errorf("delivered %v", got)
		}
		return nil
	})
}

// eventually waits until something holds.
func eventually(ctx context.Context, t *testing.T, sentence string, holds func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var last error
	for {
		if last = holds(); last == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not in time: %v", sentence, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
