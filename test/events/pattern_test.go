package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// patternLimit is EventBridge's quota for the characters of a pattern, unless it is raised.
const patternLimit = 2048

// patterns are those of the rules, by the names of their files.
func patterns(t *testing.T) map[string]map[string]any {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, "config/events/patterns/*.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no patterns: %v", err)
	}
	all := map[string]map[string]any{}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = object(t, string(text))
	}
	return all
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	return o
}

// matches evaluates the part of EventBridge's pattern language that the patterns use ("Amazon EventBridge event patterns"): every
// field named must be there and have one of the values; $or wants one of its patterns; values are compared exactly, by prefix
// or by suffix.
func matches(t *testing.T, pattern, event map[string]any) bool {
	t.Helper()
	for name, want := range pattern {
		switch want := want.(type) {
		case map[string]any:
			inner, ok := event[name].(map[string]any)
			if !ok || !matches(t, want, inner) {
				return false
			}
		case []any:
			one := func(w any) bool { return matchesValue(t, w, event, name) }
			if !slices.ContainsFunc(want, one) {
				return false
			}
		default:
			t.Fatalf("%s: %v is no part of a pattern", name, want)
		}
	}
	return true
}

func matchesValue(t *testing.T, want any, event map[string]any, name string) bool {
	t.Helper()
	filter, ok := want.(map[string]any)
	switch {
	case name == "$or":
		return matches(t, filter, event)
	case !ok:
		return event[name] == want
	case len(filter) != 1:
		t.Fatalf("%v is no filter", filter)
	}
	value, _ := event[name].(string)
	for operator, text := range filter {
		switch operator {
		case "prefix":
			return strings.HasPrefix(value, text.(string))
		case "suffix":
			return strings.HasSuffix(value, text.(string))
		}
		t.Fatalf("%s is no operator that this test knows", operator)
	}
	return false
}

// call is an event as EventBridge delivers it.
func call(source, name, role string, readOnly bool) string {
	return fmt.Sprintf(`{"version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.%[1]s", "account": "111122223333",
		"time": "2026-03-01T12:30:45Z", "region": "eu-west-1", "resources": [], "detail": {"eventVersion": "1.11", "eventSource": "%[1]s.amazonaws.com",
		"eventName": "%[2]s", "awsRegion": "eu-west-1", "readOnly": %[4]t, "requestParameters": {"eventName": "x"}, "userIdentity": {"type": "AssumedRole",
		"arn": "arn:aws:sts::111122223333:assumed-role/Admin/alice", "sessionContext": {"sessionIssuer": {"type": "Role", "arn": %[3]q}}}}}`,
		source, name, role, readOnly)
}

// matching are the names of the patterns that match.
func matching(t *testing.T, event string) []string {
	t.Helper()
	var names []string
	for name, p := range patterns(t) {
		if matches(t, p, object(t, event)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

const (
	admin   = "arn:aws:iam::111122223333:role/platform/Admin"
	enforce = "arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce"
)

func TestPatternsMatchEveryDeclaredEvent(t *testing.T) {
	n := 0
	for _, c := range controls.Catalogue() {
		for _, e := range c.Events {
			n++
			if got := matching(t, call(e.Source, e.Name, admin, false)); len(got) != 1 {
				t.Errorf("%s, declared by %s: matched by %v, want exactly one rule", e.Source+":"+e.Name, c.ID, got)
			}
		}
	}
	for _, name := range controllers.DiscoveryEvents {
		if got := matching(t, call("organizations", name, admin, false)); len(got) != 1 {
			t.Errorf("organizations:%s, after which the organization is read: matched by %v, want exactly one rule", name, got)
		}
	}
	if n < 50 {
		t.Errorf("only %d events", n)
	}
}

func TestPatterns(t *testing.T) {
	created := strings.NewReplacer("AWS API Call", "AWS Service Event").Replace(call("organizations", "CreateAccountResult", "", false))
	for sentence, c := range map[string]struct {
		event   string
		matched bool
	}{
		"an account that was made":                         {created, true},
		"an account that is moved":                         {call("organizations", "MoveAccount", admin, false), true},
		"a tag of an account":                              {call("organizations", "TagResource", admin, false), true},
		"anything that is changed with the enforce role":   {call("ec2", "RunInstances", enforce, false), true},
		"anything that is changed with the audit role":     {call("ec2", "RunInstances", strings.ReplaceAll(enforce, "Enforce", "Audit"), false), true},
		"not what is read with them":                       {call("ec2", "DescribeInstances", enforce, true), false},
		"not a role that is only called like them":         {call("ec2", "RunInstances", "arn:aws:iam::111122223333:role/PlumblineEnforce", false), false},
		"not a role under a longer path":                   {call("ec2", "RunInstances", "arn:aws:iam::111122223333:role/x/plumbline/PlumblineEnforce", false), false},
		"not an event that no control declares":            {call("ec2", "RunInstances", admin, false), false},
		"not another service's event of a declared name":   {call("sns", "TagResource", admin, false), false},
		"not an event that somebody else than AWS sends":   {strings.ReplaceAll(call("s3", "PutBucketPolicy", admin, false), `"aws.s3"`, `"my.s3"`), false},
		"not a service's own event":                        {strings.ReplaceAll(call("s3", "PutBucketPolicy", admin, false), "AWS API Call via CloudTrail", "Object Created"), false},
		"not an event that has the name in its parameters": {strings.ReplaceAll(call("s3", "ListBuckets", admin, true), `"eventName": "x"`, `"eventName": "PutBucketPolicy"`), false},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := matching(t, c.event); (len(got) > 0) != c.matched {
				t.Errorf("matched by %v", got)
			}
		})
	}
}

func TestPatternsFit(t *testing.T) {
	for name, p := range patterns(t) {
		var compact bytes.Buffer
		raw, err := json.Marshal(p)
		if err == nil {
			err = json.Compact(&compact, raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-12s %4d of %d", name, compact.Len(), patternLimit)
		if compact.Len() > patternLimit {
			t.Errorf("%s has %d characters; EventBridge allows %d", name, compact.Len(), patternLimit)
		}
	}
}
