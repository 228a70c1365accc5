package scale

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's own checksum of a message
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// QueueURL is the event queue's, in the manager's own region and account.
const QueueURL = "https://sqs.eu-central-1.amazonaws.com/" + Manager + "/plumbline-events"

// queueLength bounds the event queue.
const queueLength = 20_000

// Send puts a message into the event queue, and says whether there was room. A message is received once: what is not deleted
// does not come again.
func (c *Cloud) Send(body string) bool {
	select {
	case c.messages <- body:
		return true
	default:
		return false
	}
}

// Messages is the number of messages that nobody has received.
func (c *Cloud) Messages() int { return len(c.messages) }

// sqs answers for the event queue.
func sqs(c *Cloud) {
	on(c, "SQS", func(_ Call, in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
		out := &awssqs.ReceiveMessageOutput{}
		for range max(in.MaxNumberOfMessages, 1) {
			select {
			case body := <-c.messages:
				out.Messages = append(out.Messages, message(c.received.Add(1), body))
			default:
				return out, nil
			}
		}
		return out, nil
	})
	on(c, "SQS", func(_ Call, in *awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
		out := &awssqs.DeleteMessageBatchOutput{}
		for _, e := range in.Entries {
			out.Successful = append(out.Successful, sqstypes.DeleteMessageBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
	on(c, "SQS", func(_ Call, in *awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
		out := &awssqs.ChangeMessageVisibilityBatchOutput{}
		for _, e := range in.Entries {
			out.Successful = append(out.Successful, sqstypes.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
	on(c, "SQS", func(Call, *awssqs.GetQueueAttributesInput) (*awssqs.GetQueueAttributesOutput, error) {
		return &awssqs.GetQueueAttributesOutput{Attributes: map[string]string{}}, nil
	})
}

func message(n int64, body string) sqstypes.Message {
	sum := md5.Sum([]byte(body)) //nolint:gosec // SQS's own checksum of a message
	id := strconv.FormatInt(n, 10)
	return sqstypes.Message{
		MessageId: &id, ReceiptHandle: &id, Body: &body, MD5OfBody: aws.String(hex.EncodeToString(sum[:])),
		Attributes: map[string]string{string(sqstypes.MessageSystemAttributeNameApproximateReceiveCount): "1"},
	}
}

// poll is how long a long poll waits for a first message.
const poll = 20 * time.Second

// await holds a long poll until there is a message.
func (c *Cloud) await(ctx context.Context, in any) error {
	if _, ok := in.(*awssqs.ReceiveMessageInput); !ok {
		return nil
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case body := <-c.messages:
		c.Send(body) // to be received by this call or another
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// EBSEvent is the message that EventBridge sends when somebody turns EBS encryption by default off.
func EBSEvent(n int, account, region string, at time.Time) string {
	when := at.UTC().Format(time.RFC3339)
	return fmt.Sprintf(`{"version":"0","id":"envelope-%[1]d","detail-type":"AWS API Call via CloudTrail","source":"aws.ec2",`+
		`"account":%[2]q,"time":%[4]q,"region":%[3]q,"resources":[],"detail":{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole",`+
		`"principalId":"AROAEXAMPLE:alice","arn":"arn:aws:sts::%[2]s:assumed-role/Admin/alice","accountId":%[2]q,"sessionContext":{`+
		`"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::%[2]s:role/Admin","accountId":%[2]q,"userName":"Admin"}}},"eventTime":%[4]q,`+
		`"eventSource":"ec2.amazonaws.com","eventName":"DisableEbsEncryptionByDefault","awsRegion":%[3]q,"requestID":"request-%[1]d",`+
		`"eventID":"event-%[1]d","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":%[2]q,`+
		`"eventCategory":"Management"}}`, n, account, region, when)
}
