package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout says in which order the accounts are changed when a baseline enforces new settings, and how many at a time. It bounds
// what a mistake reaches. It does not concern settings of the whole organization, which are decided in one account.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxChangesPerPass) || self.maxChangesPerPass >= 1",fieldPath=".maxChangesPerPass",message="maxChangesPerPass must be at least 1; to change nothing, write suspend: true on the baseline"
type Rollout struct {
	// waves are changed one after the other; an account belongs to one of them at most. Those in none are the last wave. A wave
	// begins once nothing is left to change in the one before and that has soaked: what waits for an approval is decided first, by an
	// approval, a rejection or an exception.
	// Absent: first one account, the first by id, for an hour, then all others (the manager's --default-soak).
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Waves []Wave `json:"waves,omitempty"`

	// maxChangesPerPass is the number of changes of this baseline made in one account and pass, within the manager's own
	// --max-changes-per-pass. At least 1; to change nothing, suspend the baseline. Example: 5
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MaxChangesPerPass int32 `json:"maxChangesPerPass,omitempty"`

	// maxAccounts is the number of accounts with changes of this baseline under way at a time, within the manager's own
	// --max-accounts-changing: a number, or a percentage of the selected accounts, rounded down and at least one. Example: 1%
	// +optional
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:XValidation:rule="self.matches('^([1-9][0-9]{0,4}|([1-9][0-9]?|100)%)$')",message="maxAccounts must be a number of at least 1 or a percentage from 1% to 100%, for example 5 or 1%; to change nothing, write suspend: true on the baseline"
	MaxAccounts string `json:"maxAccounts,omitempty"`

	// pauseAfterFailures is how many failed changes in the accounts of a wave pause the rollout; default 1. Example: 3
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PauseAfterFailures int32 `json:"pauseAfterFailures,omitempty"`

	// pauseAfterBroken is how many checks of other baselines may break in the accounts of a wave (drift, or become unknown) before
	// that pauses the rollout; default 3. Example: 1
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	PauseAfterBroken int32 `json:"pauseAfterBroken,omitempty"`
}

// Wave is accounts that are changed together.
type Wave struct {
	// name names the wave. Example: canary
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// accounts are those of the wave, as far as the baseline selects them.
	// +required
	Accounts AccountSelector `json:"accounts"`

	// soak is how long the wave is watched before the next begins: 0s to 168h, default 1h. Example: 24h
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="soak must be between 0s and 168h, for example 24h"
	Soak *metav1.Duration `json:"soak,omitempty"`
}

// DefaultSoak is how long a wave is watched before the next begins.
const DefaultSoak = time.Hour

// SoakOrDefault is the wave's soak time.
func (w *Wave) SoakOrDefault() time.Duration {
	if w.Soak == nil {
		return DefaultSoak
	}
	return w.Soak.Duration
}

// FailuresOrDefault is pauseAfterFailures with its default.
func (r *Rollout) FailuresOrDefault() int32 {
	if r == nil || r.PauseAfterFailures == 0 {
		return 1
	}
	return r.PauseAfterFailures
}

// BrokenOrDefault is pauseAfterBroken with its default.
func (r *Rollout) BrokenOrDefault() int32 {
	if r == nil || r.PauseAfterBroken == 0 {
		return 3
	}
	return r.PauseAfterBroken
}

// RolloutStatus is how far the present settings of a baseline have been rolled out.
type RolloutStatus struct {
	// revision identifies the settings, the accounts and the waves that are rolled out.
	Revision string `json:"revision"`
	// summary is where it stands, in a few words. Example: wave 1/3 (canary): 1 of 2 accounts done
	Summary string `json:"summary"`
	// progress is the same in two words, for the column ROLLOUT: the wave under way, of how many, and whether it is being changed
	// (under way), watched (soaking), paused, or has no account to begin with (waiting); overlap where an account is in
	// two waves; done once all are. Example: 2/3 soaking
	// +optional
	Progress string `json:"progress,omitempty"`
	// wave is the wave under way, counted from 0; the number of waves once all are done.
	Wave int32 `json:"wave"`
	// waves is the number of waves, with the last one of all accounts that no other selects.
	Waves int32 `json:"waves"`
	// first is the account of the first wave where spec.rollout names no waves.
	// +optional
	First string `json:"first,omitempty"`
	// accounts is the number of accounts in the wave, done in how many of them nothing is left to change.
	Accounts int32 `json:"accounts"`
	// done is the number of accounts of the wave in which nothing is left to change.
	Done int32 `json:"done"`
	// soakUntil is until when the wave is watched, once it is done.
	// +optional
	SoakUntil *metav1.Time `json:"soakUntil,omitempty"`
	// paused says why nothing is changed any more; empty while the rollout goes on. The annotation plumbline.dev/resume-rollout
	// on the baseline, with any new value, lets it go on.
	// +optional
	Paused string `json:"paused,omitempty"`
	// invalid says what is wrong with the waves; nothing is changed before that is mended.
	// +optional
	Invalid string `json:"invalid,omitempty"`
	// resumed is the value of the annotation plumbline.dev/resume-rollout that was handled last.
	// +optional
	Resumed string `json:"resumed,omitempty"`
	// failures and broken are the failed changes and the broken checks of other baselines that were there when the wave began, or
	// when somebody resumed: only what comes on top pauses the rollout.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// broken is the number of broken checks of other baselines that were there when the wave began, or when somebody resumed.
	// +optional
	Broken int32 `json:"broken,omitempty"`
}
