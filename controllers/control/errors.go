package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Errors of which Plumbline knows more than AWS could say.
var (
	// ErrWrongAccount marks credentials that belong to another account than the one they were asked for. Nothing is called
	// with them.
	ErrWrongAccount = errors.New("the role's credentials belong to another account")
	// ErrUndeclared marks a call that was refused before it left the process, because the control that made it has not
	// declared the action.
	ErrUndeclared = errors.New("refused by the guard")
	// ErrRateLimit marks a call that was not made, because its turn under Plumbline's own rate limits would have come too late.
	ErrRateLimit = errors.New("no turn in time under Plumbline's own rate limit")
	// ErrCircuitOpen marks a call that was not made, because the service did not answer the last ones.
	ErrCircuitOpen = errors.New("not asked, for it does not answer")
	// ErrManagedByPolicy marks a change that AWS refuses because an AWS Organizations policy (not a service control policy)
	// decides the setting. Trying again is of no use.
	ErrManagedByPolicy = errors.New("an AWS Organizations policy manages the setting")
	// ErrUnexpected marks an answer of AWS that lacks what it must have.
	ErrUnexpected = errors.New("unexpected answer")
)

// Unexpected is an error that says what an answer of AWS lacks.
func Unexpected(operation, lacks string) error {
	return fmt.Errorf("%w: %s without %s", ErrUnexpected, operation, lacks)
}

// LaterError is a call that was not made now and may be made later.
type LaterError struct {
	// Err is ErrRateLimit or ErrCircuitOpen.
	Err error
	// Service and Operation are the SDK's names, Region is where it would have been made.
	Service, Operation, Region string
	// ForAll is true when it is made in no account, and Last is how the last one failed: of ErrCircuitOpen.
	ForAll bool
	Last   string
	// Made is true when it was made already, and AWS accepted it: of ErrRateLimit.
	Made bool
	// Until is when it may be made.
	Until time.Time
}

// Error says what is not done until when, to the minute.
func (e *LaterError) Error() string {
	whose := ""
	if e.ForAll {
		whose = " in any account"
	}
	s := e.Err.Error() + ": " + e.Service + whose
	if e.Region != "" {
		s += " in " + e.Region
	}
	if e.Last != "" {
		s += " (last: " + e.Last + ")"
	}
	return s + ", not before " + Minute(e.Until)
}

// Unwrap is the class of the error.
func (e *LaterError) Unwrap() error { return e.Err }

// Minute is a time as messages name it, rounded up, so that they do not change all the time.
func Minute(t time.Time) string {
	return t.UTC().Add(time.Minute - 1).Truncate(time.Minute).Format("2006-01-02 15:04 UTC")
}

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

// encoded is how EC2 begins the part of a refusal that nobody can read and that is another one every time.
const encoded = "Encoded authorization failure message"

// describe is an SDK error's code and message, bounded; AWS's messages may quote names that others chose. The same error
// reads the same every time: what is of one attempt only (request ids, ports) is left out, or a status would be written
// anew with every look.
func describe(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		message, _, _ := strings.Cut(api.ErrorMessage(), encoded)
		return api.ErrorCode() + ": " + Bounded(strings.TrimSpace(message), 256)
	}
	var later *LaterError
	var network *net.OpError
	var response *smithyhttp.ResponseError
	switch {
	case errors.As(err, &later):
		return Bounded(later.Error(), 256)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "not answered in time"
	case errors.As(err, &network):
		return "no connection: " + Bounded(network.Op+": "+network.Err.Error(), 256)
	case errors.As(err, &response):
		return fmt.Sprintf("HTTP status %d: ", response.HTTPStatusCode()) + Bounded(response.Err.Error(), 256)
	}
	return Bounded(err.Error(), 256)
}

// Reason is an error of AWS in one line, the same every time, without what a request or an answer held.
func Reason(err error) string { return Bounded(describe(err), 100) }

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
		"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized",
		"UnauthorizedAccess", "AllAccessDisabled", "ForbiddenException", "UnauthorizedException",
	}
	// AuthFailure is what EC2 answers in a region that is not enabled.
	credentialCodes = []string{
		"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "OptInRequired",
		"SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestExpired", "TokenRefreshRequired", "AuthFailure",
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

// goneCodes are how AWS says that a resource is not there.
var goneCodes = []string{
	"NoSuchBucket", "NoSuchEntity", "NoSuchEntityException", "NotFoundException", "ResourceNotFoundException", "TrailNotFoundException",
}

// IsGone says whether AWS answered that the resource of the call is not there.
func IsGone(err error) bool { return IsCode(err, goneCodes...) }

// IsThrottled says whether AWS asked to slow down.
func IsThrottled(err error) bool { return IsCode(err, throttleCodes...) }

// IsDeniedBySCP says whether a service control policy refused the call. AWS says so only in the message.
func IsDeniedBySCP(err error) bool {
	var api smithy.APIError
	return IsAccessDenied(err) && errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "service control policy")
}
