package encryption

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

// keysPerPage is the most that one page of ListKeys holds.
const keysPerPage = 1000

// customerKeys are the ARNs of the region's keys, without those that an alias shows to be managed by AWS or excluded: what
// the aliases tell needs no request per key.
func customerKeys(ctx context.Context, t *control.Target, exclude []string) ([]string, error) {
	aliases, err := kmskey.Aliases.From(ctx, t)
	if err != nil {
		return nil, err
	}
	skip := map[string]bool{}
	for name, id := range aliases {
		excluded := slices.ContainsFunc(exclude, func(glob string) bool { return control.Glob(glob, name) })
		if excluded || strings.HasPrefix(name, "alias/aws/") {
			skip[id] = true
		}
	}
	api := kms.NewFromConfig(t.AWS)
	keys, err := allPages("ListKeys", func(marker *string) ([]types.KeyListEntry, *string, error) {
		out, err := api.ListKeys(ctx, &kms.ListKeysInput{Limit: aws.Int32(keysPerPage), Marker: marker})
		if err != nil {
			return nil, nil, fmt.Errorf("listing keys: %w", err)
		}
		return out.Keys, out.NextMarker, nil
	})
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, k := range keys {
		if aws.ToString(k.KeyArn) == "" {
			return nil, control.Unexpected("ListKeys", "KeyArn")
		}
		if !skip[aws.ToString(k.KeyId)] {
			arns = append(arns, *k.KeyArn)
		}
	}
	return arns, nil
}

// canRotate says whether the key can rotate by itself and be told to.
func canRotate(ctx context.Context, t *control.Target, arn string) (bool, error) {
	out, err := kms.NewFromConfig(t.AWS).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &arn})
	if err != nil {
		return false, fmt.Errorf("describing %s: %w", arn, err)
	}
	if out.KeyMetadata == nil {
		return false, control.Unexpected("DescribeKey", "key metadata")
	}
	return rotatable(out.KeyMetadata)
}

// rotatable are enabled symmetric keys of the customer with material made by KMS, not in a custom key store; of a
// multi-Region key, the primary ("EnableKeyRotation" in the API reference).
func rotatable(k *types.KeyMetadata) (bool, error) {
	switch {
	case k.KeyManager == types.KeyManagerTypeAws:
		return false, nil
	case k.KeyManager != types.KeyManagerTypeCustomer, k.KeyState == "", k.KeySpec == "", k.Origin == "":
		return false, control.Unexpected("DescribeKey", "a manager that is known, state, spec and origin")
	case aws.ToBool(k.MultiRegion) && k.MultiRegionConfiguration == nil:
		return false, control.Unexpected("DescribeKey", "the configuration of a multi-Region key")
	}
	replica := k.MultiRegionConfiguration != nil && k.MultiRegionConfiguration.MultiRegionKeyType == types.MultiRegionKeyTypeReplica
	material := k.Origin == types.OriginTypeAwsKms && k.KeySpec == types.KeySpecSymmetricDefault && k.CustomKeyStoreId == nil
	return k.KeyState == types.KeyStateEnabled && material && !replica, nil
}

// keyOwner says who manages a key, by its tags.
func keyOwner(ctx context.Context, t *control.Target, arn string) (string, error) {
	api := kms.NewFromConfig(t.AWS)
	tags, err := allPages("ListResourceTags", func(marker *string) ([]types.Tag, *string, error) {
		out, err := api.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &arn, Marker: marker})
		if err != nil {
			return nil, nil, fmt.Errorf("reading the tags of %s: %w", arn, err)
		}
		if out.Tags == nil || out.Truncated && aws.ToString(out.NextMarker) == "" {
			return nil, nil, control.Unexpected("ListResourceTags", "tags, or a marker for more of them")
		}
		return out.Tags, out.NextMarker, nil
	})
	if err != nil {
		return "", err
	}
	found := make(map[string]string, len(tags))
	for _, tag := range tags {
		found[aws.ToString(tag.TagKey)] = aws.ToString(tag.TagValue)
	}
	return control.OwnerByTags(found), nil
}
