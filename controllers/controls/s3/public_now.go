package s3

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Bounds of the evidence for the account's block: how many buckets are asked about and how many are named.
const (
	evidenceBuckets = 100
	evidenceNames   = 10
)

// publicNow says which buckets the change would close: those with a public policy where restrictPublicBuckets comes on, with
// a public ACL where ignorePublicAcls does. It is evidence for whoever approves; the departure stands without it.
func publicNow(ctx context.Context, t *control.Target, want, got flags) string {
	policies := want.RestrictPublicBuckets && !got.RestrictPublicBuckets
	acls := want.IgnorePublicACLs && !got.IgnorePublicACLs
	if !policies && !acls {
		return ""
	}
	all, err := buckets.From(ctx, t.Home())
	if err != nil {
		return "which buckets have a public policy or ACL cannot be told: " + control.Bounded(err.Error(), 200)
	}
	asked := all[:min(len(all), evidenceBuckets)]
	public, failed := make([]bool, len(asked)), make([]bool, len(asked))
	control.Each(inFlight, len(asked), func(i int) {
		yes, err := isPublic(ctx, t, asked[i], policies, acls)
		public[i], failed[i] = yes, err != nil
	})
	var names []string
	unreadable := 0
	for i, b := range asked {
		if public[i] {
			names = append(names, b.name)
		}
		if failed[i] {
			unreadable++
		}
	}
	return evidence(names, len(asked), len(all), unreadable)
}

func evidence(public []string, asked, all, unreadable int) string {
	text := "no bucket has a public policy or ACL"
	if len(public) > 0 {
		text = fmt.Sprintf("public by policy or ACL: %s", strings.Join(public[:min(len(public), evidenceNames)], ", "))
		if more := len(public) - evidenceNames; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	}
	text += fmt.Sprintf(" (%d of %d buckets looked at", asked-unreadable, all)
	if unreadable > 0 {
		text += fmt.Sprintf(", %d could not be read", unreadable)
	}
	return text + ")"
}

// publicGroups are the grantees that make an ACL public, from "Access control list (ACL) overview".
var publicGroups = []string{
	"http://acs.amazonaws.com/groups/global/AllUsers", "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
}

func isPublic(ctx context.Context, t *control.Target, b bucket, policies, acls bool) (bool, error) {
	if b.region == "" {
		return false, control.Unexpected("ListBuckets", "the bucket's region")
	}
	t = t.In(b.region)
	if policies {
		if public, err := publicPolicy(ctx, t, b.name); public || err != nil {
			return public, err
		}
	}
	if !acls {
		return false, nil
	}
	out, err := client(t).GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &b.name})
	if err != nil {
		return false, fmt.Errorf("reading the ACL: %w", err)
	}
	if out.Owner == nil {
		return false, control.Unexpected("GetBucketAcl", "the owner")
	}
	for _, grant := range out.Grants {
		if grant.Grantee != nil && slices.Contains(publicGroups, aws.ToString(grant.Grantee.URI)) {
			return true, nil
		}
	}
	return false, nil
}

// publicPolicy says whether S3 counts the bucket's policy as public.
func publicPolicy(ctx context.Context, t *control.Target, name string) (bool, error) {
	out, err := client(t).GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: &name})
	if control.IsCode(err, "NoSuchBucketPolicy") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the policy's status: %w", err)
	}
	if out.PolicyStatus == nil || out.PolicyStatus.IsPublic == nil {
		return false, control.Unexpected("GetBucketPolicyStatus", "isPublic")
	}
	return *out.PolicyStatus.IsPublic, nil
}
