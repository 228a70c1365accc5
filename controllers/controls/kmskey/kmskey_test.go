package kmskey

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	here  = "arn:aws:kms:eu-central-1:111122223333:"
	other = "arn:aws:kms:eu-central-1:444455556666:key/theirs"
)

// target is a region with two aliases on two pages, and one that AWS has not made a key for.
func target(edit func(*cloudtest.Cloud)) *control.Target {
	c := &cloudtest.Cloud{}
	cloudtest.Handle(c, func(_ cloudtest.Call, in *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
		if in.Marker == nil {
			return &kms.ListAliasesOutput{NextMarker: aws.String("2"), Aliases: []types.AliasListEntry{
				{AliasName: aws.String("alias/first"), TargetKeyId: aws.String("one")}, {AliasName: aws.String("alias/aws/rds")},
			}}, nil
		}
		return &kms.ListAliasesOutput{Aliases: []types.AliasListEntry{
			{AliasName: aws.String("alias/second"), TargetKeyId: aws.String("two")},
		}}, nil
	})
	if edit != nil {
		edit(c)
	}
	return control.NewTarget(control.Target{Account: "111122223333", Partition: "aws", Region: "eu-central-1"},
		c.Connector("111122223333"), []string{"kms:ListAliases", "kms:DescribeKey"}, nil, nil)
}

func TestARN(t *testing.T) {
	for name, tc := range map[string]struct {
		key, want string
		missing   bool
	}{
		"an alias is the key it stands for":                   {key: "alias/first", want: here + "key/one"},
		"an alias of the second page is found":                {key: "alias/second", want: here + "key/two"},
		"an alias the region lacks is not found":              {key: "alias/none", missing: true},
		"an alias without a key is not found":                 {key: "alias/aws/rds", missing: true},
		"the ARN of a key of the region stays as it is":       {key: here + "key/any", want: here + "key/any"},
		"the ARN of another account's key stays as it is":     {key: other, want: other},
		"the ARN of a key of another region is not found":     {key: "arn:aws:kms:us-east-1:111122223333:key/any", missing: true},
		"the ARN of a key of another partition is not found":  {key: "arn:aws-cn:kms:eu-central-1:111122223333:key/any", missing: true},
		"a region whose name begins the same is another one":  {key: "arn:aws:kms:eu-central-12:111122223333:key/any", missing: true},
		"the ARN of a key of no region at all is not a match": {key: "arn:aws:kms::111122223333:key/any", missing: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ARN(context.Background(), target(nil), tc.key)
			if got != tc.want || errors.Is(err, ErrNotFound) != tc.missing || (err != nil) != tc.missing {
				t.Errorf("ARN(%s) = %s, %v", tc.key, got, err)
			}
		})
	}
}

func TestObserved(t *testing.T) {
	for name, tc := range map[string]struct{ answer, want string }{
		"a key id":                             {"one", here + "key/one"},
		"a key ARN":                            {here + "key/one", here + "key/one"},
		"an alias":                             {"alias/second", here + "key/two"},
		"an alias ARN":                         {here + "alias/second", here + "key/two"},
		"an alias the region lacks stays":      {"alias/none", "alias/none"},
		"another account's alias ARN stays":    {"arn:aws:kms:eu-central-1:444455556666:alias/a", "arn:aws:kms:eu-central-1:444455556666:alias/a"},
		"an alias that has no key yet remains": {"alias/aws/rds", "alias/aws/rds"},
		"nothing":                              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Observed(context.Background(), target(nil), tc.answer)
			if err != nil || got != tc.want {
				t.Errorf("Observed(%s) = %s, %v, want %s", tc.answer, got, err, tc.want)
			}
		})
	}
}

func TestAliasesAreReadWholeOrNotAtAll(t *testing.T) {
	repeats := target(func(c *cloudtest.Cloud) {
		cloudtest.Handle(c, func(cloudtest.Call, *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
			return &kms.ListAliasesOutput{NextMarker: aws.String("again")}, nil
		})
	})
	if _, err := ARN(context.Background(), repeats, "alias/first"); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("a marker that repeats: got %v, want an unexpected answer", err)
	}
	denied := target(func(c *cloudtest.Cloud) { c.Deny("kms:ListAliases", nil) })
	_, err := ARN(context.Background(), denied, "alias/first")
	if !control.IsAccessDenied(err) || errors.Is(err, ErrNotFound) {
		t.Errorf("a denied list: got %v, want access denied", err)
	}
	if f := Missing("resource", err); f.Reason == ReasonKeyNotFound || f.Outcome != control.Unknown {
		t.Errorf("a denied list must not read as a missing key: %+v", f)
	}
}

func TestUnusable(t *testing.T) {
	good := types.KeyMetadata{
		KeyState: types.KeyStateEnabled, KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt,
	}
	disabled, rsa, signing := good, good, good
	disabled.KeyState, rsa.KeySpec, signing.KeyUsage = types.KeyStateDisabled, types.KeySpecRsa2048, types.KeyUsageTypeSignVerify
	for name, tc := range map[string]struct {
		metadata *types.KeyMetadata
		err      error
		why      string
		fails    bool
	}{
		"an enabled symmetric key is usable":     {metadata: &good},
		"a disabled key is not":                  {metadata: &disabled, why: "Disabled"},
		"an asymmetric key is not":               {metadata: &rsa, why: "not symmetric"},
		"a signing key is not":                   {metadata: &signing, why: "SIGN_VERIFY"},
		"a key that is not there is not":         {err: cloudtest.Error("NotFoundException", ""), why: "no such key"},
		"a key that may not be read: no verdict": {err: cloudtest.Error("AccessDeniedException", ""), fails: true},
		"an empty answer: no verdict":            {fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := target(func(c *cloudtest.Cloud) {
				cloudtest.Handle(c, func(cloudtest.Call, *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
					return &kms.DescribeKeyOutput{KeyMetadata: tc.metadata}, tc.err
				})
			})
			why, err := Unusable(context.Background(), in, here+"key/one")
			if (err != nil) != tc.fails || (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
				t.Errorf("Unusable = %q, %v", why, err)
			}
		})
	}
}
