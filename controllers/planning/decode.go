package planning

import (
	"context"
	encoding "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// manifests are the objects that files declare.
type manifests struct {
	organization *v1alpha1.AWSOrganization
	accounts     []*v1alpha1.AWSAccount
	exceptions   []*v1alpha1.BaselineException
	baselines    []control.Baseline
	// skipped are the documents that are of no concern here.
	skipped []string
}

// decoder makes objects of documents.
type decoder struct {
	kinds []control.Kind
	rules rulebook
	out   manifests
	// seen says where each object stands.
	seen     map[string]string
	problems []error
}

// decode makes objects of all documents, or says of every document that is wrong what is wrong with it.
func decode(ctx context.Context, documents []document, kinds []control.Kind) (*manifests, error) {
	d := &decoder{kinds: kinds, rules: rulebook{}, seen: map[string]string{}}
	for _, doc := range documents {
		d.document(ctx, doc)
	}
	return &d.out, errors.Join(d.problems...)
}

func (d *decoder) wrong(doc document, format string, args ...any) {
	d.problems = append(d.problems, fmt.Errorf("%s: %w", doc.where(), fmt.Errorf(format, args...)))
}

func (d *decoder) document(ctx context.Context, doc document) {
	raw, err := yaml.YAMLToJSONStrict(doc.text)
	if err != nil {
		d.wrong(doc, "it is no YAML: %s (lines counted within the document)", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	d.object(ctx, doc, raw)
}

// object takes in one object, or each of a list.
func (d *decoder) object(ctx context.Context, doc document, raw []byte) {
	var about struct {
		metav1.TypeMeta `json:",inline"`
		Items           []runtime.RawExtension `json:"items"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(raw, &about); err != nil {
		d.wrong(doc, "it is no Kubernetes object: it needs apiVersion: %s, kind and metadata", v1alpha1.GroupVersion)
		return
	}
	group, _, _ := strings.Cut(about.APIVersion, "/")
	switch {
	case about.Kind == "List" && about.APIVersion == "v1":
		for _, item := range about.Items {
			d.object(ctx, doc, item.Raw)
		}
	case group == "kustomize.config.k8s.io":
		d.out.skipped = append(d.out.skipped, doc.where()+": "+about.Kind+" is not read; name the files or folders that it names")
	case about.APIVersion != v1alpha1.GroupVersion.String():
		d.wrong(doc, "%s is not Plumbline's: a plan reads %s of apiVersion %s; leave out what else the file holds",
			strings.TrimSpace(about.APIVersion+" "+about.Kind), strings.Join(d.known(), ", "), v1alpha1.GroupVersion)
	default:
		d.own(ctx, doc, about.Kind, raw)
	}
}

// known are the kinds that a plan reads.
func (d *decoder) known() []string {
	names := []string{"AWSOrganization", "AWSAccount", "BaselineException"}
	for _, k := range d.kinds {
		names = append(names, k.Name)
	}
	return names
}

// own takes in an object of one of Plumbline's kinds.
func (d *decoder) own(ctx context.Context, doc document, kind string, raw []byte) {
	if !slices.Contains(d.known(), kind) {
		d.wrong(doc, "there is no kind %q that a plan reads: it is one of %s", kind, strings.Join(d.known(), ", "))
		return
	}
	object := d.empty(kind)
	var whole map[string]any
	if err := json.UnmarshalCaseSensitivePreserveInts(raw, &whole); err != nil {
		d.wrong(doc, "%s: %w", kind, err)
		return
	}
	delete(whole, "status") // what another version of the manager wrote is of no concern
	raw, err := encoding.Marshal(whole)
	if err != nil {
		d.wrong(doc, "%s: %w", kind, err)
		return
	}
	unknown, err := json.UnmarshalStrict(raw, object)
	rules, e := d.rules.of(kind)
	if e != nil {
		d.problems = append(d.problems, e)
		return
	}
	key := kind + "/" + object.GetName()
	problems := rules.broken(ctx, whole, object.GetName())
	if err != nil && len(problems) == 0 {
		problems = append(problems, err.Error())
	}
	for _, u := range unknown {
		problems = append(problems, u.Error())
	}
	for _, p := range problems {
		d.wrong(doc, "%s: %s — kubectl explain %s.spec says what there is", key, p, strings.ToLower(kind))
	}
	if first, twice := d.seen[key]; twice {
		d.wrong(doc, "%s stands in %s already; leave one of them out", key, first)
		return
	}
	d.seen[key] = doc.where()
	if len(problems) == 0 {
		d.keep(doc, object)
	}
}

// named is what all objects are.
type named interface {
	metav1.Object
	runtime.Object
}

func (d *decoder) empty(kind string) named {
	switch kind {
	case "AWSOrganization":
		return &v1alpha1.AWSOrganization{}
	case "AWSAccount":
		return &v1alpha1.AWSAccount{}
	case "BaselineException":
		return &v1alpha1.BaselineException{}
	}
	for _, k := range d.kinds {
		if k.Name == kind {
			return k.New()
		}
	}
	return nil // only kinds that are known are asked for
}

func (d *decoder) keep(doc document, object named) {
	switch o := object.(type) {
	case *v1alpha1.AWSOrganization:
		if d.out.organization != nil {
			d.wrong(doc, "AWSOrganization/%s: there can be one, and AWSOrganization/%s is there already; leave one of them out", o.Name, d.out.organization.Name)
			return
		}
		d.out.organization = o
	case *v1alpha1.AWSAccount:
		d.out.accounts = append(d.out.accounts, o)
	case *v1alpha1.BaselineException:
		d.out.exceptions = append(d.out.exceptions, o)
	case control.Baseline:
		d.out.baselines = append(d.out.baselines, o)
	}
}
