package planning

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/config/crd"
)

// rules judge objects of one kind by its custom resource definition, as the API server would.
type rules struct {
	shape      validation.SchemaValidator
	structural *schema.Structural
	sentences  *cel.Validator
}

// rulebook makes the rules of the kinds that are asked for.
type rulebook map[string]*rules

func (b rulebook) of(kind string) (*rules, error) {
	if r, made := b[kind]; made {
		return r, nil
	}
	definition, err := definitionOf(kind)
	if err != nil {
		return nil, err
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return nil, fmt.Errorf("reading the definition of %s: %w", kind, err)
	}
	r := &rules{}
	if r.shape, _, err = validation.NewSchemaValidator(&props); err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", kind, err)
	}
	if r.structural, err = schema.NewStructural(&props); err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", kind, err)
	}
	r.sentences = cel.NewValidator(r.structural, true, celconfig.PerCallLimit)
	b[kind] = r
	return r, nil
}

// definitionOf is the custom resource definition of a kind.
func definitionOf(kind string) (*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := crd.Bases.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if d.Spec.Names.Kind == kind {
			return &d, nil
		}
	}
	return nil, fmt.Errorf("there is no definition of %s", kind)
}

// broken are the rules that an object breaks, each as a sentence.
func (r *rules) broken(ctx context.Context, object map[string]any, name string) []string {
	var errs field.ErrorList
	for _, why := range metavalidation.NameIsDNSSubdomain(name, false) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), name, why))
	}
	errs = append(errs, validation.ValidateCustomResource(nil, object, r.shape)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, r.structural, object)...)
	if len(errs) == 0 && r.sentences != nil { // sentences about values of another type would only confuse
		errs, _ = r.sentences.Validate(ctx, nil, r.structural, object, nil, celconfig.RuntimeCELCostBudget)
	}
	var all []string
	for _, e := range errs {
		all = append(all, sentence(e))
	}
	return all
}

// sentence says what is wrong where, without repeating a whole object.
func sentence(e *field.Error) string {
	body := e.ErrorBody()
	switch e.BadValue.(type) {
	case map[string]any, []any, field.OmitValueType:
		body = e.Detail
	}
	path := strings.TrimPrefix(e.Field, "<nil>.")
	if path == "" || path == "<nil>" {
		return body
	}
	return path + ": " + body
}
