package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mode says what happens to a departure.
//
// +kubebuilder:validation:Enum=Audit;Enforce
type Mode string

// The modes of a baseline or a section.
const (
	// ModeAudit reports and never writes to AWS.
	ModeAudit Mode = "Audit"
	// ModeEnforce puts departures right, as far as approval, caps and --allow-writes let it.
	ModeEnforce Mode = "Enforce"
)

// Approval says which changes wait for an approval. Changes that weaken security wait in every setting.
//
// +kubebuilder:validation:Enum=All;Disruptive;Irreversible
type Approval string

// The approval levels, strictest first.
const (
	// ApprovalAll lets nothing be changed without an approval.
	ApprovalAll Approval = "All"
	// ApprovalDisruptive applies Safe changes; Disruptive and Irreversible ones wait. The default.
	ApprovalDisruptive Approval = "Disruptive"
	// ApprovalIrreversible applies Safe and Disruptive changes; Irreversible ones wait.
	ApprovalIrreversible Approval = "Irreversible"
)

// DeletionPolicy says what becomes of AWS when a baseline is deleted.
//
// +kubebuilder:validation:Enum=Retain;Restore
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionRetain leaves AWS as it is. The default.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionRestore puts back what was there before Plumbline's changes.
	DeletionRestore DeletionPolicy = "Restore"
)

// FinalizerRestore keeps a baseline until what it changed is put back.
const FinalizerRestore = "plumbline.dev/restore"

// State says whether a section's setting is wanted on or off. A section that is absent is unmanaged and untouched.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type State string

// The two states of a section or of one setting in it.
const (
	// Enabled asks for the setting to hold.
	Enabled State = "Enabled"
	// Disabled asks for the setting to be off. Where that weakens security it always waits for an approval.
	Disabled State = "Disabled"
)

// ControlSpec is what every section of a baseline has: its state, and where it differs from the baseline its own mode and
// approval.
type ControlSpec struct {
	// state says whether the setting is wanted on (Enabled) or off (Disabled). Required in every section: an empty section
	// decides nothing. To leave a setting unmanaged, leave the whole section out. Where off makes no sense, Disabled is
	// refused; the section's own text says so. Example: Enabled
	// +optional
	State State `json:"state,omitempty"`

	// mode overrides the baseline's mode for this section: Audit reports, Enforce puts right. Absent: the baseline's.
	// Example: Enforce
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// approval overrides the baseline's approval for this section: All, Disruptive or Irreversible. Absent: the baseline's.
	// Example: Irreversible
	// +optional
	Approval Approval `json:"approval,omitempty"`
}

// Section returns the part of a section that every section has. Embedding ControlSpec is enough to be a control's
// settings.
func (c ControlSpec) Section() ControlSpec { return c }

// BaselineSpec is what every baseline kind has beside its sections.
type BaselineSpec struct {
	// mode says what happens to a departure: Audit (the default) reports it and never writes to AWS; Enforce also puts it
	// right, within approval, the manager's caps and only where the manager runs with --allow-writes. Example: Audit
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// approval says which changes wait for an approval: All, Disruptive (the default: Safe changes are applied, Disruptive
	// and Irreversible ones wait) or Irreversible (only Irreversible ones wait). A change that weakens security waits in
	// every setting. Example: Disruptive
	// +optional
	Approval Approval `json:"approval,omitempty"`

	// accounts selects the accounts. Absent in Audit: every account of the organization. With Enforce anywhere it is
	// required, and every account must be asked for with `all: true`.
	// +optional
	Accounts *AccountSelector `json:"accounts,omitempty"`

	// regions narrows the regions. Absent: the organization's governed regions where it names any, else every region that is
	// enabled in the account.
	// +optional
	Regions *RegionSelector `json:"regions,omitempty"`

	// interval is how often account and region settings are observed again at least: 5m to 24h, default 1h. Every read is an
	// AWS API call and a CloudTrail event. Example: 30m
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('5m') && duration(self) <= duration('24h')",message="interval must be between 5m and 24h, for example 1h"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// resourceInterval is how often single resources (buckets, volumes, keys, users) are observed again at least: 1h to 168h,
	// default 24h. Example: 12h
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(s|m|h))+$') && duration(self) >= duration('1h') && duration(self) <= duration('168h')",message="resourceInterval must be between 1h and 168h, for example 24h"
	ResourceInterval *metav1.Duration `json:"resourceInterval,omitempty"`

	// suspend stops every change while true: the baseline is observed and reported as in Audit. A suspended baseline keeps its
	// place in the priority rule. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// rollout says in which order accounts are changed and how many at a time, when the baseline enforces. Absent: first one
	// account, for an hour, then all others.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`

	// deletionPolicy says what becomes of AWS when the baseline is deleted: Retain (the default) leaves it as it is; Restore puts
	// back what was there before Plumbline's changes, the newest first, where it is still as Plumbline left it, and the baseline
	// stays until that is done (finalizer plumbline.dev/restore). Writing Retain meanwhile stops it: what was not put back yet
	// stays, and the baseline goes. Delete such baselines before the manager. Example: Restore
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// approvals approves batches: all that is proposed for a control in whatever accounts. Each names the digest that
	// status.proposals has for the control, and counts for what was proposed then. Entries that were used can be taken out.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Approvals []BatchApproval `json:"approvals,omitempty"`

	// priority decides between two baselines of one kind that declare the same control for the same account and region: the
	// higher number wins, then the name that sorts first. The winner decides the control alone, also for resources that its
	// own selector leaves out. -1000 to 1000, default 0.
	// +optional
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=1000
	Priority int32 `json:"priority,omitempty"`
}

// BatchApproval approves what is proposed for one control of the baseline.
//
// +kubebuilder:validation:XValidation:rule="self.by != 'plumbline'",fieldPath=".by",message="plumbline is the name under which changes are made that need no approval; write the name of whoever approves"
type BatchApproval struct {
	// control is the control's id. Example: s3-account-public-access-block
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Control string `json:"control"`

	// wave is the wave of the rollout that status.proposals has for the control; the approval is refused where that is another one
	// by then. Absent: whatever the wave, the digest alone decides. Example: canary
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9 -]{0,61}[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Wave string `json:"wave,omitempty"`

	// digest is the digest that status.proposals has for the control. Example: 5f0c7be2d1a94c3f8e6b7a1d2c3e4f50
	// +required
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	// +kubebuilder:validation:MaxLength=32
	Digest string `json:"digest"`

	// by is the name of the user who approves, as the API server knows it (kubectl auth whoami); the admission policy
	// plumbline-approvals refuses another's. Example: alice@example.com
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	By string `json:"by"`

	// reason says why. Example: agreed in CHG-1234
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// via is GitOps where a Git operator writes the approval down for somebody: by is then taken as claimed, and shown as such.
	// Example: GitOps
	// +optional
	Via DecisionVia `json:"via,omitempty"`
}

// Defaults of BaselineSpec, applied where a field is absent.
const (
	DefaultInterval         = time.Hour
	DefaultResourceInterval = 24 * time.Hour
)

// EffectiveMode is the mode of a section of this baseline: the section's own, else the baseline's, else Audit.
func (s *BaselineSpec) EffectiveMode(section ControlSpec) Mode {
	return firstOf(section.Mode, s.Mode, ModeAudit)
}

// EffectiveApproval is the approval of a section of this baseline: the section's own, else the baseline's, else Disruptive.
func (s *BaselineSpec) EffectiveApproval(section ControlSpec) Approval {
	return firstOf(section.Approval, s.Approval, ApprovalDisruptive)
}

// ObserveEvery is how often settings (perResource false) or single resources (true) are observed again at least.
func (s *BaselineSpec) ObserveEvery(perResource bool) time.Duration {
	if perResource {
		return durationOr(s.ResourceInterval, DefaultResourceInterval)
	}
	return durationOr(s.Interval, DefaultInterval)
}

func durationOr(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// AccountID is a twelve-digit AWS account id, written as a string because it may begin with a zero.
//
// +kubebuilder:validation:Pattern=`^[0-9]{12}$`
// +kubebuilder:validation:MaxLength=12
type AccountID string

// Region is an AWS region code. Example: eu-central-1
//
// +kubebuilder:validation:Pattern=`^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}$`
// +kubebuilder:validation:MaxLength=32
type Region string

// AccountSelector selects accounts. all, organizationalUnits, matchLabels and include are united; exclude wins.
//
// +kubebuilder:validation:XValidation:rule="!has(self.all) || self.all",message="all can only be true; leave it out to select by organizationalUnits, matchLabels or include"
// +kubebuilder:validation:XValidation:rule="!has(self.all) || !(has(self.organizationalUnits) || has(self.matchLabels) || has(self.include))",message="all: true already selects every account; leave out organizationalUnits, matchLabels and include, or leave out all"
type AccountSelector struct {
	// all selects every account of the organization when true.
	// +optional
	All bool `json:"all,omitempty"`

	// organizationalUnits selects the accounts in these OUs and everywhere below them, by id. Example: ou-abcd-11112222
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:Pattern=`^(ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})$`
	// +kubebuilder:validation:items:MaxLength=68
	OrganizationalUnits []string `json:"organizationalUnits,omitempty"`

	// matchLabels selects the AWSAccounts that carry all of these labels. Labels come from a person, from Git, or from the AWS
	// tags that AWSOrganization.spec.tagLabels names. Example: tier: prod
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && self[k].size() <= 63)",message="a label's value has at most 63 characters and its key at most 317; shorten matchLabels, for example tier: prod"
	MatchLabels map[string]string `json:"matchLabels,omitempty"`

	// include selects these account ids. The management account is only ever written to when its id stands here.
	// Example: "111122223333"
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Include []AccountID `json:"include,omitempty"`

	// exclude leaves these account ids out, whatever else selects them. Example: "111122223333"
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Exclude []AccountID `json:"exclude,omitempty"`
}

// RegionSelector narrows regions.
//
// +kubebuilder:validation:XValidation:rule="has(self.include) || has(self.exclude)",message="name at least one region in include or exclude, or leave regions out"
type RegionSelector struct {
	// include is the only regions to look at. Absent: the governed or enabled ones. Example: eu-central-1
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Include []Region `json:"include,omitempty"`

	// exclude leaves these regions out. Example: me-central-1
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Exclude []Region `json:"exclude,omitempty"`
}
