package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// only selects one account.
func only(account string) string { return `accounts: {include: ["` + account + `"]}` }

// The four flags of a public access block as a baseline names them.
var fourFlags = notOn("blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets")

var _ = Describe("Public access to S3", Ordered, ContinueOnFailure, func() {
	const account = "arn:aws:s3::" + payProd + ":account-public-access-block"
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		s3Make(ctx, payProd, frankfurt, "acme-closed", "acme-half", "acme-open")
		s3SetBlock(ctx, payProd, frankfurt, "acme-open", s3Flags{})
		s3SetPolicy(ctx, payProd, frankfurt, "acme-open", s3Policy(s3Reads("acme-open", "*")))
		s3SetOwner(ctx, payProd, frankfurt, "acme-half", types.ObjectOwnershipObjectWriter)
		s3SetBlock(ctx, payProd, frankfurt, "acme-half", s3Flags{})
		s3SetACL(ctx, payProd, frankfurt, "acme-half", types.BucketCannedACLPublicRead)
		s3SetBlock(ctx, payProd, frankfurt, "acme-half", s3Flags{true, false, true, false})
		s3Make(ctx, payProd, ireland, "acme-far")
		s3SetBlock(ctx, payProd, ireland, "acme-far", s3Flags{})
	}})
	common := `
			` + only(payProd) + `
			regions: {include: [` + frankfurt + `]}`

	It("is reported flag by flag: of the account and of each bucket in a selected region", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Audit`+common+`
			accountPublicAccessBlock: {state: Enabled}
			bucketPublicAccessBlock: {state: Enabled}`)
		s.recheck(ctx, payProd)
		ofAccount, ofBuckets := withControl(s.rows(ctx, payProd), s3AccountBlock), withControl(s.rows(ctx, payProd), s3BucketBlock)
		for _, row := range ofAccount {
			Expect(row.Message).To(HavePrefix(inAudit("Disruptive").message))
		}
		Expect(withoutMessages(ofAccount)).To(ConsistOf(withoutMessages(
			rowsOf(s3AccountBlock, v1alpha1.GlobalRegion, account, inAudit("Disruptive"), fourFlags...))))
		Expect(ofBuckets).To(ConsistOf(append(ofBucket(s3BucketBlock, "acme-open", inAudit("Disruptive"), fourFlags...),
			ofBucket(s3BucketBlock, "acme-half", inAudit("Disruptive"), fourFlags[1], fourFlags[3])...)))
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 2, Drifted: 2}))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("names the buckets that are public now on the account's rows, for whoever is to approve", func(ctx SpecContext) {
		for _, row := range withControl(s.rows(ctx, payProd), s3AccountBlock) {
			Expect(row.Message).To(ContainSubstring("public by policy or ACL: acme-half, acme-open (4 of 4 buckets looked at)"))
		}
	})

	It("waits for an approval to be closed by default", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			accountPublicAccessBlock: {state: Enabled}
			bucketPublicAccessBlock: {state: Enabled}`)
		s.recheck(ctx, payProd)
		Expect(withControl(s.rows(ctx, payProd), s3BucketBlock)).To(ConsistOf(append(
			ofBucket(s3BucketBlock, "acme-open", awaiting("Disruptive", fourFlags...), fourFlags...),
			ofBucket(s3BucketBlock, "acme-half", awaiting("Disruptive", fourFlags[1], fourFlags[3]), fourFlags[1], fourFlags[3])...)))
		for _, row := range withControl(s.rows(ctx, payProd), s3AccountBlock) {
			Expect(row.Reason).To(Equal(v1alpha1.RowAwaitingApproval))
			Expect(row.Message).To(HavePrefix(awaiting("Disruptive", fourFlags...).message))
		}
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("is closed bucket by bucket with approval: Irreversible, once; policies and ACLs stay", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			bucketPublicAccessBlock: {state: Enabled, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutBlock, payProd, frankfurt), call(s3PutBlock, payProd, frankfurt)}))
		for _, name := range []string{"acme-closed", "acme-half", "acme-open"} {
			Expect(s3Block(ctx, payProd, frankfurt, name)).To(Equal(s3AllOn), name)
		}
		Expect(s3PolicyNow(ctx, payProd, frankfurt, "acme-open")).To(MatchJSON(s3Policy(s3Reads("acme-open", "*"))))
		Expect(s3Grants(ctx, payProd, frankfurt, "acme-half")).To(ContainElement(HaveSuffix("AllUsers")))
	})

	It("is closed for the whole account with approval: Irreversible, by one write", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			accountPublicAccessBlock: {state: Enabled, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutAccountBlock, payProd, virginia)}))
		Expect(s3BlockOfAccount(ctx, payProd)).To(Equal(s3AllOn))
		s.compliant(ctx, "S3Baseline", "public")
	})

	It("needs no block on a bucket while the account's is whole, and no request to say so", func(ctx SpecContext) {
		s3SetBlock(ctx, payProd, frankfurt, "acme-open", s3Flags{})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			bucketPublicAccessBlock: {state: Enabled, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.s3Asked(ctx, mark, payProd)).To(BeEmpty())
	})

	It("asks for it on the bucket all the same with requireOnBucket", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			bucketPublicAccessBlock: {state: Enabled, requireOnBucket: Enabled, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutBlock, payProd, frankfurt)}))
		Expect(s3Block(ctx, payProd, frankfurt, "acme-open")).To(Equal(s3AllOn))
	})

	It("waits for an approval in every mode to be allowed again, and keeps nothing else from being closed meanwhile", func(ctx SpecContext) {
		s3SetAccountBlock(ctx, payProd, s3Flags{true, false, true, true})
		s3SetBlock(ctx, payProd, frankfurt, "acme-open", s3Flags{false, true, true, true})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce
			approval: Irreversible`+common+`
			accountPublicAccessBlock: {state: Enabled, blockPublicPolicy: Disabled}
			bucketPublicAccessBlock: {state: Enabled, requireOnBucket: Enabled, restrictPublicBuckets: Disabled}`)
		s.recheck(ctx, payProd)
		policy, restrict := departure{"blockPublicPolicy", "Disabled", "Enabled"}, departure{"restrictPublicBuckets", "Disabled", "Enabled"}
		want := rowsOf(s3AccountBlock, v1alpha1.GlobalRegion, account, awaiting(weakening, policy), policy)
		for _, name := range []string{"acme-closed", "acme-half", "acme-open"} {
			want = append(want, ofBucket(s3BucketBlock, name, awaiting(weakening, restrict), restrict)...)
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(want))
		Expect(s.ours(ctx, mark)).To(ConsistOf(call(s3PutAccountBlock, payProd, virginia), call(s3PutBlock, payProd, frankfurt)))
		Expect(s3BlockOfAccount(ctx, payProd)).To(Equal(s3AllOn))
		Expect(s3Block(ctx, payProd, frankfurt, "acme-open")).To(Equal(s3AllOn))
	})

	It("is said to be an organization policy's where AWS refuses the account's change for that", func(ctx SpecContext) {
		s3SetAccountBlock(ctx, payProd, s3Flags{true, true, true, false})
		lift := s.rule(ctx, stack.Rule{
			Match: in(payProd, "", "s3control", "PutPublicAccessBlock"), Action: stack.ActionError, Status: 403, Code: "AccessDenied",
			Message: "The public access block is managed by an organization policy",
		})
		s.declare(ctx, "S3Baseline", "public", `
			mode: Enforce`+common+`
			accountPublicAccessBlock: {state: Enabled, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		rows := s.rows(ctx, payProd)
		Expect(rows).To(HaveLen(1))
		Expect(rows[0].Reason).To(Equal("ManagedByOrganizationPolicy"))
		Expect(rows[0].Message).To(And(ContainSubstring("AccessDenied"),
			HaveSuffix("an AWS Organizations policy decides this: change the policy, or leave the setting out of the baseline")))
		Expect(s3BlockOfAccount(ctx, payProd)).To(Equal(s3Flags{true, true, true, false}))
		lift(ctx)
	})

	It("leaves buckets of regions that are not selected alone", func(ctx SpecContext) {
		Expect(s.writesAbout(ctx, "acme-far")).To(BeEmpty())
	})
})

var _ = Describe("Default encryption of buckets", Ordered, ContinueOnFailure, func() {
	var key, other string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		key, other = makeKey(ctx, shopProd, frankfurt, "alias/baseline"), makeKey(ctx, shopProd, frankfurt, "")
		makeKey(ctx, shopProd, virginia, "alias/baseline")
		s3Make(ctx, shopProd, frankfurt, "acme-good", "acme-other", "acme-plain", "acme-slow", "acme-strong")
		for name, rule := range map[string]types.ServerSideEncryptionRule{
			"acme-good":   s3Encrypted(types.ServerSideEncryptionAwsKms, key, true),
			"acme-other":  s3Encrypted(types.ServerSideEncryptionAwsKms, other, true),
			"acme-plain":  s3Encrypted(types.ServerSideEncryptionAes256, "", false, types.EncryptionTypeSseC),
			"acme-slow":   s3Encrypted(types.ServerSideEncryptionAwsKms, "alias/baseline", false, types.EncryptionTypeSseC),
			"acme-strong": s3Encrypted(types.ServerSideEncryptionAwsKmsDsse, key, false),
		} {
			s3SetRule(ctx, shopProd, frankfurt, name, rule)
		}
		s3Make(ctx, shopProd, ireland, "acme-lost")
		s3Make(ctx, shopProd, virginia, "acme-logs")
		s3SetPolicy(ctx, shopProd, virginia, "acme-logs", s3Policy(`{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},`+
			`"Action":"s3:PutObject","Resource":"arn:aws:s3:::acme-logs/*"}`))
	}})
	const kmsSection = "algorithm: aws:kms, kmsKey: alias/baseline"
	toKMS := func() []departure {
		return []departure{
			{"encryption.algorithm", "aws:kms", "AES256"}, {"encryption.kmsKey", key, "None"}, {"encryption.bucketKey", "Enabled", "Disabled"},
		}
	}
	bucketKey := departure{"encryption.bucketKey", "Enabled", "Disabled"}

	It("of AES256 is a floor: KMS satisfies it, whatever the key", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Audit
			`+only(shopProd)+`
			defaultEncryption: {state: Enabled}`)
		s.recheck(ctx, shopProd)
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.account(ctx, shopProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 3}))
	})

	It("of AES256 is set where a bucket has none: Safe", func(ctx SpecContext) {
		// S3 has given every bucket a rule since 2023; this answers as it did before, until the rule is written.
		s.rule(ctx, stack.Rule{
			Match:  stack.Match{Service: []string{"s3"}, Operation: []string{s3ReadRule}, Resource: []string{"acme-plain"}},
			Action: stack.ActionError, Status: 404, Code: "ServerSideEncryptionConfigurationNotFoundError", Times: 3,
		})
		none := departure{"encryption.algorithm", "AES256", "None"}
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(Equal(ofBucket(s3Encryption, "acme-plain", inAudit("Safe"), none)))
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			defaultEncryption: {state: Enabled}`)
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutRule, shopProd, frankfurt)}))
		s3SetRule(ctx, shopProd, frankfurt, "acme-plain", s3Encrypted(types.ServerSideEncryptionAes256, "", false, types.EncryptionTypeSseC))
	})

	It("with a key is reported as what departs: algorithm, key, bucket key", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Audit
			`+only(shopProd)+`
			defaultEncryption: {state: Enabled, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(slices.Concat(
			ofBucket(s3Encryption, "acme-plain", inAudit("Disruptive"), toKMS()...),
			ofBucket(s3Encryption, "acme-other", inAudit("Disruptive"), departure{"encryption.kmsKey", key, other}),
			ofBucket(s3Encryption, "acme-slow", inAudit("Safe"), bucketKey),
		)))
		c := control(s.account(ctx, shopProd), s3Encryption)
		Expect(c.Drifted).To(Equal(map[string]int32{frankfurt: 3}))
		Expect(c.Unknown).To(Equal(map[string]int32{ireland: 1}))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("with an alias that the region lacks is KeyNotFound, with the next step", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+ireland+`]}
			defaultEncryption: {state: Enabled, approval: Irreversible, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		c := control(s.account(ctx, shopProd), s3Encryption)
		Expect(c).To(And(HaveField("Reason", "KeyNotFound"), HaveField("Unknown", map[string]int32{ireland: 1}), HaveField("Drifted", BeEmpty())))
		Expect(c.Message).To(ContainSubstring("alias/baseline does not exist in " + shopProd + "/" + ireland +
			" — create the key and its alias there, or exclude the region"))
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountUnknown))
		Expect(s.writesAbout(ctx, "acme-lost")).To(BeEmpty())
	})

	It("with a key leaves a bucket that takes logs as it is", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+virginia+`]}
			defaultEncryption: {state: Enabled, approval: Irreversible, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(BeEmpty())
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.writesAbout(ctx, "acme-logs")).To(BeEmpty())
		Expect(s3Rule(ctx, shopProd, virginia, "acme-logs")).To(Equal(s3RuleJSON(s3Encrypted(types.ServerSideEncryptionAes256, "", false))))
	})

	It("gets the bucket key by itself, for that is Safe; algorithm and key wait for an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+frankfurt+`]}
			defaultEncryption: {state: Enabled, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(append(
			ofBucket(s3Encryption, "acme-plain", awaiting("Disruptive", toKMS()...), toKMS()...),
			ofBucket(s3Encryption, "acme-other", awaiting("Disruptive", departure{"encryption.kmsKey", key, other}), departure{"encryption.kmsKey", key, other})...)))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutRule, shopProd, frankfurt)}))
		Expect(s3Rule(ctx, shopProd, frankfurt, "acme-slow")).To(Equal(s3RuleJSON(
			s3Encrypted(types.ServerSideEncryptionAwsKms, "alias/baseline", true, types.EncryptionTypeSseC))), "key and blocked types are kept as they were")
	})

	It("gets algorithm and key with approval: Irreversible; what is not declared is kept, what is stronger too", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+frankfurt+`]}
			defaultEncryption: {state: Enabled, approval: Irreversible, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutRule, shopProd, frankfurt), call(s3PutRule, shopProd, frankfurt)}))
		for name, rule := range map[string]types.ServerSideEncryptionRule{
			"acme-plain":  s3Encrypted(types.ServerSideEncryptionAwsKms, key, true, types.EncryptionTypeSseC),
			"acme-other":  s3Encrypted(types.ServerSideEncryptionAwsKms, key, true),
			"acme-strong": s3Encrypted(types.ServerSideEncryptionAwsKmsDsse, key, false),
		} {
			Expect(s3Rule(ctx, shopProd, frankfurt, name)).To(Equal(s3RuleJSON(rule)), name)
		}
	})

	It("is never changed back from KMS to AES256", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			defaultEncryption: {state: Enabled, approval: Irreversible, algorithm: AES256}`)
		s.recheck(ctx, shopProd)
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("with dsse, without a bucket key and without customer-provided keys is Disruptive, and applied so", func(ctx SpecContext) {
		one := `
			mode: Enforce
			` + only(shopProd) + `
			regions: {include: [` + frankfurt + `]}
			buckets: {include: [acme-other]}
			defaultEncryption: {state: Enabled, `
		for _, step := range []struct {
			settings string
			first    departure
			rule     types.ServerSideEncryptionRule
		}{
			{
				kmsSection + ", bucketKey: Disabled", departure{"encryption.bucketKey", "Disabled", "Enabled"},
				s3Encrypted(types.ServerSideEncryptionAwsKms, key, false),
			},
			{
				"algorithm: aws:kms:dsse, kmsKey: alias/baseline", departure{"encryption.algorithm", "aws:kms:dsse", "aws:kms"},
				s3Encrypted(types.ServerSideEncryptionAwsKmsDsse, key, false),
			},
			{
				"customerProvidedKeys: Blocked", departure{"encryption.customerProvidedKeys", "Blocked", "Allowed"},
				s3Encrypted(types.ServerSideEncryptionAwsKmsDsse, key, false, types.EncryptionTypeSseC),
			},
		} {
			mark := s.mark(ctx)
			s.declare(ctx, "S3Baseline", "encryption", one+step.settings+"}")
			s.recheck(ctx, shopProd)
			Expect(s.rows(ctx, shopProd)).To(Equal(ofBucket(s3Encryption, "acme-other", awaiting("Disruptive", step.first), step.first)))
			Expect(s.ours(ctx, mark)).To(BeEmpty())
			s.declare(ctx, "S3Baseline", "encryption", one+step.settings+", approval: Irreversible}")
			s.recheck(ctx, shopProd)
			Expect(s.rows(ctx, shopProd)).To(BeEmpty())
			Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutRule, shopProd, frankfurt)}))
			Expect(s3Rule(ctx, shopProd, frankfurt, "acme-other")).To(Equal(s3RuleJSON(step.rule)))
		}
	})

	It("waits for an approval in every mode to allow customer-provided keys, and keeps nothing else waiting", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s3SetRule(ctx, shopProd, frankfurt, "acme-plain", s3Encrypted(types.ServerSideEncryptionAes256, "", false, types.EncryptionTypeSseC))
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+frankfurt+`]}
			buckets: {include: [acme-plain]}
			defaultEncryption: {state: Enabled, approval: Irreversible, customerProvidedKeys: Allowed, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		allowed := departure{"encryption.customerProvidedKeys", "Allowed", "Blocked"}
		Expect(s.rows(ctx, shopProd)).To(Equal(ofBucket(s3Encryption, "acme-plain", awaiting(weakening, allowed), allowed)))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutRule, shopProd, frankfurt)}))
		Expect(s3Rule(ctx, shopProd, frankfurt, "acme-plain")).To(Equal(s3RuleJSON(
			s3Encrypted(types.ServerSideEncryptionAwsKms, key, true, types.EncryptionTypeSseC))))
	})

	It("is not given a key that cannot be used, and says why", func(ctx SpecContext) {
		_, err := kms.NewFromConfig(shared.emulator.Config(shopProd, frankfurt)).DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
		Expect(err).NotTo(HaveOccurred())
		s3SetRule(ctx, shopProd, frankfurt, "acme-plain", s3Encrypted(types.ServerSideEncryptionAes256, "", false))
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "encryption", `
			mode: Enforce
			`+only(shopProd)+`
			regions: {include: [`+frankfurt+`]}
			buckets: {include: [acme-plain]}
			defaultEncryption: {state: Enabled, approval: Irreversible, `+kmsSection+`}`)
		s.recheck(ctx, shopProd)
		c := control(s.account(ctx, shopProd), s3Encryption)
		Expect(c).To(And(HaveField("Reason", "KeyNotUsable"), HaveField("Unknown", map[string]int32{frankfurt: 1}),
			HaveField("Message", ContainSubstring("alias/baseline cannot encrypt the bucket: its state is Disabled — mend the key or name another"))))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})
})

var _ = Describe("TLS to buckets", Ordered, ContinueOnFailure, func() {
	readers := "arn:aws:iam::" + payProd + ":root"
	noDelete := s3Denies("KeepIt", "acme-shared", "s3:DeleteObject", `{"StringNotEquals":{"aws:PrincipalAccount":"`+webProd+`"}}`)
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		s3Make(ctx, webProd, frankfurt, "acme-plain", "acme-public", "acme-shared", "acme-tls")
		s3SetPolicy(ctx, webProd, frankfurt, "acme-shared", s3Policy(s3Reads("acme-shared", readers), noDelete))
		s3SetPolicy(ctx, webProd, frankfurt, "acme-tls", s3Policy(s3NoPlainHTTP("SomebodyElses", "acme-tls")))
		s3SetBlock(ctx, webProd, frankfurt, "acme-public", s3Flags{})
		s3SetPolicy(ctx, webProd, frankfurt, "acme-public", s3Policy(s3Reads("acme-public", "*")))
		s3SetBlock(ctx, webProd, frankfurt, "acme-public", s3Flags{false, false, true, false})
	}})
	tls := func(mode, settings string) string {
		return `
			mode: ` + mode + `
			` + only(webProd) + `
			secureTransport: {state: ` + settings + `}`
	}
	plain, newest := departure{"secureTransport", "Enabled", "Disabled"}, departure{"minimumTLSVersion", "1.3", "1.2"}
	blocked := verdict{"PublicPolicyBlocked", "the bucket policy is public, and blockPublicPolicy refuses any change that leaves it so — " +
		"take the public statement out of the policy"}

	It("is reported where no statement demands it; somebody else's of the same meaning suffices", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "tls", tls("Audit", "Enabled"))
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(ConsistOf(slices.Concat(
			ofBucket(s3Transport, "acme-plain", inAudit("Disruptive"), plain), ofBucket(s3Transport, "acme-shared", inAudit("Disruptive"), plain),
			ofBucket(s3Transport, "acme-public", blocked, plain))))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("waits for an approval by default, and is only reported where S3 would refuse the policy", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", "Enabled"))
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(ConsistOf(slices.Concat(
			ofBucket(s3Transport, "acme-plain", awaiting("Disruptive", plain), plain),
			ofBucket(s3Transport, "acme-shared", awaiting("Disruptive", plain), plain), ofBucket(s3Transport, "acme-public", blocked, plain))))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("does not overwrite a policy that changed since it was looked at, and is merged into the new one next", func(ctx SpecContext) {
		mark := s.mark(ctx)
		// The first change is acme-plain's, the second acme-shared's.
		entering := s.hold(ctx, stack.ActionHoldBefore, stack.Match{
			Service: []string{"sts"}, Operation: []string{"AssumeRole"}, Resource: []string{roleARN(webProd, enforceRole)},
		}, 1)
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", "Enabled, approval: Irreversible"))
		entering.await(ctx)
		also := s3Denies("Also", "acme-shared", "s3:PutBucketAcl", `{"StringNotEquals":{"aws:PrincipalAccount":"`+webProd+`"}}`)
		changed := s3Policy(s3Reads("acme-shared", readers), noDelete, also)
		s3SetPolicy(ctx, webProd, frankfurt, "acme-shared", changed)
		entering.release(ctx)
		s.awaitReasons(ctx, webProd, map[string]int{s3Transport + " RemediationFailed": 1, s3Transport + " PublicPolicyBlocked": 1})
		for _, row := range s.rows(ctx, webProd) {
			if row.Reason == v1alpha1.RowRemediationFailed {
				Expect(row.Resource).To(Equal(s3ARN("acme-shared")))
				Expect(row.Message).To(Equal("the bucket policy has changed since it was looked at; nothing was written"))
			}
		}
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-shared")).To(MatchJSON(changed))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-plain")).To(MatchJSON(s3Policy(s3NoPlainHTTP("PlumblineSecureTransport", "acme-plain"))))

		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(Equal(ofBucket(s3Transport, "acme-public", blocked, plain)))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-shared")).To(MatchJSON(
			s3Policy(s3Reads("acme-shared", readers), noDelete, also, s3NoPlainHTTP("PlumblineSecureTransport", "acme-shared"))))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-tls")).To(MatchJSON(s3Policy(s3NoPlainHTTP("SomebodyElses", "acme-tls"))))
		Expect(s.ours(ctx, mark)).To(Equal(slices.Repeat([]string{call(s3PutPolicy, webProd, frankfurt)}, 2)), "one for each bucket")
	})

	It("is demanded of a public policy once nothing refuses that; what is public stays so", func(ctx SpecContext) {
		s3SetBlock(ctx, webProd, frankfurt, "acme-public", s3Flags{})
		s.recheck(ctx, webProd)
		Expect(s.account(ctx, webProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-public")).To(MatchJSON(
			s3Policy(s3Reads("acme-public", "*"), s3NoPlainHTTP("PlumblineSecureTransport", "acme-public"))))
	})

	It("of 1.3 is a second statement", func(ctx SpecContext) {
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", `Enabled, minimumTLSVersion: "1.3"`))
		s.recheck(ctx, webProd)
		var want []v1alpha1.DriftRow
		for _, name := range []string{"acme-plain", "acme-public", "acme-shared", "acme-tls"} {
			want = append(want, ofBucket(s3Transport, name, awaiting("Disruptive", newest), newest)...)
		}
		Expect(s.rows(ctx, webProd)).To(ConsistOf(want))
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", `Enabled, minimumTLSVersion: "1.3", approval: Irreversible`))
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal(slices.Repeat([]string{call(s3PutPolicy, webProd, frankfurt)}, 4)))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-tls")).To(MatchJSON(
			s3Policy(s3NoPlainHTTP("SomebodyElses", "acme-tls"), s3NoOldTLS("PlumblineTLSVersion", "acme-tls"))))
	})

	It("is put back when somebody takes it out", func(ctx SpecContext) {
		s3SetPolicy(ctx, webProd, frankfurt, "acme-plain", "")
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(BeEmpty())
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-plain")).To(MatchJSON(s3Policy(
			s3NoPlainHTTP("PlumblineSecureTransport", "acme-plain"), s3NoOldTLS("PlumblineTLSVersion", "acme-plain"))))
	})

	It("waits for an approval in every mode to ask for less, and keeps nothing else waiting", func(ctx SpecContext) {
		s3SetPolicy(ctx, webProd, frankfurt, "acme-plain", s3Policy(s3NoOldTLS("PlumblineTLSVersion", "acme-plain")))
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", "Enabled, approval: Irreversible"))
		s.recheck(ctx, webProd)
		less := departure{"minimumTLSVersion", "1.2", "1.3"}
		var want []v1alpha1.DriftRow
		for _, name := range []string{"acme-plain", "acme-public", "acme-shared", "acme-tls"} {
			want = append(want, ofBucket(s3Transport, name, awaiting(weakening, less), less)...)
		}
		Expect(s.rows(ctx, webProd)).To(ConsistOf(want))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-plain")).To(MatchJSON(s3Policy(
			s3NoOldTLS("PlumblineTLSVersion", "acme-plain"), s3NoPlainHTTP("PlumblineSecureTransport", "acme-plain"))))
	})

	It("waits for an approval in every mode to be taken out, which concerns Plumbline's own statements alone", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "tls", tls("Enforce", "Disabled, approval: Irreversible"))
		s.recheck(ctx, webProd)
		off, less := departure{"secureTransport", "Disabled", "Enabled"}, departure{"minimumTLSVersion", "1.2", "1.3"}
		var want []v1alpha1.DriftRow
		for _, name := range []string{"acme-plain", "acme-public", "acme-shared"} {
			want = append(want, ofBucket(s3Transport, name, awaiting(weakening, off, less), off, less)...)
		}
		want = append(want, ofBucket(s3Transport, "acme-tls", awaiting(weakening, less), less)...)
		Expect(s.rows(ctx, webProd)).To(ConsistOf(want))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-shared")).To(ContainSubstring("PlumblineSecureTransport"))
	})

	It("is demanded of a public policy before the same baseline blocks public policies", func(ctx SpecContext) {
		public := s3Policy(s3Reads("acme-public", "*"))
		s3SetPolicy(ctx, webProd, frankfurt, "acme-public", public)
		// Writing policies takes its time: a block that does not wait for it would come first.
		s.rule(ctx, stack.Rule{Match: in(webProd, frankfurt, "s3", "PutBucketPolicy"), Action: stack.ActionDelay, Seconds: 0.5, Times: 1})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "tls", `
			mode: Enforce
			approval: Irreversible
			`+only(webProd)+`
			accountPublicAccessBlock: {state: Enabled}
			bucketPublicAccessBlock: {state: Enabled}
			secureTransport: {state: Enabled, minimumTLSVersion: "1.3"}`)
		s.recheck(ctx, webProd)
		Expect(s.ours(ctx, mark)).To(Equal([]string{
			call(s3PutPolicy, webProd, frankfurt), call(s3PutAccountBlock, webProd, virginia), call(s3PutBlock, webProd, frankfurt),
		}))
		Expect(s.rows(ctx, webProd)).To(BeEmpty())
		Expect(s3BlockOfAccount(ctx, webProd)).To(Equal(s3AllOn))
		Expect(s3PolicyNow(ctx, webProd, frankfurt, "acme-public")).To(MatchJSON(s3Policy(s3Reads("acme-public", "*"),
			s3NoPlainHTTP("PlumblineSecureTransport", "acme-public"), s3NoOldTLS("PlumblineTLSVersion", "acme-public"))))
	})
})

var _ = Describe("What buckets keep and who owns it", Ordered, ContinueOnFailure, func() {
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		s3Make(ctx, dataProd, frankfurt, "acme-granted", "acme-kept", "acme-never", "acme-paused")
		s3SetVersioning(ctx, dataProd, frankfurt, "acme-kept", types.BucketVersioningStatusEnabled)
		s3SetVersioning(ctx, dataProd, frankfurt, "acme-paused", types.BucketVersioningStatusEnabled)
		s3SetVersioning(ctx, dataProd, frankfurt, "acme-paused", types.BucketVersioningStatusSuspended)
		s3MakeLocked(ctx, dataProd, "evidence-short", &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(30)})
		s3MakeLocked(ctx, dataProd, "evidence-sound", &types.DefaultRetention{Mode: types.ObjectLockRetentionModeCompliance, Years: aws.Int32(2)})
		s3Make(ctx, dataProd, frankfurt, "evidence-loose")
		for _, name := range []string{"acme-granted", "acme-never"} {
			s3SetOwner(ctx, dataProd, frankfurt, name, types.ObjectOwnershipObjectWriter)
		}
		s3SetACL(ctx, dataProd, frankfurt, "acme-granted", "log-delivery-write")
	}})
	const mine = `accounts: {include: ["` + dataProd + `"]}
			buckets: {include: [acme-*]}`
	unversioned, paused := departure{"versioning", "Enabled", "Unversioned"}, departure{"versioning", "Enabled", "Suspended"}

	It("reports versioning, Object Lock and ownership bucket by bucket", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "keep", `
			mode: Audit
			`+mine+`
			versioning: {state: Enabled}
			objectOwnership: {state: Enabled}`)
		s.declare(ctx, "S3Baseline", "evidence", `
			mode: Audit
			`+only(dataProd)+`
			priority: -1
			buckets: {include: [evidence-*]}
			objectLock: {state: Enabled, retentionMode: COMPLIANCE, days: 365}`)
		s.recheck(ctx, dataProd)
		owner := departure{"objectOwnership.rule", "BucketOwnerEnforced", "ObjectWriter"}
		reported, granting := unchanging(s3ObjectLock), verdict{"ACLGrantsOthers", ""}
		rows := s.rows(ctx, dataProd)
		granted := slices.IndexFunc(rows, func(r v1alpha1.DriftRow) bool { return r.Resource == s3ARN("acme-granted") && r.Control == s3Ownership })
		Expect(granted).To(BeNumerically(">=", 0))
		Expect(rows[granted].Message).To(MatchRegexp(`^the bucket's ACL grants (READ_ACP|WRITE) to http://acs\.amazonaws\.com/groups/s3/LogDelivery — ` +
			`grant it in the bucket policy, take it out of the ACL$`))
		rows[granted].Message = ""
		Expect(rows).To(ConsistOf(slices.Concat(
			ofBucket(s3Versioning, "acme-granted", inAudit("Irreversible"), unversioned),
			ofBucket(s3Versioning, "acme-never", inAudit("Irreversible"), unversioned),
			ofBucket(s3Versioning, "acme-paused", inAudit("Irreversible"), paused),
			ofBucket(s3Ownership, "acme-never", inAudit("Disruptive"), owner), ofBucket(s3Ownership, "acme-granted", granting, owner),
			ofBucket(s3ObjectLock, "evidence-loose", reported, departure{"objectLock", "Enabled", "Disabled"}),
			ofBucket(s3ObjectLock, "evidence-short", reported,
				departure{"objectLock.retentionMode", "COMPLIANCE", "GOVERNANCE"}, departure{"objectLock.days", "365", "30"}),
		)))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	for _, approval := range []string{"All", "Disruptive", "Irreversible"} {
		It("waits for an approval to turn versioning on with approval: "+approval+", for that cannot be undone", func(ctx SpecContext) {
			mark := s.mark(ctx)
			s.declare(ctx, "S3Baseline", "keep", `
			mode: Enforce
			`+mine+`
			versioning: {state: Enabled, approval: `+approval+`}`)
			s.recheck(ctx, dataProd)
			Expect(withControl(s.rows(ctx, dataProd), s3Versioning)).To(ConsistOf(slices.Concat(
				ofBucket(s3Versioning, "acme-granted", awaiting("Irreversible", unversioned), unversioned),
				ofBucket(s3Versioning, "acme-never", awaiting("Irreversible", unversioned), unversioned),
				ofBucket(s3Versioning, "acme-paused", awaiting("Irreversible", paused), paused),
			)))
			Expect(s.ours(ctx, mark)).To(BeEmpty())
			Expect(s3VersioningOf(ctx, dataProd, frankfurt, "acme-never")).To(BeEmpty())
		})
	}

	It("waits for an approval in every mode to suspend versioning; a bucket that never had any is as declared", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "keep", `
			mode: Enforce
			`+mine+`
			versioning: {state: Disabled, approval: Irreversible}`)
		s.recheck(ctx, dataProd)
		suspend := departure{"versioning", "Suspended", "Enabled"}
		Expect(withControl(s.rows(ctx, dataProd), s3Versioning)).To(Equal(ofBucket(s3Versioning, "acme-kept", awaiting(weakening, suspend), suspend)))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("only reports Object Lock, also under Enforce with every approval given", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "evidence", `
			mode: Enforce
			`+only(dataProd)+`
			priority: -1
			buckets: {include: [evidence-*]}
			objectLock: {state: Enabled, approval: Irreversible, days: 20}`)
		s.recheck(ctx, dataProd)
		Expect(withControl(s.rows(ctx, dataProd), s3ObjectLock)).To(Equal(ofBucket(s3ObjectLock, "evidence-loose",
			unchanging(s3ObjectLock), departure{"objectLock", "Enabled", "Disabled"})))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("turns ACLs off with approval: Irreversible, where the ACL grants nobody else anything", func(ctx SpecContext) {
		owner := departure{"objectOwnership.rule", "BucketOwnerEnforced", "ObjectWriter"}
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "keep", `
			mode: Enforce
			`+mine+`
			objectOwnership: {state: Enabled}`)
		s.recheck(ctx, dataProd)
		Expect(withControl(s.rows(ctx, dataProd), s3Ownership)).To(ContainElements(ofBucket(s3Ownership, "acme-never", awaiting("Disruptive", owner), owner)))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
		s.declare(ctx, "S3Baseline", "keep", `
			mode: Enforce
			`+mine+`
			objectOwnership: {state: Enabled, approval: Irreversible}`)
		s.recheck(ctx, dataProd)
		rows := withControl(s.rows(ctx, dataProd), s3Ownership)
		Expect(rows).To(HaveLen(1))
		Expect(rows[0]).To(And(HaveField("Resource", s3ARN("acme-granted")), HaveField("Reason", "ACLGrantsOthers")))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutOwner, dataProd, frankfurt)}))
		Expect(s3Owner(ctx, dataProd, frankfurt, "acme-never")).To(Equal(types.ObjectOwnershipBucketOwnerEnforced))
		Expect(s3Owner(ctx, dataProd, frankfurt, "acme-granted")).To(Equal(types.ObjectOwnershipObjectWriter))
		Expect(s3Grants(ctx, dataProd, frankfurt, "acme-granted")).To(ContainElement(HaveSuffix("LogDelivery")))
	})

	It("waits for an approval in every mode to let ACLs count again", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "keep", `
			mode: Enforce
			`+mine+`
			objectOwnership: {state: Enabled, rule: ObjectWriter, approval: Irreversible}`)
		s.recheck(ctx, dataProd)
		lax := departure{"objectOwnership.rule", "ObjectWriter", "BucketOwnerEnforced"}
		var want []v1alpha1.DriftRow
		for _, name := range []string{"acme-kept", "acme-never", "acme-paused"} {
			want = append(want, ofBucket(s3Ownership, name, awaiting(weakening, lax), lax)...)
		}
		Expect(withControl(s.rows(ctx, dataProd), s3Ownership)).To(ConsistOf(want))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})
})

var _ = Describe("Twenty buckets of which one cannot be read", Ordered, ContinueOnFailure, func() {
	const hidden = "acme-07"
	var twenty []string
	for i := range 20 {
		twenty = append(twenty, fmt.Sprintf("acme-%02d", i))
	}
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		s3Make(ctx, security, frankfurt, twenty...)
		s3Make(ctx, security, ireland, "acme-far")
		for _, name := range []string{"acme-03", "acme-11"} {
			s3Tag(ctx, security, name, "data", "secret")
		}
		// Evidence: nobody but the account's administrators gets in, not even to look.
		s3SetPolicy(ctx, security, frankfurt, hidden, s3Policy(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::`+hidden+
			`","arn:aws:s3:::`+hidden+`/*"],"Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::`+security+`:user/administrator"}}}`))
	}})
	header := `
			mode: Enforce
			approval: Irreversible
			` + only(security) + `
			regions: {include: [` + frankfurt + `]}`
	asked := func(operation string, names ...string) map[string]int {
		want := map[string]int{}
		for _, name := range names {
			want[operation+" "+name] = 1
		}
		return want
	}

	It("judges nineteen, and of the one says the code, the action, the role and the next step", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "buckets", header+`
			defaultEncryption: {state: Enabled}`)
		s.awaitLooked(ctx, "S3Baseline", "buckets")
		Expect(s.s3Asked(ctx, mark, security)).To(Equal(asked(s3ReadRule, twenty...)), "one request each, and none to a region that is not selected")
		s.hiddenIsTold(ctx, hidden, s3Encryption, "s3:GetEncryptionConfiguration")
		a := s.account(ctx, security)
		Expect(a.Status.State).To(Equal(v1alpha1.AccountUnknown))
		Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 1, Unknown: 1}))
		Expect(a.Status.Drift).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Account: []string{security}, Region: []string{ireland}})).To(BeEmpty())
	})

	It("puts right the one that departs among the nineteen", func(ctx SpecContext) {
		s3SetBlock(ctx, security, frankfurt, "acme-05", s3Flags{})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "buckets", header+`
			bucketPublicAccessBlock: {state: Enabled}`)
		s.recheck(ctx, security)
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(s3PutBlock, security, frankfurt)}))
		Expect(s3Block(ctx, security, frankfurt, "acme-05")).To(Equal(s3AllOn))
		s.hiddenIsTold(ctx, hidden, s3BucketBlock, "s3:GetBucketPublicAccessBlock")
	})

	It("says the same of the one while another departs and is only reported", func(ctx SpecContext) {
		s3SetBlock(ctx, security, frankfurt, "acme-05", s3Flags{})
		s.declare(ctx, "S3Baseline", "buckets", `
			mode: Audit
			`+only(security)+`
			regions: {include: [`+frankfurt+`]}
			bucketPublicAccessBlock: {state: Enabled}`)
		s.recheck(ctx, security)
		Expect(s.rows(ctx, security)).To(ConsistOf(ofBucket(s3BucketBlock, "acme-05", inAudit("Disruptive"), fourFlags...)))
		c := control(s.account(ctx, security), s3BucketBlock)
		Expect(c).To(And(HaveField("Drifted", map[string]int32{frankfurt: 1}), HaveField("Unknown", map[string]int32{frankfurt: 1})))
		Expect(c.Message).To(And(ContainSubstring("AccessDenied"), ContainSubstring(hidden), ContainSubstring(roleARN(security, auditRole))))
	})

	It("asks nothing about buckets that buckets.exclude leaves out", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "buckets", header+`
			buckets: {exclude: ["acme-0*", acme-19]}
			defaultEncryption: {state: Enabled}`)
		s.awaitLooked(ctx, "S3Baseline", "buckets")
		Expect(s.s3Asked(ctx, mark, security)).To(Equal(asked(s3ReadRule, twenty[10:19]...)))
		s.compliant(ctx, "S3Baseline", "buckets")
	})

	It("looks at buckets that carry the tags of buckets.matchTags, for one request more a bucket", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "buckets", header+`
			buckets: {matchTags: {data: secret}, exclude: [`+hidden+`]}
			defaultEncryption: {state: Enabled}
			bucketPublicAccessBlock: {state: Enabled}`)
		s.awaitLooked(ctx, "S3Baseline", "buckets")
		want := asked(s3ReadRule, "acme-03", "acme-11")
		for _, name := range twenty {
			if name != hidden {
				want["GetBucketTagging "+name] = 1
			}
		}
		for _, name := range []string{"acme-03", "acme-11"} {
			want["GetPublicAccessBlock "+name] = 1
		}
		Expect(s.s3Asked(ctx, mark, security)).To(Equal(want), "tags are read once, however many controls ask")
	})

	It("does not take garbage for an answer", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{
			Match:  stack.Match{Service: []string{"s3"}, Operation: []string{s3ReadRule}, Resource: []string{"acme-12"}},
			Action: stack.ActionError, Status: 500, Code: "InternalError", Message: "We encountered an internal error. Please try again.",
		})
		mark := s.mark(ctx)
		s.declare(ctx, "S3Baseline", "buckets", header+`
			buckets: {exclude: [`+hidden+`]}
			defaultEncryption: {state: Enabled}`)
		s.awaitLooked(ctx, "S3Baseline", "buckets")
		c := control(s.account(ctx, security), s3Encryption)
		Expect(c).To(And(HaveField("Reason", v1alpha1.RowReadFailed), HaveField("Unknown", map[string]int32{frankfurt: 1}), HaveField("Drifted", BeEmpty())))
		Expect(c.Message).To(And(ContainSubstring("InternalError"), ContainSubstring("s3:GetEncryptionConfiguration as "+roleARN(security, auditRole)),
			HaveSuffix("tried again by itself"), ContainSubstring("acme-12")))
		// Up to five attempts, fewer where the failures in a row have the region's S3 left alone meanwhile.
		Expect(s.s3Asked(ctx, mark, security)).To(HaveKeyWithValue(s3ReadRule+" acme-12", And(BeNumerically(">=", 3), BeNumerically("<=", 5))))
		Expect(s.account(ctx, security).Status.State).To(Equal(v1alpha1.AccountUnknown))
	})
})

// hiddenIsTold says that of all buckets one is unknown for the control, and that its account tells all there is to tell.
func (s *scene) hiddenIsTold(ctx context.Context, bucket, id, action string) {
	GinkgoHelper()
	c := control(s.account(ctx, security), id)
	Expect(c).To(And(HaveField("Reason", v1alpha1.RowAccessDenied), HaveField("Unknown", map[string]int32{frankfurt: 1}),
		HaveField("Drifted", BeEmpty())))
	Expect(c.Message).To(And(ContainSubstring("AccessDenied"), ContainSubstring(action), ContainSubstring(s3ARN(bucket)),
		HaveSuffix("allow "+action+" to "+roleARN(security, auditRole)+" (config/iam), and see whether the resource's own policy refuses it")))
}

// ours are the writes by Plumbline's own roles since a mark.
func (s *scene) ours(ctx context.Context, since int) []string {
	GinkgoHelper()
	return lines(byPlumbline(s.requests(ctx, stack.Query{Since: since, Writes: aws.Bool(true)})))
}

// writesAbout are all writes by Plumbline's own roles that concern a bucket.
func (s *scene) writesAbout(ctx context.Context, bucket string) []string {
	GinkgoHelper()
	return lines(byPlumbline(s.requests(ctx, stack.Query{Service: []string{"s3"}, Resource: []string{bucket}, Writes: aws.Bool(true)})))
}

func byPlumbline(requests []stack.Request) []stack.Request {
	return slices.DeleteFunc(requests, func(r stack.Request) bool { return !strings.Contains(r.Principal, ":assumed-role/Plumbline") })
}

func withControl(rows []v1alpha1.DriftRow, control string) []v1alpha1.DriftRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r v1alpha1.DriftRow) bool { return r.Control != control })
}

func withoutMessages(rows []v1alpha1.DriftRow) []v1alpha1.DriftRow {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Message = ""
	}
	return rows
}
