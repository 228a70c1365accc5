package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

const terraformHeader = `# Written by hack/generate (make generate) from the controls. Do not edit.
#
# part says which role has a policy: both, audit, organization (the audit role, in the account that the organization is read
# from), enforce and writing (the enforce role, where the kind is enforced), guard (neither: it is attached to users).

`

// addTerraform adds the policies as a part of the module; the rest of the module is written by hand.
func addTerraform(made files, kinds []control.Kind) error {
	all, err := policiesOf(kinds, terraform)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString(terraformHeader + "locals {\n# The kinds with something to change in every account.\nenforced_anywhere = [")
	for _, k := range kinds {
		if enforcedAnywhere(k) {
			fmt.Fprintf(&out, "%q, ", k.Name)
		}
	}
	out.WriteString("]\n\n# Every kind.\nkinds = [")
	for _, k := range kinds {
		fmt.Fprintf(&out, "%q, ", k.Name)
	}
	out.WriteString("]\n\npolicies = {\n")
	for _, p := range all {
		fmt.Fprintf(&out, "# %s.\n%q = {\npart = %q\nkind = %q\ndocument = jsonencode(", p.about, p.name, p.part, p.kind)
		writeHCL(&out, p.tree())
		out.WriteString(")\n}\n")
	}
	out.WriteString("}\n}\n")
	text := strings.ReplaceAll(out.String(), ", ]", "]")
	made["config/iam/terraform/policies.tf"] = hclwrite.Format([]byte(text))
	return nil
}

// writeHCL writes a value as an expression.
func writeHCL(out *bytes.Buffer, value any) {
	switch v := value.(type) {
	case string:
		out.WriteString(hclString(v))
	case []string:
		out.WriteString("[\n")
		for _, s := range v {
			out.WriteString(hclString(s) + ",\n")
		}
		out.WriteString("]")
	case object:
		out.WriteString("{\n")
		for _, f := range v {
			out.WriteString(hclName(f.name) + " = ")
			writeHCL(out, f.value)
			out.WriteString("\n")
		}
		out.WriteString("}")
	case []object:
		out.WriteString("[\n")
		for _, o := range v {
			writeHCL(out, o)
			out.WriteString(",\n")
		}
		out.WriteString("]")
	}
}

// hclName quotes a name that is no identifier, such as a condition key.
func hclName(name string) string {
	if strings.Contains(name, ":") {
		return hclString(name)
	}
	return name
}

// hclString quotes a string; what is IAM's to put in, Terraform must leave alone.
func hclString(s string) string {
	return `"` + strings.NewReplacer("${local.", "${local.", "${", "$${", `"`, `\"`).Replace(s) + `"`
}
