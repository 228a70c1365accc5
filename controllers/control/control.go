// Package control is the contract of a control: one thing that must hold in an AWS account, as a value made of data and
// up to four functions.
//
// A control observes (reads AWS and says what departs), remediates (writes one resource) and undoes (writes back what was
// there), and may tell who else manages a resource. It sees AWS only through the Target it is handed, which carries credentials for exactly one account and lets
// through only the IAM actions the control declares. It decides nothing about modes, approvals, caps or exceptions: the
// engine does, from the risk each drift carries.
//
// The harness in controltest asserts for every control what this package promises of it.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Scope says what one check of a control covers.
type Scope string

// The scopes.
const (
	// Organization: decided once, in the management account or the delegated administrator.
	Organization Scope = "Organization"
	// Account: decided once per account.
	Account Scope = "Account"
	// Region: decided once per account and region.
	Region Scope = "Region"
)

// Risk says what a change may cost whoever lives in the account.
type Risk int

// The risks, lowest first. The zero value on a Drift means the control's own.
const (
	// Safe: strengthens security, breaks nothing that worked, can be undone.
	Safe Risk = iota + 1
	// Disruptive: may break something that works, costs money, or weakens security.
	Disruptive
	// Irreversible: a part of it cannot be had back.
	Irreversible
	// ReportOnly: not changed by Plumbline at all.
	ReportOnly
)

// String is the risk's name.
func (r Risk) String() string {
	switch r {
	case Safe:
		return "Safe"
	case Disruptive:
		return "Disruptive"
	case Irreversible:
		return "Irreversible"
	case ReportOnly:
		return "ReportOnly"
	}
	return "Risk(0)"
}

// Event is a CloudTrail management event that may change a control's answer.
type Event struct {
	// Source is the event source without ".amazonaws.com". Example: ec2
	Source string
	// Name is the event's name, which is not always the API operation's. Example: DisableEbsEncryptionByDefault
	Name string
	// Seen says in which account and region the event appears.
	Seen Seen
}

// Seen says where a CloudTrail event appears.
type Seen string

// The places an event appears in.
const (
	// SeenInRegion: in the account and region concerned.
	SeenInRegion Seen = "Region"
	// SeenInHomeRegion: in the account, in the partition's home region (us-east-1, us-gov-west-1, cn-north-1).
	SeenInHomeRegion Seen = "HomeRegion"
	// SeenInAdministrator: in the delegated administrator's account; the accounts concerned stand in the event.
	SeenInAdministrator Seen = "Administrator"
	// SeenInManagement: in the management account.
	SeenInManagement Seen = "Management"
)

// Where says it in words.
func (s Seen) Where() string {
	switch s {
	case SeenInRegion:
		return "in the account and region concerned"
	case SeenInHomeRegion:
		return "in the account, in the partition's home region"
	case SeenInAdministrator:
		return "in the delegated administrator's account"
	case SeenInManagement:
		return "in the management account"
	}
	return string(s)
}

// Meta is what is known of a control without running it. Documentation, IAM policies and event patterns are made from it.
type Meta struct {
	// ID is stable, kebab-case and never reused: "ebs-default-encryption".
	ID string
	// Title says what must hold, in a few words.
	Title string
	// Doc says why it matters, what is changed when enforced and what is left alone.
	Doc string
	// Scope says what one check covers.
	Scope Scope
	// Risk is the highest risk that any change of it may carry.
	Risk Risk
	// Severity is that of a departure.
	Severity v1alpha1.Severity
	// PerResource controls are observed again at resourceInterval, the others at interval.
	PerResource bool
	// Ages is true when something may come to depart by the passing of time alone, without anybody's call: a key that gets old.
	Ages bool
	// Protects is true where undoing what the control asks for is what an attacker would do first: turning detection or recording off,
	// opening what is closed. It is put right however often somebody changes it back.
	Protects bool
	// NeedsEmail is true where a change may need the account's e-mail address, Facts.Email.
	NeedsEmail bool
	// NotExcusable controls are not covered by exceptions.
	NotExcusable bool
	// Documents is true when Before and After hold policy documents, which may quote secrets: they are then kept where only the
	// controller reads them.
	Documents bool
	// Administrator is the service whose delegated administrator decides an Organization check; empty: the management
	// account decides.
	Administrator string
	// Cost says what enabling it costs; empty when there is nothing worth saying.
	Cost string
	// Frameworks maps a framework and version to requirement ids, which are strings: "CIS-5.0": {"5.1.1"}.
	Frameworks map[string][]string
	// Reads are the IAM actions that Observe may use.
	Reads []string
	// Writes are the further IAM actions that Remediate and Undo may use.
	Writes []string
	// Grants are actions that AWS demands behind those without a call of ours, such as iam:PassRole. They stand in the
	// policies, and the guard lets none through.
	Grants []string
	// Events may change the answer.
	Events []Event
}

// Settings is what a section of a baseline offers; embedding v1alpha1.ControlSpec is enough.
type Settings interface {
	Section() v1alpha1.ControlSpec
}

// Control is one thing that must hold, with settings of type S.
type Control[S Settings] struct {
	Meta

	// Observe reports every resource that departs from want. It never changes AWS. No drift, no unknown and no error means
	// compliant. One unreadable resource is an Unknown finding beside the others; the error is for the whole question.
	Observe func(ctx context.Context, t *Target, want S) ([]Finding, error)
	// Remediate writes d.After to one resource and is idempotent. What it modifies it reads afresh, and it keeps what is not
	// its own: other statements of a policy, other fields of an object that can only be written whole. Nil: report-only.
	Remediate func(ctx context.Context, t *Target, d Drift) error
	// Undo writes d.Before back, or returns ErrChanged when the resource is no longer as d.After. Nil: Irreversible.
	Undo func(ctx context.Context, t *Target, d Drift) error
	// Owner says who manages a resource beside people, by its tags (OwnerByTags); empty when nobody does. It only reads, with
	// Reads, and is asked before a change is made or proposed and OwnerByName does not tell. Nil: only the name tells.
	Owner func(ctx context.Context, t *Target, resource string) (string, error)
}

// ErrChanged is returned by Undo when the resource is no longer as the change left it.
var ErrChanged = errors.New("the resource has changed since; nothing was undone")

// Outcome says what a Finding is.
type Outcome string

// The outcomes. The zero value is Departs.
const (
	// Departs: the resource is not as it should be.
	Departs Outcome = ""
	// Unknown: the resource could not be judged.
	Unknown Outcome = "Unknown"
	// NotApplicable: the service or feature does not exist there.
	NotApplicable Outcome = "NotApplicable"
	// Waiting: something that must come first is not there yet.
	Waiting Outcome = "Waiting"
)

// Finding is a Drift, or a resource (with Resource empty: the whole region) that could not be judged.
type Finding struct {
	Drift
	// Outcome says which of these it is.
	Outcome Outcome
	// Reason is a CamelCase constant. Needed unless Outcome is Departs.
	Reason string
	// Message has the AWS code, the action, the role and the next step, where there are any.
	Message string
	// Again is when it is worth looking again, where that is known; zero: after a while that grows.
	Again time.Time
}

// Drift is one resource that departs: the unit that is put right, approved, counted by caps, and undone.
type Drift struct {
	// Resource is the ARN.
	Resource string
	// Fields are what departs, for people; never a secret.
	Fields []Field
	// Risk is that of this change; zero means the control's.
	Risk Risk
	// Weakens marks a change that lowers security: a setting to Disabled, a lower floor, auto-enable to NONE. It is at least
	// Disruptive and waits for an approval in every mode. A section whose state is Disabled weakens by itself.
	Weakens bool
	// Before is what is there and After what will be written, as the control reads them. An approval covers both.
	Before, After json.RawMessage
}

// Field is one setting of a resource that departs.
type Field struct {
	// Path names the setting: "encryption.algorithm".
	Path string
	// Want is what the baseline declares, Got what AWS says.
	Want, Got string
}

// Bound is a control together with the settings one baseline gives it; the settings' type no longer shows.
type Bound struct {
	// Meta is shared by all copies: plans of thousands of checks hold one each.
	*Meta
	// Spec is the section's state, mode and approval.
	Spec v1alpha1.ControlSpec
	// Settings is the section itself, nil when the baseline does not manage the control. It is part of the revision.
	Settings any

	observe   func(ctx context.Context, t *Target) ([]Finding, error)
	remediate func(ctx context.Context, t *Target, d Drift) error
	undo      func(ctx context.Context, t *Target, d Drift) error
	owner     func(ctx context.Context, t *Target, resource string) (string, error)
}

// With binds the control to a section. A nil section leaves the control unmanaged: it observes and remediates nothing, and
// is still listed and can still undo.
func (c Control[S]) With(settings *S) Bound {
	b := Bound{Meta: &c.Meta, undo: c.Undo, owner: c.Owner}
	if settings == nil {
		return b
	}
	s := *settings
	b.Settings, b.Spec = s, s.Section()
	b.observe = func(ctx context.Context, t *Target) ([]Finding, error) { return c.Observe(ctx, t, s) }
	b.remediate = c.Remediate
	return b
}

// Managed says whether a baseline declares the control.
func (b Bound) Managed() bool { return b.observe != nil }

// Reversible says whether the control can undo its changes.
func (b Bound) Reversible() bool { return b.undo != nil }

// Observe runs the control's Observe with its section. It must be managed.
func (b Bound) Observe(ctx context.Context, t *Target) ([]Finding, error) {
	if b.observe == nil {
		return nil, errors.New(b.ID + " is not managed by this baseline")
	}
	return b.observe(ctx, t)
}

// Remediate puts one drift right.
func (b Bound) Remediate(ctx context.Context, t *Target, d Drift) error {
	if b.remediate == nil {
		return errors.New(b.ID + " only reports")
	}
	return b.remediate(ctx, t, d)
}

// Undo takes one change back.
func (b Bound) Undo(ctx context.Context, t *Target, d Drift) error {
	if b.undo == nil {
		return errors.New(b.ID + " cannot undo its changes")
	}
	return b.undo(ctx, t, d)
}

// RiskOf is the risk of putting d right: the drift's own or the control's, and ReportOnly where the control cannot write.
func (b Bound) RiskOf(d Drift) Risk {
	switch {
	case b.Managed() && b.remediate == nil:
		return ReportOnly
	case d.Risk != 0:
		return d.Risk
	}
	return b.Risk
}

// Weakens says whether putting d right lowers security.
func (b Bound) Weakens(d Drift) bool { return d.Weakens || b.Spec.State == v1alpha1.Disabled }

// JSON encodes a before or after value. The values are plain structs of the controls, which always encode.
func JSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("encoding a drift's before or after value: " + err.Error())
	}
	return raw
}

// Decode decodes a before or after value that JSON made.
func Decode[T any](raw json.RawMessage) (T, error) {
	var v T
	if len(raw) == 0 {
		return v, errors.New("the drift holds no recorded value")
	}
	err := json.Unmarshal(raw, &v)
	return v, err
}
