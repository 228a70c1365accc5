// Package encryption holds the controls of EncryptionBaseline.
package encryption

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other. Over an empty
// baseline it is the catalogue of the kind.
func Controls(b *v1alpha1.EncryptionBaseline) []control.Bound {
	return []control.Bound{
		EBSDefaultEncryption.With(b.Spec.EBSDefault),
	}
}
