// Package s3 holds the controls of S3Baseline: the public access block of the account, and what must hold of each of its
// general-purpose buckets. Directory buckets are another kind of resource with another API and are out of scope.
//
// A control of buckets is checked per region and judges the buckets of that region. The list of buckets is read once per
// pass; buckets of other regions, and those the baseline's selector leaves out, cost no further request.
package s3

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other. Over an empty
// baseline it is the catalogue of the kind. SecureTransport stands before the public access blocks: once public policies are
// blocked, S3 takes no change of a policy that is public already.
func Controls(b *v1alpha1.S3Baseline) []control.Bound {
	s := &b.Spec
	return []control.Bound{
		SecureTransport.With(perBucket(s.SecureTransport, s.Buckets)),
		AccountPublicAccessBlock.With(s.AccountPublicAccessBlock),
		BucketPublicAccessBlock.With(perBucket(s.BucketPublicAccessBlock, s.Buckets)),
		DefaultEncryption.With(perBucket(s.DefaultEncryption, s.Buckets)),
		Versioning.With(perBucket(s.Versioning, s.Buckets)),
		ObjectLock.With(perBucket(s.ObjectLock, s.Buckets)),
		ObjectOwnership.With(perBucket(s.ObjectOwnership, s.Buckets)),
	}
}

// PerBucket is a section about buckets together with the buckets it concerns, which another section of the baseline names.
type PerBucket[S control.Settings] struct {
	// Want is the section.
	Want S
	// Buckets selects the buckets; nil selects all.
	Buckets *v1alpha1.BucketSelector
}

// Section is the section's state, mode and approval.
func (p PerBucket[S]) Section() v1alpha1.ControlSpec { return p.Want.Section() }

func perBucket[S control.Settings](section *S, buckets *v1alpha1.BucketSelector) *PerBucket[S] {
	if section == nil {
		return nil
	}
	return &PerBucket[S]{Want: *section, Buckets: buckets}
}
