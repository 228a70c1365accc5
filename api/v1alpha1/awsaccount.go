package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AWSAccount is one AWS account, named by its account id. Discovery creates it and sets only labels and annotations; the
// same object may stand in Git. Its status is the account's whole posture. Deleting it reverts nothing
// and, while the account is in the organization, discovery makes it again: leave an account out with discovery.exclude of
// the AWSOrganization.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=awsacct
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="ACCOUNT-NAME",type=string,JSONPath=`.status.name`
// +kubebuilder:printcolumn:name="STATE",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="CHECKS",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="DRIFTED",type=integer,JSONPath=`.status.checks.drifted`
// +kubebuilder:printcolumn:name="EXCEPTED",type=integer,JSONPath=`.status.checks.excepted`
// +kubebuilder:printcolumn:name="UNKNOWN",type=integer,JSONPath=`.status.checks.unknown`
// +kubebuilder:printcolumn:name="CHECKED",type=date,JSONPath=`.status.lastObservedTime`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="STALE",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Stale")].status`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[0-9]{12}$')",message="an AWSAccount is named by its account id: write the twelve digits as metadata.name, quoted, for example name: \"111122223333\""
// +kubebuilder:validation:XValidation:rule="!has(self.spec) || !has(self.spec.roles) || !has(self.spec.roles.audit) || self.spec.roles.audit.split(':').size() != 6 || self.spec.roles.audit.split(':')[4] == self.metadata.name",fieldPath=".spec.roles.audit",message="spec.roles.audit must be a role of this account: its ARN must contain the account id that is the object's name"
// +kubebuilder:validation:XValidation:rule="!has(self.spec) || !has(self.spec.roles) || !has(self.spec.roles.enforce) || self.spec.roles.enforce.split(':').size() != 6 || self.spec.roles.enforce.split(':')[4] == self.metadata.name",fieldPath=".spec.roles.enforce",message="spec.roles.enforce must be a role of this account: its ARN must contain the account id that is the object's name"
type AWSAccount struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec holds what differs from the organization. Usually empty.
	// +optional
	Spec AWSAccountSpec `json:"spec,omitempty"`

	// status is the account's whole posture.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status AWSAccountStatus `json:"status,omitempty"`
}

// AWSAccountSpec is the spec of an AWSAccount.
type AWSAccountSpec struct {
	// roles are the account's roles where they differ from the organization's.
	// +optional
	Roles AccountRoles `json:"roles,omitempty"`

	// regions narrows the regions of this account further, after those that baselines select.
	// +optional
	Regions *RegionSelector `json:"regions,omitempty"`
}

// AccountRoles names the roles of one account by ARN.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.auditFromACK) && self.auditFromACK && has(self.audit))",message="auditFromACK and audit name two audit roles; keep one of them"
type AccountRoles struct {
	// audit is the ARN of the role that reads. Absent: the organization's.
	// Example: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit
	// +optional
	// +kubebuilder:validation:MaxLength=640
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9_+=,.@/-]+$`
	Audit string `json:"audit,omitempty"`

	// enforce is the ARN of the role that writes. Absent: the organization's.
	// Example: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce
	// +optional
	// +kubebuilder:validation:MaxLength=640
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9_+=,.@/-]+$`
	Enforce string `json:"enforce,omitempty"`

	// auditFromACK takes the audit role from ACK's ConfigMap ack-role-account-map; the manager must run with
	// --ack-role-account-map. ACK's roles may write, so the account then has no read-only role of its own. The enforce role is
	// never taken from there. Default false.
	// +optional
	AuditFromACK bool `json:"auditFromACK,omitempty"`
}

// AccountState is an account's state in one word.
type AccountState string

// The states of an account.
const (
	AccountPending     AccountState = "Pending"
	AccountCompliant   AccountState = "Compliant"
	AccountDrifted     AccountState = "Drifted"
	AccountUnknown     AccountState = "Unknown"
	AccountUnreachable AccountState = "Unreachable"
	AccountLeft        AccountState = "Left"
	AccountSuspended   AccountState = "Suspended"
)

// GlobalRegion stands for the region in results of controls that are of the account or the organization.
const GlobalRegion = "global"

// AWSAccountStatus is an account's whole posture, capped at 32 KB: the worst drift rows whole, counts for the rest.
type AWSAccountStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first look.
	ObservedGeneration int64 `json:"observedGeneration"`

	// state is Pending, Compliant, Drifted, Unknown, Unreachable, Left or Suspended.
	// +optional
	State AccountState `json:"state,omitempty"`

	// name is the account's name in AWS Organizations.
	// +optional
	Name string `json:"name,omitempty"`

	// organizationPath is the account's path of OU names.
	// +optional
	OrganizationPath string `json:"organizationPath,omitempty"`

	// checks counts the account's checks over all baselines.
	Checks CheckCounts `json:"checks"`

	// summary is compliant/total.
	// +optional
	Summary string `json:"summary,omitempty"`

	// regions are the regions enabled in the account, as last read.
	// +optional
	// +listType=atomic
	Regions []string `json:"regions,omitempty"`

	// deniedRegions are the regions that a service control policy refuses. They are neither compliant nor drifted; take them
	// out with regions.exclude to silence them.
	// +optional
	// +listType=atomic
	DeniedRegions []string `json:"deniedRegions,omitempty"`

	// lastObservedTime is when the account was last looked at. When nothing else changes it is refreshed once per interval, and
	// at most every 15 minutes.
	// +optional
	LastObservedTime *metav1.Time `json:"lastObservedTime,omitempty"`

	// lastHandledReconcileAt is the value of the annotation plumbline.dev/reconcile-requested-at that was answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// baselines has a row per baseline that selects the account and says what was looked at.
	// +optional
	// +listType=atomic
	Baselines []AccountBaseline `json:"baselines,omitempty"`

	// controls holds the controls that are not wholly compliant. What is not named here, in a region that its baseline's row
	// covers at the current revision, is compliant.
	// +optional
	// +listType=atomic
	Controls []AccountControl `json:"controls,omitempty"`

	// drift holds the 20 worst departures.
	// +optional
	// +listType=atomic
	Drift []DriftRow `json:"drift,omitempty"`

	// driftedResources is the number of departing resources over all controls, those without a row included.
	// +optional
	DriftedResources int32 `json:"driftedResources,omitempty"`

	// truncated is true when rows or regions were cut to keep the object small; the counts are whole.
	// +optional
	Truncated bool `json:"truncated,omitempty"`

	// conditions are Ready, Reachable, Compliant and, while they apply, Reconciling, Stalled and Stale.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AccountBaseline says how far one baseline was looked at in the account.
type AccountBaseline struct {
	// kind and name are the baseline's.
	Kind string `json:"kind"`
	// name is the baseline's.
	Name string `json:"name"`
	// revision is the baseline's revision when every one of its checks had been observed; empty before that.
	// +optional
	Revision string `json:"revision,omitempty"`
	// regions are the regions that were looked at then, "global" among them. "*" stands for all of status.regions.
	// +optional
	// +listType=atomic
	Regions []string `json:"regions,omitempty"`
	// covered identifies, by a hash, the checks that were observed at that revision: which controls in which regions. A check
	// that was not among them, such as one that another baseline decided then, is not known.
	// +optional
	Covered string `json:"covered,omitempty"`
	// checks counts the baseline's checks in this account.
	Checks CheckCounts `json:"checks"`
	// lastObservedTime is when the oldest of its settings checks was observed.
	// +optional
	LastObservedTime *metav1.Time `json:"lastObservedTime,omitempty"`
	// resourcesObservedTime is when the oldest of its per-resource checks was observed.
	// +optional
	ResourcesObservedTime *metav1.Time `json:"resourcesObservedTime,omitempty"`
	// handledReconcileAt is the baseline's reconcile-requested-at token that was answered last.
	// +optional
	HandledReconcileAt string `json:"handledReconcileAt,omitempty"`
	// exceptions identifies the exceptions that were obeyed.
	// +optional
	Exceptions string `json:"exceptions,omitempty"`
	// failed is the number of checks whose change was tried and failed.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// overriddenBy is the name of the baseline of the same kind that wins the overridden checks.
	// +optional
	OverriddenBy string `json:"overriddenBy,omitempty"`
}

// Severity says how much a departure matters.
type Severity string

// The severities, worst first.
const (
	SeverityCritical Severity = "Critical"
	SeverityHigh     Severity = "High"
	SeverityMedium   Severity = "Medium"
	SeverityLow      Severity = "Low"
)

// AccountControl is one control that is not wholly compliant in the account. The maps go from a region ("global" for
// controls of the account or the organization) to the number of resources; when they are cut to one number, "*" stands
// for every region named by the row's baseline.
type AccountControl struct {
	// control is the control's id.
	Control string `json:"control"`
	// baseline is the kind and name of the baseline that declares it. Example: S3Baseline/organization
	Baseline string `json:"baseline"`
	// severity is Critical, High, Medium or Low.
	Severity Severity `json:"severity"`
	// reason says why the worst of it stands: AwaitingApproval, Audit, AccessDenied, ...
	// +optional
	Reason string `json:"reason,omitempty"`
	// message explains what could not be told, with the AWS code, the action, the role and the next step.
	// +optional
	Message string `json:"message,omitempty"`
	// drifted counts departing resources per region.
	// +optional
	// +mapType=atomic
	Drifted map[string]int32 `json:"drifted,omitempty"`
	// unknown counts resources that could not be judged per region.
	// +optional
	// +mapType=atomic
	Unknown map[string]int32 `json:"unknown,omitempty"`
	// excepted counts excused resources per region.
	// +optional
	// +mapType=atomic
	Excepted map[string]int32 `json:"excepted,omitempty"`
	// notApplicable lists the regions where the service or feature does not exist.
	// +optional
	// +listType=atomic
	NotApplicable []string `json:"notApplicable,omitempty"`
	// failed lists the regions where a change was tried and failed.
	// +optional
	// +listType=atomic
	Failed []string `json:"failed,omitempty"`
}

// DriftRow is one field of one resource that departs.
type DriftRow struct {
	// control is the control's id.
	Control string `json:"control"`
	// region is where, "global" for controls of the account or the organization.
	Region string `json:"region"`
	// resource is the ARN of what departs.
	Resource string `json:"resource"`
	// field is the setting. Example: encryption.algorithm
	// +optional
	Field string `json:"field,omitempty"`
	// desired is what the baseline declares.
	// +optional
	Desired string `json:"desired,omitempty"`
	// observed is what AWS says.
	// +optional
	Observed string `json:"observed,omitempty"`
	// severity is Critical, High, Medium or Low.
	Severity Severity `json:"severity"`
	// reason says why it stands: Audit, AwaitingApproval, ReportOnly, RemediationFailed, ...
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says what would be or was done, and the next step.
	// +optional
	Message string `json:"message,omitempty"`
	// since is when the departure was first seen.
	Since metav1.Time `json:"since"`
	// by is who made the change, where an event told.
	// +optional
	By string `json:"by,omitempty"`
	// event is the CloudTrail event that made the change, where one told.
	// +optional
	Event string `json:"event,omitempty"`
	// eventTime is when that call was made.
	// +optional
	EventTime *metav1.Time `json:"eventTime,omitempty"`
	// attempts is how often it was tried to be put right without success.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// excepted names the exception that excuses the departure.
	// +optional
	Excepted string `json:"excepted,omitempty"`
	// remediation names the Remediation that proposes to put it right.
	// +optional
	Remediation string `json:"remediation,omitempty"`
}

// AWSAccountList is a list of AWSAccounts.
//
// +kubebuilder:object:root=true
type AWSAccountList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AWSAccount `json:"items"`
}
