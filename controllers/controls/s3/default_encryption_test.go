package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

const (
	ours   = "arn:aws:kms:eu-central-1:111122223333:key/ours"
	theirs = "arn:aws:kms:eu-central-1:111122223333:key/theirs"
	aes    = types.ServerSideEncryptionAes256
	sseKMS = types.ServerSideEncryptionAwsKms
	dsse   = types.ServerSideEncryptionAwsKmsDsse
	sseC   = types.EncryptionTypeSseC
)

func encrypting(want v1alpha1.DefaultEncryption) PerBucket[v1alpha1.DefaultEncryption] {
	want.ControlSpec = enabled
	return PerBucket[v1alpha1.DefaultEncryption]{Want: want}
}

func enc(path, want, got string) control.Field {
	return control.Field{Path: "encryption." + path, Want: want, Got: got}
}

func encrypted(name string, rule *types.ServerSideEncryptionRule) store {
	return store{name: name, region: here, rule: rule}
}

func left(bucket, reason string) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: arnOf(bucket)}, Outcome: control.NotApplicable, Reason: reason}
}

func TestDefaultEncryption(t *testing.T) {
	floor := encrypting(v1alpha1.DefaultEncryption{})
	blocked := encrypting(v1alpha1.DefaultEncryption{CustomerProvidedKeys: v1alpha1.CustomerProvidedKeysBlocked})
	allowed := encrypting(v1alpha1.DefaultEncryption{CustomerProvidedKeys: v1alpha1.CustomerProvidedKeysAllowed})
	keyed := encrypting(v1alpha1.DefaultEncryption{Algorithm: v1alpha1.AlgorithmKMS, KMSKey: "alias/baseline"})
	lenient := keyed
	lenient.Want.CustomerProvidedKeys = v1alpha1.CustomerProvidedKeysAllowed
	unkeyed := keyed
	unkeyed.Want.BucketKey = v1alpha1.Disabled
	double := encrypting(v1alpha1.DefaultEncryption{Algorithm: v1alpha1.AlgorithmDSSE, KMSKey: ours})
	tagged := floor
	tagged.Buckets = &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}
	aliases := map[string]string{"alias/baseline": "ours", "alias/aws/s3": "managed"}

	controltest.Run(t, DefaultEncryption, []controltest.Case[PerBucket[v1alpha1.DefaultEncryption]]{
		{
			Name: "AES256 is a floor that every algorithm satisfies", Want: floor,
			AWS: world{buckets: []store{
				encrypted("a", nil), encrypted("b", ruleOf(sseKMS, theirs, false)), encrypted("c", ruleOf(dsse, theirs, false)),
				encrypted("d", ruleOf(types.ServerSideEncryptionAwsFsx, "", false)), encrypted("e", ruleOf(sseKMS, "", true)),
			}}.stage,
		},
		{
			Name: "only selected buckets count", Want: tagged,
			AWS: world{buckets: []store{{name: "a", region: here, noRule: true}, {name: "b", region: here, tags: tagged.Buckets.MatchTags}}}.stage,
		},
		{
			Name: "no rule is below the floor; giving one is Safe, and undoing takes it away again", Want: floor,
			AWS:      world{buckets: []store{{name: "a", region: here, noRule: true, tags: ofStack}}}.stage,
			Owner:    theStack,
			Findings: []control.Finding{drift("a", control.Safe, enc("algorithm", "AES256", "None"))},
		},
		{
			Name: "the declared key is the same as an ARN, a bare id, an alias and an alias ARN", Want: keyed,
			AWS: world{aliases: aliases, buckets: []store{
				encrypted("a", ruleOf(sseKMS, ours, true)), encrypted("b", ruleOf(sseKMS, "ours", true)),
				encrypted("c", ruleOf(sseKMS, "alias/baseline", true)),
				encrypted("d", ruleOf(sseKMS, "arn:aws:kms:eu-central-1:111122223333:alias/baseline", true)),
			}}.stage,
		},
		{
			Name: "to KMS is one Disruptive change with its bucket key, and keeps the block of SSE-C", Want: keyed,
			AWS: world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(aes, "", false, sseC))}}.stage,
			Findings: []control.Finding{drift("a", control.Disruptive,
				enc("algorithm", "aws:kms", "AES256"), enc("kmsKey", ours, "None"), enc("bucketKey", "Enabled", "Disabled"))},
		},
		{
			Name: "another key is a Disruptive change, the bucket key a Safe one beside it", Want: keyed,
			AWS: world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(sseKMS, theirs, false)), encrypted("b", ruleOf(sseKMS, "", true))}}.stage,
			Findings: []control.Finding{
				drift("a", control.Safe, enc("bucketKey", "Enabled", "Disabled")), drift("a", control.Disruptive, enc("kmsKey", ours, theirs)),
				drift("b", control.Disruptive, enc("kmsKey", ours, "alias/aws/s3")),
			},
		},
		{
			Name: "turning the bucket key off is Disruptive", Want: unkeyed,
			AWS:      world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(sseKMS, ours, true))}}.stage,
			Findings: []control.Finding{drift("a", control.Disruptive, enc("bucketKey", "Disabled", "Enabled"))},
		},
		{
			Name: "a stronger algorithm stays, and has no bucket key", Want: keyed,
			AWS:      world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(dsse, ours, false)), encrypted("b", ruleOf(dsse, theirs, false))}}.stage,
			Findings: []control.Finding{drift("b", control.Disruptive, enc("kmsKey", ours, theirs))},
		},
		{
			Name: "to dual-layer encryption from KMS, by a key ARN", Want: double,
			AWS:      world{buckets: []store{encrypted("a", ruleOf(sseKMS, ours, true)), encrypted("b", ruleOf(dsse, ours, false))}}.stage,
			Findings: []control.Finding{drift("a", control.Disruptive, enc("algorithm", "aws:kms:dsse", "aws:kms"))},
		},
		{
			Name: "SSE-C is left as it is unless it is declared; blocking it is Disruptive and keeps the rest", Want: blocked,
			AWS: world{buckets: []store{
				encrypted("a", ruleOf(sseKMS, theirs, true)), encrypted("b", ruleOf(aes, "", false, types.EncryptionTypeNone)), encrypted("c", ruleOf(aes, "", false, sseC)),
			}}.stage,
			Findings: []control.Finding{
				drift("a", control.Disruptive, enc("customerProvidedKeys", "Blocked", "Allowed")), drift("b", control.Disruptive, enc("customerProvidedKeys", "Blocked", "Allowed")),
			},
		},
		{
			Name: "allowing SSE-C weakens", Want: allowed,
			AWS:      world{buckets: []store{encrypted("a", ruleOf(aes, "", false, sseC)), encrypted("b", nil)}}.stage,
			Findings: []control.Finding{weakening(drift("a", control.Disruptive, enc("customerProvidedKeys", "Allowed", "Blocked")))},
		},
		{
			Name: "allowing SSE-C is a change of its own and keeps the key from nothing", Want: lenient,
			AWS: world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(aes, "", false, sseC))}}.stage,
			Findings: []control.Finding{
				drift("a", control.Disruptive, enc("algorithm", "aws:kms", "AES256"), enc("kmsKey", ours, "None"), enc("bucketKey", "Enabled", "Disabled")),
				weakening(drift("a", control.Disruptive, enc("customerProvidedKeys", "Allowed", "Blocked"))),
			},
		},
		{
			Name: "an alias the region does not have is a row of each bucket and writes nothing", Want: keyed,
			AWS:      world{buckets: []store{encrypted("a", nil), encrypted("b", ruleOf(sseKMS, theirs, true))}}.stage,
			Findings: []control.Finding{unknown("a", kmskey.ReasonKeyNotFound), unknown("b", kmskey.ReasonKeyNotFound)},
		},
		{
			Name: "an alias the region does not have is nothing to say where no bucket is", Want: keyed, AWS: world{}.stage,
		},
		{
			Name: "a key that is disabled is never written", Want: keyed,
			AWS:      world{aliases: aliases, keyState: kmstypes.KeyStateDisabled, buckets: []store{encrypted("a", nil)}}.stage,
			Findings: []control.Finding{unknown("a", kmskey.ReasonKeyNotUsable)},
		},
		{
			Name: "what a service encrypts is left to it", Want: keyed,
			AWS:      world{aliases: aliases, buckets: []store{encrypted("a", ruleOf(types.ServerSideEncryptionAwsBackup, "", false))}}.stage,
			Findings: []control.Finding{left("a", reasonManagedByService)},
		},
		{
			Name: "an algorithm nobody knows is no answer", Want: floor,
			AWS:      world{buckets: []store{encrypted("a", ruleOf("rot13", "", false))}}.stage,
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
		{
			Name: "no rule in an answer is no answer", Want: floor,
			AWS: func(c *cloudtest.Cloud) {
				world{buckets: []store{encrypted("a", nil)}}.stage(c)
				cloudtest.Handle(c, func(cloudtest.Call, *s3.GetBucketEncryptionInput) (*s3.GetBucketEncryptionOutput, error) {
					return &s3.GetBucketEncryptionOutput{ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{}}, nil
				})
			},
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}

func TestLogTargets(t *testing.T) {
	keyed := encrypting(v1alpha1.DefaultEncryption{Algorithm: v1alpha1.AlgorithmKMS, KMSKey: ours})
	tagged := keyed
	tagged.Buckets = &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}
	letting := func(principal string) string {
		return `{"Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:PutObject","Resource":"arn:aws:s3:::x/*"}}`
	}
	takes := func(policy string, grants ...types.Grant) store {
		return store{name: "a", region: here, policy: policy, grants: grants}
	}
	canonical := func(id string) types.Grant {
		return types.Grant{Permission: types.PermissionFullControl, Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String(id)}}
	}
	toKMS := func(bucket string) control.Finding {
		return drift(bucket, control.Disruptive, enc("algorithm", "aws:kms", "AES256"), enc("kmsKey", ours, "None"), enc("bucketKey", "Enabled", "Disabled"))
	}
	cases := []controltest.Case[PerBucket[v1alpha1.DefaultEncryption]]{
		{
			Name: "where another bucket's access logs go", Want: tagged,
			AWS: world{buckets: []store{
				{name: "a", region: here, tags: tagged.Buckets.MatchTags}, {name: "b", region: here, logsTo: "a"}, {name: "c", region: here, tags: tagged.Buckets.MatchTags},
				{name: "d", region: here, denied: true, logsTo: "c"}, {name: "e", region: elsewhere},
			}}.stage,
			// Of d nothing is known but that it cannot be selected.
			Findings: []control.Finding{left("a", reasonLogTarget), toKMS("c"), unknown("d", v1alpha1.RowAccessDenied)},
		},
		{
			Name: "where no source can be read the question is open", Want: keyed,
			AWS: func(c *cloudtest.Cloud) {
				world{buckets: []store{takes("")}}.stage(c)
				c.Deny("s3:GetBucketLogging", nil)
			},
			Findings:  []control.Finding{unknown("a", v1alpha1.RowAccessDenied)},
			Tolerates: []string{"s3:GetBucketLogging"}, // it is denied already
		},
		{
			Name: "a policy that denies a deliverer, and one that lets in others, are none", Want: keyed,
			AWS: world{buckets: []store{takes(`{"Version":"2012-10-17","Statement":[
				{"Effect":"Deny","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:*","Resource":"*"},
				{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root","*"],"Service":"cloudtrail.amazonaws.com"},"Action":"s3:*","Resource":"*"}]}`)}}.stage,
			Findings: []control.Finding{toKMS("a")},
		},
	}
	for name, takes := range map[string]store{
		"S3 by policy":                         takes(letting(`{"Service":"logging.s3.amazonaws.com"}`)),
		"S3 by ACL":                            takes("", anyone("http://acs.amazonaws.com/groups/s3/LogDelivery")),
		"CloudFront by ACL":                    takes("", canonical("c4c1ede66af53448b93c283ce9448c4ba468c9432aa01d700d3878632f77d2d0")),
		"load balancers by service":            takes(letting(`{"Service":["logdelivery.elasticloadbalancing.amazonaws.com"]}`)),
		"load balancers by account":            takes(letting(`{"AWS":"arn:aws:iam::054676820928:root"}`)),
		"load balancers by account id":         takes(letting(`{"AWS":["111122223333","127311923021"]}`)),
		"network load balancers by their logs": takes(letting(`{"Service":"delivery.logs.amazonaws.com"}`)),
	} {
		cases = append(cases, controltest.Case[PerBucket[v1alpha1.DefaultEncryption]]{
			Name: name, Want: keyed, AWS: world{buckets: []store{takes}}.stage, Findings: []control.Finding{left("a", reasonLogTarget)},
		})
	}
	asked := DefaultEncryption // by a key ARN, so that aliases are not asked for
	asked.Owner = nil          // TestDefaultEncryption asks who manages a bucket
	asked.Reads = []string{
		"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetEncryptionConfiguration", "kms:DescribeKey", "s3:GetBucketPolicy", "s3:GetBucketAcl",
		"s3:GetBucketLogging",
	}
	controltest.Run(t, asked, cases)
}
