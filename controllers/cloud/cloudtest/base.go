package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Manager is the account that the manager's own credentials belong to.
const Manager = "999900009999"

// Session is one role that was assumed.
type Session struct {
	// Role is its ARN, Account whom the credentials belong to.
	Role, Account string
	// Name, ExternalID and Policy were sent with AssumeRole.
	Name, ExternalID, Policy string
	// Region is where STS was asked, Duration for how long.
	Region   string
	Duration time.Duration
}

// roleState is what a test says of a role.
type roleState struct {
	err       error
	leadsTo   string
	anonymous bool
	open      bool
}

// DenyRole refuses to let a role be assumed; a nil err takes that back.
func (c *Cloud) DenyRole(arn string, err error) { c.role(arn, func(r *roleState) { r.err = err }) }

// LeadRole makes a role's credentials belong to another account than its ARN says; empty takes that back.
func (c *Cloud) LeadRole(arn, account string) {
	c.role(arn, func(r *roleState) { r.leadsTo = account })
}

// AnonymousRole makes AssumeRole not say whose the credentials of a role are, so that only GetCallerIdentity tells.
func (c *Cloud) AnonymousRole(arn string) { c.role(arn, func(r *roleState) { r.anonymous = true }) }

// Trust makes every role let in only callers that send this ExternalId; empty takes that back.
func (c *Cloud) Trust(externalID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.externalID = externalID
}

// OpenRole makes a role let in everybody, with or without an ExternalId.
func (c *Cloud) OpenRole(arn string) { c.role(arn, func(r *roleState) { r.open = true }) }

func (c *Cloud) role(arn string, change func(*roleState)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roles == nil {
		c.roles = map[string]roleState{}
	}
	r := c.roles[arn]
	change(&r)
	c.roles[arn] = r
}

// Sessions are the roles that were assumed so far.
func (c *Cloud) Sessions() []Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Session(nil), c.sessions...)
}

type inputKey struct{}

// Base is a configuration for cloud.New: requests are built, signed and tried again as for AWS, and answered by the stand-in
// where they would be sent. It answers AssumeRole and GetCallerIdentity by itself; whose a call is follows from the
// credentials that it was signed with. Nothing waits between two tries.
func (c *Cloud) Base() aws.Config {
	return aws.Config{
		Region: "eu-central-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "MANAGER", SecretAccessKey: "secret", Source: "cloudtest"}, nil
		}),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
		APIOptions: []func(*middleware.Stack) error{c.standIn},
	}
}

func (c *Cloud) standIn(stack *middleware.Stack) error {
	err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("RememberInput", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(middleware.WithStackValue(ctx, inputKey{}, in.Parameters), in)
	}), middleware.Before)
	if err != nil {
		return err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Stand-in", func(
		ctx context.Context, in middleware.DeserializeInput, _ middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		request, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.DeserializeOutput{}, middleware.Metadata{}, errors.New("cloudtest: no HTTP request")
		}
		call := callOf(ctx, Manager, awsmiddleware.GetRegion(ctx))
		if s, ok := c.signedWith(request.Header.Get("Authorization")); ok {
			call.Account, call.Role = s.Account, s.Role
		}
		call.RequestID = fmt.Sprintf("request-%d", c.requests.Add(1))
		out, err := c.answer(ctx, call, middleware.GetStackValue(ctx, inputKey{}))
		var metadata middleware.Metadata
		if answered(err) {
			awsmiddleware.SetRequestIDMetadata(&metadata, call.RequestID)
		}
		return middleware.DeserializeOutput{Result: out}, metadata, err
	}), middleware.Before)
}

// answered says whether AWS answered: a handler's error that is none of AWS's stands for a connection that broke.
func answered(err error) bool {
	var api smithy.APIError
	return err == nil || errors.As(err, &api)
}

// keyPrefix begins the access key ids of roles; the number of the session follows.
const keyPrefix = "ASIASESSION"

func (c *Cloud) signedWith(authorization string) (Session, bool) {
	_, key, _ := strings.Cut(authorization, "Credential="+keyPrefix)
	var n int
	if _, err := fmt.Sscanf(key, "%d/", &n); err != nil {
		return Session{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[n], true
}

// security answers for STS. The lock is held.
func (c *Cloud) security(call Call, in any) (any, error) {
	switch in := in.(type) {
	case *sts.AssumeRoleInput:
		return c.assumeRole(call, in)
	case *sts.GetCallerIdentityInput:
		return &sts.GetCallerIdentityOutput{Account: aws.String(call.Account), Arn: aws.String(callerARN(call))}, nil
	}
	return nil, fmt.Errorf("cloudtest: no handler for %s.%s", call.Service, call.Operation)
}

// callerARN is whose a call is.
func callerARN(call Call) string {
	if call.Role == "" {
		return "arn:aws:iam::" + call.Account + ":user/manager"
	}
	return strings.Replace(strings.Replace(call.Role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/session"
}

func (c *Cloud) assumeRole(call Call, in *sts.AssumeRoleInput) (any, error) {
	arn := aws.ToString(in.RoleArn)
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || !strings.HasPrefix(parts[5], "role/") {
		return nil, Error("ValidationError", arn+" is invalid")
	}
	role := c.roles[arn]
	switch {
	case role.err != nil:
		return nil, role.err
	case c.externalID != "" && !role.open && aws.ToString(in.ExternalId) != c.externalID:
		return nil, Refused()
	}
	s := Session{
		Role: arn, Account: parts[4], Name: aws.ToString(in.RoleSessionName), ExternalID: aws.ToString(in.ExternalId),
		Policy: aws.ToString(in.Policy), Region: call.Region, Duration: time.Duration(aws.ToInt32(in.DurationSeconds)) * time.Second,
	}
	if role.leadsTo != "" {
		s.Account = role.leadsTo
	}
	out := &sts.AssumeRoleOutput{Credentials: &types.Credentials{
		AccessKeyId: aws.String(fmt.Sprintf("%s%d", keyPrefix, len(c.sessions))), SecretAccessKey: aws.String("secret"),
		SessionToken: aws.String("token"), Expiration: aws.Time(time.Now().Add(s.Duration)),
	}}
	if !role.anonymous {
		out.AssumedRoleUser = &types.AssumedRoleUser{
			Arn: aws.String("arn:" + parts[1] + ":sts::" + s.Account + ":assumed-role/" + strings.TrimPrefix(parts[5], "role/") + "/" + s.Name),
		}
	}
	c.sessions = append(c.sessions, s)
	return out, nil
}
