// Package iam tests what stands under config: the policies and templates that hack/generate makes for AWS, against what the
// controls declare, against the IAM actions that AWS publishes, and in the emulator; and the manifests for the cluster, in a
// real API server.
package iam

import (
	"bufio"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// AWS's limits: characters of a managed policy without white space, of a service control policy with it, bytes of a
// CloudFormation template in a request, managed policies on one role.
const (
	policyLimit     = 6144
	scpLimit        = 5120
	templateLimit   = 51_200
	policiesPerRole = 10
)

// A policy is an IAM policy as it stands in a file.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    values
	NotAction values
	Resource  values
	Condition map[string]map[string]values
}

// values are one string or a list of them.
type values []string

func (v *values) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '[' {
		return json.Unmarshal(raw, (*[]string)(v))
	}
	var one string
	err := json.Unmarshal(raw, &one)
	*v = values{one}
	return err
}

// repository is the path of a file of the repository.
func repository(t *testing.T, name string) string {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(repository(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parsed reads a policy strictly.
func parsed(t *testing.T, text string) policy {
	t.Helper()
	var p policy
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("reading a policy: %v\n%s", err, text)
	}
	return p
}

// policies are the JSON files of a folder by their names without the ending.
func policies(t *testing.T, folder string) map[string]policy {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(repository(t, folder), "*.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no policies in %s: %v", folder, err)
	}
	all := map[string]policy{}
	for _, file := range found {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		all[name] = parsed(t, read(t, path.Join(folder, name+".json")))
	}
	return all
}

// allowed are the actions that a policy allows, sorted.
func (p policy) allowed() []string {
	var all []string
	for _, s := range p.Statement {
		if s.Effect == "Allow" {
			all = append(all, s.Action...)
		}
	}
	return sorted(all)
}

func sorted(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// size is what AWS counts of a managed policy.
func size(text string) int {
	return len(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
}

// short is a kind's name in the names of its policies.
func short(k control.Kind) string { return strings.ToLower(strings.TrimSuffix(k.Name, "Baseline")) }

// declared joins what the controls of a kind declare.
func declared(k control.Kind, of ...func(*control.Meta) []string) []string {
	var all []string
	for _, c := range k.Catalogue() {
		for _, list := range of {
			all = append(all, list(c.Meta)...)
		}
	}
	return sorted(all)
}

func reads(m *control.Meta) []string  { return m.Reads }
func writes(m *control.Meta) []string { return m.Writes }
func grants(m *control.Meta) []string { return m.Grants }

// A published action is one that AWS documents.
type publishedAction struct {
	level string
	keys  []string
}

// published reads the list of actions that hack/iam-actions keeps.
func published(t *testing.T) map[string]publishedAction {
	t.Helper()
	all := map[string]publishedAction{}
	for lines := bufio.NewScanner(strings.NewReader(read(t, "hack/iam-actions/actions.txt"))); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		action := publishedAction{level: columns[1]}
		if len(columns) > 2 {
			action.keys = strings.Split(columns[2], ",")
		}
		all[columns[0]] = action
	}
	return all
}
