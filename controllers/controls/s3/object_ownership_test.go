package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestObjectOwnership(t *testing.T) {
	section := func(rule v1alpha1.OwnershipRule) PerBucket[v1alpha1.ObjectOwnership] {
		return PerBucket[v1alpha1.ObjectOwnership]{Want: v1alpha1.ObjectOwnership{ControlSpec: enabled, Rule: rule}}
	}
	tagged := section("")
	tagged.Buckets = &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}
	field := func(want, got string) control.Field {
		return control.Field{Path: "objectOwnership.rule", Want: want, Got: got}
	}
	hindered := func(bucket, got, reason, message string) control.Finding {
		f := drift(bucket, control.ReportOnly, field("BucketOwnerEnforced", got))
		f.Reason, f.Message = reason, message
		return f
	}
	const enforced, preferred, writer = types.ObjectOwnershipBucketOwnerEnforced, types.ObjectOwnershipBucketOwnerPreferred, types.ObjectOwnershipObjectWriter
	cloudFront := types.Grant{Permission: types.PermissionFullControl, Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String("another")}}

	controltest.Run(t, ObjectOwnership, []controltest.Case[PerBucket[v1alpha1.ObjectOwnership]]{
		{
			Name: "BucketOwnerEnforced is the default", Want: tagged,
			AWS: world{buckets: []store{{name: "a", region: here, ownership: enforced, tags: tagged.Buckets.MatchTags}, {name: "b", region: here}}}.stage,
		},
		{
			Name: "no rule is ObjectWriter; undoing takes the rule away again", Want: section(""),
			AWS:      world{buckets: []store{{name: "a", region: here, tags: ofStack}, {name: "b", region: here, ownership: preferred, tags: ofStack}}}.stage,
			Owner:    theStack,
			Findings: []control.Finding{drift("a", control.Disruptive, field("BucketOwnerEnforced", "ObjectWriter")), drift("b", control.Disruptive, field("BucketOwnerEnforced", "BucketOwnerPreferred"))},
		},
		{
			Name: "no rule satisfies ObjectWriter", Want: section(v1alpha1.OwnershipWriter),
			AWS: world{buckets: []store{{name: "a", region: here}, {name: "b", region: here, ownership: writer}}}.stage,
		},
		{
			Name: "a laxer rule weakens", Want: section(v1alpha1.OwnershipPreferred),
			AWS: world{buckets: []store{{name: "a", region: here, ownership: enforced}, {name: "b", region: here, ownership: writer}}}.stage,
			Findings: []control.Finding{
				weakening(drift("a", control.Disruptive, field("BucketOwnerPreferred", "BucketOwnerEnforced"))),
				drift("b", control.Disruptive, field("BucketOwnerPreferred", "ObjectWriter")),
			},
		},
		{
			Name: "a bucket whose ACL grants others is reported with the grantee and left alone", Want: section(""),
			AWS: world{buckets: []store{
				{name: "a", region: here, ownership: writer, grants: []types.Grant{cloudFront}},
				{name: "b", region: here, ownership: writer, grants: []types.Grant{anyone("http://acs.amazonaws.com/groups/s3/LogDelivery")}},
				{name: "c", region: here, ownership: writer, grants: []types.Grant{{Permission: types.PermissionRead}}},
			}}.stage,
			Findings: []control.Finding{
				hindered("a", "ObjectWriter", reasonACLGrants, "the bucket's ACL grants FULL_CONTROL to another — grant it in the bucket policy, take it out of the ACL"),
				hindered("b", "ObjectWriter", reasonACLGrants, ""), hindered("c", "ObjectWriter", reasonACLGrants, ""),
			},
		},
		{
			Name: "an ACL that cannot be read may grant others", Want: section(""),
			AWS: func(c *cloudtest.Cloud) {
				world{buckets: []store{{name: "a", region: here}}}.stage(c)
				c.Deny("s3:GetBucketAcl", nil)
			},
			Findings: []control.Finding{hindered("a", "ObjectWriter", v1alpha1.RowAccessDenied, "")},
		},
		{
			Name: "a rule nobody knows is no answer", Want: section(""),
			AWS:      world{buckets: []store{{name: "a", region: here, ownership: "Nobody"}}}.stage,
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}
