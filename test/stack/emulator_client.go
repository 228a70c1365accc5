package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Request is one attempt of an AWS call that reached the emulator, as it stands in its log.
type Request struct {
	Seq        int             `json:"seq"`
	Time       time.Time       `json:"time"`
	Service    string          `json:"service"`
	Operation  string          `json:"operation"`
	Account    string          `json:"account"`
	Region     string          `json:"region"`
	Resource   string          `json:"resource"`
	Status     int             `json:"status"`
	ErrorCode  string          `json:"error_code"`
	RequestID  string          `json:"request_id"`
	UserAgent  string          `json:"user_agent"`
	Write      bool            `json:"write"`
	Executed   bool            `json:"executed"`
	Phase      string          `json:"phase"`
	Principal  string          `json:"principal"`
	AccessKey  string          `json:"access_key"`
	Rule       string          `json:"rule"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// String is one line for a test's message: operation, where, what came of it.
func (r Request) String() string {
	return fmt.Sprintf("#%d %s:%s account=%s region=%s resource=%q status=%d code=%s by %s", r.Seq, r.Service, r.Operation,
		r.Account, r.Region, r.Resource, r.Status, r.ErrorCode, r.Principal)
}

// A Query selects entries of the request log. The lists take globs; an empty one selects everything.
type Query struct {
	Since                                         int
	Service, Operation, Account, Region, Resource []string
	// Writes is nil for reads and writes.
	Writes *bool
	// Parameters adds each request's input.
	Parameters bool
}

func (q Query) values() url.Values {
	values := url.Values{"since": {strconv.Itoa(q.Since)}}
	for name, list := range map[string][]string{
		"service": q.Service, "operation": q.Operation, "account": q.Account, "region": q.Region, "resource": q.Resource,
	} {
		if len(list) > 0 {
			values.Set(name, strings.Join(list, ","))
		}
	}
	if q.Writes != nil {
		values.Set("write", strconv.FormatBool(*q.Writes))
	}
	if q.Parameters {
		values.Set("params", "1")
	}
	return values
}

// Requests returns the log's entries that the query selects, oldest first, and the largest sequence number given so far:
// the Since of the next question.
func (e *Emulator) Requests(ctx context.Context, query Query) (requests []Request, last int, err error) {
	var answer struct {
		Requests []Request `json:"requests"`
		Last     int       `json:"last"`
	}
	err = e.call(ctx, http.MethodGet, "requests?"+query.values().Encode(), nil, &answer)
	return answer.Requests, answer.Last, err
}

// ClearRequests empties the request log; sequence numbers go on.
func (e *Emulator) ClearRequests(ctx context.Context) error {
	return e.call(ctx, http.MethodDelete, "requests", nil, nil)
}

// An Action is what a rule does to the calls it matches.
type Action string

// The actions of rules.
const (
	// ActionError answers with an error, unexecuted.
	ActionError Action = "error"
	// ActionHoldBefore keeps the request, unexecuted, until it is released.
	ActionHoldBefore Action = "hold-before"
	// ActionHoldAfter executes, then keeps the answer until it is released.
	ActionHoldAfter Action = "hold-after"
	// ActionDelay waits, then goes on.
	ActionDelay Action = "delay"
	// ActionDropBefore closes the connection, unexecuted.
	ActionDropBefore Action = "drop-before"
	// ActionDropAfter executes, then closes the connection without an answer.
	ActionDropAfter Action = "drop-after"
	// ActionRewriteAccount answers AssumeRole with credentials of another account.
	ActionRewriteAccount Action = "rewrite-account"
)

// A Match selects calls; the lists take globs, and an empty one matches everything.
type Match struct {
	Service   []string `json:"service,omitempty"`
	Operation []string `json:"operation,omitempty"`
	Account   []string `json:"account,omitempty"`
	Region    []string `json:"region,omitempty"`
	Resource  []string `json:"resource,omitempty"`
	Role      []string `json:"role,omitempty"`
	AccessKey []string `json:"access_key,omitempty"`
}

// A Rule changes what happens to the calls it matches. The first rule that matches and is not used up serves a call.
type Rule struct {
	ID     string `json:"id,omitempty"`
	Match  Match  `json:"match"`
	Action Action `json:"action"`

	// Times is how many calls the rule serves, 0 for all; the first Skip matches pass it by.
	Times int `json:"times,omitempty"`
	Skip  int `json:"skip,omitempty"`

	// For ActionError. Code "auto" is the service's access-denied code, "throttle" its throttling code; Why chooses the
	// ending of the message of a denial: scp, identity, resource, session or boundary.
	Status     int     `json:"status,omitempty"`
	Code       string  `json:"code,omitempty"`
	Message    string  `json:"message,omitempty"`
	Why        string  `json:"why,omitempty"`
	RetryAfter float64 `json:"retry_after,omitempty"`

	// For ActionDelay.
	Seconds float64 `json:"seconds,omitempty"`
	// For ActionRewriteAccount.
	Account string `json:"account,omitempty"`

	// Hits is how many calls the rule has served; the emulator counts.
	Hits int `json:"hits,omitempty"`
}

// AddRule puts a rule behind those there are and returns its id.
func (e *Emulator) AddRule(ctx context.Context, rule Rule) (id string, err error) {
	rule.Hits = 0
	var answer struct {
		ID string `json:"id"`
	}
	err = e.call(ctx, http.MethodPost, "rules", rule, &answer)
	return answer.ID, err
}

// DeleteRule removes one rule and lets go of what it holds.
func (e *Emulator) DeleteRule(ctx context.Context, id string) error {
	return e.call(ctx, http.MethodDelete, "rules/"+url.PathEscape(id), nil, nil)
}

// DeleteRules removes all rules and lets go of what they hold.
func (e *Emulator) DeleteRules(ctx context.Context) error {
	return e.call(ctx, http.MethodDelete, "rules", nil, nil)
}

// Held is a call that a rule keeps waiting.
type Held struct {
	ID      string  `json:"id"`
	Rule    string  `json:"rule"`
	When    string  `json:"when"`
	Request Request `json:"request"`
}

// HeldCalls returns the calls that wait.
func (e *Emulator) HeldCalls(ctx context.Context) ([]Held, error) {
	var answer struct {
		Held []Held `json:"held"`
	}
	err := e.call(ctx, http.MethodGet, "held", nil, &answer)
	return answer.Held, err
}

// AwaitHeld waits until a rule holds a call and returns the first.
func (e *Emulator) AwaitHeld(ctx context.Context, rule string) (Held, error) {
	for {
		held, err := e.HeldCalls(ctx)
		if err != nil {
			return Held{}, err
		}
		for _, one := range held {
			if one.Rule == rule {
				return one, nil
			}
		}
		select {
		case <-ctx.Done():
			return Held{}, fmt.Errorf("waiting for a call to be held by %s: %w", rule, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Release lets a held call go on; with drop, its connection is closed without an answer instead.
func (e *Emulator) Release(ctx context.Context, id string, drop bool) error {
	body := struct {
		Drop bool `json:"drop"`
	}{drop}
	return e.call(ctx, http.MethodPost, "held/"+url.PathEscape(id)+"/release", body, nil)
}

// A Session is one successful AssumeRole.
type Session struct {
	Account     string `json:"account"`
	Role        string `json:"role"`
	RoleARN     string `json:"role_arn"`
	SessionName string `json:"session_name"`
	ExternalID  string `json:"external_id"`
	Duration    int    `json:"duration"`
	Policy      string `json:"policy"`
	AccessKey   string `json:"access_key"`
	ARN         string `json:"arn"`
	By          string `json:"by"`
}

// Sessions returns every role session given out, oldest first.
func (e *Emulator) Sessions(ctx context.Context) ([]Session, error) {
	var answer struct {
		Sessions []Session `json:"sessions"`
	}
	err := e.call(ctx, http.MethodGet, "sessions", nil, &answer)
	return answer.Sessions, err
}

// SetState sets what no AWS API can set, for everything or, with the key "account", for one account. The keys are listed
// in test/emulator/README.md; an unknown one is an error.
func (e *Emulator) SetState(ctx context.Context, settings ...map[string]any) error {
	return e.call(ctx, http.MethodPost, "state", settings, nil)
}

// ReturnMessages makes the messages of an SQS queue that were received and not deleted visible again, as SQS does when their
// visibility timeout is over.
func (e *Emulator) ReturnMessages(ctx context.Context, account, region, queue string) error {
	return e.call(ctx, http.MethodPost, "messages/return", map[string]string{"account": account, "region": region, "queue": queue}, nil)
}

// Reset empties the emulator: accounts, log, rules, state and sessions.
func (e *Emulator) Reset(ctx context.Context) error {
	return e.call(ctx, http.MethodPost, "reset", nil, nil)
}

// call reaches one control endpoint. Its error carries what the emulator says.
func (e *Emulator) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("writing a request to the emulator: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, e.Proxy+"/plumbline/"+path, body)
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s /plumbline/%s: the emulator answered %s: %s", method, path, answer.Status, content)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("%s /plumbline/%s: reading the emulator's answer: %w", method, path, err)
	}
	return nil
}
