package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GuardDutyBaseline declares Amazon GuardDuty: that it watches every selected account and region, with which protection
// plans, and what the organization does with accounts that join.
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
type GuardDutyBaseline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares what must hold, where, and what happens to a departure.
	// +required
	Spec GuardDutyBaselineSpec `json:"spec"`

	// status is the roll-up over all selected accounts.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "accounts": 0, "compliant": 0, "drifted": 0, "unknown": 0, "stale": 0, "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status BaselineStatus `json:"status,omitempty"`
}

// GuardDutyBaselineSpec is the spec of a GuardDutyBaseline.
//
// +kubebuilder:validation:XValidation:rule="has(self.detector) || has(self.features) || has(self.organization)",message="declare at least one section: detector, features or organization, each with a state, for example detector: {state: Enabled}"
// +kubebuilder:validation:XValidation:rule="!((has(self.detector) && self.detector.?mode.orValue(self.?mode.orValue('Audit')) == 'Enforce') || (has(self.features) && self.features.?mode.orValue(self.?mode.orValue('Audit')) == 'Enforce')) || (has(self.accounts) && (has(self.accounts.all) || has(self.accounts.organizationalUnits) || has(self.accounts.matchLabels) || has(self.accounts.include)))",message="mode: Enforce of detector or features needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}"
// +kubebuilder:validation:XValidation:rule="!(has(self.accounts) && has(self.organization) && !has(self.detector) && !has(self.features))",message="accounts does not bound organization, which reaches every account of the organization; leave accounts out, or declare detector or features for the selected accounts"
// +kubebuilder:validation:XValidation:rule="!(has(self.features) && has(self.detector) && self.detector.?state.orValue('Enabled') == 'Disabled')",message="features needs GuardDuty on: write detector: {state: Enabled}, or leave features out"
type GuardDutyBaselineSpec struct {
	BaselineSpec `json:",inline"`

	// detector is GuardDuty itself, per account and region (control guardduty-detector).
	//
	// state Enabled (Safe): there is a detector and it is on. Where AWSOrganization names a GuardDuty delegated administrator,
	// members are enabled from there, otherwise in the account itself. A detector that Plumbline creates has only those
	// protection plans on that features declares Enabled. GuardDuty bills by analysed volume. state Disabled (Disruptive,
	// always waits for an approval) suspends it: findings and settings are kept, nothing is deleted.
	// +optional
	Detector *GuardDutyDetector `json:"detector,omitempty"`

	// features are GuardDuty's protection plans, per account and region (control guardduty-features).
	//
	// state must be Enabled; each plan then says Enabled or Disabled for itself, and a plan that is not named is unmanaged and
	// left as it is. Every change is Disruptive: a plan that goes on costs money, one that goes off is protection lost and
	// always waits for an approval. A plan that a region does not offer is not applicable there.
	// +optional
	Features *GuardDutyFeatures `json:"features,omitempty"`

	// organization is what GuardDuty does by itself with the accounts of the organization (control guardduty-organization).
	// It reaches every account of the organization, whatever accounts says, needs no accounts, and is set in every region
	// that the baseline selects. It also declares that the delegated administrator named in AWSOrganization is GuardDuty's in
	// these regions.
	//
	// state must be Enabled. Every change is Disruptive: ALL and NEW cost money, NONE is weaker and always waits for an
	// approval.
	// +optional
	Organization *GuardDutyOrganization `json:"organization,omitempty"`
}

// FindingPublishingFrequency is how often GuardDuty publishes findings that occur again.
//
// +kubebuilder:validation:Enum=FIFTEEN_MINUTES;ONE_HOUR;SIX_HOURS
type FindingPublishingFrequency string

// The frequencies, in AWS's spelling.
const (
	FifteenMinutes FindingPublishingFrequency = "FIFTEEN_MINUTES"
	OneHour        FindingPublishingFrequency = "ONE_HOUR"
	SixHours       FindingPublishingFrequency = "SIX_HOURS"
)

// GuardDutyDetector declares GuardDuty itself.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="detector needs state: write state: Enabled or state: Disabled, or leave detector out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Disabled' || !(has(self.findingPublishingFrequency))",message="findingPublishingFrequency has no meaning with state: Disabled; leave findingPublishingFrequency out"
type GuardDutyDetector struct {
	ControlSpec `json:",inline"`

	// findingPublishingFrequency is how often findings that occur again are published to EventBridge and S3: FIFTEEN_MINUTES,
	// ONE_HOUR or SIX_HOURS. New findings are always published within minutes. Absent: left as it is. A change is Safe. A
	// member's frequency follows its administrator's. Example: FIFTEEN_MINUTES
	// +optional
	FindingPublishingFrequency FindingPublishingFrequency `json:"findingPublishingFrequency,omitempty"`
}

// GuardDutyFeatures declares GuardDuty's protection plans.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="features needs state: write state: Enabled, or leave features out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="features cannot be Disabled: each plan in it says Enabled or Disabled; leave the section out"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || has(self.s3DataEvents) || has(self.eksAuditLogs) || has(self.ebsMalwareProtection) || has(self.rdsLoginEvents) || has(self.lambdaNetworkLogs) || has(self.runtimeMonitoring)",message="features decides nothing without a plan: name s3DataEvents, eksAuditLogs, ebsMalwareProtection, rdsLoginEvents, lambdaNetworkLogs or runtimeMonitoring, for example s3DataEvents: Enabled"
type GuardDutyFeatures struct {
	ControlSpec `json:",inline"`

	// s3DataEvents is S3 Protection: Enabled or Disabled. Absent: unmanaged. Billed per million events. Example: Enabled
	// +optional
	S3DataEvents State `json:"s3DataEvents,omitempty"`

	// eksAuditLogs is EKS Protection, which reads the audit logs of EKS clusters: Enabled or Disabled. Absent: unmanaged.
	// Billed per million events. Example: Enabled
	// +optional
	EKSAuditLogs State `json:"eksAuditLogs,omitempty"`

	// ebsMalwareProtection is Malware Protection for EC2, which scans a copy of the volumes of suspicious instances: Enabled
	// or Disabled. Absent: unmanaged. Billed per GB scanned. Example: Enabled
	// +optional
	EBSMalwareProtection State `json:"ebsMalwareProtection,omitempty"`

	// rdsLoginEvents is RDS Protection, which watches logins to Aurora and RDS databases: Enabled or Disabled. Absent:
	// unmanaged. Billed per vCPU. Example: Enabled
	// +optional
	RDSLoginEvents State `json:"rdsLoginEvents,omitempty"`

	// lambdaNetworkLogs is Lambda Protection, which watches the network traffic of functions: Enabled or Disabled. Absent:
	// unmanaged. Billed per volume of logs. Example: Enabled
	// +optional
	LambdaNetworkLogs State `json:"lambdaNetworkLogs,omitempty"`

	// runtimeMonitoring is Runtime Monitoring of EKS, ECS and EC2. Absent: unmanaged. Billed per monitored vCPU. The older
	// EKS Runtime Monitoring is not offered; AWS allows only one of the two.
	// +optional
	RuntimeMonitoring *RuntimeMonitoring `json:"runtimeMonitoring,omitempty"`
}

// RuntimeMonitoring declares Runtime Monitoring and which of its agents GuardDuty installs by itself.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="runtimeMonitoring needs state: write state: Enabled or state: Disabled, or leave runtimeMonitoring out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled' || !(has(self.eksAddonManagement) || has(self.ecsFargateAgentManagement) || has(self.ec2AgentManagement))",message="eksAddonManagement, ecsFargateAgentManagement and ec2AgentManagement need runtimeMonitoring to be Enabled; write state: Enabled, or leave them out"
type RuntimeMonitoring struct {
	// state is Enabled or Disabled. Required. Example: Enabled
	// +optional
	State State `json:"state,omitempty"`

	// eksAddonManagement lets GuardDuty install and update its agent as an EKS add-on: Enabled or Disabled. Absent: unmanaged.
	// Disruptive: software is installed on every cluster. Example: Disabled
	// +optional
	EKSAddonManagement State `json:"eksAddonManagement,omitempty"`

	// ecsFargateAgentManagement lets GuardDuty add its agent as a sidecar to Fargate tasks: Enabled or Disabled. Absent:
	// unmanaged. Disruptive: tasks that start get another container. Example: Disabled
	// +optional
	ECSFargateAgentManagement State `json:"ecsFargateAgentManagement,omitempty"`

	// ec2AgentManagement lets GuardDuty install its agent on EC2 instances through SSM: Enabled or Disabled. Absent:
	// unmanaged. Disruptive: software is installed on instances. Example: Disabled
	// +optional
	EC2AgentManagement State `json:"ec2AgentManagement,omitempty"`
}

// AutoEnable says for which accounts of the organization GuardDuty turns something on by itself.
//
// +kubebuilder:validation:Enum=ALL;NEW;NONE
type AutoEnable string

// The values of AutoEnable, in AWS's spelling.
const (
	// AutoEnableAll: every account, those that join later included.
	AutoEnableAll AutoEnable = "ALL"
	// AutoEnableNew: accounts that join from now on.
	AutoEnableNew AutoEnable = "NEW"
	// AutoEnableNone: no account. What is on already stays on.
	AutoEnableNone AutoEnable = "NONE"
)

// GuardDutyOrganization declares what GuardDuty does by itself with the accounts of the organization.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="organization needs state: write state: Enabled, or leave organization out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="organization cannot be Disabled: write autoEnable: NONE to let GuardDuty enable no account by itself, or leave the section out"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || has(self.autoEnable) || has(self.features)",message="organization decides nothing without autoEnable or features: write for example autoEnable: ALL"
type GuardDutyOrganization struct {
	ControlSpec `json:",inline"`

	// autoEnable turns GuardDuty on by itself: ALL (every account of the organization), NEW (accounts that join from now on)
	// or NONE. Absent: left as it is. Accounts may take 24 hours to follow. With ALL no account can be kept without GuardDuty;
	// a detector section that says Disabled is then reported as ContradictsOrganization and not written. Example: ALL
	// +optional
	AutoEnable AutoEnable `json:"autoEnable,omitempty"`

	// features says the same per protection plan. A plan that is not named is left as it is.
	// +optional
	Features *GuardDutyOrganizationFeatures `json:"features,omitempty"`
}

// GuardDutyOrganizationFeatures declares which protection plans GuardDuty turns on by itself.
//
// +kubebuilder:validation:XValidation:rule="has(self.s3DataEvents) || has(self.eksAuditLogs) || has(self.ebsMalwareProtection) || has(self.rdsLoginEvents) || has(self.lambdaNetworkLogs) || has(self.runtimeMonitoring)",message="features decides nothing without a plan: name s3DataEvents, eksAuditLogs, ebsMalwareProtection, rdsLoginEvents, lambdaNetworkLogs or runtimeMonitoring, for example s3DataEvents: NEW"
type GuardDutyOrganizationFeatures struct {
	// s3DataEvents turns S3 Protection on by itself: ALL, NEW or NONE. Absent: left as it is. Example: NEW
	// +optional
	S3DataEvents AutoEnable `json:"s3DataEvents,omitempty"`

	// eksAuditLogs turns EKS Protection on by itself: ALL, NEW or NONE. Absent: left as it is. Example: NEW
	// +optional
	EKSAuditLogs AutoEnable `json:"eksAuditLogs,omitempty"`

	// ebsMalwareProtection turns Malware Protection for EC2 on by itself: ALL, NEW or NONE. Absent: left as it is. Example: NEW
	// +optional
	EBSMalwareProtection AutoEnable `json:"ebsMalwareProtection,omitempty"`

	// rdsLoginEvents turns RDS Protection on by itself: ALL, NEW or NONE. Absent: left as it is. Example: NEW
	// +optional
	RDSLoginEvents AutoEnable `json:"rdsLoginEvents,omitempty"`

	// lambdaNetworkLogs turns Lambda Protection on by itself: ALL, NEW or NONE. Absent: left as it is. Example: NEW
	// +optional
	LambdaNetworkLogs AutoEnable `json:"lambdaNetworkLogs,omitempty"`

	// runtimeMonitoring says it for Runtime Monitoring and its agents. Absent: left as it is.
	// +optional
	RuntimeMonitoring *OrganizationRuntimeMonitoring `json:"runtimeMonitoring,omitempty"`
}

// OrganizationRuntimeMonitoring declares for which accounts GuardDuty turns on Runtime Monitoring and installs its agents.
//
// +kubebuilder:validation:XValidation:rule="has(self.autoEnable)",message="runtimeMonitoring needs autoEnable: write autoEnable: ALL, NEW or NONE, or leave runtimeMonitoring out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="self.?autoEnable.orValue('ALL') != 'NONE' || (self.?eksAddonManagement.orValue('NONE') == 'NONE' && self.?ecsFargateAgentManagement.orValue('NONE') == 'NONE' && self.?ec2AgentManagement.orValue('NONE') == 'NONE')",message="eksAddonManagement, ecsFargateAgentManagement and ec2AgentManagement can only be NONE where runtimeMonitoring's autoEnable is NONE; write autoEnable: ALL or NEW, or write NONE for them"
type OrganizationRuntimeMonitoring struct {
	// autoEnable turns Runtime Monitoring on by itself: ALL, NEW or NONE. Required. Example: NONE
	// +optional
	AutoEnable AutoEnable `json:"autoEnable,omitempty"`

	// eksAddonManagement lets GuardDuty install its EKS add-on: ALL, NEW or NONE. Absent: left as it is. Example: NONE
	// +optional
	EKSAddonManagement AutoEnable `json:"eksAddonManagement,omitempty"`

	// ecsFargateAgentManagement lets GuardDuty add its agent to Fargate tasks: ALL, NEW or NONE. Absent: left as it is.
	// Example: NONE
	// +optional
	ECSFargateAgentManagement AutoEnable `json:"ecsFargateAgentManagement,omitempty"`

	// ec2AgentManagement lets GuardDuty install its agent on EC2 instances: ALL, NEW or NONE. Absent: left as it is.
	// Example: NONE
	// +optional
	EC2AgentManagement AutoEnable `json:"ec2AgentManagement,omitempty"`
}

// Common returns what every baseline kind has.
func (b *GuardDutyBaseline) Common() (*BaselineSpec, *BaselineStatus) {
	return &b.Spec.BaselineSpec, &b.Status
}

// GuardDutyBaselineList is a list of GuardDutyBaselines.
//
// +kubebuilder:object:root=true
type GuardDutyBaselineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GuardDutyBaseline `json:"items"`
}
