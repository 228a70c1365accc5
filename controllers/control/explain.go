package control

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Reasons that Explain gives beside those of v1alpha1.
const (
	ReasonThrottled    = "Throttled"
	ReasonDeniedBySCP  = "DeniedByServiceControlPolicy"
	ReasonCredentials  = "CredentialsRefused"
	ReasonDidNotAnswer = "NoAnswer"
	// ReasonCircuitOpen: the service did not answer the last calls, and is left alone for a while.
	ReasonCircuitOpen = "CircuitOpen"
	// ReasonCutOff: the check was ended so that others are not held up.
	ReasonCutOff         = "CutOff"
	ReasonUnexpectedData = "UnexpectedAnswer"
	// ReasonRefusedByGuard: the control called something that it has not declared. Nothing was sent.
	ReasonRefusedByGuard = "RefusedByGuard"
	// ReasonManagedByOrganizationPolicy: an AWS Organizations policy decides the setting; AWS refuses a change in the account.
	ReasonManagedByOrganizationPolicy = "ManagedByOrganizationPolicy"
)

// Explain turns an error into a reason and a message with the AWS code, the action, the role and the next step.
func Explain(err error) (reason, message string) {
	var call *CallError
	if !errors.As(err, &call) {
		call = &CallError{Role: "the audit role", Action: "the call", Err: err}
		if Code(err) == "" && !isOurs(err) {
			return v1alpha1.RowReadFailed, Bounded(describe(err), 300) // no call failed: the control says what is wrong
		}
	}
	action := call.Action
	if action == "" {
		action = call.Service + ":" + call.Operation
	}
	reason, next := nextStep(err, call, action)
	return reason, Bounded(describe(call.Err), 300) + " — " + next
}

// isOurs says whether the error is one that Plumbline itself knows, without an answer of AWS.
func isOurs(err error) bool {
	for _, known := range []error{ErrWrongAccount, ErrUndeclared, ErrRateLimit, ErrCircuitOpen, ErrManagedByPolicy, ErrUnexpected} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// nextStep says what kind of error it is and what to do about it.
func nextStep(err error, call *CallError, action string) (reason, next string) {
	assuming := call.Operation == "AssumeRole"
	for _, e := range []struct {
		when         bool
		reason, next string
	}{
		{errors.Is(err, ErrManagedByPolicy), ReasonManagedByOrganizationPolicy,
			"an AWS Organizations policy decides this: change the policy, or leave the setting out of the baseline"},
		{errors.Is(err, ErrWrongAccount), v1alpha1.ReasonWrongAccount, "nothing is called with them; mend the role ARN"},
		{errors.Is(err, ErrUndeclared), ReasonRefusedByGuard, "nothing was sent; this is a fault of Plumbline, please report it"},
		{errors.Is(err, ErrRateLimit), ReasonThrottled, action + " waits for its turn; tried again by itself"},
		{errors.Is(err, ErrCircuitOpen), ReasonCircuitOpen, action + " is tried again by itself"},
		{IsDeniedBySCP(err) && assuming, ReasonDeniedBySCP, "a service control policy refuses " + action + " of " + call.Role + ": change the policy"},
		{IsDeniedBySCP(err), ReasonDeniedBySCP, "a service control policy refuses " + action + ": change the policy or exclude the region"},
		{IsAccessDenied(err) && assuming, v1alpha1.ReasonRoleRefused, "sts:AssumeRole of " + call.Role + " was refused: deploy the member roles of " +
			"config/iam there, and check that the trust policy names the manager's identity and the external id"},
		{IsAccessDenied(err), v1alpha1.RowAccessDenied,
			"allow " + action + " to " + call.Role + " (config/iam), and see whether the resource's own policy refuses it"},
		{IsCredentials(err), ReasonCredentials,
			"check that " + call.Role + " can be assumed and the region is enabled; tried again by itself"},
		{IsThrottled(err), ReasonThrottled, action + " is throttled; tried again by itself"},
		{errors.Is(err, ErrUnexpected), ReasonUnexpectedData, "AWS answered " + action + " with something that cannot be read; tried again by itself"},
		{Code(err) == "", ReasonDidNotAnswer, action + " got no answer; tried again by itself"},
	} {
		if e.when {
			return e.reason, e.next
		}
	}
	return v1alpha1.RowReadFailed, action + " as " + call.Role + "; tried again by itself"
}

// Unreadable is the finding for a resource (empty: the whole region) that could not be read.
func Unreadable(resource string, err error) Finding {
	reason, message := Explain(err)
	return Finding{Drift: Drift{Resource: resource}, Outcome: Unknown, Reason: reason, Message: message, Again: turnOf(err)}
}

// turnOf is when a call may be made that has a turn of its own; zero where there is none. A service that does not answer has
// none: it is tried again like anything that fails.
func turnOf(err error) time.Time {
	var later *LaterError
	if errors.As(err, &later) && errors.Is(later, ErrRateLimit) {
		return later.Until
	}
	return time.Time{}
}

// Bounded cuts s to at most n bytes on a rune boundary and puts a space for everything that cannot be printed, such as
// control characters and those that turn the direction of writing: text from AWS may have been chosen by somebody else.
func Bounded(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:max(cut, 0)] + "…"
}
