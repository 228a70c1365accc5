// Package controls is the catalogue: the table of baseline kinds with their controls. Each AWS domain has a package of its
// own below it.
package controls

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/cloudtrail"
	"github.com/plumbline-dev/plumbline/controllers/controls/encryption"
	"github.com/plumbline-dev/plumbline/controllers/controls/guardduty"
	"github.com/plumbline-dev/plumbline/controllers/controls/iam"
	"github.com/plumbline-dev/plumbline/controllers/controls/s3"
)

// Kinds lists every baseline kind, in the order in which documentation names them.
func Kinds() []control.Kind {
	return []control.Kind{
		control.KindOf[v1alpha1.GuardDutyBaseline, v1alpha1.GuardDutyBaselineList]("GuardDutyBaseline",
			func(b *v1alpha1.GuardDutyBaseline) any { return b.Spec }, guardduty.Controls),
		control.KindOf[v1alpha1.CloudTrailBaseline, v1alpha1.CloudTrailBaselineList]("CloudTrailBaseline",
			func(b *v1alpha1.CloudTrailBaseline) any { return b.Spec }, cloudtrail.Controls),
		control.KindOf[v1alpha1.S3Baseline, v1alpha1.S3BaselineList]("S3Baseline",
			func(b *v1alpha1.S3Baseline) any { return b.Spec }, s3.Controls),
		control.KindOf[v1alpha1.IAMBaseline, v1alpha1.IAMBaselineList]("IAMBaseline",
			func(b *v1alpha1.IAMBaseline) any { return b.Spec }, iam.Controls),
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
