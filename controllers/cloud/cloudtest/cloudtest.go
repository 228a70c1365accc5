// Package cloudtest stands in for AWS inside the SDK's own middleware: a test registers a function per operation, typed by
// the SDK's input struct, and everything above it (clients, paginators, error types, the guard) is the real thing. There is
// no network.
package cloudtest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Call is one call that reached the stand-in.
type Call struct {
	Account, Region, Service, Operation, Action string
	// Role is the ARN of the role that the call was made with; empty through a Connector, and for the manager's own calls.
	Role string
	// RequestID is the id that the answer carries; empty through a Connector, and where the handler fails with an error that
	// is none of AWS's: then AWS does not answer.
	RequestID string
}

// Cloud is the stand-in. The zero value refuses every operation.
type Cloud struct {
	mu       sync.Mutex
	handlers map[reflect.Type]handler
	calls    []Call
	denied   map[string]error
	blank    map[string]bool
	sessions []Session
	roles    map[string]roleState
	// externalID is what roles ask of who assumes them; empty: nothing.
	externalID string
	requests   atomic.Int64
	// fault says how calls go wrong, faultCalls counts them.
	fault      func(n int, call Call) error
	faultCalls int
	// Admins maps a service to the account that administers it.
	Admins map[string]string
}

type handler struct {
	answer func(call Call, in any) (any, error)
	output reflect.Type
}

// Handle answers an operation, named by its input type. The handler of one operation is never run twice at a time.
func Handle[I, O any](c *Cloud, answer func(call Call, in *I) (*O, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handlers == nil {
		c.handlers = map[reflect.Type]handler{}
	}
	c.handlers[reflect.TypeFor[*I]()] = handler{output: reflect.TypeFor[O](), answer: func(call Call, in any) (any, error) {
		out, err := answer(call, in.(*I))
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// Error is an AWS error with a code, as a service answers it.
func Error(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// Deny refuses an IAM action from now on; a nil err stands for AccessDenied.
func (c *Cloud) Deny(action string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denied == nil {
		c.denied = map[string]error{}
	}
	if err == nil {
		err = Error("AccessDenied", "User is not authorized to perform: "+action)
	}
	c.denied[action] = err
}

// Allow takes a Deny back.
func (c *Cloud) Allow(action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.denied, action)
}

// Blank makes every operation behind an IAM action answer with an empty output from now on: AWS that says nothing.
func (c *Cloud) Blank(action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blank == nil {
		c.blank = map[string]bool{}
	}
	c.blank[action] = true
}

// Calls are the calls so far, refused ones included.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Call(nil), c.calls...)
}

// Reset forgets the calls so far.
func (c *Cloud) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

// Connector enters an account of the stand-in, with the real guard in front.
func (c *Cloud) Connector(account string) control.Connector { return &connector{c, account} }

type connector struct {
	cloud   *Cloud
	account string
}

// Config is a configuration whose calls end in the stand-in.
func (n *connector) Config(region string, actions []string) aws.Config {
	cfg := aws.Config{Region: region, Credentials: aws.AnonymousCredentials{}}
	cfg = cloud.Guarded(cfg, cloud.Guard{
		Account: n.account, Region: region, Actions: actions, Role: "arn:aws:iam::" + n.account + ":role/plumbline/Test",
	})
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Stand-in",
			func(ctx context.Context, in middleware.InitializeInput, _ middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error,
			) {
				out, err := n.cloud.answer(ctx, callOf(ctx, n.account, region), in.Parameters)
				return middleware.InitializeOutput{Result: out}, middleware.Metadata{}, err
			}), middleware.After)
	})
	return cfg
}

// Admin enters the administrator's account.
func (n *connector) Admin(service string) (control.Connector, string, error) {
	id, ok := n.cloud.Admins[service]
	if !ok {
		return nil, "", fmt.Errorf("%s: %w", service, cloud.ErrNoAdministrator)
	}
	return n.cloud.Connector(id), id, nil
}

func callOf(ctx context.Context, account, region string) Call {
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	return Call{Account: account, Region: region, Service: service, Operation: operation, Action: cloud.ActionOf(service, operation)}
}

func (c *Cloud) answer(ctx context.Context, call Call, in any) (any, error) {
	if err := c.goesWrong(ctx, call); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
	if err := c.denied[call.Action]; err != nil {
		return nil, err
	}
	h, ok := c.handlers[reflect.TypeOf(in)]
	switch {
	case !ok && call.Service == "STS":
		return c.security(call, in)
	case !ok:
		return nil, fmt.Errorf("cloudtest: no handler for %s.%s", call.Service, call.Operation)
	case c.blank[call.Action]:
		return reflect.New(h.output).Interface(), nil
	}
	return h.answer(call, in)
}
