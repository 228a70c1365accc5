package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// CallError is an AWS call that failed, with what a person needs to find out why. The session puts it around every error
// of the SDK.
type CallError struct {
	// Service and Operation are the SDK's names, Action the IAM action behind them.
	Service, Operation, Action string
	// Account, Region and Role are those the call was made with.
	Account, Region, Role string
	// Err is the SDK's error.
	Err error
}

// Error says which call failed, where and with which code. It holds no request or response body.
func (e *CallError) Error() string {
	return fmt.Sprintf("%s %s in %s/%s: %s", e.Service, e.Operation, e.Account, e.Region, describe(e.Err))
}

// Unwrap is the SDK's error.
func (e *CallError) Unwrap() error { return e.Err }

// describe is an SDK error's code and message, bounded; AWS's messages may quote names that others chose.
func describe(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + Bounded(api.ErrorMessage(), 256)
	}
	return Bounded(err.Error(), 256)
}

// Code is the AWS error code in err; empty when AWS did not answer.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// IsCode says whether err is an AWS error with one of the codes.
func IsCode(err error, codes ...string) bool {
	c := Code(err)
	return c != "" && slices.Contains(codes, c)
}

// The code sets. AWS's services spell the same refusal in different ways; these are the spellings of the services in use,
// from their API references.
var (
	deniedCodes = []string{
		"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "NotAuthorized",
		"UnauthorizedAccess", "AllAccessDisabled", "ForbiddenException", "UnauthorizedException",
	}
	credentialCodes = []string{
		"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "OptInRequired",
		"SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestExpired", "TokenRefreshRequired",
	}
	throttleCodes = []string{
		"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
		"RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded", "PriorRequestNotComplete",
		"LimitExceeded",
	}
)

// IsAccessDenied says whether AWS refused the call for want of permission.
func IsAccessDenied(err error) bool { return IsCode(err, deniedCodes...) }

// IsCredentials says whether AWS did not accept the credentials themselves.
func IsCredentials(err error) bool { return IsCode(err, credentialCodes...) }

// IsThrottled says whether AWS asked to slow down.
func IsThrottled(err error) bool { return IsCode(err, throttleCodes...) }

// IsDeniedBySCP says whether a service control policy refused the call. AWS says so only in the message.
func IsDeniedBySCP(err error) bool {
	var api smithy.APIError
	return IsAccessDenied(err) && errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "service control policy")
}

// Reasons that Explain gives beside those of v1alpha1.
const (
	ReasonThrottled      = "Throttled"
	ReasonDeniedBySCP    = "DeniedByServiceControlPolicy"
	ReasonCredentials    = "CredentialsRefused"
	ReasonDidNotAnswer   = "NoAnswer"
	ReasonUnexpectedData = "UnexpectedAnswer"
	// ReasonManagedByOrganizationPolicy: an AWS Organizations policy decides the setting; AWS refuses a change in the account.
	ReasonManagedByOrganizationPolicy = "ManagedByOrganizationPolicy"
)

// Explain turns an error into a reason and a message with the AWS code, the action, the role and the next step.
func Explain(err error) (reason, message string) {
	what, next := describe(err), ""
	var call *CallError
	action, role := "the call", "the audit role"
	if errors.As(err, &call) {
		what = describe(call.Err)
		action, role = cmp.Or(call.Action, call.Service+":"+call.Operation), call.Role
	}
	switch {
	case errors.Is(err, ErrManagedByPolicy):
		reason, next = ReasonManagedByOrganizationPolicy, "an AWS Organizations policy decides this: change the policy, or leave the setting out of the baseline"
	case IsDeniedBySCP(err):
		reason, next = ReasonDeniedBySCP, "a service control policy refuses "+action+": change the policy or exclude the region"
	case IsAccessDenied(err):
		reason, next = v1alpha1.RowAccessDenied, "allow "+action+" to "+role+" (config/iam), and see whether the resource's own policy refuses it"
	case IsCredentials(err):
		reason, next = ReasonCredentials, "check that "+role+" can be assumed and the region is enabled; tried again by itself"
	case IsThrottled(err):
		reason, next = ReasonThrottled, action+" is throttled; tried again by itself"
	case errors.Is(err, ErrUnexpected):
		reason, next = ReasonUnexpectedData, "AWS answered "+action+" with something that cannot be read; tried again by itself"
	case call == nil && Code(err) == "":
		return v1alpha1.RowReadFailed, Bounded(what, 300) // no call failed: the control says what is wrong
	case Code(err) == "":
		reason, next = ReasonDidNotAnswer, action+" got no answer; tried again by itself"
	default:
		reason, next = v1alpha1.RowReadFailed, action+" as "+role+"; tried again by itself"
	}
	return reason, Bounded(what, 300) + " — " + next
}

// ErrManagedByPolicy marks a change that AWS refuses because an AWS Organizations policy (not a service control policy)
// decides the setting. Trying again is of no use.
var ErrManagedByPolicy = errors.New("an AWS Organizations policy manages the setting")

// ErrUnexpected marks an answer of AWS that lacks what it must have.
var ErrUnexpected = errors.New("unexpected answer")

// Unexpected is an error that says what an answer of AWS lacks.
func Unexpected(operation, lacks string) error {
	return fmt.Errorf("%w: %s without %s", ErrUnexpected, operation, lacks)
}

// Unreadable is the finding for a resource (empty: the whole region) that could not be read.
func Unreadable(resource string, err error) Finding {
	reason, message := Explain(err)
	return Finding{Drift: Drift{Resource: resource}, Outcome: Unknown, Reason: reason, Message: message}
}

// Bounded cuts s to at most n bytes on a rune boundary and takes control characters out: text from AWS may have been chosen
// by somebody else.
func Bounded(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
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
