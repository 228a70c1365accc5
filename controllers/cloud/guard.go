package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// ErrUndeclared marks a call that was refused before it left the process, because the control that made it has not declared
// the action.
var ErrUndeclared = control.ErrUndeclared

// Guard says what the calls of one configuration may do.
type Guard struct {
	// Account, Region and Role are those the calls are made with.
	Account, Region, Role string
	// Actions are the IAM actions that are let through.
	Actions []string
}

// Guarded returns cfg with a guard: an operation whose IAM action is not among the guard's, or that is missing in the table
// of actions, is refused before anything is sent, and every error says which call failed, where and with which role.
func Guarded(cfg aws.Config, g Guard) aws.Config {
	cfg.APIOptions = append(slices.Clip(cfg.APIOptions), func(stack *middleware.Stack) error {
		if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PlumblineGuard", g.handle), middleware.After); err != nil {
			return err
		}
		return stack.Build.Add(middleware.BuildMiddlewareFunc("PlumblineBucketOwner", g.expectBucketOwner), middleware.After)
	})
	return cfg
}

func (g Guard) handle(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error,
) {
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	action := ActionOf(service, operation)
	call := control.CallError{Service: service, Operation: operation, Action: action, Account: g.Account, Region: g.Region, Role: g.Role}
	if action == "" || !slices.Contains(g.Actions, action) {
		call.Err = fmt.Errorf("%w: %s.%s (%s) is not declared", ErrUndeclared, service, operation, action)
		return middleware.InitializeOutput{}, middleware.Metadata{}, &call
	}
	out, metadata, err := next.HandleInitialize(ctx, in)
	var inner *control.CallError
	if err != nil && !errors.As(err, &inner) { // where the role could not be assumed, that call failed and not this one
		call.Err = err
		err = &call
	}
	return out, metadata, err
}

// withoutBucket are the S3 operations that name no bucket.
var withoutBucket = []string{"ListBuckets"}

// expectBucketOwner makes S3 refuse a request for a bucket that is not the account's: a bucket that was deleted and made
// again by somebody else is never read or written.
func (g Guard) expectBucketOwner(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (
	middleware.BuildOutput, middleware.Metadata, error,
) {
	if awsmiddleware.GetServiceID(ctx) == "S3" && !slices.Contains(withoutBucket, awsmiddleware.GetOperationName(ctx)) {
		if req, ok := in.Request.(*smithyhttp.Request); ok {
			req.Header.Set("x-amz-expected-bucket-owner", g.Account)
		}
	}
	return next.HandleBuild(ctx, in)
}
