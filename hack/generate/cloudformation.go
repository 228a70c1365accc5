package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

//go:embed member-roles.yaml.tmpl
var memberRoles string

// templateLimit is CloudFormation's for a template that is handed over in the request.
const templateLimit = 51_200

// A choice is a parameter of the templates: may a kind be enforced, may it write policies.
type choice struct {
	// Name is the parameter's, Default its value where nobody says otherwise.
	Name, Default, About string
}

// choices are the parameters that policies depend on, in their order.
func choices(kinds []control.Kind, all []policy) []choice {
	anywhere := map[string]bool{}
	for _, k := range kinds {
		anywhere[k.Name] = enforcedAnywhere(k)
	}
	var list []choice
	seen := map[string]bool{}
	for _, p := range all {
		c := choice{Name: p.choice(), Default: "false"}
		switch {
		case c.Name == "" || seen[c.Name]:
			continue
		case p.part == writing:
			c.About = "With Enforce: may Plumbline write the resource policies that " + p.kind + " is about? Whoever may write a resource's " +
				"policy can open the resource."
		case anywhere[p.kind]:
			c.Default, c.About = "true", "With Enforce: may Plumbline change what "+p.kind+" is about?"
		default:
			c.About = "With Enforce: may Plumbline change what " + p.kind + " is about? Only true in the account that decides it for the " +
				"organization: the delegated administrator, else the management account."
		}
		seen[c.Name] = true
		list = append(list, c)
	}
	return list
}

// choice is the parameter that a policy depends on, empty where it depends on none.
func (p policy) choice() string {
	switch p.part {
	case enforce:
		return "Enforce" + base(p.kind)
	case writing:
		return "Enforce" + base(p.kind) + "Policies"
	}
	return ""
}

// condition is the name of the template's condition that a policy depends on, empty where it depends on none.
func (p policy) condition() string {
	switch {
	case p.part == organization:
		return "MayReadOrganization"
	case p.choice() != "":
		return "May" + p.choice()
	}
	return ""
}

// ForCloudFormation is what the template needs to know of a policy.
type ForCloudFormation struct {
	ID, Name, About string
	// Condition is the name of the condition it depends on, empty for none.
	Condition string
	// Document is the policy's, as YAML with the given indent.
	Document string
}

func addCloudFormation(made files, kinds []control.Kind) error {
	all, err := policiesOf(kinds, cloudFormation)
	if err != nil {
		return err
	}
	var view struct {
		Choices                  []choice
		Policies, Audit, Enforce []ForCloudFormation
	}
	view.Choices = choices(kinds, all)
	for _, p := range all {
		one := ForCloudFormation{ID: p.id + "Policy", Name: p.name, About: p.about, Condition: p.condition(), Document: yamlOf(p.tree(), 8)}
		view.Policies = append(view.Policies, one)
		if p.part.ofAudit() {
			view.Audit = append(view.Audit, one)
		}
		if p.part.ofEnforce() {
			view.Enforce = append(view.Enforce, one)
		}
	}
	parsed, err := template.New("member-roles.yaml").Parse(memberRoles)
	if err != nil {
		return fmt.Errorf("reading the CloudFormation template: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, view); err != nil {
		return fmt.Errorf("writing the CloudFormation template: %w", err)
	}
	if out.Len() > templateLimit {
		return fmt.Errorf("member-roles.yaml has %d bytes; CloudFormation takes %d in a request", out.Len(), templateLimit)
	}
	made["config/iam/member-roles.yaml"] = out.Bytes()
	return nil
}

// yamlOf writes a tree as YAML, each line indented; strings in which CloudFormation is to put something in are marked.
func yamlOf(tree object, indent int) string {
	var out strings.Builder
	writeYAML(&out, tree, strings.Repeat(" ", indent), "")
	return strings.TrimRight(out.String(), "\n")
}

func writeYAML(out *strings.Builder, tree object, indent, first string) {
	for i, f := range tree {
		lead := indent
		if i == 0 && first != "" {
			lead = first
		}
		fmt.Fprintf(out, "%s%s:", lead, yamlString(f.name))
		switch v := f.value.(type) {
		case string:
			fmt.Fprintf(out, " %s\n", yamlString(v))
		case []string:
			out.WriteByte('\n')
			for _, s := range v {
				fmt.Fprintf(out, "%s  - %s\n", indent, yamlString(s))
			}
		case object:
			out.WriteByte('\n')
			writeYAML(out, v, indent+"  ", "")
		case []object:
			out.WriteByte('\n')
			for _, o := range v {
				writeYAML(out, o, indent+"    ", indent+"  - ")
			}
		}
	}
}

// yamlString writes a string plainly where it can only be read as that string.
func yamlString(s string) string {
	switch {
	case strings.Contains(s, "${AWS::"):
		// What is IAM's to put in, CloudFormation must leave alone.
		return `!Sub "` + strings.NewReplacer("${AWS::", "${AWS::", "${", "${!").Replace(s) + `"`
	case strings.ContainsAny(s, `*{}$"'#&!|>%@`+"`") || strings.Contains(s, ": ") || s == "false" || s == "true" || s == "2012-10-17":
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
	return s
}
