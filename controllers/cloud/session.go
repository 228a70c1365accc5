// Package cloud is Plumbline's way into AWS: sessions bound to one account each, the guard that lets through only what a
// control declared, rate limits, region discovery, and the reads of AWS Organizations that discovery needs.
package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// ErrWrongAccount marks credentials that belong to another account than the one they were asked for. Nothing is called
// with them.
var ErrWrongAccount = control.ErrWrongAccount

// ErrNoAdministrator says that the organization declares no delegated administrator for the service.
var ErrNoAdministrator = errors.New("the AWSOrganization names no delegated administrator for the service")

// Account is what is needed to enter an account.
type Account struct {
	// ID is the account's id, Partition its partition.
	ID, Partition string
	// AuditRole and EnforceRole are role ARNs in the account.
	AuditRole, EnforceRole string
	// ExternalID is sent with AssumeRole; empty sends none.
	ExternalID string
	// Problem, when it is not empty, says why the account cannot be entered.
	Problem string
}

// Cloud makes sessions. It holds one HTTP transport, the credentials of every account in use and the rate limits.
type Cloud struct {
	base     aws.Config
	observer Observer
	clock    func() time.Time
	patience Patience
	limiters limiters
	requests requests
	slots    slots
	circuits circuits
	retries  *retries

	mu          sync.Mutex
	credentials map[Account]*boundCredentials
	regions     map[string]regionList
}

// New makes a Cloud from the manager's own configuration (its credential chain, transport and endpoint). observer may be
// nil. clock is time.Now except in tests.
func New(base aws.Config, observer Observer, clock func() time.Time) *Cloud {
	if observer == nil {
		observer = func(Attempt) {}
	}
	return &Cloud{
		base: base, observer: observer, clock: clock, requests: newRequests(), retries: newRetries(base, clock),
		patience:    Patience{Read: 10 * time.Second, Write: 30 * time.Second},
		credentials: map[Account]*boundCredentials{}, regions: map[string]regionList{},
	}
}

// Session is one account entered with its audit role. It makes configurations for controls.
type Session struct {
	cloud  *Cloud
	owner  Account
	admins map[string]Account
	role   string
	creds  *boundCredentials
	// enforce, on a session that writes, is what an administrator's session is made for; entered are those made so far.
	enforce *Change
	mu      sync.Mutex
	entered map[string]*Session
}

var _ control.Connector = (*Session)(nil)

// Session enters an account to read. admins are the delegated administrators, by service. Nothing is called yet.
func (c *Cloud) Session(a Account, admins map[string]Account) *Session {
	return &Session{cloud: c, owner: a, admins: admins, role: a.AuditRole, creds: c.auditCredentials(a)}
}

// Change is what a writing session is opened for.
type Change struct {
	// Control is the id of the control that writes.
	Control string
	// Actions are all it may do: they become the inline session policy, so that AWS refuses what the guard would.
	Actions []string
	// Entered is called with each administrator's account the change goes through before it is written to. May be nil.
	Entered func(account string)
}

// Enforce enters the account with its enforce role for one change, for 15 minutes at most.
func (s *Session) Enforce(ch Change) *Session {
	return &Session{
		cloud: s.cloud, owner: s.owner, admins: s.admins, role: s.owner.EnforceRole, enforce: &ch,
		creds: s.cloud.enforceCredentials(s.owner, ch),
	}
}

// Reach makes sure that the session's role can be assumed and leads into the right account.
func (s *Session) Reach(ctx context.Context) error {
	_, err := s.creds.Retrieve(ctx)
	return err
}

// Config is a configuration for the account in region that lets through only the given IAM actions.
func (s *Session) Config(region string, actions []string) aws.Config {
	cfg := s.cloud.base.Copy()
	cfg.Region = region
	cfg.Credentials = s.creds
	at := place{s.owner.ID, region, s.enforce != nil}
	cfg.Retryer = s.cloud.retries.retryer(at)
	cfg.APIOptions = append(slices.Clip(cfg.APIOptions), s.cloud.slots.calls(region), s.cloud.attempts(at), s.creds.renew)
	return Guarded(cfg, Guard{Account: s.owner.ID, Region: region, Role: s.role, Actions: actions})
}

// Admin is a session into the account that administers a service: with its audit role, or on a writing session with its
// enforce role and the same permissions.
func (s *Session) Admin(service string) (control.Connector, string, error) {
	a, ok := s.admins[service]
	switch {
	case !ok:
		return nil, "", fmt.Errorf("%s: %w", service, ErrNoAdministrator)
	case a.Problem != "":
		return nil, "", fmt.Errorf("account %s: %s", a.ID, a.Problem)
	case s.enforce == nil:
		return s.cloud.Session(a, s.admins), a.ID, nil
	}
	if s.enforce.Entered != nil {
		s.enforce.Entered(a.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entered[a.ID] == nil {
		if s.entered == nil {
			s.entered = map[string]*Session{}
		}
		s.entered[a.ID] = s.cloud.Session(a, s.admins).Enforce(*s.enforce)
	}
	return s.entered[a.ID], a.ID, nil
}

// Forget drops the account's cached credentials and regions, so that the next session asks again.
func (c *Cloud) Forget(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a := range c.credentials {
		if a.ID == account {
			delete(c.credentials, a)
		}
	}
	delete(c.regions, account)
}

func (c *Cloud) auditCredentials(a Account) *boundCredentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.credentials[a]; ok {
		return p
	}
	p := c.assume(a, a.AuditRole, "plumbline-audit", func(o *stscreds.AssumeRoleOptions) {
		o.Duration = time.Hour // role chaining allows no more
	})
	c.credentials[a] = p
	return p
}

// sessionNameLimit is AWS's for RoleSessionName.
const sessionNameLimit = 64

func (c *Cloud) enforceCredentials(a Account, ch Change) *boundCredentials {
	name := "plumbline-" + ch.Control
	name = name[:min(len(name), sessionNameLimit)]
	return c.assume(a, a.EnforceRole, name, func(o *stscreds.AssumeRoleOptions) {
		o.Duration = 15 * time.Minute // the shortest AWS offers
		o.Policy = aws.String(sessionPolicy(ch.Actions))
	})
}

// sessionPolicy allows just the given actions; what the role itself may not do stays refused.
func sessionPolicy(actions []string) string {
	actions = slices.Compact(slices.Sorted(slices.Values(actions)))
	raw, err := json.Marshal(map[string]any{
		"Version":   "2012-10-17",
		"Statement": []any{map[string]any{"Effect": "Allow", "Action": actions, "Resource": "*"}},
	})
	if err != nil {
		panic("encoding strings as JSON: " + err.Error())
	}
	return string(raw)
}

func (c *Cloud) assume(a Account, role, name string, options func(*stscreds.AssumeRoleOptions)) *boundCredentials {
	// The client is made when it is needed, once an hour: thousands of accounts would keep one each.
	provider := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return stscreds.NewAssumeRoleProvider(sts.NewFromConfig(c.stsConfig(a)), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = name
			if a.ExternalID != "" {
				o.ExternalID = aws.String(a.ExternalID)
			}
			options(o)
		}).Retrieve(ctx)
	})
	return &boundCredentials{
		account: a.ID, region: c.stsRegion(a.Partition), role: role,
		inner: aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = time.Minute
		}),
		whoAmI: func(ctx context.Context, creds aws.CredentialsProvider) (string, error) {
			own := c.stsConfig(a)
			own.Credentials = creds
			out, err := sts.NewFromConfig(own).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			if err != nil {
				return "", err
			}
			return aws.ToString(out.Account), nil
		},
	}
}

// stsConfig is the configuration with which STS is asked about an account, with the manager's own credentials.
func (c *Cloud) stsConfig(a Account) aws.Config {
	cfg := c.base.Copy()
	cfg.Region = c.stsRegion(a.Partition)
	cfg.Retryer = c.retries.retryer(place{region: cfg.Region}) // one quota for all accounts: it is one and the same STS
	cfg.APIOptions = append(slices.Clip(cfg.APIOptions), c.attempts(place{account: a.ID, region: cfg.Region}))
	return cfg
}

// stsRegion is where STS is asked: the manager's own region where it lies in the partition, else the partition's home
// region. Never the global endpoint, whose tokens fail in opt-in regions.
func (c *Cloud) stsRegion(partition string) string {
	if r := c.base.Region; r != "" && partitionOf(r) == partition {
		return r
	}
	return control.HomeRegion(partition)
}

func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// boundCredentials hands out credentials only if they belong to the account. The SDK asks on every attempt, so every single
// request is checked.
type boundCredentials struct {
	account, region, role string
	inner                 *aws.CredentialsCache
	whoAmI                func(context.Context, aws.CredentialsProvider) (string, error)

	mu      sync.Mutex
	checked string // the access key id whose account was asked for
}

// Retrieve returns the credentials, or an error that says how assuming the role failed.
func (b *boundCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := b.retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &control.CallError{
			Service: "STS", Operation: "AssumeRole", Action: "sts:AssumeRole",
			Account: b.account, Region: b.region, Role: b.role, Err: err,
		}
	}
	return creds, nil
}

func (b *boundCredentials) retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx = control.WithPurpose(ctx, control.PurposeSession)
	creds, err := b.inner.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	account := creds.AccountID
	if account == "" {
		if account, err = b.ask(ctx, creds); err != nil {
			return aws.Credentials{}, err
		}
	}
	if account != b.account {
		b.inner.Invalidate() // the role may be mended by the next time
		return aws.Credentials{}, fmt.Errorf("%w: wanted %s, got %s", ErrWrongAccount, b.account, account)
	}
	return creds, nil
}

// expiredCodes say that credentials are good no more, whatever their expiry says: the role was made anew, or its sessions
// were revoked. RequestExpired is EC2's word for it, InvalidAccessKeyId and TokenRefreshRequired are S3's.
var expiredCodes = []string{
	"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "RequestExpired",
	"InvalidAccessKeyId", "TokenRefreshRequired",
}

// renew has the role assumed anew for the next call once AWS no longer accepts the credentials.
func (b *boundCredentials) renew(stack *middleware.Stack) error {
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("PlumblineRenew", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleFinalize(ctx, in)
		if control.IsCode(err, expiredCodes...) {
			b.inner.Invalidate()
		}
		return out, metadata, err
	}), middleware.After)
}

// ask finds out whose the credentials are where their source does not say, once per credentials.
func (b *boundCredentials) ask(ctx context.Context, creds aws.Credentials) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.checked == creds.AccessKeyID {
		return b.account, nil
	}
	account, err := b.whoAmI(ctx, aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return creds, nil }))
	if err != nil {
		return "", fmt.Errorf("asking whose credentials these are: %w", err)
	}
	if account == b.account {
		b.checked = creds.AccessKeyID
	}
	return account, nil
}
