package validation

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

type (
	crd    = apiextensionsv1.CustomResourceDefinition
	schema = apiextensionsv1.JSONSchemaProps
)

// crds reads the generated CRDs.
func crds(t *testing.T) []*crd {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRD found: %v", err)
	}
	var all []*crd
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &crd{}
		if err := yaml.UnmarshalStrict(text, c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, c)
	}
	return all
}

func schemaOf(c *crd) *schema { return c.Spec.Versions[0].Schema.OpenAPIV3Schema }

// walk visits a schema and everything below it, items and values of maps included.
func walk(s *schema, path []string, visit func(path []string, s *schema)) {
	visit(path, s)
	for name, property := range s.Properties {
		walk(&property, append(slices.Clone(path), name), visit)
	}
	if s.Items != nil && s.Items.Schema != nil {
		walk(s.Items.Schema, append(slices.Clone(path), "[]"), visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		walk(s.AdditionalProperties.Schema, append(slices.Clone(path), "{}"), visit)
	}
}

// walkSpec visits the spec's fields of every kind.
func walkSpec(t *testing.T, visit func(where string, s *schema)) {
	t.Helper()
	for _, c := range crds(t) {
		spec, found := schemaOf(c).Properties["spec"]
		if !found {
			t.Errorf("%s has no spec", c.Spec.Names.Kind)
		}
		walk(&spec, []string{c.Spec.Names.Singular, "spec"}, func(path []string, s *schema) { visit(strings.Join(path, "."), s) })
	}
}

func element(where string) bool {
	return strings.HasSuffix(where, "[]") || strings.HasSuffix(where, "{}")
}

func TestEveryFieldIsExplained(t *testing.T) {
	for _, c := range crds(t) {
		walk(schemaOf(c), []string{c.Spec.Names.Singular}, func(path []string, s *schema) {
			where := strings.Join(path, ".")
			if !element(where) && path[len(path)-1] != "metadata" && strings.TrimSpace(s.Description) == "" {
				t.Errorf("`kubectl explain %s` says nothing", where)
			}
		})
	}
}

func TestEveryFormHasAnExample(t *testing.T) {
	descriptions := map[string]string{}
	walkSpec(t, func(where string, s *schema) { descriptions[where] = s.Description })
	walkSpec(t, func(where string, s *schema) {
		if len(s.Enum) == 0 && s.Pattern == "" && s.Format == "" || s.Type == "integer" {
			return
		}
		if description := descriptions[strings.TrimSuffix(where, ".[]")]; !strings.Contains(description, "Example: ") {
			t.Errorf("`kubectl explain %s` shows no example of a value that the API server takes", where)
		}
	})
}

func TestEveryNumberHasItsBounds(t *testing.T) {
	walkSpec(t, func(where string, s *schema) {
		if s.Type == "number" || s.Type == "integer" && (s.Minimum == nil || s.Maximum == nil) {
			t.Errorf("%s: a number needs to be an integer with minimum and maximum", where)
		}
	})
}

func TestEveryStringAndListIsBounded(t *testing.T) {
	walkSpec(t, func(where string, s *schema) {
		switch {
		case s.Type == "string" && len(s.Enum) == 0 && s.Format != "date-time" && s.MaxLength == nil && !strings.HasSuffix(where, "{}"):
			t.Errorf("%s: a string needs maxLength", where)
		case s.Type == "array" && (s.MaxItems == nil || s.MinItems == nil || *s.MinItems != 1):
			t.Errorf("%s: a list needs minItems: 1 and maxItems", where)
		case s.Type == "array" && s.XListType == nil:
			t.Errorf("%s: a list needs a list type", where)
		case s.AdditionalProperties != nil && (s.MaxProperties == nil || len(s.XValidations) == 0):
			t.Errorf("%s: a map needs maxProperties and a rule on the size of its keys and values", where)
		}
	})
}

func TestSpecsAreStoredAsWritten(t *testing.T) {
	walkSpec(t, func(where string, s *schema) {
		if s.Default != nil {
			t.Errorf("%s: a default would change what Git says; apply it where the field is read", where)
		}
		if s.Nullable || s.XPreserveUnknownFields != nil {
			t.Errorf("%s: neither null nor unknown fields belong in a spec", where)
		}
	})
}

func TestBaselineKindsLookAlike(t *testing.T) {
	type look struct {
		Columns    []apiextensionsv1.CustomResourceColumnDefinition
		Selectable []apiextensionsv1.SelectableField
		Categories []string
		Scope      apiextensionsv1.ResourceScope
		Status     string
	}
	looks := map[string]look{}
	for _, c := range crds(t) {
		if kind := c.Spec.Names.Kind; strings.HasSuffix(kind, "Baseline") {
			v := c.Spec.Versions[0]
			status := schemaOf(c).Properties["status"]
			looks[kind] = look{v.AdditionalPrinterColumns, v.SelectableFields, c.Spec.Names.Categories, c.Spec.Scope, string(status.Default.Raw)}
		}
	}
	if len(looks) != len(baselines) {
		t.Errorf("%d baseline kinds have a CRD, this test knows %d", len(looks), len(baselines))
	}
	want := looks["EncryptionBaseline"]
	if diff := cmp.Diff([]string{"baselines"}, want.Categories); diff != "" {
		t.Errorf("categories (-want +got):\n%s", diff)
	}
	for kind, got := range looks {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from EncryptionBaseline:\n%s", kind, diff)
		}
	}
}
