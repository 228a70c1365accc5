package cloud

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// What is kept of one event at most. GuardDuty's calls about members name up to 50 accounts (API reference, CreateMembers).
const (
	maxAccounts   = 100
	maxResources  = 10
	resourceLimit = 512
	actorLimit    = 128
	nameLimit     = 128
	roleLimit     = 1024
)

// record is a CloudTrail event as it stands in a log file and as the detail of an EventBridge message. Everything in it may be
// missing or of another type than documented ("CloudTrail record contents").
type record struct {
	EventID, EventSource, EventName, EventTime, EventCategory string
	AWSRegion, RecipientAccountID, RequestID, ErrorCode       string
	ReadOnly                                                  bool
	UserIdentity                                              identity
	RequestParameters, ResponseElements                       json.RawMessage
	ServiceEventDetails                                       json.RawMessage
	Resources                                                 json.RawMessage
}

// identity is the record's userIdentity.
type identity struct {
	Type, UserName, AccountID, ARN, InvokedBy, PrincipalID string
	SessionContext                                         struct {
		SessionIssuer struct{ Type, ARN string }
	}
	OnBehalfOf struct{ UserID string }
}

// origin is what a message or the name of a log file says of the events in it.
type origin struct {
	account, region, id string
	time                time.Time
}

// errNotAnEvent marks a record that lacks what makes an event.
var errNotAnEvent = errors.New("no CloudTrail event: it lacks a source, a name or an account")

// lenient reads JSON as far as its types are those expected: one wrongly typed field loses that field, not the rest.
func lenient(raw []byte, into any) error { return sound(json.Unmarshal(raw, into)) }

// sound is a decoder's error unless it only says that a value has another type: the rest was read nevertheless.
func sound(err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		return nil
	}
	return err
}

// event is what Plumbline needs of the record. What EventBridge or the log file's name says of its account goes before what
// stands in the record.
func (r *record) event(from origin) (Event, error) {
	e := Event{
		ID: bounded(firstOf(r.EventID, from.id)), Source: bounded(strings.TrimSuffix(r.EventSource, ".amazonaws.com")), Name: bounded(r.EventName),
		Region: firstOf(regionName(r.AWSRegion), regionName(from.region)), RequestID: bounded(r.RequestID),
		ErrorCode: bounded(r.ErrorCode), ReadOnly: r.ReadOnly, Time: from.time,
	}
	e.Account = firstOf(accountID(from.account), accountID(r.RecipientAccountID), accountID(r.UserIdentity.AccountID))
	if e.Source == "" || e.Name == "" || e.Account == "" {
		return Event{}, errNotAnEvent
	}
	if at, err := time.Parse(time.RFC3339, r.EventTime); err == nil {
		e.Time = at.UTC()
	}
	e.Actor, e.Role = r.UserIdentity.actor(e.Account), r.UserIdentity.role()
	if r.UserIdentity.Type != "AWSService" {
		e.Through = bounded(r.UserIdentity.InvokedBy)
	}
	r.concerned(&e)
	return e, nil
}

func bounded(s string) string { return control.Bounded(s, nameLimit) }

func firstOf(options ...string) string {
	for _, s := range options {
		if s != "" {
			return s
		}
	}
	return ""
}

// accountPattern and regionPattern are the forms of account ids and of regions in the kinds.
var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}$`)
)

// accountID is s if it is an account's id, else empty; regionName likewise.
func accountID(s string) string {
	if accountPattern.MatchString(s) {
		return s
	}
	return ""
}

func regionName(s string) string {
	if regionPattern.MatchString(s) {
		return s
	}
	return ""
}

// actor says who made the call, for people.
func (i *identity) actor(account string) string {
	_, afterAccount, _ := strings.Cut(i.ARN, "::")
	_, resource, _ := strings.Cut(afterAccount, ":")
	var who string
	switch {
	case i.Type == "Root":
		who = "root"
	case i.Type == "AWSService":
		return control.Bounded(firstOf(i.InvokedBy, "an AWS service"), actorLimit)
	case i.Type == "IdentityCenterUser" && i.OnBehalfOf.UserID != "":
		who = "identity-center-user/" + i.OnBehalfOf.UserID
	case resource != "":
		who = resource // assumed-role/Admin/alice, user/bob, federated-user/carol
	case i.UserName != "":
		who = "user/" + i.UserName
	default:
		who = firstOf(i.PrincipalID, i.Type)
	}
	if of := accountID(i.AccountID); of != "" && of != account {
		who = strings.TrimSpace(who + " of " + of)
	}
	if i.InvokedBy != "" {
		who = strings.TrimSpace(who + " through " + i.InvokedBy)
	}
	return control.Bounded(who, actorLimit)
}

// role is the ARN of the role behind a session. The session's own ARN has lost the role's path, so it serves only where the
// event names no issuer.
func (i *identity) role() string {
	issuer := i.SessionContext.SessionIssuer
	arn := issuer.ARN
	if issuer.Type != "Role" || arn == "" {
		parts := strings.SplitN(i.ARN, ":", 6)
		if i.Type != "AssumedRole" || len(parts) < 6 {
			return ""
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(parts[5], "assumed-role/"), "/")
		arn = "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + name
	}
	if len(arn) > roleLimit {
		return ""
	}
	return control.Bounded(arn, roleLimit)
}

// The request parameters that name what a call is about, as CloudTrail writes them.
var (
	resourceKeys = []string{
		"bucketName", "userName", "roleName", "groupName", "policyArn", "name", "trailName", "keyId", "targetKeyId", "aliasName", "detectorId",
		"serialNumber", "resourceId", "trailARN",
	}
	accountKeys = []string{"accountId", "accountIds", "adminAccountId", "resourceId"}
)

// concerned adds the accounts and resources that the record names.
func (r *record) concerned(e *Event) {
	var resources []map[string]json.RawMessage
	_ = lenient(r.Resources, &resources) // what cannot be read names nothing
	for _, one := range resources {
		e.addResource(firstOf(text(one["ARN"]), text(one["arn"])))
		e.addAccount(text(one["accountId"]))
	}
	for _, part := range []json.RawMessage{r.RequestParameters, r.ResponseElements, r.ServiceEventDetails} {
		fields := fieldsOf(part)
		for _, key := range resourceKeys {
			e.addResource(text(fields[key]))
		}
		e.addAccounts(fields)
		var details []json.RawMessage
		_ = lenient(fields["accountDetails"], &details)
		for _, one := range details {
			e.addAccounts(fieldsOf(one))
		}
		e.addAccounts(fieldsOf(fields["createAccountStatus"]))
		e.addResource(text(fieldsOf(fields["keyMetadata"])["arn"]))
		for _, made := range []string{"accessKey", "loginProfile"} {
			e.addResource(text(fieldsOf(fields[made])["userName"]))
		}
	}
	if e.Source == "iam" && slices.Contains(ofTheCaller, e.Name) && r.UserIdentity.Type == "IAMUser" && len(e.Resources) == 0 {
		e.addResource(r.UserIdentity.UserName)
	}
}

// ofTheCaller are the calls of IAM that change the credentials of the user who makes them where they name none ("If you do not
// specify a user name, IAM determines the user name implicitly", IAM API reference).
var ofTheCaller = []string{
	"CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "CreateLoginProfile", "DeleteLoginProfile",
}

// addAccounts adds the accounts that an object names.
func (e *Event) addAccounts(fields map[string]json.RawMessage) {
	for _, key := range accountKeys {
		var several []string
		if lenient(fields[key], &several) == nil {
			for _, one := range several {
				e.addAccount(one)
			}
		}
		e.addAccount(text(fields[key]))
	}
}

func (e *Event) addAccount(id string) {
	if accountID(id) != "" && id != e.Account && len(e.Accounts) < maxAccounts && !slices.Contains(e.Accounts, id) {
		e.Accounts = append(e.Accounts, id)
	}
}

func (e *Event) addResource(name string) {
	if name == "" || len(name) > resourceLimit || len(e.Resources) >= maxResources {
		return
	}
	if name = control.Bounded(name, resourceLimit); !slices.Contains(e.Resources, name) {
		e.Resources = append(e.Resources, name)
	}
}

// fieldsOf are the fields of an object; of anything else there are none.
func fieldsOf(raw json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	_ = lenient(raw, &fields)
	return fields
}

// text is a JSON string; of anything else it is empty.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
