// Package controls is the catalogue: the table of baseline kinds with their controls. Each AWS domain has a package of its
// own below it.
package controls

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/encryption"
)

// Kinds lists every baseline kind, in the order in which documentation names them.
func Kinds() []control.Kind {
	return []control.Kind{
		control.KindOf[v1alpha1.EncryptionBaseline, v1alpha1.EncryptionBaselineList]("EncryptionBaseline",
			func(b *v1alpha1.EncryptionBaseline) any { return b.Spec }, encryption.Controls),
	}
}

// Catalogue lists every control of every kind.
func Catalogue() []control.Bound {
	var all []control.Bound
	for _, k := range Kinds() {
		all = append(all, k.Catalogue()...)
	}
	return all
}
