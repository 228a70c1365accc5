package iam

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	plumblineiam "github.com/plumbline-dev/plumbline/controllers/controls/iam"
)

// The Terraform module is parsed and its locals are evaluated with the functions that they use. Terraform itself checks a
// module only with the provider's schema, which has to be fetched.

// functions are those of Terraform that the module uses.
var functions = map[string]function.Function{
	"alltrue":    allTrue,
	"can":        tryfunc.CanFunc,
	"contains":   stdlib.ContainsFunc,
	"join":       stdlib.JoinFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"length":     stdlib.StrlenFunc, // the module asks for the length of strings only
	"regex":      stdlib.RegexFunc,
	"setunion":   stdlib.SetUnionFunc,
	"tolist":     stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
	"toset":      stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
}

var allTrue = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		for _, v := range args[0].AsValueSlice() {
			if v.False() {
				return cty.False, nil
			}
		}
		return cty.True, nil
	},
})

// A module is a folder of Terraform: the bodies of its blocks by type and labels, "variable.enforce".
type module map[string]*hclsyntax.Body

func terraformModule(t *testing.T) module {
	t.Helper()
	files, err := filepath.Glob(repository(t, "config/iam/terraform/*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Terraform: %v", err)
	}
	parser, all := hclparse.NewParser(), module{}
	for _, file := range files {
		f, problems := parser.ParseHCLFile(file)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		for _, block := range f.Body.(*hclsyntax.Body).Blocks {
			name := strings.Join(append([]string{block.Type}, block.Labels...), ".")
			if block.Type == "locals" {
				name += "." + filepath.Base(file)
			}
			if all[name] != nil {
				t.Errorf("%s stands twice", name)
			}
			all[name] = block.Body
		}
	}
	return all
}

// evaluate works out the module's locals for some variables, in a partition and an account.
func (m module) evaluate(t *testing.T, partition, account string, variables map[string]cty.Value) map[string]cty.Value {
	t.Helper()
	locals := map[string]cty.Value{}
	context := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"var": cty.ObjectVal(variables),
		"data": cty.ObjectVal(map[string]cty.Value{
			"aws_partition":       current("partition", partition),
			"aws_caller_identity": current("account_id", account),
		}),
	}}
	waiting := map[string]hcl.Expression{}
	for name, body := range m {
		if strings.HasPrefix(name, "locals.") {
			for local, attribute := range body.Attributes {
				waiting[local] = attribute.Expr
			}
		}
	}
	for len(waiting) > 0 {
		before := len(waiting)
		for name, expression := range waiting {
			if !ready(expression, locals) {
				continue
			}
			context.Variables["local"] = cty.ObjectVal(locals)
			value, problems := expression.Value(context)
			if problems.HasErrors() {
				t.Fatalf("local.%s: %v", name, problems)
			}
			locals[name] = value
			delete(waiting, name)
		}
		if len(waiting) == before {
			t.Fatalf("locals that cannot be worked out: %v", slices.Sorted(maps.Keys(waiting)))
		}
	}
	return locals
}

func current(attribute, value string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(map[string]cty.Value{attribute: cty.StringVal(value)})})
}

// ready says whether every local that an expression names is worked out.
func ready(expression hcl.Expression, locals map[string]cty.Value) bool {
	for _, variable := range expression.Variables() {
		if variable.RootName() != "local" {
			continue
		}
		if attribute, ok := variable[1].(hcl.TraverseAttr); !ok || locals[attribute.Name].IsNull() {
			return false
		}
	}
	return true
}

func setOf(names ...string) cty.Value {
	var values []cty.Value
	for _, name := range names {
		values = append(values, cty.StringVal(name))
	}
	if values == nil {
		return cty.SetValEmpty(cty.String)
	}
	return cty.SetVal(values)
}

func namesOf(set cty.Value) []string {
	var names []string
	for _, v := range set.AsValueSlice() {
		names = append(names, v.AsString())
	}
	return sorted(names)
}

// variablesOf are the module's variables with these set and the others at their defaults.
func (m module) variablesOf(t *testing.T, set map[string]cty.Value) map[string]cty.Value {
	t.Helper()
	all := map[string]cty.Value{
		"principal_arn": cty.StringVal(manager), "external_id": cty.StringVal(externalID), "organization_id": cty.StringVal("o-exampleorgid"),
	}
	for name, body := range m {
		variable, ok := strings.CutPrefix(name, "variable.")
		if !ok || body.Attributes["default"] == nil {
			continue
		}
		value, problems := body.Attributes["default"].Expr.Value(nil)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		if variable == "enforcer_arn" {
			value = cty.NullVal(cty.String)
		}
		if variable == "enforce_kinds" {
			value = cty.NullVal(cty.Set(cty.String))
		}
		if variable == "policy_writing_kinds" {
			value = setOf()
		}
		all[variable] = value
	}
	maps.Copy(all, set)
	return all
}

func TestTerraformMakesTheSameAsCloudFormation(t *testing.T) {
	m := terraformModule(t)
	for sentence, c := range map[string]struct {
		terraform      map[string]cty.Value
		cloudFormation map[string]string
	}{
		"without enforce": {},
		"with enforce": {
			map[string]cty.Value{"enforce": cty.True}, map[string]string{"Enforce": "true"},
		},
		"with other kinds, policies and the organization": {
			map[string]cty.Value{"enforce": cty.True, "read_organization": cty.True,
				"enforce_kinds": setOf("CloudTrailBaseline", "S3Baseline"), "policy_writing_kinds": setOf("S3Baseline")},
			map[string]string{"Enforce": "true", "ReadOrganization": "true", "EnforceCloudTrail": "true", "EnforceS3Policies": "true",
				"EnforceIAM": "false", "EnforceGuardDuty": "false", "EnforceEncryption": "false"},
		},
		"with kinds and policies but without enforce": {
			map[string]cty.Value{"enforce_kinds": setOf("S3Baseline"), "policy_writing_kinds": setOf("S3Baseline")},
			map[string]string{"EnforceS3Policies": "true"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			locals := m.evaluate(t, "aws", "111122223333", m.variablesOf(t, c.terraform))
			got := map[string][]string{"PlumblineAudit": namesOf(locals["audit_policies"])}
			if enforce := namesOf(locals["enforce_policies"]); len(enforce) > 0 {
				got["PlumblineEnforce"] = enforce
			}
			if diff := cmp.Diff(attachedByTemplate(t, c.cloudFormation), got); diff != "" {
				t.Errorf("policies by role (-CloudFormation +Terraform):\n%s", diff)
			}
		})
	}
}

func TestTerraformPoliciesAreTheJSONFiles(t *testing.T) {
	m := terraformModule(t)
	for partition, account := range map[string]string{"aws": "111122223333", "aws-us-gov": "444455556666"} {
		locals := m.evaluate(t, partition, account, m.variablesOf(t, nil))
		files := policies(t, "config/iam/policies")
		for it := locals["policies"].ElementIterator(); it.Next(); {
			key, value := it.Element()
			name, document := key.AsString(), value.GetAttr("document").AsString()
			file := "config/iam/policies/" + name + ".json"
			if strings.HasPrefix(name, "mfa-guard") {
				file = "config/iam/" + name + ".json"
			}
			want := read(t, file)
			if !strings.HasPrefix(name, "mfa-guard") {
				want = strings.ReplaceAll(want, "arn:aws:iam::*:", "arn:aws:iam::"+account+":")
			}
			if diff := cmp.Diff(parsed(t, strings.ReplaceAll(want, "arn:aws:", "arn:"+partition+":")), parsed(t, document)); diff != "" {
				t.Errorf("%s in %s (-file +Terraform):\n%s", name, partition, diff)
			}
			if n := size(document); n > policyLimit {
				t.Errorf("%s has %d characters; AWS allows %d", name, n, policyLimit)
			}
			delete(files, name)
		}
		if len(files) > 0 {
			t.Errorf("Terraform lacks %v", slices.Sorted(maps.Keys(files)))
		}
		if got := len(namesOf(locals["guards"])); got != len(plumblineiam.Guards) {
			t.Errorf("Terraform makes %d guards", got)
		}
	}
}

func TestTerraformTrustIsCloudFormations(t *testing.T) {
	m := terraformModule(t)
	for sentence, c := range map[string]struct {
		variables map[string]cty.Value
		trusted   map[string][]any
	}{
		"one manager": {nil, map[string][]any{"audit": {manager}, "enforce": {manager}}},
		"separate hands": {
			map[string]cty.Value{"enforcer_arn": cty.StringVal(enforcer)}, map[string][]any{"audit": {manager, enforcer}, "enforce": {enforcer}},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			trust := m.evaluate(t, "aws", "111122223333", m.variablesOf(t, c.variables))["trust"]
			for role, principals := range c.trusted {
				want := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
					"Sid": "ThisInstallation", "Effect": "Allow", "Principal": map[string]any{"AWS": principals}, "Action": "sts:AssumeRole",
					"Condition": map[string]any{"StringEquals": map[string]any{"sts:ExternalId": externalID, "aws:PrincipalOrgID": "o-exampleorgid"}},
				}}}
				if diff := cmp.Diff(want, decoded(t, trust.GetAttr(role).AsString())); diff != "" {
					t.Errorf("trust policy of %s (-want +got):\n%s", role, diff)
				}
			}
		})
	}
	for _, role := range []string{"audit", "enforce"} {
		body := m["resource.aws_iam_role."+role]
		if body == nil || nameIn(body.Attributes["assume_role_policy"].Expr) != "local.trust."+role {
			t.Errorf("role %s does not take local.trust.%s", role, role)
		}
	}
}

// nameIn is the one name that an expression consists of, with dots.
func nameIn(e hcl.Expression) string {
	traversal, _ := hcl.AbsTraversalForExpr(e)
	var parts []string
	for _, step := range traversal {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			parts = append(parts, s.Name)
		case hcl.TraverseAttr:
			parts = append(parts, s.Name)
		}
	}
	return strings.Join(parts, ".")
}

func TestTerraformVariables(t *testing.T) {
	m := terraformModule(t)
	for _, c := range parameterCases {
		for _, block := range m["variable."+c.terraform].Blocks {
			value, problems := block.Body.Attributes["condition"].Expr.Value(&hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
				"var": cty.ObjectVal(map[string]cty.Value{c.terraform: cty.StringVal(c.value)})}})
			if problems.HasErrors() {
				t.Fatal(problems)
			}
			if value.True() != c.fine {
				t.Errorf("%s %.60q is taken: %t", c.terraform, c.value, value.True())
			}
		}
	}
}

// TestTerraformIsFormatted runs where Terraform is installed.
func TestTerraformIsFormatted(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not installed")
	}
	cmd := exec.Command(terraform, "fmt", "-check", "-diff", "-no-color", repository(t, "config/iam/terraform"))
	if out, err := cmd.Output(); err != nil {
		t.Errorf("terraform fmt would change:\n%s", out)
	}
}
