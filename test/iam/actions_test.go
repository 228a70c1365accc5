package iam

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

// named are all actions that the code and the policies name, each with where it stands. In a denial an action may be a
// pattern.
func named(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	add := func(where string, actions []string) {
		for _, a := range actions {
			all[a] = append(all[a], where)
		}
	}
	for _, c := range controls.Catalogue() {
		add("control "+c.ID, slices.Concat(c.Reads, c.Writes, c.Grants))
	}
	add("controllers/cloud/actions.go", cloud.Actions())
	add("cloud.SessionReads", cloud.SessionReads)
	add("cloud.DiscoveryReads", cloud.DiscoveryReads)
	for _, name := range []string{"central", "member", "trail-topic", "trail-queue"} {
		add("config/events/"+name+".yaml", actionsOf(t, "config/events/"+name+".yaml"))
	}
	for _, folder := range []string{"config/iam", "config/iam/policies", "config/events"} {
		for name, p := range policies(t, folder) {
			for _, s := range p.Statement {
				add(folder+"/"+name+".json", slices.Concat(s.Action, s.NotAction))
			}
		}
	}
	return all
}

func TestEveryActionIsOneThatAWSPublishes(t *testing.T) {
	known := published(t)
	services := map[string]bool{}
	for action := range known {
		service, _, _ := strings.Cut(action, ":")
		services[service] = true
	}
	everywhere := named(t)
	for _, action := range slices.Sorted(maps.Keys(everywhere)) {
		where := strings.Join(everywhere[action], ", ")
		service, _, _ := strings.Cut(action, ":")
		if action == "*" {
			continue // TestOnlyDenialsHaveWildcards
		}
		if !services[service] {
			t.Errorf("%s (%s): the list has nothing of %s; add it to SERVICES in hack/iam-actions/update.py", action, where, service)
			continue
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(a string) bool { return matches(action, a) }) {
			t.Errorf("%s (%s): AWS publishes no such action", action, where)
		}
	}
	for service := range services {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(everywhere)), func(a string) bool { return strings.HasPrefix(a, service+":") }) {
			t.Errorf("the list has actions of %s, which nothing names; take it out of SERVICES in hack/iam-actions/update.py", service)
		}
	}
}

// matches says whether an action is meant by a pattern, as IAM reads it.
func matches(pattern, action string) bool {
	match, err := path.Match(strings.ToLower(pattern), strings.ToLower(action))
	return err == nil && match
}

func TestAuditOnlyReads(t *testing.T) {
	known := published(t)
	for name, p := range policies(t, "config/iam/policies") {
		if !strings.HasPrefix(name, "audit-") && name != "read-organization" {
			continue
		}
		for _, action := range p.allowed() {
			if level := known[action].level; level != "Read" && level != "List" {
				t.Errorf("%s allows %s, whose access level is %q", name, action, level)
			}
		}
	}
}

func TestEveryKindMayDoWhatItsControlsDeclareAndNothingElse(t *testing.T) {
	files := policies(t, "config/iam/policies")
	accounted := map[string]bool{"deny-data": true, "audit-session": true, "read-organization": true}
	for _, k := range controls.Kinds() {
		t.Run("the audit policy of "+k.Name+" allows what its controls read", func(t *testing.T) {
			got := allowedBy(files, "audit-"+short(k), accounted)
			if diff := cmp.Diff(declared(k, reads), got); diff != "" {
				t.Errorf("actions (-declared +allowed):\n%s", diff)
			}
		})
		t.Run("the enforce policies of "+k.Name+" together allow what its controls read, write and need granted", func(t *testing.T) {
			got := sorted(slices.Concat(allowedBy(files, "enforce-"+short(k), accounted),
				allowedBy(files, "enforce-"+short(k)+"-policies", accounted)))
			want := declared(k, reads, writes, grants)
			if len(declared(k, writes)) == 0 {
				want = nil // nothing to enforce
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("actions (-declared +allowed):\n%s", diff)
			}
		})
	}
	for name := range files {
		if !accounted[name] {
			t.Errorf("%s.json belongs to no kind", name)
		}
	}
	for name, want := range map[string][]string{"audit-session": cloud.SessionReads, "read-organization": cloud.DiscoveryReads} {
		if diff := cmp.Diff(sorted(want), files[name].allowed()); diff != "" {
			t.Errorf("%s (-used +allowed):\n%s", name, diff)
		}
	}
}

// allowedBy joins what a policy allows that may be cut into NAME, NAME-2, and so on.
func allowedBy(files map[string]policy, name string, accounted map[string]bool) []string {
	var all []string
	for i := 1; ; i++ {
		part := name
		if i > 1 {
			part = fmt.Sprintf("%s-%d", name, i)
		}
		p, ok := files[part]
		if !ok {
			return sorted(all)
		}
		accounted[part] = true
		all = append(all, p.allowed()...)
	}
}

func TestNoControlDeclaresWhatIsDenied(t *testing.T) {
	denied := policies(t, "config/iam/policies")["deny-data"]
	for _, c := range controls.Catalogue() {
		for _, action := range slices.Concat(c.Reads, c.Writes, c.Grants, cloud.SessionReads, cloud.DiscoveryReads) {
			for _, pattern := range denied.Statement[0].Action {
				if matches(pattern, action) {
					t.Errorf("control %s declares %s, which deny-data denies (%s)", c.ID, action, pattern)
				}
			}
		}
	}
}

func TestDataAndSecretsAreDenied(t *testing.T) {
	denied := policies(t, "config/iam/policies")["deny-data"]
	if len(denied.Statement) != 1 || denied.Statement[0].Effect != "Deny" || len(denied.Statement[0].Condition) > 0 ||
		!slices.Equal(denied.Statement[0].Resource, values{"*"}) {
		t.Fatalf("deny-data must be one denial without conditions: %+v", denied)
	}
	for _, action := range []string{
		"s3:GetObject", "s3:GetObjectVersion", "secretsmanager:GetSecretValue", "ssm:GetParameter", "ssm:GetParametersByPath", "kms:Decrypt",
		"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan", "logs:GetLogEvents", "logs:FilterLogEvents",
		"sqs:ReceiveMessage", "lambda:GetFunction",
	} {
		if !slices.ContainsFunc(denied.Statement[0].Action, func(pattern string) bool { return matches(pattern, action) }) {
			t.Errorf("%s is not denied", action)
		}
	}
}
