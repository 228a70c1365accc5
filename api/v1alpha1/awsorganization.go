package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AWSOrganization is the AWS organization whose accounts are kept: where it is read from, which roles are assumed in its
// accounts, which regions it governs. There is one per cluster. Its accounts are discovered and appear as AWSAccounts.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=awsorg
// +kubebuilder:printcolumn:name="MANAGEMENT",type=string,JSONPath=`.spec.managementAccount`
// +kubebuilder:printcolumn:name="ACCOUNTS",type=integer,JSONPath=`.status.accounts`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="WRITES",type=string,priority=1,JSONPath=`.spec.writes`
// +kubebuilder:printcolumn:name="DISCOVERED",type=date,JSONPath=`.status.lastDiscoveredTime`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type AWSOrganization struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says how the organization is read and how its accounts are entered.
	// +required
	Spec AWSOrganizationSpec `json:"spec"`

	// status is what discovery found.
	// +optional
	// +default={"observedGeneration": -1, "accounts": 0}
	Status AWSOrganizationStatus `json:"status,omitempty"`
}

// AWSOrganizationSpec is the spec of an AWSOrganization.
type AWSOrganizationSpec struct {
	// partition is the AWS partition: aws (the default), aws-cn or aws-us-gov. One organization lies in one partition.
	// Example: aws
	// +optional
	// +kubebuilder:validation:Enum=aws;aws-cn;aws-us-gov
	Partition string `json:"partition,omitempty"`

	// managementAccount is the id of the organization's management account. Example: "123456789012"
	// +required
	ManagementAccount AccountID `json:"managementAccount"`

	// readFrom is the account from which AWS Organizations is read: the management account (the default) or a delegated
	// administrator of AWS Organizations. Example: "222233334444"
	// +optional
	ReadFrom AccountID `json:"readFrom,omitempty"`

	// regions are the organization's governed regions: where a baseline names no regions, these are looked at, as far as they
	// are enabled in the account. Absent: every region that is enabled in the account. Example: eu-central-1
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Regions []Region `json:"regions,omitempty"`

	// roles are the roles assumed in every account.
	// +optional
	Roles OrganizationRoles `json:"roles,omitempty"`

	// delegatedAdministrators names, per service, the account that administers it for the organization. Absent: GuardDuty is
	// worked on in each account itself, CloudTrail in the management account.
	// +optional
	DelegatedAdministrators DelegatedAdministrators `json:"delegatedAdministrators,omitempty"`

	// tagLabels names AWS account tags whose values become labels of the AWSAccount, so that matchLabels can select by them.
	// A value that is no legal label is left out and named in a condition. Whoever may tag the account in AWS then decides
	// which baselines select it. Example: tier
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$`
	TagLabels []string `json:"tagLabels,omitempty"`

	// interval is how often the organization is read: 1m to 24h, default 15m. Example: 30m
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="interval must be between 1m and 24h, for example 15m"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// enforceNewAccountsAfter is how long an account that joined is observed before anything is written to it: 0s to 720h,
	// default 24h; 0s writes at once. Example: 24h
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="enforceNewAccountsAfter must be between 0s and 720h, for example 24h"
	EnforceNewAccountsAfter *metav1.Duration `json:"enforceNewAccountsAfter,omitempty"`

	// discovery narrows which accounts are taken in.
	// +optional
	Discovery Discovery `json:"discovery,omitempty"`

	// writes is the switch for every change in every account, undoing included: Allowed (the default) or Stopped. Stopped ends
	// all changes within seconds, but for a single write that is under way; what is observed and reported goes on.
	// Example: Stopped
	// +optional
	Writes Writes `json:"writes,omitempty"`
}

// Writes says whether anything is changed in AWS.
//
// +kubebuilder:validation:Enum=Allowed;Stopped
type Writes string

// The positions of the switch.
const (
	// WritesAllowed lets baselines, approvals and undos change AWS. The default.
	WritesAllowed Writes = "Allowed"
	// WritesStopped lets nothing be changed.
	WritesStopped Writes = "Stopped"
)

// OrganizationRoles names the roles of every account, as path and name without a leading slash. config/iam has the
// templates that create them.
type OrganizationRoles struct {
	// audit is the role that reads. Default plumbline/PlumblineAudit. Example: security/PlumblineAudit
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^([a-zA-Z0-9_+=,.@-]+/)*[a-zA-Z0-9_+=,.@-]{1,64}$`
	Audit string `json:"audit,omitempty"`

	// enforce is the role that writes; it is assumed only for a change. Default plumbline/PlumblineEnforce.
	// Example: security/PlumblineEnforce
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^([a-zA-Z0-9_+=,.@-]+/)*[a-zA-Z0-9_+=,.@-]{1,64}$`
	Enforce string `json:"enforce,omitempty"`

	// externalId is sent with every AssumeRole and stands in the roles' trust policies. Make it unique to this installation,
	// so that a second one on the same organization cannot write by accident. It is not a secret. Absent: none is sent. Example: plumbline-prod-eu
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9+=,.@:/_-]+$`
	ExternalID string `json:"externalId,omitempty"`

	// enforcerPrincipal is the ARN of the role or user that the enforcer signs in to AWS with, where hands are separate
	// (config/separate-hands): the enforce roles must trust it alone, and the audit roles may trust it beside the manager.
	// Absent: the manager writes. Example: arn:aws:iam::444455556666:role/plumbline-enforcer
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:(role|user)/[a-zA-Z0-9+=,.@_/-]+$`
	EnforcerPrincipal string `json:"enforcerPrincipal,omitempty"`
}

// The default role names; see config/iam.
const (
	DefaultAuditRole   = "plumbline/PlumblineAudit"
	DefaultEnforceRole = "plumbline/PlumblineEnforce"
)

// DelegatedAdministrators names the account that administers a service for the organization.
type DelegatedAdministrators struct {
	// guardduty is the GuardDuty delegated administrator. Example: "222233334444"
	// +optional
	GuardDuty AccountID `json:"guardduty,omitempty"`
	// cloudtrail is the CloudTrail delegated administrator. Example: "222233334444"
	// +optional
	CloudTrail AccountID `json:"cloudtrail,omitempty"`
}

// Discovery narrows which accounts of the organization are taken in.
type Discovery struct {
	// include takes in only these account ids. Absent: every account. Example: "111122223333"
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Include []AccountID `json:"include,omitempty"`
	// exclude leaves these account ids out, whatever include says. An account that was taken in before is
	// worked on no more, and nothing is reverted. Absent: none. Example: "111122223333"
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Exclude []AccountID `json:"exclude,omitempty"`
}

// Defaults of AWSOrganizationSpec, applied where a field is absent.
const (
	DefaultPartition               = "aws"
	DefaultDiscoveryInterval       = 15 * time.Minute
	DefaultEnforceNewAccountsAfter = 24 * time.Hour
)

// PartitionOrDefault is the partition, aws when absent.
func (s *AWSOrganizationSpec) PartitionOrDefault() string {
	return firstOf(s.Partition, DefaultPartition)
}

// ReadFromOrDefault is the account AWS Organizations is read from: the management account when absent.
func (s *AWSOrganizationSpec) ReadFromOrDefault() string {
	return string(firstOf(s.ReadFrom, s.ManagementAccount))
}

// DiscoverEvery is how often the organization is read.
func (s *AWSOrganizationSpec) DiscoverEvery() time.Duration {
	return durationOr(s.Interval, DefaultDiscoveryInterval)
}

// EnforceAfter is how long an account that joined is only observed. An explicit 0s means at once.
func (s *AWSOrganizationSpec) EnforceAfter() time.Duration {
	if s.EnforceNewAccountsAfter == nil {
		return DefaultEnforceNewAccountsAfter
	}
	return s.EnforceNewAccountsAfter.Duration
}

// AuditOrDefault is the audit role's path and name.
func (r OrganizationRoles) AuditOrDefault() string { return firstOf(r.Audit, DefaultAuditRole) }

// EnforceOrDefault is the enforce role's path and name.
func (r OrganizationRoles) EnforceOrDefault() string { return firstOf(r.Enforce, DefaultEnforceRole) }

// AWSOrganizationStatus is what discovery found.
type AWSOrganizationStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first look.
	ObservedGeneration int64 `json:"observedGeneration"`
	// organizationId is the organization's id. Example: o-abcdefghij
	// +optional
	OrganizationID string `json:"organizationId,omitempty"`
	// accounts is the number of accounts taken in and active.
	Accounts int32 `json:"accounts"`
	// left is the number of accounts that were seen once and are no longer in the organization.
	// +optional
	Left int32 `json:"left,omitempty"`
	// suspended is the number of accounts that are suspended or closing.
	// +optional
	Suspended int32 `json:"suspended,omitempty"`
	// lastDiscoveredTime is when the organization was last read whole.
	// +optional
	LastDiscoveredTime *metav1.Time `json:"lastDiscoveredTime,omitempty"`
	// lastHandledReconcileAt is the value of the annotation plumbline.dev/reconcile-requested-at for which the organization was
	// last read.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	// conditions are Ready, EventsFlowing where events are received and, while it applies, LabelConflict.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AWSOrganizationList is a list of AWSOrganizations.
//
// +kubebuilder:object:root=true
type AWSOrganizationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AWSOrganization `json:"items"`
}
