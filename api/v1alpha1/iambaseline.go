package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IAMBaseline declares IAM in each account: root's credentials, MFA of console users, the password policy, age and use of
// credentials, and that Plumbline's own roles are intact. IAM is global in an account, so it takes no regions.
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
type IAMBaseline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares what must hold, where, and what happens to a departure.
	// +required
	Spec IAMBaselineSpec `json:"spec"`

	// status is the roll-up over all selected accounts.
	// +optional
	// +default={"observedGeneration": -1, "state": "Pending", "accounts": 0, "compliant": 0, "drifted": 0, "unknown": 0, "stale": 0, "checks": {"total": 0, "compliant": 0, "drifted": 0, "excepted": 0, "unknown": 0}}
	Status BaselineStatus `json:"status,omitempty"`
}

// IAMBaselineSpec is the spec of an IAMBaseline.
//
// +kubebuilder:validation:XValidation:rule="has(self.rootAccessKeys) || has(self.rootMFA) || has(self.userMFA) || has(self.passwordPolicy) || has(self.accessKeyAge) || has(self.unusedCredentials) || has(self.singleAccessKey) || has(self.plumblineRoles)",message="declare at least one section: rootAccessKeys, rootMFA, userMFA, passwordPolicy, accessKeyAge, unusedCredentials, singleAccessKey or plumblineRoles, each with a state, for example passwordPolicy: {state: Enabled}"
// +kubebuilder:validation:XValidation:rule="!(self.?mode.orValue('Audit') == 'Enforce' || self.?rootAccessKeys.?mode.orValue('Audit') == 'Enforce' || self.?rootMFA.?mode.orValue('Audit') == 'Enforce' || self.?userMFA.?mode.orValue('Audit') == 'Enforce' || self.?passwordPolicy.?mode.orValue('Audit') == 'Enforce' || self.?accessKeyAge.?mode.orValue('Audit') == 'Enforce' || self.?unusedCredentials.?mode.orValue('Audit') == 'Enforce' || self.?singleAccessKey.?mode.orValue('Audit') == 'Enforce' || self.?plumblineRoles.?mode.orValue('Audit') == 'Enforce') || (has(self.accounts) && (has(self.accounts.all) || has(self.accounts.organizationalUnits) || has(self.accounts.matchLabels) || has(self.accounts.include)))",message="mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}"
// +kubebuilder:validation:XValidation:rule="!has(self.regions)",message="IAM is global in an account; leave regions out"
type IAMBaselineSpec struct {
	BaselineSpec `json:",inline"`

	// users names users that are never changed, such as break-glass users. They are still observed and reported; to excuse a
	// departure, write a BaselineException. Absent: any user may be changed, within what the sections declare.
	// +optional
	Users *UserSelector `json:"users,omitempty"`

	// rootAccessKeys reports accounts whose root user has access keys or signing certificates (control
	// iam-root-access-keys). Report-only: deleting a key cannot be undone. state must be Enabled.
	// +optional
	RootAccessKeys *RootAccessKeys `json:"rootAccessKeys,omitempty"`

	// rootMFA reports accounts whose root user has no MFA (control iam-root-mfa). Report-only: only root can enrol a device.
	// An account whose root user has no credentials at all is compliant. state must be Enabled.
	// +optional
	RootMFA *RootMFA `json:"rootMFA,omitempty"`

	// userMFA reports every user that has a console password and no MFA (control iam-user-mfa), and can attach a guard to
	// exactly those users that denies everything but enrolling a device.
	//
	// state must be Enabled. Attaching the guard is Disruptive, detaching it once MFA is there is Safe.
	// +optional
	UserMFA *UserMFA `json:"userMFA,omitempty"`

	// passwordPolicy is the account's password policy for IAM users (control iam-password-policy).
	//
	// state must be Enabled. Fields that are not named are kept as they are, except the defaults of minimumLength and
	// reusePrevention. Raising is Safe; lowering is Disruptive and always waits for an approval; maxAgeDays and hardExpiry
	// are Disruptive, because older passwords expire at once.
	// +optional
	PasswordPolicy *PasswordPolicy `json:"passwordPolicy,omitempty"`

	// accessKeyAge reports active access keys that are older than maxDays (control iam-access-key-age), and can deactivate
	// them. state must be Enabled. Deactivating is Disruptive and can be undone; keys are never deleted.
	// +optional
	AccessKeyAge *AccessKeyAge `json:"accessKeyAge,omitempty"`

	// unusedCredentials reports passwords and access keys that were not used for maxDays (control iam-unused-credentials),
	// and can deactivate the keys. state must be Enabled. Deactivating is Disruptive and can be undone; passwords are only
	// ever reported.
	// +optional
	UnusedCredentials *UnusedCredentials `json:"unusedCredentials,omitempty"`

	// singleAccessKey reports users with more than one active access key (control iam-single-access-key). Report-only: which
	// of them is in use only its owner knows. state must be Enabled.
	// +optional
	SingleAccessKey *SingleAccessKey `json:"singleAccessKey,omitempty"`

	// plumblineRoles reports accounts in which Plumbline's own roles are not as config/iam creates them: trust policy,
	// ExternalId, attached policies (control iam-plumbline-roles). Report-only, Critical, and no exception excuses it. state
	// must be Enabled.
	// +optional
	PlumblineRoles *PlumblineRoles `json:"plumblineRoles,omitempty"`
}

// UserSelector names users by name or path.
//
// +kubebuilder:validation:XValidation:rule="has(self.exclude) || has(self.excludePaths)",message="users protects nobody when empty: name exclude or excludePaths, or leave users out"
type UserSelector struct {
	// exclude names users that are never changed. Example: break-glass-1
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z0-9_+=,.@-]+$`
	Exclude []string `json:"exclude,omitempty"`

	// excludePaths names IAM paths whose users, and those of paths below, are never changed. Begins and ends with a slash.
	// Example: /emergency/
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^/([!-.0-~]+/)*$`
	ExcludePaths []string `json:"excludePaths,omitempty"`
}

// RootAccessKeys declares that root has no access keys.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="rootAccessKeys needs state: write state: Enabled, or leave rootAccessKeys out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="rootAccessKeys cannot be Disabled: it only reports; leave the section out"
type RootAccessKeys struct {
	ControlSpec `json:",inline"`
}

// MFADevice says which MFA device root must have.
//
// +kubebuilder:validation:Enum=Any;Hardware
type MFADevice string

// The values of MFADevice.
const (
	// MFADeviceAny accepts every device. The default.
	MFADeviceAny MFADevice = "Any"
	// MFADeviceHardware accepts a hardware token or security key, not an app.
	MFADeviceHardware MFADevice = "Hardware"
)

// RootMFA declares that root has MFA.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="rootMFA needs state: write state: Enabled, or leave rootMFA out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="rootMFA cannot be Disabled: it only reports; leave the section out"
type RootMFA struct {
	ControlSpec `json:",inline"`

	// device is Any (the default: an app suffices) or Hardware (a token or security key). Example: Hardware
	// +optional
	Device MFADevice `json:"device,omitempty"`
}

// DeviceOrDefault is the device, Any when absent.
func (m RootMFA) DeviceOrDefault() MFADevice { return firstOf(m.Device, MFADeviceAny) }

// MFAGuard says whether a console user without MFA gets the guard policy, and which.
//
// +kubebuilder:validation:Enum=None;ConsoleOnly;ConsoleAndKeys
type MFAGuard string

// The values of MFAGuard.
const (
	// MFAGuardNone reports only. The default.
	MFAGuardNone MFAGuard = "None"
	// MFAGuardConsoleOnly denies sessions without MFA; long-term access keys go on working.
	MFAGuardConsoleOnly MFAGuard = "ConsoleOnly"
	// MFAGuardConsoleAndKeys denies long-term access keys too.
	MFAGuardConsoleAndKeys MFAGuard = "ConsoleAndKeys"
)

// UserMFA declares that every console user has MFA.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="userMFA needs state: write state: Enabled, or leave userMFA out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="userMFA cannot be Disabled: MFA is never taken away; leave the section out"
type UserMFA struct {
	ControlSpec `json:",inline"`

	// guard is None (the default: report only), ConsoleOnly or ConsoleAndKeys (both Disruptive). The guard is a policy that
	// the member-role template creates under /plumbline/; it denies everything but enrolling a device and changing the
	// password. ConsoleOnly denies console and other temporary sessions without MFA; access keys go on working.
	// ConsoleAndKeys denies access keys too, and is refused for users with a key used in the last 90 days; users whose only
	// MFA is a security key then lose the CLI, so name them in users.exclude. Whoever could not enrol a device with the guard
	// on gets none. A thief who knows the password can still enrol a device. Example: ConsoleOnly
	// +optional
	Guard MFAGuard `json:"guard,omitempty"`

	// gracePeriod is how long after its password was made a user is only reported before the guard is attached: 0h to 720h,
	// default 168h (7 days). Example: 24h
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('0h') && duration(self) <= duration('720h')",message="gracePeriod must be between 0h and 720h, for example 168h"
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
}

// DefaultMFAGracePeriod is UserMFA's gracePeriod where it is absent.
const DefaultMFAGracePeriod = 7 * 24 * time.Hour

// GuardOrDefault is the guard, None when absent.
func (m UserMFA) GuardOrDefault() MFAGuard { return firstOf(m.Guard, MFAGuardNone) }

// GracePeriodOrDefault is the grace period, 168h when absent. An explicit 0h means none.
func (m UserMFA) GracePeriodOrDefault() time.Duration {
	if m.GracePeriod == nil {
		return DefaultMFAGracePeriod
	}
	return m.GracePeriod.Duration
}

// PasswordPolicy declares the password policy for IAM users.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="passwordPolicy needs state: write state: Enabled, or leave passwordPolicy out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="passwordPolicy cannot be Disabled: an account without one falls back to AWS's weaker default; leave the section out"
type PasswordPolicy struct {
	ControlSpec `json:",inline"`

	// minimumLength is the least length in characters, 6 to 128, default 14. A longer one in the account satisfies it; where
	// it is shorter, raising it is Safe. Example: 14
	// +optional
	// +kubebuilder:validation:Minimum=6
	// +kubebuilder:validation:Maximum=128
	MinimumLength int32 `json:"minimumLength,omitempty"`

	// reusePrevention is how many former passwords cannot be used again, 1 to 24, default 24. More in the account satisfies
	// it; where it is fewer, raising it is Safe. Example: 24
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=24
	ReusePrevention int32 `json:"reusePrevention,omitempty"`

	// uppercase asks for an uppercase letter: Enabled (Safe) or Disabled (weaker: always waits for an approval). Absent: kept
	// as it is. Example: Enabled
	// +optional
	Uppercase State `json:"uppercase,omitempty"`

	// lowercase asks for a lowercase letter: Enabled (Safe) or Disabled (weaker: always waits for an approval). Absent: kept
	// as it is. Example: Enabled
	// +optional
	Lowercase State `json:"lowercase,omitempty"`

	// numbers asks for a digit: Enabled (Safe) or Disabled (weaker: always waits for an approval). Absent: kept as it is.
	// Example: Enabled
	// +optional
	Numbers State `json:"numbers,omitempty"`

	// symbols asks for a symbol: Enabled (Safe) or Disabled (weaker: always waits for an approval). Absent: kept as it is.
	// Example: Enabled
	// +optional
	Symbols State `json:"symbols,omitempty"`

	// allowUsersToChange lets users change their own password: Enabled (Safe) or Disabled (Disruptive). Absent: kept as it
	// is, and Enabled where the account had no policy. Example: Enabled
	// +optional
	AllowUsersToChange State `json:"allowUsersToChange,omitempty"`

	// maxAgeDays is after how many days a password expires, 1 to 1095. Disruptive: older passwords expire at once. Absent:
	// kept as it is. A shorter age in the account satisfies it. Example: 90
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1095
	MaxAgeDays int32 `json:"maxAgeDays,omitempty"`

	// hardExpiry Enabled (Disruptive) locks a user whose password has expired out of the console until an administrator resets
	// it; Disabled (Safe) lets the user choose a new one. Absent: kept as it is. Example: Disabled
	// +optional
	HardExpiry State `json:"hardExpiry,omitempty"`
}

// Defaults of PasswordPolicy, applied where a field is absent.
const (
	DefaultMinimumLength   = 14
	DefaultReusePrevention = 24
)

// MinimumLengthOrDefault is the least length, 14 when absent.
func (p PasswordPolicy) MinimumLengthOrDefault() int32 {
	return firstOf(p.MinimumLength, DefaultMinimumLength)
}

// ReusePreventionOrDefault is the number of former passwords, 24 when absent.
func (p PasswordPolicy) ReusePreventionOrDefault() int32 {
	return firstOf(p.ReusePrevention, DefaultReusePrevention)
}

// SingleAccessKey declares that a user has at most one active access key.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="singleAccessKey needs state: write state: Enabled, or leave singleAccessKey out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="singleAccessKey cannot be Disabled: it only reports; leave the section out"
type SingleAccessKey struct {
	ControlSpec `json:",inline"`
}

// PlumblineRoles declares that Plumbline's own roles are intact.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="plumblineRoles needs state: write state: Enabled, or leave plumblineRoles out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="plumblineRoles cannot be Disabled: it only reports; leave the section out"
type PlumblineRoles struct {
	ControlSpec `json:",inline"`
}

// Common returns what every baseline kind has.
func (b *IAMBaseline) Common() (*BaselineSpec, *BaselineStatus) {
	return &b.Spec.BaselineSpec, &b.Status
}

// IAMBaselineList is a list of IAMBaselines.
//
// +kubebuilder:object:root=true
type IAMBaselineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IAMBaseline `json:"items"`
}
