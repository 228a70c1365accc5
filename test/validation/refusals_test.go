package validation

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type manifestObject = *unstructured.Unstructured

// A refusal is a manifest that cannot be right, the sentence that says so, and the nearest one that is right.
type refusal struct {
	name     string
	object   manifestObject // nil: there is only what is right
	sentence string
	right    manifestObject // nil: there is nothing near by
}

func TestEveryRuleRefusesWithItsSentence(t *testing.T) {
	cases := append(writtenCases(t), everySection(t)...)
	said := map[rule]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.object != nil {
				refuse(t, c.object, c.sentence)
				said[rule{c.object.GetKind(), c.sentence}] = true
			}
			if c.right != nil {
				accept(t, c.right)
			}
		})
	}
	t.Run("every rule of every kind has a case", func(t *testing.T) {
		for _, missing := range unsaid(t, said) {
			t.Errorf("no case is refused by %s's rule that says: %s", missing.kind, missing.sentence)
		}
	})
}

// A rule is a sentence that a kind's schema can say.
type rule struct{ kind, sentence string }

// unsaid are the rules of the CRDs that no case spoke. What the shared structs say needs saying in one kind only.
func unsaid(t *testing.T, said map[rule]bool) []rule {
	t.Helper()
	type text struct{ rule, message string }
	kinds := map[text][]string{}
	for _, crd := range crds(t) {
		walk(schemaOf(crd), nil, func(_ []string, s *schema) {
			for _, v := range s.XValidations {
				kinds[text{v.Rule, v.Message}] = append(kinds[text{v.Rule, v.Message}], crd.Spec.Names.Kind)
			}
		})
	}
	var missing []rule
	for text, in := range kinds {
		spoken := false
		for _, kind := range in {
			spoken = spoken || said[rule{kind, text.message}] || immutable[rule{kind, text.message}]
		}
		if !spoken {
			missing = append(missing, rule{in[0], text.message})
		}
	}
	return missing
}

// A written case has the YAML of the specs, refused and right.
type written struct {
	name, kind, spec, sentence, right string
}

func writtenCases(t *testing.T) []refusal {
	t.Helper()
	var all []written
	for _, table := range [][]written{commonCases, organizationCases, guardDutyCases, cloudTrailCases, s3Cases, iamCases, encryptionCases, changeCases, exceptionCases} {
		all = append(all, table...)
	}
	cases := accountCases(t)
	for _, w := range all {
		c := refusal{name: w.kind + ": " + w.name, object: manifest(t, w.kind, "example", w.spec), sentence: w.sentence}
		if w.right != "" {
			c.right = manifest(t, w.kind, "example", w.right)
		}
		cases = append(cases, c)
	}
	return cases
}

// accountCases are about names as well as specs, so they are not written as specs alone.
func accountCases(t *testing.T) []refusal {
	t.Helper()
	account := func(name, spec string) manifestObject { return manifest(t, "AWSAccount", name, spec) }
	return []refusal{
		{
			name:     "AWSAccount: its name is the account id",
			object:   account("pay-prod", ""),
			sentence: `an AWSAccount is named by its account id: write the twelve digits as metadata.name, quoted, for example name: "111122223333"`,
			right:    account("111122223333", ""),
		},
		{
			name:     "AWSAccount: the audit role is of this account",
			object:   account("111122223333", `{roles: {audit: "arn:aws:iam::444455556666:role/audit"}}`),
			sentence: "spec.roles.audit must be a role of this account: its ARN must contain the account id that is the object's name",
			right:    account("111122223333", `{roles: {audit: "arn:aws:iam::111122223333:role/audit"}}`),
		},
		{
			name:     "AWSAccount: the enforce role is of this account",
			object:   account("111122223333", `{roles: {enforce: "arn:aws-us-gov:iam::444455556666:role/plumbline/enforce"}}`),
			sentence: "spec.roles.enforce must be a role of this account: its ARN must contain the account id that is the object's name",
			right:    account("111122223333", `{roles: {enforce: "arn:aws-us-gov:iam::111122223333:role/plumbline/enforce"}}`),
		},
		{
			name:     "AWSAccount: one source of the audit role",
			object:   account("111122223333", `{roles: {auditFromACK: true, audit: "arn:aws:iam::111122223333:role/audit"}}`),
			sentence: "auditFromACK and audit name two audit roles; keep one of them",
			right:    account("111122223333", `{roles: {auditFromACK: true, enforce: "arn:aws:iam::111122223333:role/enforce"}}`),
		},
	}
}

const on = `detector: {state: Enabled}`

var commonCases = []written{
	{"an empty region selector decides nothing", "GuardDutyBaseline", `{` + on + `, regions: {}}`,
		"name at least one region in include or exclude, or leave regions out",
		`{` + on + `, regions: {exclude: [me-central-1]}}`},
	{"all can only be true", "GuardDutyBaseline", `{` + on + `, accounts: {all: false}}`,
		"all can only be true; leave it out to select by organizationalUnits, matchLabels or include",
		`{` + on + `, accounts: {include: ["111122223333"]}}`},
	{"all beside a selection contradicts itself", "GuardDutyBaseline", `{` + on + `, accounts: {all: true, include: ["111122223333"]}}`,
		"all: true already selects every account; leave out organizationalUnits, matchLabels and include, or leave out all",
		`{` + on + `, accounts: {all: true, exclude: ["111122223333"]}}`},
	{"a label's value is short", "GuardDutyBaseline", `{` + on + `, accounts: {matchLabels: {tier: ` + strings.Repeat("x", 64) + `}}}`,
		"a label's value has at most 63 characters and its key at most 317; shorten matchLabels, for example tier: prod",
		`{` + on + `, accounts: {matchLabels: {tier: ` + strings.Repeat("x", 63) + `}}}`},
	{"the interval is not too short", "GuardDutyBaseline", `{` + on + `, interval: 4m}`,
		"interval must be between 5m and 24h, for example 1h", `{` + on + `, interval: 5m}`},
	{"the interval is not too long", "GuardDutyBaseline", `{` + on + `, interval: 24h1s}`,
		"interval must be between 5m and 24h, for example 1h", `{` + on + `, interval: 24h}`},
	{"the resource interval is not too short", "GuardDutyBaseline", `{` + on + `, resourceInterval: 59m}`,
		"resourceInterval must be between 1h and 168h, for example 24h", `{` + on + `, resourceInterval: 168h}`},
	{"excluding alone does not select for Enforce", "S3Baseline", `{mode: Enforce, accounts: {exclude: ["111122223333"]}, secureTransport: {state: Enabled}}`,
		"mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}",
		`{mode: Enforce, accounts: {organizationalUnits: [ou-abcd-11112222], exclude: ["111122223333"]}, secureTransport: {state: Enabled}}`},
	{"labels select for Enforce, resources do not", "S3Baseline", `{mode: Enforce, buckets: {include: [acme-*]}, secureTransport: {state: Enabled}}`,
		"mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}",
		`{mode: Enforce, accounts: {matchLabels: {tier: prod}}, buckets: {include: [acme-*]}, secureTransport: {state: Enabled}}`},
}

var organizationCases = []written{
	{"the interval is not too short", "AWSOrganization", `{managementAccount: "123456789012", interval: 59s}`,
		"interval must be between 1m and 24h, for example 15m", `{managementAccount: "123456789012", interval: 1m}`},
	{"new accounts are not waited for longer than a month", "AWSOrganization", `{managementAccount: "123456789012", enforceNewAccountsAfter: 721h}`,
		"enforceNewAccountsAfter must be between 0s and 720h, for example 24h", `{managementAccount: "123456789012", enforceNewAccountsAfter: 0s}`},
}

const (
	plans       = "s3DataEvents, eksAuditLogs, ebsMalwareProtection, rdsLoginEvents, lambdaNetworkLogs or runtimeMonitoring"
	detectorOff = `detector: {state: Disabled}`
)

var guardDutyCases = []written{
	{"without a section it declares nothing", "GuardDutyBaseline", `{mode: Audit}`,
		"declare at least one section: detector, features or organization, each with a state, for example detector: {state: Enabled}", `{` + on + `}`},
	{"a section that is only a colon is not there", "GuardDutyBaseline", `{detector: null}`,
		"declare at least one section: detector, features or organization, each with a state, for example detector: {state: Enabled}", ""},
	{"a detector that is off publishes nothing", "GuardDutyBaseline", `{detector: {state: Disabled, findingPublishingFrequency: ONE_HOUR}}`,
		"findingPublishingFrequency has no meaning with state: Disabled; leave findingPublishingFrequency out",
		`{detector: {state: Enabled, findingPublishingFrequency: ONE_HOUR}}`},
	{"plans need GuardDuty on", "GuardDutyBaseline", `{` + detectorOff + `, features: {state: Enabled, s3DataEvents: Enabled}}`,
		"features needs GuardDuty on: write detector: {state: Enabled}, or leave features out",
		`{` + on + `, features: {state: Enabled, s3DataEvents: Enabled}}`},
	{"features without a plan decides nothing", "GuardDutyBaseline", `{features: {state: Enabled}}`,
		"features decides nothing without a plan: name " + plans + ", for example s3DataEvents: Enabled",
		`{features: {state: Enabled, lambdaNetworkLogs: Disabled}}`},
	{"Runtime Monitoring needs a state", "GuardDutyBaseline", `{features: {state: Enabled, runtimeMonitoring: {ec2AgentManagement: Enabled}}}`,
		"runtimeMonitoring needs state: write state: Enabled or state: Disabled, or leave runtimeMonitoring out to keep it unmanaged",
		`{features: {state: Enabled, runtimeMonitoring: {state: Enabled, ec2AgentManagement: Enabled}}}`},
	{"agents need Runtime Monitoring", "GuardDutyBaseline", `{features: {state: Enabled, runtimeMonitoring: {state: Disabled, eksAddonManagement: Enabled}}}`,
		"eksAddonManagement, ecsFargateAgentManagement and ec2AgentManagement need runtimeMonitoring to be Enabled; write state: Enabled, or leave them out",
		`{features: {state: Enabled, runtimeMonitoring: {state: Disabled}}}`},
	{"organization without a setting decides nothing", "GuardDutyBaseline", `{organization: {state: Enabled}}`,
		"organization decides nothing without autoEnable or features: write for example autoEnable: ALL",
		`{organization: {state: Enabled, features: {s3DataEvents: NEW}}}`},
	{"the organization's features without a plan decide nothing", "GuardDutyBaseline", `{organization: {state: Enabled, features: {}}}`,
		"features decides nothing without a plan: name " + plans + ", for example s3DataEvents: NEW",
		`{organization: {state: Enabled, features: {rdsLoginEvents: NONE}}}`},
	{"the organization's Runtime Monitoring needs a setting", "GuardDutyBaseline", `{organization: {state: Enabled, features: {runtimeMonitoring: {ec2AgentManagement: NEW}}}}`,
		"runtimeMonitoring needs autoEnable: write autoEnable: ALL, NEW or NONE, or leave runtimeMonitoring out to keep it unmanaged",
		`{organization: {state: Enabled, features: {runtimeMonitoring: {autoEnable: NEW, ec2AgentManagement: NEW}}}}`},
	{"the organization's agents need Runtime Monitoring", "GuardDutyBaseline", `{organization: {state: Enabled, features: {runtimeMonitoring: {autoEnable: NONE, eksAddonManagement: ALL}}}}`,
		"eksAddonManagement, ecsFargateAgentManagement and ec2AgentManagement can only be NONE where runtimeMonitoring's autoEnable is NONE; write autoEnable: ALL or NEW, or write NONE for them",
		`{organization: {state: Enabled, features: {runtimeMonitoring: {autoEnable: NONE, eksAddonManagement: NONE, ecsFargateAgentManagement: NONE, ec2AgentManagement: NONE}}}}`},
	{"accounts do not bound the organization", "GuardDutyBaseline", `{accounts: {include: ["111122223333"]}, organization: {state: Enabled, autoEnable: ALL}}`,
		"accounts does not bound organization, which reaches every account of the organization; leave accounts out, or declare detector or features for the selected accounts",
		`{accounts: {include: ["111122223333"]}, ` + on + `, organization: {state: Enabled, autoEnable: ALL}}`},
}

const (
	trailKey = `"arn:aws:kms:eu-central-1:222233334444:key/1234abcd-12ab-34cd-56ef-1234567890ab"`
	logGroup = `logGroupARN: "arn:aws:logs:eu-central-1:123456789012:log-group:/org/trail"`
	logRole  = `roleARN: "arn:aws:iam::123456789012:role/service/cloudtrail-to-logs"`
)

var cloudTrailCases = []written{
	{"without a section it declares nothing", "CloudTrailBaseline", `{mode: Audit}`,
		"declare at least one section: organizationTrail, logFileValidation, encryption or cloudWatchLogs, each with a state, for example organizationTrail: {state: Enabled, name: org-trail, homeRegion: eu-central-1, bucket: {name: acme-log-archive}}",
		trail + `}`},
	{"accounts have no meaning", "CloudTrailBaseline", trail + `, accounts: {all: true}}`,
		"a CloudTrailBaseline is of the organization and its trail logs every account; leave accounts out", trail + `}`},
	{"regions have no meaning", "CloudTrailBaseline", trail + `, regions: {include: [eu-central-1]}}`,
		"a CloudTrailBaseline is of the organization and its trail logs every region; leave regions out and name the trail's own region in organizationTrail.homeRegion", trail + `}`},
	{"settings of a trail need the trail", "CloudTrailBaseline", `{logFileValidation: {state: Enabled}}`,
		"logFileValidation, encryption and cloudWatchLogs are settings of the organization trail; name it in organizationTrail",
		trail + `, logFileValidation: {state: Enabled}}`},
	{"a trail is named", "CloudTrailBaseline", `{organizationTrail: {state: Disabled, homeRegion: eu-central-1}}`,
		"organizationTrail needs name and homeRegion: write the trail's name and the region it was created in, for example name: org-trail and homeRegion: eu-central-1",
		`{organizationTrail: {state: Disabled, name: org-trail, homeRegion: eu-central-1}}`},
	{"a trail delivers somewhere", "CloudTrailBaseline", `{organizationTrail: {state: Enabled, name: org-trail, homeRegion: eu-central-1}}`,
		"organizationTrail needs bucket when Enabled: write the existing bucket that takes the logs, for example bucket: {name: acme-log-archive}", trail + `}`},
	{"a trail that stops has no other setting", "CloudTrailBaseline", `{organizationTrail: {state: Disabled, name: org-trail, homeRegion: eu-central-1, create: IfMissing}}`,
		"managementEvents, create and bucket have no meaning with state: Disabled; leave them out",
		`{organizationTrail: {state: Disabled, name: org-trail, homeRegion: eu-central-1}}`},
	{"encryption needs a key", "CloudTrailBaseline", trail + `, encryption: {state: Enabled}}`,
		"encryption needs kmsKeyARN when Enabled: write the key's ARN, for example arn:aws:kms:eu-central-1:222233334444:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		trail + `, encryption: {state: Enabled, kmsKeyARN: ` + trailKey + `}}`},
	{"encryption that is off has no key", "CloudTrailBaseline", trail + `, encryption: {state: Disabled, kmsKeyARN: ` + trailKey + `}}`,
		"kmsKeyARN has no meaning with state: Disabled; leave kmsKeyARN out", trail + `, encryption: {state: Disabled}}`},
	{"delivery to logs needs group and role", "CloudTrailBaseline", trail + `, cloudWatchLogs: {state: Enabled, ` + logGroup + `}}`,
		"cloudWatchLogs needs logGroupARN and roleARN when Enabled: write the log group and the role that CloudTrail assumes to write to it, both or neither",
		trail + `, cloudWatchLogs: {state: Enabled, ` + logGroup + `, ` + logRole + `}}`},
	{"delivery to logs that is off has neither", "CloudTrailBaseline", trail + `, cloudWatchLogs: {state: Disabled, ` + logRole + `}}`,
		"logGroupARN and roleARN have no meaning with state: Disabled; leave them out", trail + `, cloudWatchLogs: {state: Disabled}}`},
}

var s3Cases = []written{
	{"without a section it declares nothing", "S3Baseline", `{buckets: {include: [acme-*]}}`,
		"declare at least one section: accountPublicAccessBlock, bucketPublicAccessBlock, defaultEncryption, secureTransport, versioning, objectLock or objectOwnership, each with a state, for example accountPublicAccessBlock: {state: Enabled}",
		`{buckets: {include: [acme-*]}, secureTransport: {state: Enabled}}`},
	{"versioning names its buckets", "S3Baseline", `{versioning: {state: Enabled}}`,
		`versioning cannot be undone and is never declared for every bucket by accident: name the buckets, for example buckets: {include: ["acme-records-*"]}`,
		`{buckets: {include: ["acme-records-*"]}, versioning: {state: Enabled}}`},
	{"Object Lock names its buckets", "S3Baseline", `{objectLock: {state: Enabled}}`,
		`objectLock is meant for some buckets, not for all: name the buckets, for example buckets: {include: ["acme-records-*"]}`,
		`{buckets: {matchTags: {retention: legal}}, objectLock: {state: Enabled, retentionMode: COMPLIANCE, days: 365}}`},
	{"buckets do not bound the account's block", "S3Baseline", `{buckets: {include: [acme-*]}, accountPublicAccessBlock: {state: Enabled}}`,
		"buckets does not bound accountPublicAccessBlock, which is of the whole account; leave buckets out, or declare a section about buckets",
		`{buckets: {include: [acme-*]}, accountPublicAccessBlock: {state: Enabled}, bucketPublicAccessBlock: {state: Enabled}}`},
	{"an empty bucket selector selects nothing", "S3Baseline", `{buckets: {}, secureTransport: {state: Enabled}}`,
		"buckets selects nothing when empty: name matchTags, include or exclude, or leave buckets out for every bucket",
		`{buckets: {exclude: [cdk-*]}, secureTransport: {state: Enabled}}`},
	{"a tag is no longer than AWS's", "S3Baseline", `{buckets: {matchTags: {kind: ` + strings.Repeat("x", 257) + `}}, secureTransport: {state: Enabled}}`,
		"a tag's key has at most 128 and its value at most 256 characters; shorten matchTags",
		`{buckets: {matchTags: {kind: ` + strings.Repeat("x", 256) + `}}, secureTransport: {state: Enabled}}`},
	{"KMS needs a key", "S3Baseline", `{defaultEncryption: {state: Enabled, algorithm: "aws:kms"}}`,
		"algorithm aws:kms or aws:kms:dsse needs kmsKey: write an alias or a key ARN, for example kmsKey: alias/baseline",
		`{defaultEncryption: {state: Enabled, algorithm: "aws:kms", kmsKey: alias/baseline, bucketKey: Disabled}}`},
	{"AES256 has no key", "S3Baseline", `{defaultEncryption: {state: Enabled, kmsKey: alias/baseline}}`,
		"kmsKey has no meaning with algorithm AES256, the default; write algorithm: aws:kms, or leave kmsKey out",
		`{defaultEncryption: {state: Enabled, algorithm: AES256, customerProvidedKeys: Blocked}}`},
	{"a bucket key is KMS's", "S3Baseline", `{defaultEncryption: {state: Enabled, algorithm: "aws:kms:dsse", kmsKey: alias/baseline, bucketKey: Enabled}}`,
		"bucketKey only works with algorithm: aws:kms; leave bucketKey out",
		`{defaultEncryption: {state: Enabled, algorithm: "aws:kms:dsse", kmsKey: alias/baseline}}`},
	{"TLS that is not asked for has no version", "S3Baseline", `{secureTransport: {state: Disabled, minimumTLSVersion: "1.3"}}`,
		"minimumTLSVersion has no meaning with state: Disabled; leave minimumTLSVersion out",
		`{secureTransport: {state: Enabled, minimumTLSVersion: "1.3"}}`},
}

var iamCases = []written{
	{"without a section it declares nothing", "IAMBaseline", `{users: {exclude: [break-glass-1]}}`,
		"declare at least one section: rootAccessKeys, rootMFA, userMFA, passwordPolicy, accessKeyAge, unusedCredentials, singleAccessKey or plumblineRoles, each with a state, for example passwordPolicy: {state: Enabled}",
		`{users: {exclude: [break-glass-1]}, passwordPolicy: {state: Enabled}}`},
	{"regions have no meaning", "IAMBaseline", `{rootMFA: {state: Enabled}, regions: {include: [us-east-1]}}`,
		"IAM is global in an account; leave regions out", `{rootMFA: {state: Enabled}}`},
	{"an empty user selector protects nobody", "IAMBaseline", `{rootMFA: {state: Enabled}, users: {}}`,
		"users protects nobody when empty: name exclude or excludePaths, or leave users out",
		`{rootMFA: {state: Enabled}, users: {excludePaths: [/, /emergency/, /a/b/]}}`},
	{"the grace period is at most a month", "IAMBaseline", `{userMFA: {state: Enabled, gracePeriod: 721h}}`,
		"gracePeriod must be between 0h and 720h, for example 168h", `{userMFA: {state: Enabled, gracePeriod: 0h, guard: ConsoleOnly}}`},
}

var encryptionCases = []written{
	{"without a section it declares nothing", "EncryptionBaseline", `{priority: 1}`,
		"declare at least one section: ebsDefault, ebsVolumes, rdsStorage or kmsRotation, each with a state, for example ebsDefault: {state: Enabled}",
		`{priority: 1, rdsStorage: {state: Enabled}}`},
	{"a default that is off has no key", "EncryptionBaseline", `{ebsDefault: {state: Disabled, kmsKey: alias/ebs}}`,
		"kmsKey has no meaning with state: Disabled; leave kmsKey out", `{ebsDefault: {state: Enabled, kmsKey: alias/ebs}}`},
	{"rotation that is off has no period", "EncryptionBaseline", `{kmsRotation: {state: Disabled, periodDays: 365}}`,
		"periodDays has no meaning with state: Disabled; leave periodDays out", `{kmsRotation: {state: Enabled, periodDays: 365}}`},
	{"a key that AWS manages cannot be named", "EncryptionBaseline", `{ebsDefault: {state: Enabled, kmsKey: alias/aws/ebs}}`,
		"alias/aws/... names a key that AWS manages; name a customer managed key, for example alias/baseline, or leave kmsKey out",
		`{ebsDefault: {state: Enabled, kmsKey: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"}}`},
}

const (
	who  = `reason: reviewed, owner: team-web, ticket: SEC-1`
	when = `from: "2026-01-01T00:00:00Z", expires: "2026-03-01T00:00:00Z"`
	what = `controls: [s3-default-encryption]`
	at   = `accounts: {include: ["111122223333"]}`
)

const (
	tls      = `secureTransport: {state: Enabled}`
	decision = `{digest: "5f0c7be2d1a94c3f8e6b7a1d2c3e4f50", by: alice}`
)

var changeCases = []written{
	{"a cap of no changes", "S3Baseline", `{` + tls + `, rollout: {maxChangesPerPass: 0}}`,
		"maxChangesPerPass must be at least 1; to change nothing, write suspend: true on the baseline",
		`{` + tls + `, rollout: {maxChangesPerPass: 1}}`},
	{"a cap of no accounts", "S3Baseline", `{` + tls + `, rollout: {maxAccounts: "0%"}}`,
		"maxAccounts must be a number of at least 1 or a percentage from 1% to 100%, for example 5 or 1%; to change nothing, write suspend: true on the baseline",
		`{` + tls + `, rollout: {maxAccounts: "100%"}}`},
	{"a wave that soaks for a month", "S3Baseline", `{` + tls + `, rollout: {waves: [{name: canary, accounts: {include: ["111122223333"]}, soak: 720h}]}}`,
		"soak must be between 0s and 168h, for example 24h",
		`{` + tls + `, rollout: {waves: [{name: canary, accounts: {include: ["111122223333"]}, soak: 168h}]}}`},
	{"a decision in the name of the manager", "Remediation", `{approval: {digest: "5f0c7be2d1a94c3f8e6b7a1d2c3e4f50", by: plumbline}}`,
		"plumbline is the name under which changes are made that need no approval; write the name of whoever decides", `{approval: ` + decision + `}`},
	{"an approval in the name of the manager", "S3Baseline", `{` + tls + `, approvals: [{control: s3-secure-transport, digest: "5f0c7be2d1a94c3f8e6b7a1d2c3e4f50", by: plumbline}]}`,
		"plumbline is the name under which changes are made that need no approval; write the name of whoever approves",
		`{` + tls + `, approvals: [{control: s3-secure-transport, wave: all others, digest: "5f0c7be2d1a94c3f8e6b7a1d2c3e4f50", by: alice}]}`},
	{"approved and rejected", "Remediation", `{approval: ` + decision + `, rejected: ` + decision + `}`,
		"approval and rejected contradict each other; keep one of them", `{approval: ` + decision + `}`},
}

var exceptionCases = []written{
	{"it cannot excuse every account", "BaselineException", `{` + what + `, ` + who + `, ` + when + `}`,
		"an exception needs at least one of accounts.include, organizationalUnits or resources; it cannot excuse every account",
		`{` + what + `, ` + who + `, ` + when + `, resources: ["arn:aws:s3:::acme-*"]}`},
	{"it begins and ends", "BaselineException", `{` + what + `, ` + who + `, ` + at + `, from: "2026-01-01T00:00:00Z"}`,
		`an exception needs from and expires, as RFC 3339 times, for example from: "2026-01-01T00:00:00Z" and expires: "2026-03-01T00:00:00Z"`,
		`{` + what + `, ` + who + `, ` + at + `, ` + when + `}`},
	{"it ends after it begins", "BaselineException", `{` + what + `, ` + who + `, ` + at + `, from: "2026-01-01T00:00:00Z", expires: "2026-01-01T00:00:00Z"}`,
		"expires must be later than from", `{` + what + `, ` + who + `, ` + at + `, from: "2026-01-01T00:00:00Z", expires: "2026-01-01T00:00:01Z"}`},
	{"it lasts a year at most", "BaselineException", `{` + what + `, ` + who + `, ` + at + `, from: "2026-01-01T00:00:00Z", expires: "2027-01-03T00:00:00Z"}`,
		"an exception lasts at most 366 days; write an earlier expires and renew it when it ends",
		`{` + what + `, ` + who + `, ` + at + `, from: "2026-01-01T00:00:00Z", expires: "2027-01-02T00:00:00Z"}`},
	{"it names controls", "BaselineException", `{` + who + `, ` + at + `, ` + when + `}`,
		"an exception needs controls: the ids of the controls it excuses, for example controls: [s3-default-encryption]",
		`{` + what + `, ` + who + `, ` + at + `, ` + when + `}`},
	{"somebody answers for it", "BaselineException", `{` + what + `, reason: reviewed, owner: team-web, ` + at + `, ` + when + `}`,
		"an exception needs reason, owner and ticket, so that whoever reads it knows why, whom to ask and where it was agreed",
		`{` + what + `, ` + who + `, ` + at + `, ` + when + `}`},
	{"Plumbline's own roles are never excused", "BaselineException", `{controls: [s3-default-encryption, iam-plumbline-roles], ` + who + `, ` + at + `, ` + when + `}`,
		"iam-plumbline-roles guards Plumbline's own roles and cannot be excused; take it out of controls",
		`{` + what + `, ` + who + `, ` + at + `, ` + when + `}`},
}

const anotherTrail = " is immutable; to keep another trail, take organizationTrail out first, which leaves AWS as it is, then write it anew"

// immutable are the rules that only an update can break.
var immutable = map[rule]bool{
	{"CloudTrailBaseline", "name" + anotherTrail}:       true,
	{"CloudTrailBaseline", "homeRegion" + anotherTrail}: true,
}

func TestATrailKeepsItsNameAndRegion(t *testing.T) {
	ctx := context.Background()
	object := manifest(t, "CloudTrailBaseline", "immutable", trail+`, logFileValidation: {state: Enabled}}`)
	if err := strict.Create(ctx, object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = strict.Delete(ctx, object) })
	for field, value := range map[string]string{"name": "other-trail", "homeRegion": "eu-west-1"} {
		changed := object.DeepCopy()
		set(changed.Object, value, "spec", "organizationTrail", field)
		err := strict.Update(ctx, changed, client.DryRunAll)
		if diff := cmp.Diff([]string{field + anotherTrail}, reasons(err)); diff != "" {
			t.Errorf("changing %s is refused for (-want +got):\n%s\n%v", field, diff, err)
		}
	}
	other := object.DeepCopy()
	set(other.Object, "acme-other-archive", "spec", "organizationTrail", "bucket", "name")
	if err := strict.Update(ctx, other, client.DryRunAll); err != nil {
		t.Errorf("changing the bucket was refused: %v", err)
	}
}

// set and remove change a nested field of an object; the maps on the way are made where they are missing.
func set(object map[string]any, value any, path ...string) {
	if err := unstructured.SetNestedField(object, value, path...); err != nil {
		panic(err)
	}
}

func remove(object map[string]any, path ...string) {
	unstructured.RemoveNestedField(object, path...)
}
