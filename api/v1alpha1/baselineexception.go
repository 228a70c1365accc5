package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BaselineException excuses departures from named controls, in named accounts, OUs or resources, between two moments. What
// is excused is still observed and shown, and is never changed. The moment it expires the departure counts again.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=blx
// +kubebuilder:printcolumn:name="CONTROLS",type=string,JSONPath=`.spec.controls`
// +kubebuilder:printcolumn:name="OWNER",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="TICKET",type=string,JSONPath=`.spec.ticket`
// +kubebuilder:printcolumn:name="ACTIVE",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].status`
// +kubebuilder:printcolumn:name="EXPIRES",type=string,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type BaselineException struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is excused, why, by whom and for how long.
	// +required
	Spec BaselineExceptionSpec `json:"spec"`

	// status says whether the exception is active.
	// +optional
	// +default={"observedGeneration": -1}
	Status BaselineExceptionStatus `json:"status,omitempty"`
}

// BaselineExceptionSpec is the spec of a BaselineException.
//
// +kubebuilder:validation:XValidation:rule="has(self.accounts) || has(self.organizationalUnits) || has(self.resources)",message="an exception needs at least one of accounts.include, organizationalUnits or resources; it cannot excuse every account"
// +kubebuilder:validation:XValidation:rule="has(self.from) && has(self.expires)",message="an exception needs from and expires, as RFC 3339 times, for example from: \"2026-01-01T00:00:00Z\" and expires: \"2026-03-01T00:00:00Z\""
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.expires) || self.expires > self.from",message="expires must be later than from"
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.expires) || self.expires - self.from <= duration('8784h')",message="an exception lasts at most 366 days; write an earlier expires and renew it when it ends"
// +kubebuilder:validation:XValidation:rule="has(self.controls)",message="an exception needs controls: the ids of the controls it excuses, for example controls: [s3-default-encryption]"
// +kubebuilder:validation:XValidation:rule="has(self.reason) && has(self.owner) && has(self.ticket)",message="an exception needs reason, owner and ticket, so that whoever reads it knows why, whom to ask and where it was agreed"
// +kubebuilder:validation:XValidation:rule="!has(self.controls) || !('iam-plumbline-roles' in self.controls)",message="iam-plumbline-roles guards Plumbline's own roles and cannot be excused; take it out of controls"
type BaselineExceptionSpec struct {
	// controls are the ids of the controls that are excused; docs/controls.md lists them. Example: s3-default-encryption
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]+(-[a-z0-9]+)*$`
	Controls []string `json:"controls,omitempty"`

	// accounts narrows the exception to these accounts.
	// +optional
	Accounts *ExceptionAccounts `json:"accounts,omitempty"`

	// organizationalUnits narrows the exception to the accounts in these OUs and below. Example: ou-abcd-11112222
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=68
	// +kubebuilder:validation:items:Pattern=`^(ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})$`
	OrganizationalUnits []string `json:"organizationalUnits,omitempty"`

	// regions narrows the exception to these regions; it then covers no control of the account or the organization, which is of
	// no region. Absent: every region. Example: eu-central-1
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Regions []Region `json:"regions,omitempty"`

	// resources narrows the exception to resources whose ARN matches one of these globs (* and ?). Absent: every resource.
	// Example: arn:aws:s3:::acme-public-*
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^arn:.+`
	Resources []string `json:"resources,omitempty"`

	// reason says why the departure is accepted. Required. Example: static website, reviewed by security
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// owner is the team or person who answers for it. Required. Example: team-web
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner,omitempty"`

	// ticket is where it was agreed. Required. Example: SEC-1234
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Ticket string `json:"ticket,omitempty"`

	// from is when the exception begins, RFC 3339. Required. Example: "2026-01-01T00:00:00Z"
	// +optional
	From *metav1.Time `json:"from,omitempty"`

	// expires is when the exception ends, RFC 3339; at most 366 days after from. Required. Example: "2026-03-01T00:00:00Z"
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// ExceptionAccounts names accounts.
type ExceptionAccounts struct {
	// include is the ids of the accounts. Example: "111122223333"
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Include []AccountID `json:"include"`
}

// BaselineExceptionStatus says whether an exception is active.
type BaselineExceptionStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first look.
	ObservedGeneration int64 `json:"observedGeneration"`
	// conditions are Active and, while it applies, UnknownNames.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BaselineExceptionList is a list of BaselineExceptions.
//
// +kubebuilder:object:root=true
type BaselineExceptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BaselineException `json:"items"`
}
