package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CloudTrailBaseline declares the organization's CloudTrail trail: one trail that logs every account in every region. It is
// of the organization, so it takes neither accounts nor regions.
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
type CloudTrailBaseline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares what must hold, where, and what happens to a departure.
	// +required
	Spec CloudTrailBaselineSpec `json:"spec"`

	// status is the roll-up over all selected accounts.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "accounts": 0, "compliant": 0, "drifted": 0, "unknown": 0, "stale": 0, "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status BaselineStatus `json:"status,omitempty"`
}

// CloudTrailBaselineSpec is the spec of a CloudTrailBaseline.
//
// +kubebuilder:validation:XValidation:rule="has(self.organizationTrail) || has(self.logFileValidation) || has(self.encryption) || has(self.cloudWatchLogs)",message="declare at least one section: organizationTrail, logFileValidation, encryption or cloudWatchLogs, each with a state, for example organizationTrail: {state: Enabled, name: org-trail, homeRegion: eu-central-1, bucket: {name: acme-log-archive}}"
// +kubebuilder:validation:XValidation:rule="!has(self.accounts)",message="a CloudTrailBaseline is of the organization and its trail logs every account; leave accounts out"
// +kubebuilder:validation:XValidation:rule="!has(self.regions)",message="a CloudTrailBaseline is of the organization and its trail logs every region; leave regions out and name the trail's own region in organizationTrail.homeRegion"
// +kubebuilder:validation:XValidation:rule="has(self.organizationTrail) || !(has(self.logFileValidation) || has(self.encryption) || has(self.cloudWatchLogs))",message="logFileValidation, encryption and cloudWatchLogs are settings of the organization trail; name it in organizationTrail"
type CloudTrailBaselineSpec struct {
	BaselineSpec `json:",inline"`

	// organizationTrail is the trail itself (control cloudtrail-organization-trail). It is looked at in homeRegion, from the
	// CloudTrail delegated administrator that AWSOrganization names, else from the management account.
	//
	// state Enabled asserts that the trail exists, is an organization trail, covers every region and global services, and
	// logs. Turning logging and these flags on is Safe; creating the trail, changing its bucket and changing what it records
	// is Disruptive. That logs are delivered is report-only. state Disabled (Disruptive, always waits for an approval) stops
	// logging; the trail is kept.
	// +optional
	OrganizationTrail *OrganizationTrail `json:"organizationTrail,omitempty"`

	// logFileValidation is the trail's digest files, by which a changed or deleted log file is noticed (control
	// cloudtrail-log-file-validation).
	//
	// state Enabled (Safe) turns it on. state Disabled (Disruptive, always waits for an approval) turns it off.
	// +optional
	LogFileValidation *LogFileValidation `json:"logFileValidation,omitempty"`

	// encryption is encryption of the trail's log files with a KMS key (control cloudtrail-encryption).
	//
	// state Enabled (Disruptive) uses kmsKeyARN. A key policy that does not let CloudTrail use the key is refused by AWS and
	// reported. state Disabled (Disruptive, always waits for an approval) goes back to SSE-S3.
	// +optional
	Encryption *TrailEncryption `json:"encryption,omitempty"`

	// cloudWatchLogs is delivery of the trail's events to CloudWatch Logs (control cloudtrail-cloudwatch-logs).
	//
	// state Enabled (Disruptive: ingestion is billed per GB) delivers to logGroupARN as roleARN; both must exist. state
	// Disabled (Disruptive, always waits for an approval) ends the delivery.
	// +optional
	CloudWatchLogs *TrailCloudWatchLogs `json:"cloudWatchLogs,omitempty"`
}

// ManagementEvents says which management events a trail records.
//
// +kubebuilder:validation:Enum=All
type ManagementEvents string

// ManagementEventsAll means read and write events of every source.
const ManagementEventsAll ManagementEvents = "All"

// TrailCreation says what happens when the trail does not exist.
//
// +kubebuilder:validation:Enum=Never;IfMissing
type TrailCreation string

// The values of TrailCreation.
const (
	// CreateNever reports a missing trail. The default.
	CreateNever TrailCreation = "Never"
	// CreateIfMissing creates it, except while another organization trail logs.
	CreateIfMissing TrailCreation = "IfMissing"
)

// OrganizationTrail declares the organization trail.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="organizationTrail needs state: write state: Enabled or state: Disabled, or leave organizationTrail out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="has(self.name) && has(self.homeRegion)",message="organizationTrail needs name and homeRegion: write the trail's name and the region it was created in, for example name: org-trail and homeRegion: eu-central-1"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Enabled' || has(self.bucket)",message="organizationTrail needs bucket when Enabled: write the existing bucket that takes the logs, for example bucket: {name: acme-log-archive}"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Disabled' || !(has(self.managementEvents) || has(self.create) || has(self.bucket))",message="managementEvents, create and bucket have no meaning with state: Disabled; leave them out"
type OrganizationTrail struct {
	ControlSpec `json:",inline"`

	// name is the trail's name, 3 to 128 characters: letters, digits, dots, underscores and hyphens. Required. Immutable: to
	// keep another trail, take the section out first (AWS is left as it is), then write it anew. Example: org-trail
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]+([._-][a-zA-Z0-9]+)*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="name is immutable; to keep another trail, take organizationTrail out first, which leaves AWS as it is, then write it anew"
	Name string `json:"name,omitempty"`

	// homeRegion is the region the trail was created in; only there can it be changed. Required. Immutable, like name.
	// Example: eu-central-1
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="homeRegion is immutable; to keep another trail, take organizationTrail out first, which leaves AWS as it is, then write it anew"
	HomeRegion Region `json:"homeRegion,omitempty"`

	// managementEvents All declares that the trail records every management event: read and write, no source excluded.
	// Disruptive: the list of event selectors is replaced as a whole, data and network events are kept. Absent: a trail that
	// records no or not all management events is reported and not changed. Example: All
	// +optional
	ManagementEvents ManagementEvents `json:"managementEvents,omitempty"`

	// create says what happens when the trail does not exist: Never (the default) reports it, IfMissing creates it
	// (Disruptive: a second copy of management events is billed), except while another organization trail logs. Bucket,
	// bucket policy, key and log group are never created. Example: Never
	// +optional
	Create TrailCreation `json:"create,omitempty"`

	// bucket is where the trail delivers. Required when Enabled. The bucket must exist and let CloudTrail write. A change is
	// Disruptive.
	// +optional
	Bucket *TrailBucket `json:"bucket,omitempty"`
}

// TrailBucket names the bucket and prefix that a trail delivers to.
type TrailBucket struct {
	// name is the bucket's name. Example: acme-log-archive
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`
	Name string `json:"name"`

	// prefix is the key prefix of the log files, without slashes at its ends. Absent or empty: none. Example: organization
	// +optional
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^([^/]+(/[^/]+)*)?$`
	Prefix string `json:"prefix,omitempty"`
}

// CreateOrDefault is what happens when the trail does not exist: Never when absent.
func (t OrganizationTrail) CreateOrDefault() TrailCreation { return firstOf(t.Create, CreateNever) }

// LogFileValidation declares the trail's digest files.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="logFileValidation needs state: write state: Enabled or state: Disabled, or leave logFileValidation out to keep it unmanaged"
type LogFileValidation struct {
	ControlSpec `json:",inline"`
}

// TrailEncryption declares encryption of the trail's log files with a KMS key.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="encryption needs state: write state: Enabled or state: Disabled, or leave encryption out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Enabled' || has(self.kmsKeyARN)",message="encryption needs kmsKeyARN when Enabled: write the key's ARN, for example arn:aws:kms:eu-central-1:222233334444:key/1234abcd-12ab-34cd-56ef-1234567890ab"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Disabled' || !(has(self.kmsKeyARN))",message="kmsKeyARN has no meaning with state: Disabled; leave kmsKeyARN out"
type TrailEncryption struct {
	ControlSpec `json:",inline"`

	// kmsKeyARN is the ARN of the key, not an alias; the key lies in the bucket's region and may belong to another account.
	// Required when Enabled. Example: arn:aws:kms:eu-central-1:222233334444:key/1234abcd-12ab-34cd-56ef-1234567890ab
	// +optional
	// +kubebuilder:validation:MaxLength=160
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]{0,12}:kms:[a-z0-9-]{1,32}:[0-9]{12}:key/[a-zA-Z0-9-]{1,64}$`
	KMSKeyARN string `json:"kmsKeyARN,omitempty"`
}

// TrailCloudWatchLogs declares delivery of the trail's events to CloudWatch Logs.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="cloudWatchLogs needs state: write state: Enabled or state: Disabled, or leave cloudWatchLogs out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Enabled' || (has(self.logGroupARN) && has(self.roleARN))",message="cloudWatchLogs needs logGroupARN and roleARN when Enabled: write the log group and the role that CloudTrail assumes to write to it, both or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state != 'Disabled' || !(has(self.logGroupARN) || has(self.roleARN))",message="logGroupARN and roleARN have no meaning with state: Disabled; leave them out"
type TrailCloudWatchLogs struct {
	ControlSpec `json:",inline"`

	// logGroupARN is the ARN of the log group, with or without the ending :* that AWS shows. Required when Enabled.
	// Example: arn:aws:logs:eu-central-1:123456789012:log-group:org-trail
	// +optional
	// +kubebuilder:validation:MaxLength=640
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]{0,12}:logs:[a-z0-9-]{1,32}:[0-9]{12}:log-group:[a-zA-Z0-9_/.#-]{1,512}(:[*])?$`
	LogGroupARN string `json:"logGroupARN,omitempty"`

	// roleARN is the ARN of the role that CloudTrail assumes to write to the log group. Required when Enabled.
	// Example: arn:aws:iam::123456789012:role/cloudtrail-to-logs
	// +optional
	// +kubebuilder:validation:MaxLength=640
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]{0,12}:iam::[0-9]{12}:role/[a-zA-Z0-9_+=,.@/-]+$`
	RoleARN string `json:"roleARN,omitempty"`
}

// LogGroupARNWithStar is the log group's ARN as CloudTrail writes and reads it, with the ending :*.
func (c TrailCloudWatchLogs) LogGroupARNWithStar() string {
	if c.LogGroupARN == "" {
		return ""
	}
	return strings.TrimSuffix(c.LogGroupARN, ":*") + ":*"
}

// Common returns what every baseline kind has.
func (b *CloudTrailBaseline) Common() (*BaselineSpec, *BaselineStatus) {
	return &b.Spec.BaselineSpec, &b.Status
}

// CloudTrailBaselineList is a list of CloudTrailBaselines.
//
// +kubebuilder:object:root=true
type CloudTrailBaselineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CloudTrailBaseline `json:"items"`
}
