package cloudtest

import (
	"context"
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrHang is the fault of a call that is not answered before its context ends.
var ErrHang = errors.New("cloudtest: no answer")

// Break has calls go wrong from now on: those for which fault gives an error end with it, or hang where it is ErrHang, and
// have no effect. n counts the calls from 1 on, with those that went wrong; fault is never called twice at a time. Nil: all
// is well again.
func (c *Cloud) Break(fault func(n int, call Call) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.faultCalls = fault, 0
}

// Every is a fault of every nth call.
func Every(nth int, err error) func(int, Call) error {
	return func(n int, _ Call) error {
		if n%nth == 0 {
			return err
		}
		return nil
	}
}

// Throttled is what most services answer a caller that is too fast.
func Throttled() error { return Error("ThrottlingException", "Rate exceeded") }

// Expired is what AWS answers to credentials that are good no more.
func Expired() error {
	return Error("ExpiredToken", "The security token included in the request is expired")
}

// Refused is what STS answers where the role's trust policy lets nobody in.
func Refused() error {
	return Error("AccessDenied", "User is not authorized to perform: sts:AssumeRole")
}

// NoCapacity is what IAM answers when it makes too many credential reports.
func NoCapacity() error {
	return Error("LimitExceeded", "No more capacity to launch new report generation tasks.")
}

// Unavailable is a service that fails, with an HTTP status such as 503.
func Unavailable(status int) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}}},
		Err:      &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "try again", Fault: smithy.FaultServer},
	}}
}

// goesWrong says how a call goes wrong; nil when it does not.
func (c *Cloud) goesWrong(ctx context.Context, call Call) error {
	c.mu.Lock()
	var err error
	if c.fault != nil {
		c.faultCalls++
		if err = c.fault(c.faultCalls, call); err != nil {
			c.calls = append(c.calls, call)
		}
	}
	c.mu.Unlock()
	if errors.Is(err, ErrHang) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}
