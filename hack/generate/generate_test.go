package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

// longPolicy is a policy that allows n actions with names of the same length, the last of them under a condition.
func longPolicy(n int) policy {
	var actions values
	for i := range n {
		actions = append(actions, fmt.Sprintf("s3:GetSomething%05d", i))
	}
	return policy{name: "enforce-s3", id: "EnforceS3", part: enforce, kind: "S3Baseline", document: documentOf(
		statement{Sid: "Read", Effect: "Allow", Action: actions, Resource: values{"*"}},
		statement{Sid: "PassRole", Effect: "Allow", Action: values{"iam:PassRole"}, Resource: values{"*"},
			Condition: map[string]map[string]values{"StringEquals": {"iam:PassedToService": {"cloudtrail.amazonaws.com"}}}},
	)}
}

func TestAPolicyThatIsTooLongIsCut(t *testing.T) {
	whole := longPolicy(600)
	parts := split(whole, policyLimit)
	var names, ids []string
	var actions values
	for _, p := range parts {
		if n := size(p.json()); n > policyLimit {
			t.Errorf("%s has %d characters", p.name, n)
		}
		if p.part != enforce || p.kind != "S3Baseline" {
			t.Errorf("%s is of part %s and kind %s", p.name, p.part, p.kind)
		}
		names, ids = append(names, p.name), append(ids, p.id)
		for _, s := range p.Statement {
			actions = append(actions, s.Action...)
		}
	}
	if diff := cmp.Diff([]string{"enforce-s3", "enforce-s3-2", "enforce-s3-3"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"EnforceS3", "EnforceS3Part2", "EnforceS3Part3"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(whole.Statement[0].Action, "iam:PassRole"), actions); diff != "" {
		t.Errorf("actions of all parts (-whole +parts):\n%s", diff)
	}
	last := parts[len(parts)-1].Statement
	if diff := cmp.Diff(whole.Statement[1], last[len(last)-1]); diff != "" {
		t.Errorf("the statement with a condition (-whole +part):\n%s", diff)
	}
}

func TestAPolicyThatFitsStaysWhole(t *testing.T) {
	whole := longPolicy(20)
	parts := split(whole, policyLimit)
	if len(parts) != 1 || parts[0].name != "enforce-s3" {
		t.Fatalf("cut into %d", len(parts))
	}
	if diff := cmp.Diff(whole.Statement, parts[0].Statement); diff != "" {
		t.Errorf("statements (-whole +part):\n%s", diff)
	}
}

func TestAnActionThatIsTooMuchNeedsAKnownService(t *testing.T) {
	for action := range limits {
		if strings.HasSuffix(action, "UserPolicy") {
			continue // the condition is on the guards, whatever the service
		}
		m := &control.Meta{ID: "sqs-something", Writes: []string{"sqs:SetQueueAttributes"}, Grants: []string{action}}
		if _, err := statementFor(m, action, "Grant", plain); err == nil || !strings.Contains(err.Error(), "sqs-something") {
			t.Errorf("%s for a service that is not known: %v", action, err)
		}
	}
}

func TestStatementsThatDifferInTheirActionsAreOne(t *testing.T) {
	allow := func(sid string, condition map[string]map[string]values, actions ...string) statement {
		return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: values{"*"}, Condition: condition}
	}
	first := map[string]map[string]values{"StringEquals": {"iam:PassedToService": {"a.amazonaws.com"}}}
	second := map[string]map[string]values{"StringEquals": {"iam:PassedToService": {"b.amazonaws.com"}}}
	got := merge([]statement{
		allow("Read", nil, "s3:GetBucketPolicy", "iam:GetRole"), allow("Write", nil, "s3:PutBucketVersioning"),
		allow("Grant", nil, "iam:GetRole"), allow("PassRole", first, "iam:PassRole"),
		allow("Write", nil, "s3:PutBucketTagging"), allow("PassRole", second, "iam:PassRole"),
	})
	want := []statement{
		allow("Read", nil, "s3:GetBucketPolicy", "iam:GetRole"), allow("Write", nil, "s3:PutBucketTagging", "s3:PutBucketVersioning"),
		allow("PassRole", first, "iam:PassRole"), allow("PassRole2", second, "iam:PassRole"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
}

func TestStringsKeepTheirMeaning(t *testing.T) {
	for in, want := range map[string][2]string{
		"s3:GetBucketPolicy": {`s3:GetBucketPolicy`, `"s3:GetBucketPolicy"`},
		"*":                  {`"*"`, `"*"`},
		"false":              {`"false"`, `"false"`},
		"user/${aws:username}": {
			`"user/${aws:username}"`, `"user/$${aws:username}"`},
		cloudFormation.iam("user/${aws:username}"): {
			`!Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:user/${!aws:username}"`, ""},
		terraform.iam("user/${aws:username}"): {
			"", `"arn:${local.partition}:iam::${local.account}:user/$${aws:username}"`},
	} {
		if got := yamlString(in); want[0] != "" && got != want[0] {
			t.Errorf("%s in YAML: %s, want %s", in, got, want[0])
		}
		if got := hclString(in); want[1] != "" && got != want[1] {
			t.Errorf("%s in HCL: %s, want %s", in, got, want[1])
		}
	}
}

func TestEveryControlHasASection(t *testing.T) {
	for _, k := range controls.Kinds() {
		sections := k.Sections()
		for _, c := range k.Catalogue() {
			if sections[c.ID] == "" {
				t.Errorf("no section of %s declares %s", k.Name, c.ID)
			}
		}
	}
}
