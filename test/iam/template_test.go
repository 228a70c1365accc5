package iam

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The part of CloudFormation that member-roles.yaml uses is evaluated here: parameters, !Ref, !Equals, !And and !If. It tells
// which policies a role gets, and what a parameter takes.

// A template is member-roles.yaml as YAML, its functions as tags.
type template struct {
	Parameters map[string]struct {
		Default        string `yaml:"Default"`
		AllowedPattern string `yaml:"AllowedPattern"`
		MinLength      int    `yaml:"MinLength"`
		MaxLength      int    `yaml:"MaxLength"`
	} `yaml:"Parameters"`
	Conditions map[string]yaml.Node `yaml:"Conditions"`
	Resources  map[string]struct {
		Type       string `yaml:"Type"`
		Condition  string `yaml:"Condition"`
		Properties struct {
			RoleName          string      `yaml:"RoleName"`
			Path              string      `yaml:"Path"`
			ManagedPolicyName string      `yaml:"ManagedPolicyName"`
			ManagedPolicyArns []yaml.Node `yaml:"ManagedPolicyArns"`
		} `yaml:"Properties"`
	} `yaml:"Resources"`
}

func memberRoles(t *testing.T) template {
	t.Helper()
	var m template
	if err := yaml.Unmarshal([]byte(read(t, "config/iam/member-roles.yaml")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// An evaluation is a template with chosen parameters.
type evaluation struct {
	template
	t      *testing.T
	chosen map[string]string
}

func (e evaluation) parameter(name string) string {
	p, known := e.Parameters[name]
	if !known {
		e.t.Fatalf("there is no parameter %s", name)
	}
	if value, ok := e.chosen[name]; ok {
		return value
	}
	return p.Default
}

// text is the value of a string or a !Ref to a parameter.
func (e evaluation) text(n yaml.Node) string {
	if n.Tag == "!Ref" {
		return e.parameter(n.Value)
	}
	return n.Value
}

func (e evaluation) holds(n yaml.Node) bool {
	switch n.Tag {
	case "!Equals":
		return e.text(*n.Content[0]) == e.text(*n.Content[1])
	case "!And":
		return !slices.ContainsFunc(n.Content, func(part *yaml.Node) bool { return !e.holds(*part) })
	}
	e.t.Fatalf("line %d: %s is no condition that this test knows", n.Line, n.Tag)
	return false
}

func (e evaluation) condition(name string) bool {
	if name == "" {
		return true
	}
	n, known := e.Conditions[name]
	if !known {
		e.t.Fatalf("there is no condition %s", name)
	}
	return e.holds(n)
}

// attachedByTemplate are the names of the policies of each role that the template makes.
func attachedByTemplate(t *testing.T, chosen map[string]string) map[string][]string {
	t.Helper()
	e := evaluation{memberRoles(t), t, chosen}
	all := map[string][]string{}
	for _, r := range e.Resources {
		if r.Type != "AWS::IAM::Role" || !e.condition(r.Condition) {
			continue
		}
		var names []string
		for _, n := range r.Properties.ManagedPolicyArns {
			if n.Tag == "!If" {
				branch := 2
				if e.condition(n.Content[0].Value) {
					branch = 1
				}
				n = *n.Content[branch]
			}
			if n.Tag != "!Ref" {
				t.Fatalf("line %d: %s is no reference", n.Line, n.Value)
			}
			if n.Value == "AWS::NoValue" {
				continue
			}
			p := e.Resources[n.Value]
			if p.Type != "AWS::IAM::ManagedPolicy" || p.Properties.Path != "/plumbline/" || !e.condition(p.Condition) {
				t.Errorf("line %d: role %s refers to %s, which is not made", n.Line, r.Properties.RoleName, n.Value)
			}
			names = append(names, p.Properties.ManagedPolicyName)
		}
		if len(names) > policiesPerRole {
			t.Errorf("%s has %d policies; AWS allows %d", r.Properties.RoleName, len(names), policiesPerRole)
		}
		all[r.Properties.RoleName] = sorted(names)
	}
	return all
}

func TestWithEverythingChosenEveryPolicyIsAttached(t *testing.T) {
	chosen := map[string]string{}
	for name, p := range memberRoles(t).Parameters {
		if p.Default != "" {
			chosen[name] = "true"
		}
	}
	got := map[string]bool{}
	for _, names := range attachedByTemplate(t, chosen) {
		for _, name := range names {
			got[name] = true
		}
	}
	for name := range policies(t, "config/iam/policies") {
		if !got[name] {
			t.Errorf("no role gets %s", name)
		}
	}
}

// parameterCases are what the templates' parameters take and refuse. CloudFormation's name is first, Terraform's second.
var parameterCases = []struct {
	cloudFormation, terraform, value string
	fine                             bool
}{
	{"PrincipalARN", "principal_arn", "arn:aws:iam::123456789012:role/plumbline-manager", true},
	{"PrincipalARN", "principal_arn", "arn:aws-us-gov:iam::123456789012:role/platform/plumbline-manager", true},
	{"PrincipalARN", "principal_arn", "arn:aws-cn:iam::123456789012:user/plumbline", true},
	{"PrincipalARN", "principal_arn", "arn:aws:iam::123456789012:root", false},
	{"PrincipalARN", "principal_arn", "arn:aws:iam::123456789012:role/*", false},
	{"PrincipalARN", "principal_arn", "123456789012", false},
	{"PrincipalARN", "principal_arn", "*", false},
	{"PrincipalARN", "principal_arn", "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b", false},
	{"EnforcerARN", "enforcer_arn", "arn:aws:iam::123456789012:role/plumbline-enforcer", true},
	{"EnforcerARN", "enforcer_arn", "arn:aws:iam::123456789012:root", false},
	{"EnforcerARN", "enforcer_arn", "*", false},
	{"ExternalId", "external_id", "plumbline-example", true},
	{"ExternalId", "external_id", "x", false},
	{"ExternalId", "external_id", "with space", false},
	{"ExternalId", "external_id", strings.Repeat("x", 1225), false},
	{"OrganizationId", "organization_id", "o-exampleorgid", true},
	{"OrganizationId", "organization_id", "r-ab12", false},
	{"OrganizationId", "organization_id", "*", false},
}

func TestParametersOfTheTemplate(t *testing.T) {
	m := memberRoles(t)
	for _, c := range parameterCases {
		p := m.Parameters[c.cloudFormation]
		fine := regexp.MustCompile(p.AllowedPattern).MatchString(c.value) && len(c.value) >= p.MinLength &&
			(p.MaxLength == 0 || len(c.value) <= p.MaxLength)
		if fine != c.fine {
			t.Errorf("%s %.60q is taken: %t", c.cloudFormation, c.value, fine)
		}
	}
}
