package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CheckCounts counts checks: one check is one control in one region, or once where the control is of the account or the
// organization. Total is compliant + drifted + excepted + unknown; what does not apply, is denied or overridden stands
// outside it.
type CheckCounts struct {
	// total is the number of checks.
	Total int32 `json:"total"`
	// compliant is the number of checks that hold.
	Compliant int32 `json:"compliant"`
	// drifted is the number of checks with at least one departure that no exception excuses.
	Drifted int32 `json:"drifted"`
	// excepted is the number of checks whose every departure is excused.
	Excepted int32 `json:"excepted"`
	// unknown is the number of checks that could not be, or have not yet been, looked at.
	Unknown int32 `json:"unknown"`
	// notApplicable is the number of checks for services or features that do not exist in the region.
	// +optional
	NotApplicable int32 `json:"notApplicable,omitempty"`
	// overridden is the number of checks that another baseline of the kind declares with precedence.
	// +optional
	Overridden int32 `json:"overridden,omitempty"`
}

// Unlooked are the counts of the same checks when none of them can be looked at any more.
func (c CheckCounts) Unlooked() CheckCounts {
	return CheckCounts{Total: c.Total, Unknown: c.Total, Overridden: c.Overridden}
}

// Add adds the counts of o.
func (c *CheckCounts) Add(o CheckCounts) {
	c.Total += o.Total
	c.Compliant += o.Compliant
	c.Drifted += o.Drifted
	c.Excepted += o.Excepted
	c.Unknown += o.Unknown
	c.NotApplicable += o.NotApplicable
	c.Overridden += o.Overridden
}

// BaselineState is a baseline's state in one word.
type BaselineState string

// The states of a baseline.
const (
	BaselinePending    BaselineState = "Pending"
	BaselineCompliant  BaselineState = "Compliant"
	BaselineDrifted    BaselineState = "Drifted"
	BaselineUnknown    BaselineState = "Unknown"
	BaselineOverridden BaselineState = "Overridden"
)

// BaselineStatus is a baseline's roll-up over all the accounts it selects. The results themselves stand on the
// AWSAccounts.
type BaselineStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first look.
	ObservedGeneration int64 `json:"observedGeneration"`

	// state is Pending, Compliant, Drifted, Unknown or Overridden.
	// +optional
	State BaselineState `json:"state,omitempty"`

	// mode is the mode in effect: spec.mode with its default, and Audit while suspended.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// revision identifies the effective settings: the first 12 hex digits of SHA-256 over the sections, resource selectors,
	// regions, mode and approval. An account whose row carries the same revision was looked at with these settings.
	// +optional
	Revision string `json:"revision,omitempty"`

	// accounts is the number of accounts selected.
	Accounts int32 `json:"accounts"`
	// compliant is the number of accounts in which every check holds or is excused.
	Compliant int32 `json:"compliant"`
	// drifted is the number of accounts with at least one drifted check.
	Drifted int32 `json:"drifted"`
	// unknown is the number of accounts not drifted in which something could not be, or is not yet, looked at.
	Unknown int32 `json:"unknown"`

	// stale is the number of accounts in which something was not looked at for twice as long as it should be.
	Stale int32 `json:"stale"`

	// checks counts the checks over all selected accounts.
	Checks CheckCounts `json:"checks"`

	// controls counts, per control that is not wholly compliant, the accounts concerned.
	// +optional
	// +listType=atomic
	Controls []BaselineControlCount `json:"controls,omitempty"`

	// worstAccounts lists the ten accounts with the most drifted checks.
	// +optional
	// +listType=atomic
	WorstAccounts []BaselineAccountCount `json:"worstAccounts,omitempty"`

	// rollout is how far the present settings have been rolled out; absent where nothing is enforced, or all accounts at once.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// proposals are what waits for an approval, by control.
	// +optional
	// +listType=atomic
	Proposals []BaselineProposal `json:"proposals,omitempty"`

	// lastHandledReconcileAt is the value of the annotation plumbline.dev/reconcile-requested-at that every selected account
	// has answered.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// conditions are Ready, Compliant and, while they apply, Reconciling, Stalled, Stale, Enforcing and Overridden.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BaselineProposal is what is proposed for one control: a batch that spec.approvals can approve.
type BaselineProposal struct {
	// control is the control's id.
	Control string `json:"control"`
	// wave is the wave of the rollout that the batch is of: the one under way, with what of the waves before it has drifted again.
	// Empty where nothing is rolled out, or waves were changed since and accounts of later ones are in it. Example: canary
	// +optional
	Wave string `json:"wave,omitempty"`
	// open is the number of Remediations that are proposed.
	Open int32 `json:"open"`
	// changes is the number of changes in them.
	// +optional
	Changes int32 `json:"changes,omitempty"`
	// risk is the highest risk among them.
	// +optional
	Risk string `json:"risk,omitempty"`
	// digest is what an approval of all of them names.
	// +optional
	Digest string `json:"digest,omitempty"`
	// accounts are the first ten of the accounts.
	// +optional
	// +listType=atomic
	Accounts []string `json:"accounts,omitempty"`
	// waiting is the number of further accounts whose changes are proposed once others are decided.
	// +optional
	Waiting int32 `json:"waiting,omitempty"`
}

// BaselineControlCount counts the accounts in which one control is not wholly compliant.
type BaselineControlCount struct {
	// control is the control's id.
	Control string `json:"control"`
	// drifted is the number of accounts in which it has drifted.
	Drifted int32 `json:"drifted"`
	// excepted is the number of accounts in which it departs and is excused.
	Excepted int32 `json:"excepted"`
	// unknown is the number of accounts in which it could not be looked at.
	Unknown int32 `json:"unknown"`
}

// BaselineAccountCount is one account's part in a baseline's drift.
type BaselineAccountCount struct {
	// account is the account's id.
	Account string `json:"account"`
	// drifted is the number of drifted checks.
	Drifted int32 `json:"drifted"`
	// unknown is the number of unknown checks.
	Unknown int32 `json:"unknown"`
}
