package v1alpha1

// KeyAgeAction says what happens to an access key that is too old.
//
// +kubebuilder:validation:Enum=Report;Deactivate
type KeyAgeAction string

// The values of KeyAgeAction.
const (
	// KeyAgeReport reports only. The default.
	KeyAgeReport KeyAgeAction = "Report"
	// KeyAgeDeactivate deactivates the key.
	KeyAgeDeactivate KeyAgeAction = "Deactivate"
)

// AccessKeyAge declares how old an active access key may be.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="accessKeyAge needs state: write state: Enabled, or leave accessKeyAge out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="accessKeyAge cannot be Disabled: it declares a limit, not a switch; leave the section out"
type AccessKeyAge struct {
	ControlSpec `json:",inline"`

	// maxDays is the age in days from which an active key departs, 1 to 3650, default 90. Example: 90
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	MaxDays int32 `json:"maxDays,omitempty"`

	// action is Report (the default) or Deactivate (Disruptive). The key that Plumbline itself signs with, and those of
	// users.exclude, are never deactivated. Example: Report
	// +optional
	Action KeyAgeAction `json:"action,omitempty"`

	// graceDays is how many days beyond maxDays a key is only reported before action Deactivate acts, 0 to 365, default 14.
	// Example: 14
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=365
	GraceDays *int32 `json:"graceDays,omitempty"`

	// protectUsedWithinDays keeps action Deactivate from keys used in the last so many days, 0 to 365, default 30; 0 protects
	// none. Example: 30
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=365
	ProtectUsedWithinDays *int32 `json:"protectUsedWithinDays,omitempty"`
}

// Defaults of AccessKeyAge and UnusedCredentials, applied where a field is absent.
const (
	DefaultKeyMaxDays            = 90
	DefaultUnusedMaxDays         = 45
	DefaultGraceDays             = 14
	DefaultProtectUsedWithinDays = 30
)

// MaxDaysOrDefault is the greatest age in days, 90 when absent.
func (a AccessKeyAge) MaxDaysOrDefault() int32 { return firstOf(a.MaxDays, DefaultKeyMaxDays) }

// ActionOrDefault is the action, Report when absent.
func (a AccessKeyAge) ActionOrDefault() KeyAgeAction { return firstOf(a.Action, KeyAgeReport) }

// GraceDaysOrDefault is the days of grace, 14 when absent. An explicit 0 means none.
func (a AccessKeyAge) GraceDaysOrDefault() int32 { return valueOr(a.GraceDays, DefaultGraceDays) }

// ProtectUsedWithinDaysOrDefault is in how many days a use protects a key, 30 when absent. An explicit 0 protects none.
func (a AccessKeyAge) ProtectUsedWithinDaysOrDefault() int32 {
	return valueOr(a.ProtectUsedWithinDays, DefaultProtectUsedWithinDays)
}

// UnusedAction says what happens to a credential that is not used.
//
// +kubebuilder:validation:Enum=Report;DeactivateKeys
type UnusedAction string

// The values of UnusedAction.
const (
	// UnusedReport reports only. The default.
	UnusedReport UnusedAction = "Report"
	// UnusedDeactivateKeys deactivates unused access keys; passwords are reported.
	UnusedDeactivateKeys UnusedAction = "DeactivateKeys"
)

// UnusedCredentials declares how long a password or access key may go unused.
//
// +kubebuilder:validation:XValidation:rule="has(self.state)",message="unusedCredentials needs state: write state: Enabled, or leave unusedCredentials out to keep it unmanaged"
// +kubebuilder:validation:XValidation:rule="!has(self.state) || self.state == 'Enabled'",message="unusedCredentials cannot be Disabled: it declares a limit, not a switch; leave the section out"
type UnusedCredentials struct {
	ControlSpec `json:",inline"`

	// maxDays is after how many days without use a password or active key departs, 1 to 3650, default 45. One that was never
	// used counts from when it was made. Example: 45
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	MaxDays int32 `json:"maxDays,omitempty"`

	// action is Report (the default) or DeactivateKeys (Disruptive); passwords are reported in either case. The key that
	// Plumbline itself signs with, and those of users.exclude, are never deactivated. Example: Report
	// +optional
	Action UnusedAction `json:"action,omitempty"`

	// graceDays is how many days beyond maxDays a key is only reported before action DeactivateKeys acts, 0 to 365,
	// default 14. Example: 14
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=365
	GraceDays *int32 `json:"graceDays,omitempty"`
}

// MaxDaysOrDefault is the greatest time without use in days, 45 when absent.
func (u UnusedCredentials) MaxDaysOrDefault() int32 { return firstOf(u.MaxDays, DefaultUnusedMaxDays) }

// ActionOrDefault is the action, Report when absent.
func (u UnusedCredentials) ActionOrDefault() UnusedAction { return firstOf(u.Action, UnusedReport) }

// GraceDaysOrDefault is the days of grace, 14 when absent. An explicit 0 means none.
func (u UnusedCredentials) GraceDaysOrDefault() int32 { return valueOr(u.GraceDays, DefaultGraceDays) }
