package cloud

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// content is what one message of the queue holds: one event, or the names of log files with events in them, or neither, when
// the message is nothing for Plumbline.
type content struct {
	event *record
	from  origin
	files []logFile
}

// logFile is a CloudTrail log file in a bucket. An empty region is not known.
type logFile struct {
	bucket, key, region string
	from                origin
}

// maxLogFiles is how many log files one message may name. S3 names one, CloudTrail a few.
const maxLogFiles = 100

// The two kinds of EventBridge message that carry a CloudTrail management event: of calls, and of what a service did by itself,
// such as CreateAccountResult. Others (sign-ins, Insights, a service's own events) carry nothing that a control declares.
const (
	apiCall      = "AWS API Call via CloudTrail"
	serviceEvent = "AWS Service Event via CloudTrail"
)

// validationMessage is what CloudTrail sends to a topic to see whether it may.
const validationMessage = "CloudTrail validation message."

// message is the sum of the forms that a message has: EventBridge's event, SNS's envelope, S3's notification and its test, and
// CloudTrail's notification of log files.
type message struct {
	DetailType                string `json:"detail-type"`
	ID, Source, Account, Time string
	Region                    string
	Detail                    json.RawMessage

	Type, Message string

	Event   string
	Records []notification

	S3Bucket    string
	S3ObjectKey []string
}

// notification is one record of S3's event notification. Its key is encoded as in a URL.
type notification struct {
	EventSource, EventName, AWSRegion string
	S3                                struct {
		Bucket struct{ Name string }
		Object struct{ Key string }
	}
}

var errNoKnownForm = errors.New("neither an event of EventBridge nor a notification of S3 or CloudTrail")

// parse reads a message's body, as it is or in SNS's envelope. An error means that the message is broken, not that it is of
// another kind.
func parse(body string) (content, error) {
	m, known, err := readMessage(body)
	if err != nil || !known {
		return content{}, err
	}
	switch m.Type {
	case "Notification":
		if m, known, err = readMessage(m.Message); err != nil || !known {
			return content{}, err
		}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return content{}, nil // nobody follows an address that came in a message
	}
	return m.content()
}

// readMessage says with known whether the text is more than a courtesy.
func readMessage(text string) (m message, known bool, err error) {
	if strings.TrimSpace(text) == validationMessage {
		return m, false, nil
	}
	return m, true, lenient([]byte(text), &m)
}

func (m *message) content() (content, error) {
	switch {
	case m.DetailType != "":
		return m.fromEventBridge()
	case m.Event == "s3:TestEvent":
		return content{}, nil
	case len(m.Records) > 0 && len(m.Records) <= maxLogFiles:
		return m.fromS3()
	case m.S3Bucket != "" && len(m.S3ObjectKey) > 0 && len(m.S3ObjectKey) <= maxLogFiles:
		var c content
		for _, key := range m.S3ObjectKey {
			c.add(m.S3Bucket, key, "")
		}
		return c, nil
	}
	return content{}, errNoKnownForm
}

// fromEventBridge takes the event out. EventBridge lets nobody but AWS send with a source that begins with "aws.".
func (m *message) fromEventBridge() (content, error) {
	if m.DetailType != apiCall && m.DetailType != serviceEvent || !strings.HasPrefix(m.Source, "aws.") {
		return content{}, nil
	}
	c := content{event: &record{}, from: origin{account: m.Account, region: m.Region, id: m.ID}}
	if at, err := time.Parse(time.RFC3339, m.Time); err == nil {
		c.from.time = at.UTC()
	}
	return c, lenient(m.Detail, c.event)
}

func (m *message) fromS3() (content, error) {
	var c content
	for _, n := range m.Records {
		if n.EventSource == "" || n.EventName == "" {
			return content{}, errNoKnownForm
		}
		key, err := url.QueryUnescape(n.S3.Object.Key)
		if err != nil {
			return content{}, errors.New("the key of an object is not encoded as S3 does")
		}
		if n.EventSource == "aws:s3" && strings.HasPrefix(n.EventName, "ObjectCreated:") {
			c.add(n.S3.Bucket.Name, key, regionName(n.AWSRegion))
		}
	}
	return c, nil
}

// logKey is the name of a log file ("CloudTrail log file name format"): a prefix of the trail's, AWSLogs, for an organization's
// trail its id, account, CloudTrail, region, date, file. Digests, Insights and data of other services stand in folders of
// another name.
var logKey = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:o-[a-z0-9]+/)?([0-9]{12})/CloudTrail/([a-z0-9-]+)/[0-9]{4}/[0-9]{2}/[0-9]{2}/` +
	`[0-9]{12}_CloudTrail_[a-z0-9-]+_[0-9]{8}T[0-9]{4}Z_[A-Za-z0-9]+\.json\.gz$`)

// bucketName is the form of a bucket's name.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// add adds a log file. Other objects in the bucket are nothing for Plumbline.
func (c *content) add(bucket, key, region string) {
	if found := logKey.FindStringSubmatch(key); found != nil && bucketName.MatchString(bucket) {
		c.files = append(c.files, logFile{bucket: bucket, key: key, region: region, from: origin{account: found[1], region: found[2]}})
	}
}
