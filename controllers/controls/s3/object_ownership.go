package s3

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// ObjectOwnership holds that the declared rule says who owns the objects of each bucket, and whether ACLs count.
var ObjectOwnership = control.Control[PerBucket[v1alpha1.ObjectOwnership]]{
	Meta: control.Meta{
		ID:    "s3-object-ownership",
		Title: "S3 object ownership of buckets",
		Doc: "Each selected bucket has the declared ownership rule; BucketOwnerEnforced turns ACLs off, so that policies alone " +
			"decide. Enforcing sets the rule (Disruptive: access that ACLs grant may end). ACLs are never changed: a bucket whose ACL " +
			"grants others than its owner, as the logs of S3 and CloudFront may need, is reported and left alone.",
		Scope:       control.Region,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Frameworks:  map[string][]string{"SecurityHub": {"S3.12"}},
		Reads:       []string{"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetBucketOwnershipControls", "s3:GetBucketAcl"},
		Writes:      []string{"s3:PutBucketOwnershipControls"},
		Events:      bucketEvents("PutBucketOwnershipControls", "DeleteBucketOwnershipControls", "PutBucketAcl"),
	},
	Observe:   observeObjectOwnership,
	Remediate: remediateObjectOwnership,
	Undo:      undoObjectOwnership,
	Owner:     ownerOf,
}

// reasonACLGrants says that the bucket's ACL grants others than its owner, whom turning ACLs off would shut out.
const reasonACLGrants = "ACLGrantsOthers"

// ownership is a bucket's rule; empty where it has none, which works like ObjectWriter.
type ownership struct {
	Rule v1alpha1.OwnershipRule `json:"rule"`
}

func (o ownership) effective() v1alpha1.OwnershipRule {
	if o.Rule == "" {
		return v1alpha1.OwnershipWriter
	}
	return o.Rule
}

// laxity orders the rules; one that is not here cannot be judged.
var laxity = map[v1alpha1.OwnershipRule]int{
	v1alpha1.OwnershipEnforced: 1, v1alpha1.OwnershipPreferred: 2, v1alpha1.OwnershipWriter: 3,
}

func observeObjectOwnership(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.ObjectOwnership]) ([]control.Finding, error) {
	rule := want.Want.RuleOrDefault()
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		now, err := readOwnership(ctx, t, name)
		if err != nil || now.effective() == rule {
			return nil, err
		}
		f := control.Finding{Drift: control.Drift{
			Resource: bucketARN(t, name), Risk: control.Disruptive,
			Fields:  []control.Field{{Path: "objectOwnership.rule", Want: string(rule), Got: string(now.effective())}},
			Weakens: laxity[rule] > laxity[now.effective()],
			Before:  control.JSON(now), After: control.JSON(ownership{rule}),
		}}
		if rule == v1alpha1.OwnershipEnforced {
			f.Reason, f.Message = aclHinders(ctx, t, name)
		}
		if f.Reason != "" {
			f.Risk = control.ReportOnly
		}
		return []control.Finding{f}, nil
	})
}

// aclHinders says why ACLs cannot be turned off: S3 refuses it while the ACL grants others, and an ACL that cannot be read
// may. Empty when nothing speaks against it.
func aclHinders(ctx context.Context, t *control.Target, name string) (reason, message string) {
	acl, err := client(t).GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &name})
	if err == nil && (acl.Owner == nil || aws.ToString(acl.Owner.ID) == "") {
		err = control.Unexpected("GetBucketAcl", "the owner")
	}
	if err != nil {
		return control.Explain(fmt.Errorf("reading the ACL: %w", err))
	}
	for _, grant := range acl.Grants {
		if grant.Grantee != nil && aws.ToString(grant.Grantee.ID) == *acl.Owner.ID {
			continue
		}
		return reasonACLGrants, "the bucket's ACL grants " + string(grant.Permission) + " to " + grantee(grant.Grantee) +
			" — grant it in the bucket policy, take it out of the ACL"
	}
	return "", ""
}

func grantee(g *types.Grantee) string {
	if g == nil {
		return "an unnamed grantee"
	}
	for _, name := range []*string{g.URI, g.ID, g.EmailAddress} {
		if text := aws.ToString(name); text != "" {
			return control.Bounded(text, 128)
		}
	}
	return "an unnamed grantee"
}

func readOwnership(ctx context.Context, t *control.Target, name string) (ownership, error) {
	out, err := client(t).GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &name})
	if control.IsCode(err, "OwnershipControlsNotFoundError") {
		return ownership{}, nil
	}
	if err != nil {
		return ownership{}, fmt.Errorf("reading the ownership rule: %w", err)
	}
	if out.OwnershipControls == nil || len(out.OwnershipControls.Rules) != 1 {
		return ownership{}, control.Unexpected("GetBucketOwnershipControls", "one rule")
	}
	rule := v1alpha1.OwnershipRule(out.OwnershipControls.Rules[0].ObjectOwnership)
	if laxity[rule] == 0 {
		return ownership{}, control.Unexpected("GetBucketOwnershipControls", "a rule that is known")
	}
	return ownership{rule}, nil
}

func remediateObjectOwnership(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[ownership](t, d)
	if err != nil {
		return err
	}
	return writeOwnership(ctx, t, c.bucket, c.after)
}

func undoObjectOwnership(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[ownership](t, d)
	if err != nil {
		return err
	}
	now, err := readOwnership(ctx, t, c.bucket)
	if err != nil {
		return err
	}
	if now != c.after {
		return control.ErrChanged
	}
	return writeOwnership(ctx, t, c.bucket, c.before)
}

func writeOwnership(ctx context.Context, t *control.Target, name string, to ownership) error {
	var err error
	if to.Rule == "" {
		_, err = client(t).DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: &name})
	} else {
		_, err = client(t).PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: &name,
			OwnershipControls: &types.OwnershipControls{
				Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnership(to.Rule)}},
			},
		})
	}
	if err != nil {
		return fmt.Errorf("setting the ownership rule: %w", err)
	}
	return nil
}
