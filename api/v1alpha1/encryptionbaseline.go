package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KMSKeyName names a KMS key: alias/NAME, which means the key that this alias has in each account and region, or the ARN
// of one key. Aliases of AWS managed keys (alias/aws/...) are not accepted. Example: alias/baseline
//
// +kubebuilder:validation:MaxLength=300
// +kubebuilder:validation:Pattern=`^(alias/[a-zA-Z0-9/_-]{1,250}|arn:aws[a-z-]{0,12}:kms:[a-z0-9-]{1,32}:[0-9]{12}:key/[a-zA-Z0-9-]{1,64})$`
// +kubebuilder:validation:XValidation:rule="!self.startsWith('alias/aws/')",message="alias/aws/... names a key that AWS manages; name a customer managed key, for example alias/baseline, or leave kmsKey out"
type KMSKeyName string

// EncryptionBaseline declares encryption at rest: EBS by default, EBS volumes and RDS storage, rotation of KMS keys.
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
type EncryptionBaseline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares what must hold, where, and what happens to a departure.
	// +required
	Spec EncryptionBaselineSpec `json:"spec"`

	// status is the roll-up over all selected accounts.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "accounts": 0, "compliant": 0, "drifted": 0, "unknown": 0, "stale": 0, "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status BaselineStatus `json:"status,omitempty"`
}

// EncryptionBaselineSpec is the spec of an EncryptionBaseline.
//
// +kubebuilder:validation:XValidation:rule="has(self.ebsDefault) || has(self.ebsVolumes) || has(self.rdsStorage) || has(self.kmsRotation)",message="declare at least one section: ebsDefault, ebsVolumes, rdsStorage or kmsRotation, each with a state, for example ebsDefault: {state: Enabled}"
// +kubebuilder:validation:XValidation:rule="!(self.?mode.orValue('Audit') == 'Enforce' || self.?ebsDefault.?mode.orValue('Audit') == 'Enforce' || self.?ebsVolumes.?mode.orValue('Audit') == 'Enforce' || self.?rdsStorage.?mode.orValue('Audit') == 'Enforce' || self.?kmsRotation.?mode.orValue('Audit') == 'Enforce') || (has(self.accounts) && (has(self.accounts.all) || has(self.accounts.organizationalUnits) || has(self.accounts.matchLabels) || has(self.accounts.include)))",message="mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}"
type EncryptionBaselineSpec struct {
	BaselineSpec `json:",inline"`

	// ebsDefault is EBS encryption by default, per account and region (control ebs-default-encryption).
	//
	// state Enabled (Safe): new volumes and snapshot copies are encrypted. Instance types that cannot attach encrypted volumes
	// no longer launch, and AMIs backed by snapshots under aws/ebs cannot be shared: exclude image-factory accounts. state
	// Disabled (Disruptive, always waits for an approval) turns the default off.
	// +optional
	EBSDefault *EBSDefault `json:"ebsDefault,omitempty"`

	// ebsVolumes reports EBS volumes that are not encrypted (control ebs-volume-encryption). Report-only: a volume cannot be
	// encrypted in place. state must be Enabled.
	// +optional
	EBSVolumes *EBSVolumes `json:"ebsVolumes,omitempty"`

	// rdsStorage reports RDS instances and clusters whose storage is not encrypted (control rds-storage-encryption).
	// Report-only: storage cannot be encrypted in place. state must be Enabled.
	// +optional
	RDSStorage *RDSStorage `json:"rdsStorage,omitempty"`

	// kmsRotation is automatic rotation of customer managed KMS keys (control kms-key-rotation): symmetric, enabled, with key
	// material made by KMS; other keys cannot rotate and are left out.
	//
	// state Enabled (Safe) turns rotation on; every retained key version is billed. state Disabled (Disruptive, always waits
	// for an approval) turns it off.
	// +optional
	KMSRotation *KMSRotation `json:"kmsRotation,omitempty"`
}

// EBSDefault declares EBS encryption by default.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="ebsDefault needs state: write state: Enabled or state: Disabled, or leave ebsDefault out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!(has(self.state) && self.state == 'Disabled' && has(self.kmsKey))",message="kmsKey has no meaning with state: Disabled; leave kmsKey out"
type EBSDefault struct {
	ControlSpec `json:",inline"`

	// kmsKey is the default key for EBS: alias/NAME (the key this alias has in each account and region) or a key ARN. Absent:
	// the key is left as it is. A change of the key is Disruptive: instances launch only where the key is usable by whoever
	// launches them, Auto Scaling's service-linked role included. Example: alias/baseline
	// +optional
	KMSKey KMSKeyName `json:"kmsKey,omitempty"`
}

// EBSVolumes declares that every EBS volume is encrypted.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="ebsVolumes needs state: write state: Enabled, or leave ebsVolumes out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="ebsVolumes cannot be Disabled: it only reports; leave the section out"
type EBSVolumes struct {
	ControlSpec `json:",inline"`
}

// RDSStorage declares that the storage of every RDS instance and cluster is encrypted.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="rdsStorage needs state: write state: Enabled, or leave rdsStorage out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="rdsStorage cannot be Disabled: it only reports; leave the section out"
type RDSStorage struct {
	ControlSpec `json:",inline"`
}

// KMSRotation declares automatic rotation of customer managed KMS keys: symmetric, enabled, with key material made by KMS.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="kmsRotation needs state: write state: Enabled or state: Disabled, or leave kmsRotation out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!(has(self.state) && self.state == 'Disabled' && has(self.periodDays))",message="periodDays has no meaning with state: Disabled; leave periodDays out"
type KMSRotation struct {
	ControlSpec `json:",inline"`

	// periodDays is the rotation period in days, 90 to 2560. Absent: any period is accepted, and AWS's default of 365 is used
	// where rotation is turned on. A change of the period is Disruptive. Example: 365
	// +optional
	// +kubebuilder:validation:Minimum=90
	// +kubebuilder:validation:Maximum=2560
	PeriodDays int32 `json:"periodDays,omitempty"`

	// exclude leaves out keys that have an alias matching one of these globs (* and ?). Example: alias/legacy-*
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	Exclude []string `json:"exclude,omitempty"`
}

// Common returns what every baseline kind has.
func (b *EncryptionBaseline) Common() (*BaselineSpec, *BaselineStatus) {
	return &b.Spec.BaselineSpec, &b.Status
}

// EncryptionBaselineList is a list of EncryptionBaselines.
//
// +kubebuilder:object:root=true
type EncryptionBaselineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EncryptionBaseline `json:"items"`
}
