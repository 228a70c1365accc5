package s3

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const accountBlockARN = "arn:aws:s3::111122223333:account-public-access-block"

func flag(path, want, got string) control.Field {
	return control.Field{Path: path, Want: want, Got: got}
}

// fourFlags are the fields of a block that is to be turned on, or off, whole.
func fourFlags(want, got string) []control.Field {
	return []control.Field{
		flag("blockPublicAcls", want, got), flag("ignorePublicAcls", want, got),
		flag("blockPublicPolicy", want, got), flag("restrictPublicBuckets", want, got),
	}
}

func accountDrift(message string, fields ...control.Field) control.Finding {
	return control.Finding{Message: message, Drift: control.Drift{Resource: accountBlockARN, Risk: control.Disruptive, Fields: fields}}
}

func anyone(uri string) types.Grant {
	return types.Grant{Permission: types.PermissionRead, Grantee: &types.Grantee{Type: types.TypeGroup, URI: aws.String(uri)}}
}

func TestAccountPublicAccessBlock(t *testing.T) {
	section := v1alpha1.AccountPublicAccessBlock{ControlSpec: enabled}
	noPolicies := section
	noPolicies.BlockPublicPolicy, noPolicies.RestrictPublicBuckets = v1alpha1.Disabled, v1alpha1.Disabled
	three := flags{BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true}
	all, off := allFlags, flags{}
	refused := cloudtest.Error("AccessDenied", "The block is managed by an AWS Organizations policy")

	controltest.Run(t, AccountPublicAccessBlock, []controltest.Case[v1alpha1.AccountPublicAccessBlock]{
		{Name: "all four flags on is compliant", Want: section, AWS: world{block: &all}.stage},
		{
			Name: "no block is four flags off; undoing takes the block away again", Want: section, AWS: world{}.stage,
			Findings: []control.Finding{accountDrift("no bucket has a public policy or ACL (0 of 0 buckets looked at)", fourFlags("Enabled", "Disabled")...)},
		},
		{
			Name: "a block with all flags off is put back as it was", Want: section, AWS: world{block: &off}.stage,
			Findings: []control.Finding{accountDrift("", fourFlags("Enabled", "Disabled")...)},
		},
		{
			Name: "the row names what is public now, in every region, and says what could not be read", Want: section,
			AWS: world{buckets: []store{
				{name: "a", region: here, policy: onlyTLS("a"), public: true},
				{name: "b", region: elsewhere, grants: []types.Grant{anyone(publicGroups[0])}},
				{name: "c", region: here, policy: onlyTLS("c")},
				{name: "d", region: here, denied: true},
				{name: "e"},
			}}.stage,
			Findings: []control.Finding{accountDrift("public by policy or ACL: a, b (3 of 5 buckets looked at, 2 could not be read)", fourFlags("Enabled", "Disabled")...)},
		},
		{
			Name: "one flag off drifts alone; no ACL is asked for where ACLs are ignored already", Want: section, AWS: world{block: &three, buckets: []store{
				{name: "b", region: here, grants: []types.Grant{anyone(publicGroups[0])}},
			}}.stage,
			Findings: []control.Finding{accountDrift("no bucket has a public policy or ACL (1 of 1 buckets looked at)", flag("restrictPublicBuckets", "Enabled", "Disabled"))},
		},
		{
			Name: "turning flags off weakens", Want: noPolicies, AWS: world{block: &all}.stage,
			Findings: []control.Finding{weakening(accountDrift("", flag("blockPublicPolicy", "Disabled", "Enabled"), flag("restrictPublicBuckets", "Disabled", "Enabled")))},
		},
		{
			Name: "flags on and a flag off are two changes, of which one weakens and keeps the other from nothing", Want: noPolicies,
			AWS: world{block: &flags{RestrictPublicBuckets: true}}.stage,
			Findings: []control.Finding{
				accountDrift("", flag("blockPublicAcls", "Enabled", "Disabled"), flag("ignorePublicAcls", "Enabled", "Disabled")),
				weakening(accountDrift("", flag("restrictPublicBuckets", "Disabled", "Enabled"))),
			},
		},
		{
			Name: "what an Organizations policy manages is not changed", Want: section, AWS: world{refusal: refused}.stage, Refused: true,
			Findings: []control.Finding{accountDrift("", fourFlags("Enabled", "Disabled")...)},
		},
	})
}

func TestAccountPublicAccessBlockRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		refusal error
		want    string
	}{
		"an Organizations policy":  {cloudtest.Error("AccessDenied", "not allowed by the organization-level Block Public Access policy"), control.ReasonManagedByOrganizationPolicy},
		"a service control policy": {cloudtest.Error("AccessDenied", "with an explicit deny in a service control policy of the organization"), control.ReasonDeniedBySCP},
		"a missing permission":     {cloudtest.Error("AccessDenied", "because no identity-based policy allows the action"), v1alpha1.RowAccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cloudtest.Cloud{}
			world{refusal: tc.refusal}.stage(c)
			target := control.NewTarget(control.Target{Account: accountID, Partition: "aws", Region: elsewhere}, c.Connector(accountID),
				AccountPublicAccessBlock.Actions(), nil, nil)
			err := AccountPublicAccessBlock.Remediate(context.Background(), target, control.Drift{After: control.JSON(flagChange{Flags: map[string]bool{"blockPublicAcls": true}})})
			if reason, message := control.Explain(err); reason != tc.want {
				t.Errorf("got %s (%s), want %s", reason, message, tc.want)
			}
		})
	}
}
