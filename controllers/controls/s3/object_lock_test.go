package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func retaining(mode types.ObjectLockRetentionMode, days, years int32) *types.ObjectLockConfiguration {
	r := &types.DefaultRetention{Mode: mode}
	if days > 0 {
		r.Days = aws.Int32(days)
	}
	if years > 0 {
		r.Years = aws.Int32(years)
	}
	return &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: r}}
}

func TestObjectLock(t *testing.T) {
	selector := &v1alpha1.BucketSelector{MatchTags: map[string]string{"records": "yes"}}
	tags := selector.MatchTags
	bare := &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled}
	section := func(mode v1alpha1.RetentionMode, days int32) PerBucket[v1alpha1.ObjectLock] {
		return PerBucket[v1alpha1.ObjectLock]{Buckets: selector, Want: v1alpha1.ObjectLock{ControlSpec: enabled, RetentionMode: mode, Days: days}}
	}
	locked := func(name string, lock *types.ObjectLockConfiguration) store {
		return store{name: name, region: here, tags: tags, lock: lock}
	}
	field := func(path, want, got string) control.Field { return control.Field{Path: path, Want: want, Got: got} }

	controltest.Run(t, ObjectLock, []controltest.Case[PerBucket[v1alpha1.ObjectLock]]{
		{
			Name: "any Object Lock satisfies a section without retention", Want: section("", 0),
			AWS: world{buckets: []store{locked("a", bare), locked("b", retaining("GOVERNANCE", 1, 0)), {name: "c", region: here}}}.stage,
		},
		{
			Name: "a bucket without Object Lock departs, once", Want: section(v1alpha1.RetentionCompliance, 365),
			AWS: world{buckets: []store{locked("a", nil), locked("b", &types.ObjectLockConfiguration{})}}.stage,
			Findings: []control.Finding{
				drift("a", control.ReportOnly, field("objectLock", "Enabled", "Disabled")), drift("b", control.ReportOnly, field("objectLock", "Enabled", "Disabled")),
			},
		},
		{
			Name: "COMPLIANCE satisfies GOVERNANCE, a longer retention a shorter one, and a year has 365 days", Want: section(v1alpha1.RetentionGovernance, 365),
			AWS: world{buckets: []store{locked("a", retaining("COMPLIANCE", 0, 1)), locked("b", retaining("GOVERNANCE", 400, 0))}}.stage,
		},
		{
			Name: "a weaker mode and a shorter retention depart", Want: section(v1alpha1.RetentionCompliance, 366),
			AWS: world{buckets: []store{locked("a", retaining("GOVERNANCE", 0, 1)), locked("b", bare)}}.stage,
			Findings: []control.Finding{
				drift("a", control.ReportOnly, field("objectLock.retentionMode", "COMPLIANCE", "GOVERNANCE"), field("objectLock.days", "366", "365")),
				drift("b", control.ReportOnly, field("objectLock.retentionMode", "COMPLIANCE", "None"), field("objectLock.days", "366", "0")),
			},
		},
		{
			Name: "a mode nobody knows is no answer", Want: section("", 0),
			AWS:      world{buckets: []store{locked("a", retaining("FOREVER", 1, 0))}}.stage,
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}
