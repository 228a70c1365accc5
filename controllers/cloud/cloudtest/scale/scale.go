// Package scale stands in for AWS with thousands of accounts. Every answer follows from the account's id, the region and the
// name that is asked for, so that an account costs no memory; no lock is shared by two calls of different accounts, and of
// the calls only counters are kept. Like cloudtest it stands in the SDK's own middleware: requests are built, signed and
// tried again as for AWS, and answered where they would be sent.
//
// It answers what Plumbline's controls, sessions and discovery ask for in Audit, with latency, rate limits and faults that
// the caller sets. Of writes it takes a few, one of each sort (writes.go): what was written is kept.
package scale

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Options say how large the organization is and how AWS behaves. The zero value is one account that answers at once.
type Options struct {
	// Accounts is the size of the organization, the management account and the GuardDuty administrator among them; default 2.
	Accounts int
	// Regions are those enabled in every account; default the 17 that AWS enables by itself.
	Regions []string
	// Buckets and Users are per account, Keys (customer managed, in KMS) and Volumes (unencrypted ones, where they depart)
	// per account and region. Defaults 20, 10, 1, 1. Less than zero: none.
	Buckets, Users, Keys, Volumes int
	// Drift is the share of settings that depart, 0 to 1, the same ones every time. The settings of the organization as a whole
	// (its trail, GuardDuty's administrator) never do.
	Drift float64
	// Drifts are the shares of single settings, by their name here ("ebs-default", "policy", "versioning"), in place of Drift.
	Drifts map[string]float64
	// Latency is how long answers take; zero: no time.
	Latency Latency
	// Limited has AWS's rate limits obeyed: see limits.
	Limited bool
	// ReportsExpire has every account's credential report made when it is asked for and expire four hours later, which takes
	// 16 bytes per account that asks. Otherwise a report is always there.
	ReportsExpire bool
	// ExternalID is what the roles' trust policies demand.
	ExternalID string
	// Clock is the time; default time.Now.
	Clock func() time.Time
}

func (o Options) defaults() Options {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
		*v = max(*v, 0)
	}
	o.Accounts = max(o.Accounts, 2)
	set(&o.Buckets, 20)
	set(&o.Users, 10)
	set(&o.Keys, 1)
	set(&o.Volumes, 1)
	if len(o.Regions) == 0 {
		o.Regions = DefaultRegions()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Cloud is the stand-in. It is safe for concurrent use.
type Cloud struct {
	Options
	operations map[reflect.Type]*operation
	// names are the operations by "service.operation", as the SDK spells them.
	names map[string]*operation
	// since is when the stand-in was made: the dates in its answers are counted from there.
	since   time.Time
	buckets buckets
	faults  atomic.Pointer[Faults]
	written sync.Map
	reports reports
	// generation is that of the credentials that are good.
	generation         atomic.Int64
	inFlight, mostSeen atomic.Int64
	answered, received atomic.Int64
	messages           chan string
}

// New makes a stand-in.
func New(o Options) *Cloud {
	c := &Cloud{
		Options: o.defaults(), operations: map[reflect.Type]*operation{}, names: map[string]*operation{},
		messages: make(chan string, queueLength),
	}
	c.since = c.Clock().UTC().Truncate(time.Second)
	c.faults.Store(&Faults{})
	for _, register := range []func(*Cloud){sts, ec2, rds, kms, guardDuty, cloudTrail, iam, iamUsers, s3, organizations, sqs, takeWrites} {
		register(c)
	}
	return c
}

// Call is one call: whose account it is made in, where, and what is called.
type Call struct {
	// Account is whom the credentials belong to; Manager for the manager's own.
	Account, Region string
	// Generation is that of the credentials, 0 for the manager's own.
	Generation int64
}

// operation is one that is answered, with what is counted of it.
type operation struct {
	service, name string
	row           int
	answer        func(call Call, in any) (any, error)
	input         reflect.Type

	calls, throttled, failed atomic.Int64
}

// on answers an operation of a service, named by its input type.
func on[I, O any](c *Cloud, service string, answer func(call Call, in *I) (*O, error)) {
	input := reflect.TypeFor[I]()
	name := strings.TrimSuffix(input.Name(), "Input")
	op := &operation{
		service: service, name: name, row: rowOf(service, name), input: input,
		answer: func(call Call, in any) (any, error) {
			out, err := answer(call, in.(*I))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
	c.operations[reflect.TypeFor[*I]()] = op
	c.names[service+"."+name] = op
}

// fail is an AWS error with a code, as a service answers it.
func fail(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }

// Input is an empty input of the operation, named "service.operation" as the SDK spells them; nil for one without an answer.
func (c *Cloud) Input(name string) any {
	op := c.names[name]
	if op == nil {
		return nil
	}
	return reflect.New(op.input).Interface()
}

// Manager is the account that the manager's own credentials belong to.
const Manager = "999900009999"

// Answer answers one call, after its latency. It ends early when ctx does.
func (c *Cloud) Answer(ctx context.Context, call Call, in any) (any, error) {
	op := c.operations[reflect.TypeOf(in)]
	if op == nil {
		return nil, fmt.Errorf("scale: no answer to a %T; add one", in)
	}
	if err := c.await(ctx, in); err != nil {
		return nil, err
	}
	seen := c.inFlight.Add(1)
	defer c.inFlight.Add(-1)
	for most := c.mostSeen.Load(); seen > most && !c.mostSeen.CompareAndSwap(most, seen); {
		most = c.mostSeen.Load()
	}
	op.calls.Add(1)
	if err := c.weather(ctx, op, call); err != nil {
		if isThrottling(err) {
			op.throttled.Add(1)
		} else {
			op.failed.Add(1)
		}
		return nil, err
	}
	return op.answer(call, in)
}

// requestID is an id for a request, as long as AWS's are and never given twice.
func (c *Cloud) requestID() string {
	n := c.answered.Add(1)
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n>>32), n) //nolint:gosec // the upper half
}

type inputKey struct{}

// Base is a configuration for cloud.New. Where answers take no time, nothing waits between two tries either.
func (c *Cloud) Base() aws.Config {
	cfg := aws.Config{
		Region: "eu-central-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "MANAGER", SecretAccessKey: "secret", Source: "scale"}, nil
		}),
		APIOptions: []func(*middleware.Stack) error{c.standIn},
	}
	if c.Latency == (Latency{}) {
		cfg.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		}
	}
	return cfg
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
			return middleware.DeserializeOutput{}, middleware.Metadata{}, errors.New("scale: no HTTP request")
		}
		call := CallOf(request.Header.Get("Authorization"), awsmiddleware.GetRegion(ctx))
		out, err := c.Answer(ctx, call, middleware.GetStackValue(ctx, inputKey{}))
		var metadata middleware.Metadata
		awsmiddleware.SetRequestIDMetadata(&metadata, c.requestID())
		return middleware.DeserializeOutput{Result: out}, metadata, err
	}), middleware.Before)
}
