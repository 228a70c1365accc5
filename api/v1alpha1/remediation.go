package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Remediation is one intended or done change of one control in one account: what would be written and what was there
// before, who approved it, and what came of it. The controller makes it before AWS is touched and writes all of its status;
// people approve, reject and undo in its spec. A Remediation that nobody approves expires after 72 hours.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=rem
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:selectablefield:JSONPath=`.status.account`
// +kubebuilder:selectablefield:JSONPath=`.status.control`
// +kubebuilder:printcolumn:name="ACCOUNT",type=string,JSONPath=`.status.account`
// +kubebuilder:printcolumn:name="CONTROL",type=string,JSONPath=`.status.control`
// +kubebuilder:printcolumn:name="PHASE",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="RISK",type=string,JSONPath=`.status.risk`
// +kubebuilder:printcolumn:name="CHANGES",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="BY",type=string,JSONPath=`.status.decided.by`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="MANAGED-BY",type=string,priority=1,JSONPath=`.status.managedBy`
// +kubebuilder:printcolumn:name="EXPIRES",type=string,priority=1,JSONPath=`.status.expires`
// +kubebuilder:printcolumn:name="DIGEST",type=string,priority=1,JSONPath=`.status.digest`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,priority=1,JSONPath=`.status.message`
type Remediation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what people decide about the change.
	// +optional
	Spec RemediationSpec `json:"spec,omitempty"`

	// status is the change itself and what became of it. Only the controller writes it.
	// +optional
	Status RemediationStatus `json:"status,omitempty"`
}

// Expired says whether it is too late to approve the Remediation, whether or not the controller has taken note of it.
func (r *Remediation) Expired(now time.Time) bool {
	return r.Status.Expires != nil && !now.Before(r.Status.Expires.Time)
}

// RemediationSpec holds the decisions of people. Each names the digest of what was read, so that nothing else is decided.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.approval) && has(self.rejected))",message="approval and rejected contradict each other; keep one of them"
type RemediationSpec struct {
	// approval lets the change be made, as long as its digest is that of status.digest and it has not expired.
	// +optional
	Approval *Decision `json:"approval,omitempty"`

	// undo has the change taken back once it was made: what was there before is written again, where AWS is still as Plumbline
	// left it. What was undone waits for an approval from then on, also where it needed none before.
	// +optional
	Undo *Decision `json:"undo,omitempty"`

	// rejected refuses the change. It is not proposed again until what is there or what is wanted changes; to have it proposed
	// again, delete the Remediation.
	// +optional
	Rejected *Decision `json:"rejected,omitempty"`
}

// Decision is what somebody decides about a change.
//
// +kubebuilder:validation:XValidation:rule="self.by != 'plumbline'",fieldPath=".by",message="plumbline is the name under which changes are made that need no approval; write the name of whoever decides"
type Decision struct {
	// digest is status.digest of what is decided about. Example: 5f0c7be2d1a94c3f8e6b7a1d2c3e4f50
	// +required
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	// +kubebuilder:validation:MaxLength=32
	Digest string `json:"digest"`

	// by is the name of the user who decides, as the API server knows it (kubectl auth whoami); the admission policy
	// plumbline-remediation refuses another's. Example: alice@example.com
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	By string `json:"by"`

	// reason says why. Example: agreed in CHG-1234
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// via is GitOps where a Git operator writes the decision down for somebody: by is then taken as claimed, and shown as such.
	// Only the accounts that the admission policy lists may use it. Example: GitOps
	// +optional
	Via DecisionVia `json:"via,omitempty"`
}

// DecisionVia says how a decision came.
//
// +kubebuilder:validation:Enum=GitOps
type DecisionVia string

// ViaGitOps is a decision that a Git operator writes down for somebody.
const ViaGitOps DecisionVia = "GitOps"

// RemediationPhase is where a Remediation stands, in one word.
type RemediationPhase string

// The phases of a Remediation. Those from Applied on are the last ones, but for Applied and Failed, which may become Undone.
const (
	// RemediationProposed: waits for an approval.
	RemediationProposed RemediationPhase = "Proposed"
	// RemediationApproved: approved, and not begun.
	RemediationApproved RemediationPhase = "Approved"
	// RemediationApplying: on record before AWS is touched; some of its changes may have been made.
	RemediationApplying RemediationPhase = "Applying"
	// RemediationApplied: every change was made and AWS shows it.
	RemediationApplied RemediationPhase = "Applied"
	// RemediationFailed: a change was tried and failed, or could no longer be made.
	RemediationFailed RemediationPhase = "Failed"
	// RemediationUndone: taken back.
	RemediationUndone RemediationPhase = "Undone"
	// RemediationSuperseded: what is there, or what is wanted, has changed since it was proposed.
	RemediationSuperseded RemediationPhase = "Superseded"
	// RemediationRejected: somebody refused it.
	RemediationRejected RemediationPhase = "Rejected"
	// RemediationExpired: nobody approved it in time.
	RemediationExpired RemediationPhase = "Expired"
)

// Open says whether the phase is not a last one.
func (p RemediationPhase) Open() bool {
	switch p {
	case "", RemediationProposed, RemediationApproved, RemediationApplying:
		return true
	}
	return false
}

// RemediationStatus is a change and what became of it.
type RemediationStatus struct {
	// phase is Proposed, Approved, Applying, Applied, Failed, Undone, Superseded, Rejected or Expired.
	// +optional
	Phase RemediationPhase `json:"phase,omitempty"`

	// message says what happens next, or why it stands as it does.
	// +optional
	Message string `json:"message,omitempty"`

	// account is the account that is changed.
	// +optional
	Account string `json:"account,omitempty"`

	// control is the id of the control.
	// +optional
	Control string `json:"control,omitempty"`

	// baseline is the kind and name of the baseline that wants the change. Example: S3Baseline/organization
	// +optional
	Baseline string `json:"baseline,omitempty"`

	// baselineUID is the UID of that baseline, revision its settings: another one, or other settings, make this Superseded.
	// +optional
	BaselineUID types.UID `json:"baselineUID,omitempty"`

	// revision identifies the settings of the baseline, as status.revision of it does.
	// +optional
	Revision string `json:"revision,omitempty"`

	// role is the ARN of the role that writes.
	// +optional
	Role string `json:"role,omitempty"`

	// risk is the highest risk of the changes: Safe, Disruptive or Irreversible; "weakens security" stands behind it where one
	// does.
	// +optional
	Risk string `json:"risk,omitempty"`

	// managedBy is who else manages a resource among the changes, the first of them: a CloudFormation stack, AWS Control Tower,
	// Landing Zone Accelerator, AWS Firewall Manager and the like put a change back, or break over it. Such a change waits for an
	// approval in every mode. It is unknown where that could not be read, and absent where nobody does. Example: CloudFormation
	// stack web-prod
	// +optional
	ManagedBy string `json:"managedBy,omitempty"`

	// reversible says whether the changes can be undone.
	// +optional
	Reversible bool `json:"reversible,omitempty"`

	// digest is what an approval, an undo or a rejection names: SHA-256 over planDigest and expires, the first 32 hex digits.
	// +optional
	Digest string `json:"digest,omitempty"`

	// planDigest is SHA-256 over account, role, baseline, revision, control, and every resource with what is there, what will be
	// written and who else manages it, the first 32 hex digits.
	// +optional
	PlanDigest string `json:"planDigest,omitempty"`

	// expires is until when it can be approved, and until when what was approved is tried.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`

	// decided is who had the change made, or refused it.
	// +optional
	Decided *Decided `json:"decided,omitempty"`

	// undone is who had it taken back.
	// +optional
	Undone *Decided `json:"undone,omitempty"`

	// progress is how many of the changes were made. Example: 2/3
	// +optional
	Progress string `json:"progress,omitempty"`

	// changes are the single changes, in the order in which they are made; at most 100.
	// +optional
	// +listType=atomic
	Changes []RemediationChange `json:"changes,omitempty"`

	// secret is the name of the Secret, in the controller's namespace, that holds what is there before and after: policy
	// documents, and what is larger than 8 KiB.
	// +optional
	Secret string `json:"secret,omitempty"`

	// startedAt is when AWS was first touched, finishedAt when the last phase was reached.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// finishedAt is when a last phase was reached.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`

	// conditions are DecisionRefused, Undoing and HandedOver, while they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Decided is a decision that was accepted.
type Decided struct {
	// by is who decided; plumbline where the baseline's own setting approval lets the change be made without asking.
	By string `json:"by"`
	// at is when it was accepted.
	At metav1.Time `json:"at"`
	// reason is the reason given.
	// +optional
	Reason string `json:"reason,omitempty"`
	// via is GitOps where by is only claimed.
	// +optional
	Via DecisionVia `json:"via,omitempty"`
	// batch is the digest of the batch that was approved in the baseline's spec.approvals; empty where this one was by itself.
	// +optional
	Batch string `json:"batch,omitempty"`
}

// ManagedByUnknown stands in managedBy where it could not be read who manages a resource.
const ManagedByUnknown = "unknown"

// ChangeOutcome says what became of a single change.
type ChangeOutcome string

// The outcomes of a change. The zero value is not tried yet.
const (
	// ChangeApplied: made, and AWS shows it.
	ChangeApplied ChangeOutcome = "Applied"
	// ChangeFailed: tried, and failed.
	ChangeFailed ChangeOutcome = "Failed"
	// ChangeUnverified: may have been made, and nobody looks at it any more: its baseline is gone or does not ask for it. It can be
	// undone like one that was.
	ChangeUnverified ChangeOutcome = "Unverified"
	// ChangeLeft: not made any more: the resource is no longer as it was proposed.
	ChangeLeft ChangeOutcome = "Left"
	// ChangeUndoing: being taken back.
	ChangeUndoing ChangeOutcome = "Undoing"
	// ChangeUndone: taken back.
	ChangeUndone ChangeOutcome = "Undone"
	// ChangeKept: not taken back: somebody has changed the resource since.
	ChangeKept ChangeOutcome = "Kept"
)

// RemediationChange is the change of one resource.
type RemediationChange struct {
	// region is the region of the check, global for a control of the account or the organization.
	Region string `json:"region"`
	// resource is the ARN.
	Resource string `json:"resource"`
	// risk is that of this change.
	Risk string `json:"risk"`
	// weakens is true where the change lowers security.
	// +optional
	Weakens bool `json:"weakens,omitempty"`
	// managedBy is who else manages the resource, as its name or its tags tell: better changed there. It is unknown where that
	// could not be read, and absent where nobody does. Example: CloudFormation stack web-prod
	// +optional
	ManagedBy string `json:"managedBy,omitempty"`
	// fields are the settings that change.
	// +optional
	// +listType=atomic
	Fields []RemediationField `json:"fields,omitempty"`
	// before is what is there and after what will be written, as the control reads it, in JSON. Absent where the Secret has it.
	// +optional
	Before string `json:"before,omitempty"`
	// after is what will be written.
	// +optional
	After string `json:"after,omitempty"`
	// beforeDigest and afterDigest are SHA-256 of both, the first 32 hex digits.
	BeforeDigest string `json:"beforeDigest"`
	// afterDigest is SHA-256 of what will be written.
	AfterDigest string `json:"afterDigest"`
	// outcome is what became of it: Applied, Failed, Unverified, Left, Undoing, Undone or Kept; absent before it was tried.
	// +optional
	Outcome ChangeOutcome `json:"outcome,omitempty"`
	// message says why, and before that why managedBy could not be read.
	// +optional
	Message string `json:"message,omitempty"`
}

// RemediationField is one setting that changes.
type RemediationField struct {
	// path names the setting. Example: encryption.algorithm
	Path string `json:"path"`
	// from is what AWS has.
	From string `json:"from"`
	// to is what will be written.
	To string `json:"to"`
}

// RemediationList is a list of Remediations.
//
// +kubebuilder:object:root=true
type RemediationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Remediation `json:"items"`
}
