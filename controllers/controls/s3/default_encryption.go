package s3

import (
	"context"
	"sync"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

// DefaultEncryption holds that new objects of each bucket are encrypted at least as declared.
var DefaultEncryption = control.Control[PerBucket[v1alpha1.DefaultEncryption]]{
	Meta: control.Meta{
		ID:    "s3-default-encryption",
		Title: "S3 default encryption of buckets",
		Doc: "New objects of each selected bucket are encrypted with the declared algorithm and key. AES256 is a floor: KMS " +
			"satisfies it, and is never changed back to it. Enforcing writes the bucket's encryption rule and keeps the parts of it " +
			"that are not declared: to AES256 and the bucket key on (Safe), another algorithm or key, the bucket key off, " +
			"customer-provided keys blocked or allowed (Disruptive: writers and readers need the key). Existing objects stay as they " +
			"are. Buckets that take the logs of S3, load balancers or CloudFront keep AES256 and are skipped where KMS is declared.",
		Scope:       control.Region,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Cost:        "KMS: USD 1 per key and month, and requests; a bucket key saves most of these.",
		Frameworks:  map[string][]string{"SecurityHub": {"S3.17"}},
		Reads: []string{
			"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetEncryptionConfiguration", "kms:ListAliases", "kms:DescribeKey",
			"s3:GetBucketPolicy", "s3:GetBucketAcl", "s3:GetBucketLogging",
		},
		Writes: []string{"s3:PutEncryptionConfiguration"},
		Events: bucketEvents("PutBucketEncryption", "DeleteBucketEncryption"),
	},
	Observe:   observeDefaultEncryption,
	Remediate: remediateDefaultEncryption,
	Undo:      undoDefaultEncryption,
	Owner:     ownerOf,
}

// Reasons of findings about encryption.
const (
	// reasonLogTarget: the bucket takes logs whose delivery KMS would end.
	reasonLogTarget = "LogTarget"
	// reasonManagedByService: another AWS service chose the bucket's encryption.
	reasonManagedByService = "ManagedByService"
)

// declaredKey is the declared key in one region, looked up when the first bucket needs it.
type declaredKey struct {
	arn, unusable func() (string, error)
}

func keyOf(ctx context.Context, t *control.Target, name v1alpha1.KMSKeyName) declaredKey {
	arn := sync.OnceValues(func() (string, error) { return kmskey.ARN(ctx, t, string(name)) })
	return declaredKey{arn: arn, unusable: sync.OnceValues(func() (string, error) {
		key, err := arn()
		if err != nil {
			return "", err
		}
		return kmskey.Unusable(ctx, t, key)
	})}
}

func observeDefaultEncryption(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.DefaultEncryption]) ([]control.Finding, error) {
	key := keyOf(ctx, t, want.Want.KMSKey)
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		now, err := readEncryption(ctx, t, name)
		if err != nil {
			return nil, err
		}
		b := encryptedBucket{t: t, name: name, want: want.Want, now: now}
		b.compareAlgorithm(ctx, key)
		b.compareBucketKey()
		b.compareCustomerProvidedKeys()
		return b.findings(), nil
	})
}

// encryptedBucket is one bucket as it is judged. What departs is parted by the risk of putting it right, and from what
// weakens: that waits for an approval in every mode and keeps nothing else waiting.
type encryptedBucket struct {
	t    *control.Target
	name string
	want v1alpha1.DefaultEncryption
	now  encryption

	safe, disruptive, weakening proposal
	others                      []control.Finding
}

// proposal is a change that grows.
type proposal struct {
	fields        []control.Field
	before, after encryption
}

func (p *proposal) add(path, want, got string) {
	p.fields = append(p.fields, control.Field{Path: "encryption." + path, Want: want, Got: got})
}

// compareAlgorithm compares algorithm and key, which a change writes together.
func (b *encryptedBucket) compareAlgorithm(ctx context.Context, key declaredKey) {
	want, now := b.want.AlgorithmOrDefault(), b.now.Algorithm
	if want == v1alpha1.AlgorithmAES256 {
		if now == noEncryption {
			b.safe.before.Algorithm, b.safe.after.Algorithm = now, want
			b.safe.add("algorithm", string(want), string(now))
		}
		return
	}
	arn, err := key.arn()
	if err != nil {
		b.others = append(b.others, kmskey.Missing(bucketARN(b.t, b.name), err))
		return
	}
	got, err := kmskey.Observed(ctx, b.t, *b.now.Key)
	if err != nil {
		b.others = append(b.others, control.Unreadable(bucketARN(b.t, b.name), err))
		return
	}
	if strength[now] >= strength[want] {
		want = now // never to a weaker one
	}
	if now == want && got == arn {
		return
	}
	if hindrance := b.hindrance(ctx, key); hindrance != nil {
		b.others = append(b.others, *hindrance)
		return
	}
	b.disruptive.before.Algorithm, b.disruptive.after.Algorithm = now, want
	b.disruptive.before.Key, b.disruptive.after.Key = b.now.Key, &arn
	if now != want {
		b.disruptive.add("algorithm", string(want), string(now))
	}
	if got != arn {
		b.disruptive.add("kmsKey", arn, b.now.keyName())
	}
}

// hindrance is why the bucket cannot be given the declared key; nil when nothing speaks against it.
func (b *encryptedBucket) hindrance(ctx context.Context, key declaredKey) *control.Finding {
	f := control.Finding{Drift: control.Drift{Resource: bucketARN(b.t, b.name)}, Outcome: control.Unknown}
	why, err := key.unusable()
	source := ""
	if err == nil && why == "" {
		source, err = takesLogs(ctx, b.t, b.name)
	}
	switch {
	case err != nil:
		f = control.Unreadable(f.Resource, err)
	case why != "":
		f.Reason = kmskey.ReasonKeyNotUsable
		f.Message = string(b.want.KMSKey) + " cannot encrypt the bucket: " + why + " — mend the key or name another"
	case source != "":
		f.Outcome, f.Reason = control.NotApplicable, reasonLogTarget
		f.Message = "the bucket takes " + source + ", whose delivery KMS may end; its encryption is left as it is"
	case byService[b.now.Algorithm]:
		f.Outcome, f.Reason = control.NotApplicable, reasonManagedByService
		f.Message = "the bucket's encryption is " + string(b.now.Algorithm) + ", which another AWS service chose; it is left as it is"
	default:
		return nil
	}
	return &f
}

// compareBucketKey compares the bucket key of a bucket that uses aws:kms or is to use it.
func (b *encryptedBucket) compareBucketKey() {
	state := b.want.BucketKeyOrDefault()
	uses, moves := b.now.Algorithm == v1alpha1.AlgorithmKMS, b.disruptive.after.Algorithm == v1alpha1.AlgorithmKMS
	on := state == v1alpha1.Enabled
	if state == "" || !uses && !moves || on == *b.now.BucketKey {
		return
	}
	p := &b.disruptive
	if on && uses {
		p = &b.safe
	}
	p.before.BucketKey, p.after.BucketKey = b.now.BucketKey, &on
	p.add("bucketKey", onOff(on), onOff(!on))
}

// compareCustomerProvidedKeys compares whether SSE-C is blocked.
func (b *encryptedBucket) compareCustomerProvidedKeys() {
	want, got := b.want.CustomerProvidedKeys, v1alpha1.CustomerProvidedKeysAllowed
	if *b.now.BlocksSSEC {
		got = v1alpha1.CustomerProvidedKeysBlocked
	}
	if want == "" || want == got {
		return
	}
	block := want == v1alpha1.CustomerProvidedKeysBlocked
	p := &b.disruptive
	if !block {
		p = &b.weakening
	}
	p.before.BlocksSSEC, p.after.BlocksSSEC = b.now.BlocksSSEC, &block
	p.add("customerProvidedKeys", string(want), string(got))
}

func (b *encryptedBucket) findings() []control.Finding {
	found := b.others
	add := func(p proposal, d control.Drift) {
		if len(p.fields) > 0 {
			d.Resource, d.Fields = bucketARN(b.t, b.name), p.fields
			d.Before, d.After = control.JSON(p.before), control.JSON(p.after)
			found = append(found, control.Finding{Drift: d})
		}
	}
	add(b.safe, control.Drift{Risk: control.Safe})
	add(b.disruptive, control.Drift{Risk: control.Disruptive})
	add(b.weakening, control.Drift{Risk: control.Disruptive, Weakens: true})
	return found
}
