package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

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
	var network *net.OpError
	var response *smithyhttp.ResponseError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "not answered in time"
	case errors.As(err, &network):
		return "no connection: " + Bounded(network.Op+": "+network.Err.Error(), 256)
	case errors.As(err, &response):
		return fmt.Sprintf("HTTP status %d: ", response.HTTPStatusCode()) + Bounded(response.Err.Error(), 256)
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

// IsThrottled says whether AWS asked to slow down.
func IsThrottled(err error) bool { return IsCode(err, throttleCodes...) }

// IsDeniedBySCP says whether a service control policy refused the call. AWS says so only in the message.
func IsDeniedBySCP(err error) bool {
	var api smithy.APIError
	return IsAccessDenied(err) && errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "service control policy")
}
