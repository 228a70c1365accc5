package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// S3Baseline declares protection of S3: the public access block of the account, and per general-purpose bucket its own
// public access block, default encryption, TLS, versioning, Object Lock and object ownership. Directory buckets are out of
// scope.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=baselines
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="MODE",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="ACCOUNTS",type=integer,JSONPath=`.status.accounts`
// +kubebuilder:printcolumn:name="COMPLIANT",type=integer,JSONPath=`.status.compliant`
// +kubebuilder:printcolumn:name="DRIFTED",type=integer,JSONPath=`.status.drifted`
// +kubebuilder:printcolumn:name="UNKNOWN",type=integer,JSONPath=`.status.unknown`
// +kubebuilder:printcolumn:name="ROLLOUT",type=string,JSONPath=`.status.rollout.progress`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="STALE",type=integer,priority=1,JSONPath=`.status.stale`
type S3Baseline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares what must hold, where, and what happens to a departure.
	// +required
	Spec S3BaselineSpec `json:"spec"`

	// status is the roll-up over all selected accounts.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "accounts": 0, "compliant": 0, "drifted": 0, "unknown": 0, "stale": 0, "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status BaselineStatus `json:"status,omitempty"`
}

// S3BaselineSpec is the spec of an S3Baseline.
//
// +kubebuilder:validation:XValidation:rule="has(self.accountPublicAccessBlock) || has(self.bucketPublicAccessBlock) || has(self.defaultEncryption) || has(self.secureTransport) || has(self.versioning) || has(self.objectLock) || has(self.objectOwnership)",message="declare at least one section: accountPublicAccessBlock, bucketPublicAccessBlock, defaultEncryption, secureTransport, versioning, objectLock or objectOwnership, each with a state, for example accountPublicAccessBlock: {state: Enabled}"
// +kubebuilder:validation:XValidation:rule="!(self.?mode.orValue('Audit') == 'Enforce' || self.?accountPublicAccessBlock.?mode.orValue('Audit') == 'Enforce' || self.?bucketPublicAccessBlock.?mode.orValue('Audit') == 'Enforce' || self.?defaultEncryption.?mode.orValue('Audit') == 'Enforce' || self.?secureTransport.?mode.orValue('Audit') == 'Enforce' || self.?versioning.?mode.orValue('Audit') == 'Enforce' || self.?objectLock.?mode.orValue('Audit') == 'Enforce' || self.?objectOwnership.?mode.orValue('Audit') == 'Enforce') || (has(self.accounts) && (has(self.accounts.all) || has(self.accounts.organizationalUnits) || has(self.accounts.matchLabels) || has(self.accounts.include)))",message="mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}"
// +kubebuilder:validation:XValidation:rule="has(self.buckets) || !has(self.versioning)",message="versioning cannot be undone and is never declared for every bucket by accident: name the buckets, for example buckets: {include: [\"acme-records-*\"]}"
// +kubebuilder:validation:XValidation:rule="has(self.buckets) || !has(self.objectLock)",message="objectLock is meant for some buckets, not for all: name the buckets, for example buckets: {include: [\"acme-records-*\"]}"
// +kubebuilder:validation:XValidation:rule="!(has(self.buckets) && has(self.accountPublicAccessBlock)) || has(self.bucketPublicAccessBlock) || has(self.defaultEncryption) || has(self.secureTransport) || has(self.versioning) || has(self.objectLock) || has(self.objectOwnership)",message="buckets does not bound accountPublicAccessBlock, which is of the whole account; leave buckets out, or declare a section about buckets"
type S3BaselineSpec struct {
	BaselineSpec `json:",inline"`

	// buckets selects the buckets that the sections about buckets concern, by the bucket's own region. Absent: every
	// general-purpose bucket in the selected regions. Required with versioning and objectLock.
	// +optional
	Buckets *BucketSelector `json:"buckets,omitempty"`

	// accountPublicAccessBlock is the public access block of the whole account (control s3-account-public-access-block).
	//
	// state must be Enabled; each of the four flags then says Enabled (the default) or Disabled. Turning a flag on is
	// Disruptive: what is public now stops being so, cross-account access by a public policy included. Turning one off always
	// waits for an approval. Where an organization policy manages it, that is said and nothing is written.
	// +optional
	AccountPublicAccessBlock *AccountPublicAccessBlock `json:"accountPublicAccessBlock,omitempty"`

	// bucketPublicAccessBlock is the public access block of each bucket (control s3-bucket-public-access-block).
	//
	// state must be Enabled; each of the four flags then says Enabled (the default) or Disabled. Turning a flag on is
	// Disruptive, turning one off always waits for an approval. ACLs are never changed.
	// +optional
	BucketPublicAccessBlock *BucketPublicAccessBlock `json:"bucketPublicAccessBlock,omitempty"`

	// defaultEncryption is how new objects of each bucket are encrypted (control s3-default-encryption).
	//
	// state must be Enabled. The floor AES256 and the bucket key are Safe; every other change of algorithm or key is
	// Disruptive. KMS is never changed back to AES256. Existing objects keep their encryption.
	// +optional
	DefaultEncryption *DefaultEncryption `json:"defaultEncryption,omitempty"`

	// secureTransport refuses requests without TLS by a statement of Plumbline's own in each bucket's policy (control
	// s3-secure-transport); other statements are kept, and one of the same meaning suffices.
	//
	// state Enabled (Disruptive): clients that speak plain HTTP are refused. state Disabled (Disruptive, always waits for an
	// approval) removes Plumbline's own statement.
	// +optional
	SecureTransport *SecureTransport `json:"secureTransport,omitempty"`

	// versioning keeps former versions of objects (control s3-versioning). Needs buckets.
	//
	// state Enabled is Irreversible: a bucket never becomes unversioned again, former versions cost storage, and lifecycle
	// rules that expire objects no longer free it. state Disabled (Disruptive, always waits for an approval) suspends
	// versioning; former versions stay. A bucket that never was versioned satisfies Disabled.
	// +optional
	Versioning *Versioning `json:"versioning,omitempty"`

	// objectLock reports buckets without Object Lock or with less default retention than declared (control s3-object-lock).
	// Report-only: retention cannot be taken back. Needs buckets. state must be Enabled.
	// +optional
	ObjectLock *ObjectLock `json:"objectLock,omitempty"`

	// objectOwnership is who owns new objects, and whether ACLs count (control s3-object-ownership).
	//
	// state must be Enabled. Every change is Disruptive: access granted by ACLs may end, and legacy CloudFront and
	// ACL-based log delivery stops with BucketOwnerEnforced. A bucket whose ACL grants others is reported and not changed.
	// +optional
	ObjectOwnership *ObjectOwnership `json:"objectOwnership,omitempty"`
}

// BucketSelector selects buckets: those that carry all of matchTags and match include, where these are given; exclude wins.
//
// +kubebuilder:validation:XValidation:rule="has(self.matchTags) || has(self.include) || has(self.exclude)",message="buckets selects nothing when empty: name matchTags, include or exclude, or leave buckets out for every bucket"
type BucketSelector struct {
	// matchTags selects buckets that carry all of these tags. Costs one request per bucket and look. Absent: tags do not
	// matter. Example: data-classification: confidential
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 128 && self[k].size() <= 256)",message="a tag's key has at most 128 and its value at most 256 characters; shorten matchTags"
	MatchTags map[string]string `json:"matchTags,omitempty"`

	// include selects buckets whose name matches one of these globs (* and ?). Absent: every name. Example: acme-*
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9.*?-]+$`
	Include []string `json:"include,omitempty"`

	// exclude leaves out buckets whose name matches one of these globs (* and ?), whatever else selects them.
	// Example: aws-controltower-*
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9.*?-]+$`
	Exclude []string `json:"exclude,omitempty"`
}

// PublicAccessBlockFlags are the four flags of a public access block.
type PublicAccessBlockFlags struct {
	// blockPublicAcls refuses new public ACLs: Enabled (the default) or Disabled. Example: Enabled
	// +optional
	BlockPublicACLs State `json:"blockPublicAcls,omitempty"`

	// ignorePublicAcls ignores public ACLs that exist: Enabled (the default) or Disabled. Example: Enabled
	// +optional
	IgnorePublicACLs State `json:"ignorePublicAcls,omitempty"`

	// blockPublicPolicy refuses new public bucket policies: Enabled (the default) or Disabled. Example: Enabled
	// +optional
	BlockPublicPolicy State `json:"blockPublicPolicy,omitempty"`

	// restrictPublicBuckets lets only the bucket's own account and AWS services use a bucket with a public policy: Enabled
	// (the default) or Disabled. Example: Enabled
	// +optional
	RestrictPublicBuckets State `json:"restrictPublicBuckets,omitempty"`
}

// BlockPublicACLsOrDefault is blockPublicAcls, Enabled when absent.
func (f PublicAccessBlockFlags) BlockPublicACLsOrDefault() State {
	return firstOf(f.BlockPublicACLs, Enabled)
}

// IgnorePublicACLsOrDefault is ignorePublicAcls, Enabled when absent.
func (f PublicAccessBlockFlags) IgnorePublicACLsOrDefault() State {
	return firstOf(f.IgnorePublicACLs, Enabled)
}

// BlockPublicPolicyOrDefault is blockPublicPolicy, Enabled when absent.
func (f PublicAccessBlockFlags) BlockPublicPolicyOrDefault() State {
	return firstOf(f.BlockPublicPolicy, Enabled)
}

// RestrictPublicBucketsOrDefault is restrictPublicBuckets, Enabled when absent.
func (f PublicAccessBlockFlags) RestrictPublicBucketsOrDefault() State {
	return firstOf(f.RestrictPublicBuckets, Enabled)
}

// AccountPublicAccessBlock declares the public access block of the account.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="accountPublicAccessBlock needs state: write state: Enabled, or leave accountPublicAccessBlock out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="accountPublicAccessBlock cannot be Disabled: each of its four flags says Enabled or Disabled; leave the section out"
type AccountPublicAccessBlock struct {
	ControlSpec            `json:",inline"`
	PublicAccessBlockFlags `json:",inline"`
}

// BucketPublicAccessBlock declares the public access block of each bucket.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="bucketPublicAccessBlock needs state: write state: Enabled, or leave bucketPublicAccessBlock out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="bucketPublicAccessBlock cannot be Disabled: each of its four flags says Enabled or Disabled; leave the section out"
type BucketPublicAccessBlock struct {
	ControlSpec            `json:",inline"`
	PublicAccessBlockFlags `json:",inline"`

	// requireOnBucket Enabled asks for the block on every bucket itself. Disabled (the default): where the account's block
	// has all four flags on, its buckets need none of their own, which saves one request per bucket. Example: Disabled
	// +optional
	RequireOnBucket State `json:"requireOnBucket,omitempty"`
}

// RequireOnBucketOrDefault is requireOnBucket, Disabled when absent.
func (b BucketPublicAccessBlock) RequireOnBucketOrDefault() State {
	return firstOf(b.RequireOnBucket, Disabled)
}

// EncryptionAlgorithm is how S3 encrypts new objects, in AWS's spelling.
//
// +kubebuilder:validation:Enum="AES256";"aws:kms";"aws:kms:dsse"
type EncryptionAlgorithm string

// The algorithms, weakest first.
const (
	AlgorithmAES256 EncryptionAlgorithm = "AES256"
	AlgorithmKMS    EncryptionAlgorithm = "aws:kms"
	AlgorithmDSSE   EncryptionAlgorithm = "aws:kms:dsse"
)

// CustomerProvidedKeys says whether clients may encrypt with keys of their own (SSE-C).
//
// +kubebuilder:validation:Enum=Blocked;Allowed
type CustomerProvidedKeys string

// The values of CustomerProvidedKeys.
const (
	CustomerProvidedKeysBlocked CustomerProvidedKeys = "Blocked"
	CustomerProvidedKeysAllowed CustomerProvidedKeys = "Allowed"
)

// DefaultEncryption declares the default encryption of each bucket.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="defaultEncryption needs state: write state: Enabled, or leave defaultEncryption out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="defaultEncryption cannot be Disabled: S3 always encrypts; leave the section out"
// +kubebuilder:validation:XValidation:rule="!(self.?algorithm.orValue('AES256') in ['aws:kms', 'aws:kms:dsse']) || has(self.kmsKey)",message="algorithm aws:kms or aws:kms:dsse needs kmsKey: write an alias or a key ARN, for example kmsKey: alias/baseline"
// +kubebuilder:validation:XValidation:rule="self.?algorithm.orValue('AES256') != 'AES256' || !has(self.kmsKey)",message="kmsKey has no meaning with algorithm AES256, the default; write algorithm: aws:kms, or leave kmsKey out"
// +kubebuilder:validation:XValidation:rule="self.?algorithm.orValue('AES256') == 'aws:kms' || !has(self.bucketKey)",message="bucketKey only works with algorithm: aws:kms; leave bucketKey out"
type DefaultEncryption struct {
	ControlSpec `json:",inline"`

	// algorithm is AES256 (the default), aws:kms or aws:kms:dsse. AES256 is a floor: a bucket that uses KMS satisfies it.
	// AES256 is Safe, the others are Disruptive: readers need permission to use the key, and buckets that take the logs of S3,
	// load balancers or CloudFront cannot use KMS and are skipped. Example: AES256
	// +optional
	Algorithm EncryptionAlgorithm `json:"algorithm,omitempty"`

	// kmsKey is the key for aws:kms and aws:kms:dsse, required there: alias/NAME (the key this alias has in the bucket's
	// account and region) or a key ARN. Where the alias does not exist that is reported and nothing is written. A change is
	// Disruptive. Example: alias/baseline
	// +optional
	KMSKey KMSKeyName `json:"kmsKey,omitempty"`

	// bucketKey uses an S3 bucket key, which saves most KMS requests: Enabled (the default with aws:kms, Safe) or Disabled
	// (Disruptive: KMS cost). Only with aws:kms. Example: Enabled
	// +optional
	BucketKey State `json:"bucketKey,omitempty"`

	// customerProvidedKeys says whether clients may encrypt with keys of their own (SSE-C): Blocked or Allowed. Absent: kept
	// as it is. Both Disruptive. Example: Blocked
	// +optional
	CustomerProvidedKeys CustomerProvidedKeys `json:"customerProvidedKeys,omitempty"`
}

// AlgorithmOrDefault is the algorithm, AES256 when absent.
func (e DefaultEncryption) AlgorithmOrDefault() EncryptionAlgorithm {
	return firstOf(e.Algorithm, AlgorithmAES256)
}

// BucketKeyOrDefault is the bucket key: Enabled when absent with aws:kms, empty (unmanaged) with the other algorithms.
func (e DefaultEncryption) BucketKeyOrDefault() State {
	if e.BucketKey == "" && e.AlgorithmOrDefault() == AlgorithmKMS {
		return Enabled
	}
	return e.BucketKey
}

// TLSVersion is a version of TLS.
//
// +kubebuilder:validation:Enum="1.2";"1.3"
type TLSVersion string

// The versions of TLS that can be asked for.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// SecureTransport declares that each bucket refuses requests without TLS.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="secureTransport needs state: write state: Enabled or state: Disabled, or leave secureTransport out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Disabled' || !(has(self.minimumTLSVersion))",message="minimumTLSVersion has no meaning with state: Disabled; leave minimumTLSVersion out"
type SecureTransport struct {
	ControlSpec `json:",inline"`

	// minimumTLSVersion is "1.2" (the default: plain HTTP is refused; AWS itself refuses older TLS) or "1.3" (TLS 1.2 is
	// refused too). A string, so quote it. Example: "1.2"
	// +optional
	MinimumTLSVersion TLSVersion `json:"minimumTLSVersion,omitempty"`
}

// MinimumTLSVersionOrDefault is the TLS version, 1.2 when absent.
func (t SecureTransport) MinimumTLSVersionOrDefault() TLSVersion {
	return firstOf(t.MinimumTLSVersion, TLS12)
}

// Versioning declares versioning of the selected buckets.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="versioning needs state: write state: Enabled or state: Disabled, or leave versioning out to keep it unmanaged"
type Versioning struct {
	ControlSpec `json:",inline"`
}

// RetentionMode is the mode of Object Lock's default retention, in AWS's spelling.
//
// +kubebuilder:validation:Enum=GOVERNANCE;COMPLIANCE
type RetentionMode string

// The retention modes, weaker first.
const (
	// RetentionGovernance lets whoever has s3:BypassGovernanceRetention shorten a retention.
	RetentionGovernance RetentionMode = "GOVERNANCE"
	// RetentionCompliance lets nobody shorten it, root included.
	RetentionCompliance RetentionMode = "COMPLIANCE"
)

// ObjectLock declares Object Lock of the selected buckets.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="objectLock needs state: write state: Enabled, or leave objectLock out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="objectLock cannot be Disabled: it only reports; leave the section out"
type ObjectLock struct {
	ControlSpec `json:",inline"`

	// retentionMode is the mode of the default retention: GOVERNANCE or COMPLIANCE; COMPLIANCE satisfies GOVERNANCE. Absent:
	// either, or none. (AWS calls it mode, which here says Audit or Enforce.) Example: COMPLIANCE
	// +optional
	RetentionMode RetentionMode `json:"retentionMode,omitempty"`

	// days is the least default retention in days, 1 to 36500; a year of AWS counts 365 days. Absent: any, or none.
	// Example: 365
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	Days int32 `json:"days,omitempty"`
}

// OwnershipRule is S3 object ownership, in AWS's spelling.
//
// +kubebuilder:validation:Enum=BucketOwnerEnforced;BucketOwnerPreferred;ObjectWriter
type OwnershipRule string

// The ownership rules, strictest first.
const (
	// OwnershipEnforced turns ACLs off; the bucket's owner owns every object.
	OwnershipEnforced OwnershipRule = "BucketOwnerEnforced"
	// OwnershipPreferred gives the bucket's owner the objects that are uploaded with bucket-owner-full-control.
	OwnershipPreferred OwnershipRule = "BucketOwnerPreferred"
	// OwnershipWriter gives each object to whoever uploads it.
	OwnershipWriter OwnershipRule = "ObjectWriter"
)

// ObjectOwnership declares the object ownership of each bucket.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="objectOwnership needs state: write state: Enabled, or leave objectOwnership out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="objectOwnership cannot be Disabled: every bucket has an ownership rule; leave the section out"
type ObjectOwnership struct {
	ControlSpec `json:",inline"`

	// rule is BucketOwnerEnforced (the default: ACLs are off), BucketOwnerPreferred or ObjectWriter.
	// Example: BucketOwnerEnforced
	// +optional
	Rule OwnershipRule `json:"rule,omitempty"`
}

// RuleOrDefault is the ownership rule, BucketOwnerEnforced when absent.
func (o ObjectOwnership) RuleOrDefault() OwnershipRule { return firstOf(o.Rule, OwnershipEnforced) }

// Common returns what every baseline kind has.
func (b *S3Baseline) Common() (*BaselineSpec, *BaselineStatus) {
	return &b.Spec.BaselineSpec, &b.Status
}

// S3BaselineList is a list of S3Baselines.
//
// +kubebuilder:object:root=true
type S3BaselineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []S3Baseline `json:"items"`
}
