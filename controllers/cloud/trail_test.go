package cloud

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// putPolicy is an event as CloudTrail writes it, of an administrator's session.
const putPolicy = `{"eventVersion": "1.11", "userIdentity": {"type": "AssumedRole", "principalId": "AROAEXAMPLE:alice",
 "arn": "arn:aws:sts::111122223333:assumed-role/Admin/alice", "accountId": "111122223333",
 "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/platform/Admin", "userName": "Admin"}}},
 "eventTime": "2026-03-01T12:30:45Z", "eventSource": "s3.amazonaws.com", "eventName": "PutBucketPolicy", "awsRegion": "eu-west-1",
 "sourceIPAddress": "198.51.100.7", "userAgent": "[aws-cli]", "requestParameters": {"bucketName": "logs", "bucketPolicy": {"Version": "2012-10-17"}},
 "responseElements": null, "requestID": "REQ1", "eventID": "11111111-2222-3333-4444-555555555555", "readOnly": false,
 "resources": [{"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs"}], "eventType": "AwsApiCall",
 "managementEvent": true, "recipientAccountId": "111122223333", "eventCategory": "Management", "sharedEventID": "shared"}`

// putPolicyEvent is what there is to know of it.
func putPolicyEvent(change ...func(*Event)) Event {
	e := Event{
		ID: "11111111-2222-3333-4444-555555555555", Source: "s3", Name: "PutBucketPolicy", Account: "111122223333", Region: "eu-west-1",
		Resources: []string{"arn:aws:s3:::logs", "logs"}, Time: time.Date(2026, 3, 1, 12, 30, 45, 0, time.UTC), RequestID: "REQ1",
		Actor: "assumed-role/Admin/alice", Role: "arn:aws:iam::111122223333:role/platform/Admin",
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

// with changes a field of a record; a nil value takes it out.
func with(t *testing.T, text string, changes map[string]any) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if fields[name] = value; value == nil {
			delete(fields, name)
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// iamCall changes the event into a call of IAM by the user bob.
func iamCall(name, parameters, answer string) map[string]any {
	return map[string]any{
		"eventSource": "iam.amazonaws.com", "eventName": name, "resources": nil, "requestParameters": json.RawMessage(parameters),
		"responseElements": json.RawMessage(answer),
		"userIdentity":     map[string]any{"type": "IAMUser", "accountId": "111122223333", "userName": "bob", "arn": "arn:aws:iam::111122223333:user/bob"},
	}
}

// iamEvent is what there is to know of it.
func iamEvent(name string, resources ...string) Event {
	return putPolicyEvent(func(e *Event) {
		e.Source, e.Name, e.Actor, e.Role, e.Resources = "iam", name, "user/bob", "", resources
	})
}

func TestEventOfARecord(t *testing.T) {
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprintf("%012d", i)
	}
	for sentence, c := range map[string]struct {
		change map[string]any
		want   Event
	}{
		"a role session": {nil, putPolicyEvent()},
		"root": {map[string]any{"userIdentity": map[string]any{"type": "Root", "arn": "arn:aws:iam::111122223333:root", "accountId": "111122223333"}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "root", "" })},
		"a user of another account, in the account of the bucket": {map[string]any{"userIdentity": map[string]any{
			"type": "IAMUser", "arn": "arn:aws:iam::444455556666:user/team/bob", "accountId": "444455556666", "userName": "bob"}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "user/team/bob of 444455556666", "" })},
		"another account of which only the id is told": {map[string]any{"userIdentity": map[string]any{
			"type": "AWSAccount", "accountId": "444455556666", "principalId": "AIDAEXAMPLE"}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "AIDAEXAMPLE of 444455556666", "" })},
		"an AWS service": {map[string]any{"userIdentity": map[string]any{"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "cloudtrail.amazonaws.com", "" })},
		"a user through an AWS service": {map[string]any{"userIdentity": map[string]any{
			"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob", "accountId": "111122223333", "invokedBy": "cloudformation.amazonaws.com"}},
			putPolicyEvent(func(e *Event) {
				e.Actor, e.Role, e.Through = "user/bob through cloudformation.amazonaws.com", "", "cloudformation.amazonaws.com"
			})},
		"somebody of IAM Identity Center": {map[string]any{"userIdentity": map[string]any{
			"type": "IdentityCenterUser", "accountId": "111122223333", "onBehalfOf": map[string]any{"userId": "u-1"}}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "identity-center-user/u-1", "" })},
		"a session without its issuer: the role's path is lost": {map[string]any{"userIdentity": map[string]any{
			"type": "AssumedRole", "arn": "arn:aws-cn:sts::111122223333:assumed-role/Admin/alice", "accountId": "111122223333"}},
			putPolicyEvent(func(e *Event) { e.Role = "arn:aws-cn:iam::111122223333:role/Admin" })},
		"the caller's copy of a change in another account's bucket": {map[string]any{"resources": []any{
			map[string]any{"accountId": "444455556666", "ARN": "arn:aws:s3:::logs"}}},
			putPolicyEvent(func(e *Event) { e.Accounts = []string{"444455556666"} })},
		"a refused call": {map[string]any{"errorCode": "AccessDenied", "errorMessage": "User is not authorized"},
			putPolicyEvent(func(e *Event) { e.ErrorCode = "AccessDenied" })},
		"a call that reads": {map[string]any{"readOnly": true}, putPolicyEvent(func(e *Event) { e.ReadOnly = true })},
		"members in a call of GuardDuty's administrator": {map[string]any{"eventSource": "guardduty.amazonaws.com", "eventName": "UpdateMemberDetectors",
			"resources": nil, "requestParameters": map[string]any{"detectorId": "d1", "accountIds": []string{"222233334444", "333344445555", "222233334444"}}},
			putPolicyEvent(func(e *Event) {
				e.Source, e.Name, e.Resources = "guardduty", "UpdateMemberDetectors", []string{"d1"}
				e.Accounts = []string{"222233334444", "333344445555"}
			})},
		"members that are made": {map[string]any{"eventSource": "guardduty.amazonaws.com", "eventName": "CreateMembers", "resources": nil,
			"requestParameters": map[string]any{"detectorId": "d1", "accountDetails": []any{
				map[string]any{"accountId": "222233334444", "email": "hidden"}, map[string]any{"email": "hidden"}, "not an object"}}},
			putPolicyEvent(func(e *Event) {
				e.Source, e.Name, e.Resources, e.Accounts = "guardduty", "CreateMembers", []string{"d1"}, []string{"222233334444"}
			})},
		"an account that was made": {map[string]any{"eventSource": "organizations.amazonaws.com", "eventName": "CreateAccountResult", "resources": nil,
			"userIdentity": map[string]any{"invokedBy": "AWS Internal", "accountId": "111122223333"}, "requestParameters": nil,
			"serviceEventDetails": map[string]any{"createAccountStatus": map[string]any{"accountId": "222233334444", "state": "SUCCEEDED"}}},
			putPolicyEvent(func(e *Event) {
				e.Source, e.Name, e.Resources, e.Accounts = "organizations", "CreateAccountResult", nil, []string{"222233334444"}
				e.Actor, e.Role, e.Through = "through AWS Internal", "", "AWS Internal"
			})},
		"a key that was made": {map[string]any{"eventSource": "kms.amazonaws.com", "eventName": "CreateKey", "resources": nil, "requestParameters": nil,
			"responseElements": map[string]any{"keyMetadata": map[string]any{"arn": "arn:aws:kms:eu-west-1:111122223333:key/k"}}},
			putPolicyEvent(func(e *Event) {
				e.Source, e.Name, e.Resources = "kms", "CreateKey", []string{"arn:aws:kms:eu-west-1:111122223333:key/k"}
			})},
		"an access key that somebody makes for a user": {iamCall("CreateAccessKey", `{"userName": "carol"}`, `{"accessKey": {"userName": "carol"}}`),
			iamEvent("CreateAccessKey", "carol")},
		"one that a user makes: only the answer names the user": {iamCall("CreateAccessKey", "null", `{"accessKey": {"userName": "bob"}}`),
			iamEvent("CreateAccessKey", "bob")},
		"a user's own key that is activated: only the caller is named": {iamCall("UpdateAccessKey", `{"accessKeyId": "AKIAEXAMPLE", "status": "Active"}`, "null"),
			iamEvent("UpdateAccessKey", "bob")},
		"a password": {iamCall("CreateLoginProfile", `{"passwordResetRequired": true}`, `{"loginProfile": {"userName": "carol"}}`),
			iamEvent("CreateLoginProfile", "carol")},
		"a device that is taken away": {iamCall("DeactivateMFADevice", `{"userName": "carol", "serialNumber": "arn:aws:iam::111122223333:mfa/carol"}`, "null"),
			iamEvent("DeactivateMFADevice", "carol", "arn:aws:iam::111122223333:mfa/carol")},
		"what is not of the caller names nobody": {iamCall("UpdateAccountPasswordPolicy", `{"minimumPasswordLength": 6}`, "null"),
			iamEvent("UpdateAccountPasswordPolicy")},
		"ten thousand accounts are too many to be true": {map[string]any{"resources": nil, "requestParameters": map[string]any{"accountIds": many}},
			putPolicyEvent(func(e *Event) { e.Resources, e.Accounts = nil, many[:maxAccounts] })},
		"wrongly typed fields lose themselves, not the rest": {map[string]any{"requestParameters": "none", "resources": map[string]any{"ARN": 7},
			"readOnly": "true", "requestID": 7, "errorCode": []any{}, "userIdentity": []any{"alice"}, "serviceEventDetails": 3, "eventTime": "yesterday"},
			putPolicyEvent(func(e *Event) {
				e.Resources, e.RequestID, e.Actor, e.Role, e.Time = nil, "", "", "", time.Time{}
			})},
		"a session name chosen to mislead": {map[string]any{"userIdentity": map[string]any{"type": "IAMUser", "accountId": "111122223333",
			"userName": "x\x00\r\n\u202Egpj\u2028" + strings.Repeat("y", 1000)}},
			putPolicyEvent(func(e *Event) { e.Actor, e.Role = "user/x    gpj "+strings.Repeat("y", 111)+"…", "" })},
		"a name that is too long is left out, for a part of it would name something else": {map[string]any{"resources": nil,
			"requestParameters": map[string]any{"bucketName": strings.Repeat("b", resourceLimit+1), "userName": "bob"}},
			putPolicyEvent(func(e *Event) { e.Resources = []string{"bob"} })},
		"a region that is none": {map[string]any{"awsRegion": "<script>"}, putPolicyEvent(func(e *Event) { e.Region = "" })},
	} {
		t.Run(sentence, func(t *testing.T) {
			var r record
			if err := lenient([]byte(with(t, putPolicy, c.change)), &r); err != nil {
				t.Fatal(err)
			}
			got, err := r.event(origin{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARecordThatIsNoEvent(t *testing.T) {
	for sentence, change := range map[string]map[string]any{
		"without a source":   {"eventSource": nil},
		"without a name":     {"eventName": ""},
		"without an account": {"recipientAccountId": "ANONYMOUS", "userIdentity": nil},
	} {
		var r record
		if err := lenient([]byte(with(t, putPolicy, change)), &r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.event(origin{}); !errors.Is(err, errNotAnEvent) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

const (
	organizationLog = "trail/AWSLogs/o-abcd123456/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1235Z_AbC123dEf.json.gz"
	accountLog      = "AWSLogs/111122223333/CloudTrail/us-gov-west-1/2026/03/01/111122223333_CloudTrail_us-gov-west-1_20260301T1235Z_AbC123dEf.json.gz"
)

// sns puts a message into SNS's envelope.
func sns(t *testing.T, message string) string {
	return with(t, `{"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:trail", "Subject": "Amazon S3 Notification"}`,
		map[string]any{"Message": message})
}

func s3Notification(event, key string) string {
	return fmt.Sprintf(`{"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventName": %q,
		"s3": {"bucket": {"name": "trail-bucket", "arn": "arn:aws:s3:::trail-bucket"}, "object": {"key": %q, "size": 1024}}}]}`, event, key)
}

func eventBridge(detailType, source, detail string) string {
	return fmt.Sprintf(`{"version": "0", "id": "envelope", "detail-type": %q, "source": %q, "account": "111122223333",
		"time": "2026-03-01T12:30:50Z", "region": "eu-west-1", "resources": [], "detail": %s}`, detailType, source, detail)
}

func TestFormsOfMessages(t *testing.T) {
	from := origin{account: "111122223333", region: "eu-west-1"}
	file := logFile{bucket: "trail-bucket", key: organizationLog, region: "eu-west-1", from: from}
	byCloudTrail := fmt.Sprintf(`{"s3Bucket": "trail-bucket", "s3ObjectKey": [%q, %q]}`, organizationLog, accountLog)
	ofCloudTrail := []logFile{
		{bucket: "trail-bucket", key: organizationLog, from: from},
		{bucket: "trail-bucket", key: accountLog, from: origin{account: "111122223333", region: "us-gov-west-1"}},
	}
	for sentence, c := range map[string]struct {
		body  string
		event bool
		files []logFile
	}{
		"a call by EventBridge":                      {body: eventBridge(apiCall, "aws.s3", putPolicy), event: true},
		"a call by EventBridge through SNS":          {body: sns(t, eventBridge(apiCall, "aws.s3", putPolicy)), event: true},
		"a service's own doing by EventBridge":       {body: eventBridge(serviceEvent, "aws.organizations", putPolicy), event: true},
		"a sign-in by EventBridge":                   {body: eventBridge("AWS Console Sign In via CloudTrail", "aws.signin", putPolicy)},
		"an Insight by EventBridge":                  {body: eventBridge("AWS Insight via CloudTrail", "aws.s3", putPolicy)},
		"a forgery: no source of AWS":                {body: eventBridge(apiCall, "my.s3", putPolicy)},
		"S3's notification, raw":                     {body: s3Notification("ObjectCreated:Put", organizationLog), files: []logFile{file}},
		"S3's notification in SNS's envelope":        {body: sns(t, s3Notification("ObjectCreated:CompleteMultipartUpload", organizationLog)), files: []logFile{file}},
		"S3's notification with an encoded key":      {body: s3Notification("ObjectCreated:Put", strings.ReplaceAll(organizationLog, "trail/", "a+b%2Fc/")), files: []logFile{{bucket: "trail-bucket", key: strings.ReplaceAll(organizationLog, "trail/", "a b/c/"), region: "eu-west-1", from: from}}},
		"S3's notification of a deletion":            {body: s3Notification("ObjectRemoved:Delete", organizationLog)},
		"S3's notification of a digest":              {body: s3Notification("ObjectCreated:Put", strings.ReplaceAll(organizationLog, "CloudTrail/", "CloudTrail-Digest/"))},
		"S3's notification of Insights":              {body: s3Notification("ObjectCreated:Put", strings.ReplaceAll(organizationLog, "CloudTrail/", "CloudTrail-Insight/"))},
		"S3's notification of another service's log": {body: s3Notification("ObjectCreated:Put", "AWSLogs/111122223333/Config/eu-west-1/2026/3/1/ConfigHistory/x.json.gz")},
		"S3's test":                                               {body: `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-03-01T12:00:00.000Z","Bucket":"trail-bucket","RequestId":"R","HostId":"H"}`},
		"S3's test in SNS's envelope":                             {body: sns(t, `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"trail-bucket"}`)},
		"CloudTrail's notification, raw":                          {body: byCloudTrail, files: ofCloudTrail},
		"CloudTrail's notification in SNS's envelope":             {body: sns(t, byCloudTrail), files: ofCloudTrail},
		"CloudTrail's validation":                                 {body: sns(t, validationMessage)},
		"CloudTrail's validation, raw":                            {body: validationMessage},
		"SNS asking to confirm, which nobody does":                {body: `{"Type": "SubscriptionConfirmation", "SubscribeURL": "https://example.com/", "Message": "You have chosen to subscribe"}`},
		"an event without an id has that of EventBridge's":        {body: eventBridge(apiCall, "aws.s3", with(t, putPolicy, map[string]any{"eventID": nil})), event: true},
		"a bucket's name that is none, so that nobody is asked":   {body: strings.ReplaceAll(s3Notification("ObjectCreated:Put", organizationLog), `"trail-bucket"`, `"../trail"`)},
		"fields of other types beside those that matter are fine": {body: strings.Replace(eventBridge(apiCall, "aws.s3", putPolicy), `"resources": []`, `"resources": 7, "Type": 7`, 1), event: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := parse(c.body)
			if err != nil {
				t.Fatal(err)
			}
			if (got.event != nil) != c.event {
				t.Errorf("an event: %t", got.event != nil)
			}
			if diff := cmp.Diff(c.files, got.files, cmp.AllowUnexported(logFile{}, origin{})); diff != "" {
				t.Errorf("log files (-want +got):\n%s", diff)
			}
			if got.event == nil {
				return
			}
			want := putPolicyEvent()
			if strings.Contains(sentence, "without an id") {
				want.ID = "envelope"
			}
			e, err := got.event.event(got.from)
			if diff := cmp.Diff(want, e); diff != "" || err != nil {
				t.Errorf("event (-want +got), %v:\n%s", err, diff)
			}
		})
	}
}

func TestBrokenMessages(t *testing.T) {
	for sentence, body := range map[string]string{
		"nothing":                    "",
		"no JSON":                    "hello",
		"JSON that is cut":           putPolicy[:len(putPolicy)/2],
		"256 KiB of nesting":         strings.Repeat("[", 256<<10),
		"256 KiB of nested objects":  strings.Repeat(`{"detail":`, 25<<10),
		"an object of another kind":  `{"hello": "world"}`,
		"a string":                   `"hello"`,
		"an event without a detail":  `{"detail-type": "AWS API Call via CloudTrail", "source": "aws.s3"}`,
		"a detail that is no object": eventBridge(apiCall, "aws.s3", `"hello"`),
		"an envelope in an envelope": sns(t, sns(t, sns(t, s3Notification("ObjectCreated:Put", organizationLog)))),
		"no records":                 `{"Records": []}`,
		"records that are none":      `{"Records": [{}]}`,
		"a thousand log files":       `{"s3Bucket": "trail-bucket", "s3ObjectKey": [` + strings.Repeat(`"x",`, 1000) + `"x"]}`,
		"a key that is not encoded":  s3Notification("ObjectCreated:Put", "%zz"),
	} {
		t.Run(sentence, func(t *testing.T) {
			c, err := parse(body)
			if err == nil && c.event != nil {
				_, err = c.event.event(c.from)
			}
			if err == nil {
				t.Errorf("taken for %+v", c)
			}
		})
	}
}

// packed is a log file with the records.
func packed(t testing.TB, records ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, `{"Records": [`+strings.Join(records, ",")+`]}`); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadingALogFile(t *testing.T) {
	unpacked := []byte(`{"Records": [` + putPolicy + `]}`)
	whole := packed(t, putPolicy, putPolicy, putPolicy)
	large := `{"additionalEventData": "` + strings.Repeat("x", maxRecord/3) + `"}`
	for sentence, c := range map[string]struct {
		file  []byte
		names []string
		fails string
	}{
		"packed":                               {file: whole, names: []string{"PutBucketPolicy", "PutBucketPolicy", "PutBucketPolicy"}},
		"not packed":                           {file: unpacked, names: []string{"PutBucketPolicy"}},
		"without records":                      {file: packed(t)},
		"a record that is none":                {file: packed(t, putPolicy, `7`, `{"eventName": 7}`, putPolicy), names: []string{"PutBucketPolicy", "", "", "PutBucketPolicy"}},
		"a record that is too large":           {file: packed(t, putPolicy, `"`+strings.Repeat("x", maxRecord+1<<20)+`"`), names: []string{"PutBucketPolicy"}, fails: errTooLarge.Error()},
		"large records, each of which is fine": {file: packed(t, large, large, large, large, large), names: []string{"", "", "", "", ""}},
		"a file that was cut":                  {file: whole[:len(whole)-12], names: nil, fails: "unexpected EOF"},
		"a list that does not end":             {file: unpacked[:len(unpacked)-2], names: []string{"PutBucketPolicy"}, fails: "EOF"},
		"a file of another kind":               {file: []byte(`{"digestEndTime": "2026-03-01"}`), fails: "it is not"},
		"no file":                              {fails: "EOF"},
		"two files in one":                     {file: append(bytes.Clone(unpacked), unpacked...), names: []string{"PutBucketPolicy"}, fails: "something follows"},
		"not packed as it says":                {file: []byte{0x1f, 0x8b, 7}, fails: "unpacking"},
	} {
		t.Run(sentence, func(t *testing.T) {
			var names []string
			err := readLog(bytes.NewReader(c.file), func(r *record) error { names = append(names, r.EventName); return nil })
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error: %v, want %q", err, c.fails)
			}
			if diff := cmp.Diff(c.names, names, cmpopts.EquateEmpty()); diff != "" && sentence != "a file that was cut" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	for _, body := range []string{
		eventBridge(apiCall, "aws.s3", putPolicy), s3Notification("ObjectCreated:Put", organizationLog), putPolicy, validationMessage,
		`{"s3Bucket": "trail-bucket", "s3ObjectKey": ["` + organizationLog + `"]}`, `{"Service":"Amazon S3","Event":"s3:TestEvent"}`,
		`{"Type": "Notification", "Message": "{\"Records\": [{\"eventSource\": \"aws:s3\"}]}"}`, strings.Repeat("[", 1000),
		eventBridge(apiCall, "aws.guardduty", `{"eventSource": "guardduty.amazonaws.com", "eventName": "CreateMembers", "requestParameters":
			{"accountDetails": [{"accountId": "222233334444"}], "accountIds": ["1", 2]}, "resources": [{"ARN": 7}], "userIdentity": {"arn": ":::::"}}`),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, err := parse(body)
		if err != nil || c.event == nil {
			return
		}
		if e, err := c.event.event(c.from); err == nil {
			checkBounds(t, e)
		}
	})
}

func FuzzLogFile(f *testing.F) {
	f.Add([]byte(`{"Records": [` + putPolicy + `]}`))
	f.Add(packed(f, putPolicy, `7`))
	f.Fuzz(func(t *testing.T, file []byte) {
		_ = readLog(bytes.NewReader(file), func(r *record) error {
			if e, err := r.event(origin{account: "111122223333"}); err == nil {
				checkBounds(t, e)
			}
			return nil
		})
	})
}

// checkBounds is what everybody may rely on, whatever the event's maker has chosen.
func checkBounds(t *testing.T, e Event) {
	t.Helper()
	if !accountPattern.MatchString(e.Account) || e.Region != "" && !regionPattern.MatchString(e.Region) || e.Source == "" || e.Name == "" {
		t.Errorf("account %q, region %q, %q %q", e.Account, e.Region, e.Source, e.Name)
	}
	if len(e.Accounts) > maxAccounts || len(e.Resources) > maxResources {
		t.Errorf("%d accounts, %d resources", len(e.Accounts), len(e.Resources))
	}
	for _, id := range e.Accounts {
		if !accountPattern.MatchString(id) {
			t.Errorf("account %q", id)
		}
	}
	for _, s := range append([]string{e.ID, e.Source, e.Name, e.RequestID, e.Actor, e.Role, e.Through, e.ErrorCode}, e.Resources...) {
		if len(s) > roleLimit || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", s)
		}
	}
	if len(e.Actor) > actorLimit {
		t.Errorf("an actor of %d bytes", len(e.Actor))
	}
}

func BenchmarkLogFile(b *testing.B) {
	records := make([]string, 1000)
	for i := range records {
		records[i] = putPolicy
	}
	file := packed(b, records...)
	b.ReportAllocs()
	for b.Loop() {
		if err := readLog(bytes.NewReader(file), func(*record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func awsConfig(endpoint, region string) aws.Config {
	cfg := aws.Config{Region: region}
	if endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return cfg
}

func TestAddressOfAQueue(t *testing.T) {
	for url, want := range map[string]address{
		"https://sqs.eu-central-1.amazonaws.com/111122223333/plumbline-events":      {region: "eu-central-1", account: "111122223333", name: "plumbline-events"},
		"https://sqs.eu-central-1.amazonaws.com/111122223333/plumbline-events.fifo": {region: "eu-central-1", account: "111122223333", name: "plumbline-events.fifo"},
		"https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q":                    {region: "cn-north-1", account: "111122223333", name: "q"},
		"https://sqs-fips.us-gov-west-1.amazonaws.com/111122223333/q":               {region: "us-gov-west-1", account: "111122223333", name: "q"},
		"https://sqs.eu-west-1.api.aws/111122223333/q":                              {region: "eu-west-1", account: "111122223333", name: "q"},
		"https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com/111122223333/q":    {region: "eu-west-1", account: "111122223333", name: "q"},
		"https://eu-west-1.queue.amazonaws.com/111122223333/q":                      {region: "eu-west-1", account: "111122223333", name: "q"},
		"https://queue.amazonaws.com/111122223333/q":                                {region: "us-east-1", account: "111122223333", name: "q"},
	} {
		want.url = url
		got, err := addressOf(awsConfig("", "eu-north-1"), url)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(address{})); diff != "" || err != nil {
			t.Errorf("%s (-want +got), %v:\n%s", url, err, diff)
		}
	}
	for _, bad := range []string{
		"", "plumbline-events", "arn:aws:sqs:eu-central-1:111122223333:plumbline-events", "https://sqs.eu-central-1.amazonaws.com/plumbline-events",
		"http://sqs.eu-central-1.amazonaws.com/111122223333/q", "https://sqs.eu-central-1.amazonaws.com/111122223333/q?x=y",
		"https://sqs.eu-central-1.amazonaws.com.example.com/111122223333/q", "https://example.com/111122223333/q",
		"https://user:pass@sqs.eu-central-1.amazonaws.com/111122223333/q", "https://sqs.eu-central-1.amazonaws.com/1111/q",
		"https://sqs.eu-central-1.amazonaws.com/111122223333/q/r", "https://sqs..amazonaws.com/111122223333/q",
	} {
		if _, err := addressOf(awsConfig("", "eu-north-1"), bad); err == nil || !strings.Contains(err.Error(), "https://sqs.eu-central-1.amazonaws.com/111122223333/plumbline-events") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Run("with an endpoint of one's own the region is the configuration's", func(t *testing.T) {
		got, err := addressOf(awsConfig("http://localhost:5000", "eu-north-1"), "http://localhost:5000/111122223333/q")
		if err != nil || got.region != "eu-north-1" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := addressOf(awsConfig("http://localhost:5000", ""), "http://localhost:5000/111122223333/q"); err == nil {
			t.Error("a queue in no region")
		}
	})
}

func TestSeenIsBounded(t *testing.T) {
	var s seen
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range maxSeen + 1000 {
		s.add(fmt.Sprint(i), now.Add(time.Duration(i)*time.Millisecond))
	}
	if len(s.known) != maxSeen || len(s.ring) != maxSeen {
		t.Errorf("%d known, %d in the ring", len(s.known), len(s.ring))
	}
	last := now.Add((maxSeen + 999) * time.Millisecond)
	for id, want := range map[string]bool{"999": false, "1000": true, fmt.Sprint(maxSeen + 999): true, "": false} {
		if got := s.has(id, last); got != want {
			t.Errorf("%q is known: %t", id, got)
		}
	}
	if s.has(fmt.Sprint(maxSeen+999), last.Add(seenFor)) {
		t.Error("known for longer than it should be")
	}
}
