package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// eventQueue is the queue that EventBridge would send to.
type eventQueue struct {
	api *sqs.Client
	url string
	// sent counts events, so that each has an id of its own.
	sent int
}

// makeEventQueue makes the queue in the management account, whose credentials the manager has.
func makeEventQueue(ctx context.Context) *eventQueue {
	GinkgoHelper()
	q := &eventQueue{api: sqs.NewFromConfig(shared.emulator.Config(management, virginia))}
	_, err := q.api.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("plumbline-events")})
	Expect(err).NotTo(HaveOccurred())
	// The emulator answers a URL of its own choosing; the manager is given one as AWS writes it, at the emulator's address.
	q.url = shared.emulator.URL + "/" + management + "/plumbline-events"
	return q
}

// anEvent is a call as CloudTrail tells of it.
type anEvent struct {
	source, name, account, region string
	// by is the session that made the call: role's path and name, and the session's. Default: role/Admin, alice.
	role, session string
	parameters    map[string]any
	requestID     string
	at            time.Time
	errorCode     string
}

// send sends an event as EventBridge does, and returns the body.
func (q *eventQueue) send(ctx context.Context, e anEvent) string {
	GinkgoHelper()
	q.sent++
	if e.role == "" {
		e.role, e.session = "Admin", "alice"
	}
	if e.requestID == "" {
		e.requestID = fmt.Sprintf("11111111-2222-3333-4444-%012d", q.sent)
	}
	if e.at.IsZero() {
		e.at = time.Now()
	}
	at := e.at.UTC().Format(time.RFC3339)
	detail := map[string]any{
		"eventVersion": "1.11", "eventID": fmt.Sprintf("aaaaaaaa-bbbb-cccc-dddd-%012d", q.sent), "eventTime": at,
		"eventSource": e.source + ".amazonaws.com", "eventName": e.name, "awsRegion": e.region, "recipientAccountId": e.account,
		"requestID": e.requestID, "requestParameters": e.parameters, "readOnly": false, "eventType": "AwsApiCall", "managementEvent": true,
		"userIdentity": map[string]any{
			"type": "AssumedRole", "accountId": e.account, "arn": "arn:aws:sts::" + e.account + ":assumed-role/" + e.role + "/" + e.session,
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{
				"type": "Role", "accountId": e.account, "arn": "arn:aws:iam::" + e.account + ":role/" + e.role, "userName": e.role,
			}},
		},
	}
	if e.errorCode != "" {
		detail["errorCode"] = e.errorCode
	}
	raw, err := json.Marshal(map[string]any{
		"version": "0", "id": fmt.Sprintf("eeeeeeee-0000-0000-0000-%012d", q.sent), "detail-type": "AWS API Call via CloudTrail",
		"source": "aws." + e.source, "account": e.account, "time": at, "region": e.region, "resources": []string{}, "detail": detail,
	})
	Expect(err).NotTo(HaveOccurred())
	q.put(ctx, string(raw))
	return string(raw)
}

// put sends a message as it is.
func (q *eventQueue) put(ctx context.Context, body string) {
	GinkgoHelper()
	_, err := q.api.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body})
	Expect(err).NotTo(HaveOccurred())
}

// left is how many messages are in the queue, those under way included.
func (q *eventQueue) left(ctx context.Context, g Gomega) string {
	out, err := q.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{
		sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}})
	g.Expect(err).NotTo(HaveOccurred())
	return out.Attributes["ApproximateNumberOfMessages"] + "+" + out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

// awaitEmpty waits until every message is done.
func (q *eventQueue) awaitEmpty(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) { g.Expect(q.left(ctx, g)).To(Equal("0+0")) }).WithContext(ctx).Should(Succeed())
}

// awaitEmptyAfterAll waits until every message is done, those included that somebody received who is no more: they come back,
// as they do from SQS when their visibility timeout is over.
func (q *eventQueue) awaitEmptyAfterAll(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(shared.emulator.ReturnMessages(ctx, management, virginia, "plumbline-events")).To(Succeed())
		g.Expect(q.left(ctx, g)).To(Equal("0+0"))
	}).WithContext(ctx).WithPolling(3 * time.Second).Should(Succeed())
}

// remove deletes the queue.
func (q *eventQueue) remove(ctx context.Context) {
	GinkgoHelper()
	_, err := q.api.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &q.url})
	Expect(err).NotTo(HaveOccurred())
}

// purge throws every message away.
func (q *eventQueue) purge(ctx context.Context) {
	GinkgoHelper()
	_, err := q.api.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &q.url})
	Expect(err).NotTo(HaveOccurred())
}
