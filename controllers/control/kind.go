package control

import (
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Baseline is what every baseline kind has in common.
type Baseline interface {
	metav1.Object
	runtime.Object
	Common() (*v1alpha1.BaselineSpec, *v1alpha1.BaselineStatus)
}

// Kind is one baseline kind: a row of the table from which reconcilers, documentation and policies are made.
type Kind struct {
	// Name is the kind's name: "S3Baseline".
	Name string
	// New makes an empty object, NewList an empty list of them.
	New     func() Baseline
	NewList func() runtime.Object
	// Spec is the spec of an object, from which the revision is made.
	Spec func(Baseline) any
	// Controls binds the kind's controls to an object's sections.
	Controls func(Baseline) []Bound
}

// Object is a pointer to a baseline's struct.
type Object[B any] interface {
	*B
	Baseline
}

// KindOf makes the row of a kind from its Go type, its list's and its controls.
func KindOf[B, L any, P Object[B], PL interface {
	*L
	runtime.Object
}](name string, spec func(P) any, controls func(P) []Bound) Kind {
	own := func(b Baseline) P {
		object, ok := b.(P)
		if !ok {
			panic(fmt.Sprintf("a %T was taken for a %s", b, name))
		}
		return object
	}
	return Kind{
		Name:     name,
		New:      func() Baseline { return P(new(B)) },
		NewList:  func() runtime.Object { return PL(new(L)) },
		Spec:     func(b Baseline) any { return spec(own(b)) },
		Controls: func(b Baseline) []Bound { return controls(own(b)) },
	}
}

// Catalogue is every control of the kind, bound to nothing.
func (k Kind) Catalogue() []Bound { return k.Controls(k.New()) }

// Sections maps the id of each control to the field of the kind's spec that declares it. It makes the sections one by one and
// looks which control is then managed.
func (k Kind) Sections() map[string]string {
	found := map[string]string{}
	spec := reflect.ValueOf(k.New()).Elem().FieldByName("Spec").Type()
	for i := range spec.NumField() {
		f := spec.Field(i)
		if f.Type.Kind() != reflect.Pointer || !f.Type.Elem().Implements(reflect.TypeFor[Settings]()) {
			continue
		}
		b := k.New()
		reflect.ValueOf(b).Elem().FieldByName("Spec").Field(i).Set(reflect.New(f.Type.Elem()))
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		for _, c := range k.Controls(b) {
			if c.Managed() && found[c.ID] == "" {
				found[c.ID] = name
			}
		}
	}
	return found
}
