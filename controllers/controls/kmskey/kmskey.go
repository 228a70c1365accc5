// Package kmskey finds the KMS key that a baseline names: an alias means another key in every account and region, and AWS
// answers with key ids, key ARNs, alias names or alias ARNs as it likes. Everything here compares key ARNs.
package kmskey

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Reasons of findings about keys.
const (
	// ReasonKeyNotFound: the account has no such alias or key in the region.
	ReasonKeyNotFound = "KeyNotFound"
	// ReasonKeyNotUsable: the key is there and cannot be used for this.
	ReasonKeyNotUsable = "KeyNotUsable"
)

// ErrNotFound says that the account has no such alias in the region.
var ErrNotFound = errors.New("no such key")

// aliasesPerPage is the most that one page of ListAliases holds.
const aliasesPerPage = 100

// Aliases reads a region's aliases: from alias name ("alias/...") to key id. Aliases without a key are left out.
var Aliases = control.Read[map[string]string]{
	Key:     "kms.aliases",
	Actions: []string{"kms:ListAliases"},
	Do: func(ctx context.Context, t *control.Target) (map[string]string, error) {
		found := map[string]string{}
		api := kms.NewFromConfig(t.AWS)
		for in := (&kms.ListAliasesInput{Limit: aws.Int32(aliasesPerPage)}); ; {
			page, err := api.ListAliases(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("listing aliases: %w", err)
			}
			for _, a := range page.Aliases {
				if id := aws.ToString(a.TargetKeyId); id != "" {
					found[aws.ToString(a.AliasName)] = id
				}
			}
			switch aws.ToString(page.NextMarker) {
			case "":
				return found, nil
			case aws.ToString(in.Marker):
				return nil, control.Unexpected("ListAliases", "a new page: its marker repeats")
			}
			in.Marker = page.NextMarker
		}
	},
}

// ARN is the ARN of the key that name means in the account and region of t: name is alias/NAME or already a key ARN.
// ErrNotFound when the region has no such alias, or the ARN is of another region. Uses kms:ListAliases for an alias.
func ARN(ctx context.Context, t *control.Target, name string) (string, error) {
	if strings.HasPrefix(name, "arn:") {
		if !strings.HasPrefix(name, "arn:"+t.Partition+":kms:"+t.Region+":") {
			return "", fmt.Errorf("%w: %s is not a key of %s; an alias names one in every region", ErrNotFound, name, t.Region)
		}
		return name, nil
	}
	aliases, err := Aliases.From(ctx, t)
	if err != nil {
		return "", err
	}
	id, ok := aliases[name]
	if !ok {
		return "", fmt.Errorf("%w: %s does not exist in %s/%s", ErrNotFound, name, t.Account, t.Region)
	}
	return t.ARN("kms", "key/"+id), nil
}

// Observed is the key ARN of what AWS answered: a key id, a key ARN, an alias name or an alias ARN. An alias that the
// region does not have, and an alias of another account, stay as they are.
func Observed(ctx context.Context, t *control.Target, answer string) (string, error) {
	alias := answer
	if strings.HasPrefix(answer, "arn:") {
		prefix := t.ARN("kms", "")
		if !strings.HasPrefix(answer, prefix+"alias/") {
			return answer, nil
		}
		alias = strings.TrimPrefix(answer, prefix)
	}
	if !strings.HasPrefix(alias, "alias/") {
		if answer == "" {
			return "", nil
		}
		return t.ARN("kms", "key/"+answer), nil
	}
	aliases, err := Aliases.From(ctx, t)
	if err != nil {
		return "", err
	}
	if id, ok := aliases[alias]; ok {
		return t.ARN("kms", "key/"+id), nil
	}
	return answer, nil
}

// Unusable says why the key cannot encrypt for AWS services in the account and region; empty when it can. Uses
// kms:DescribeKey.
func Unusable(ctx context.Context, t *control.Target, arn string) (string, error) {
	out, err := kms.NewFromConfig(t.AWS).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &arn})
	if control.IsCode(err, "NotFoundException") {
		return "there is no such key", nil
	}
	if err != nil {
		return "", fmt.Errorf("describing %s: %w", arn, err)
	}
	k := out.KeyMetadata
	switch {
	case k == nil:
		return "", control.Unexpected("DescribeKey", "key metadata")
	case k.KeyState != types.KeyStateEnabled:
		return "its state is " + string(k.KeyState), nil
	case k.KeySpec != types.KeySpecSymmetricDefault:
		return "it is not symmetric", nil
	case k.KeyUsage != types.KeyUsageTypeEncryptDecrypt:
		return "its usage is " + string(k.KeyUsage), nil
	}
	return "", nil
}

// Missing is the finding for a key that err (of ARN) could not find, or whose region could not be read.
func Missing(resource string, err error) control.Finding {
	if !errors.Is(err, ErrNotFound) {
		return control.Unreadable(resource, err)
	}
	return control.Finding{
		Drift: control.Drift{Resource: resource}, Outcome: control.Unknown, Reason: ReasonKeyNotFound,
		Message: control.Bounded(err.Error(), 300) + " — create the key and its alias there, or exclude the region",
	}
}
