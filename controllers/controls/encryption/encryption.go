// Package encryption holds the controls of EncryptionBaseline.
package encryption

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other. Over an empty
// baseline it is the catalogue of the kind.
func Controls(b *v1alpha1.EncryptionBaseline) []control.Bound {
	return []control.Bound{
		EBSDefaultEncryption.With(b.Spec.EBSDefault),
		EBSVolumeEncryption.With(b.Spec.EBSVolumes),
		RDSStorageEncryption.With(b.Spec.RDSStorage),
		KMSKeyRotation.With(b.Spec.KMSRotation),
	}
}

// allPages collects the items of every page of a list. The SDK's paginators either follow a token that repeats for ever or
// end there without a word; here it is an error, for what was not looked at must not read as compliant.
func allPages[T any](operation string, next func(token *string) ([]T, *string, error)) ([]T, error) {
	var all []T
	var token *string
	for {
		items, following, err := next(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		switch aws.ToString(following) {
		case "":
			return all, nil
		case aws.ToString(token):
			return nil, control.Unexpected(operation, "a new page: its token repeats")
		}
		token = following
	}
}
