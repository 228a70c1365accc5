package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Facts are what is known of the organization and, in it, of the account in hand. They come from discovery.
type Facts struct {
	// OrganizationID is the id of the organization; empty before it was read.
	OrganizationID string
	// ManagementAccount is the id of the management account.
	ManagementAccount string
	// Administrators maps a service ("guardduty", "cloudtrail") to the account that administers it for the organization.
	Administrators map[string]string
	// Email is the account's e-mail address, which creating a GuardDuty member needs. Kept in memory only, never reported.
	Email string
	// JoinedAt is when the account joined the organization; zero when unknown.
	JoinedAt time.Time
	// AuditRole and EnforceRole are the ARNs of Plumbline's roles in the account.
	AuditRole, EnforceRole string
	// ExternalID is what the roles' trust policies must demand; empty when none is used.
	ExternalID string
	// EnforcerPrincipal is the ARN that the enforcer signs in with where hands are separate; empty where they are not.
	EnforcerPrincipal string
}

// A Connector makes AWS configurations for one account. The engine's goes to AWS, cloudtest's to its stand-in.
type Connector interface {
	// Config is a configuration for the account in a region that lets through only the given IAM actions.
	Config(region string, actions []string) aws.Config
	// Admin is a Connector into the account that administers a service for the organization, and that account's id.
	Admin(service string) (Connector, string, error)
}

// Target is all that a control may see: one account, in one region for a control of Region scope, else in the partition's
// home region.
type Target struct {
	// Account is the account's id, Partition its partition (aws, aws-cn, aws-us-gov), Region the region of AWS.
	Account, Partition, Region string
	// Regions are the regions that the check's baseline selects in this account.
	Regions []string
	// Facts are what discovery knows.
	Facts Facts
	// AWS is the configuration for Region. Clients are made where they are used; nothing stores them.
	AWS aws.Config
	// Now is the time of the pass.
	Now time.Time
	// Verifying is true when Observe runs to verify a change: then nothing may be answered from a Shared read.
	Verifying bool
	// Since is since when an answer must have been read to show what events tell of; zero: none tells of the check. Where it is
	// set, the one account is asked for rather than all accounts by a Shared read, which may take long.
	Since time.Time
	// Named are resources that are read live, whatever an Index says of them: those that events of the last hours name, as they
	// name them, and those that departed before; NamedMost of them. Whoever made the calls has chosen the names, so they are
	// only ever compared with names and ARNs that AWS lists.
	Named []string
	// SharedAge is how old an answer of a Shared read may be; zero, and anything longer, stands for SharedMaxAge.
	SharedAge time.Duration
	// Patience is how long it is waited for the answer of a Shared read that is under way; zero: until it is there. What was not
	// waited for makes the observation Late.
	Patience time.Duration

	connector Connector
	actions   []string
	memo      *Memo
	shared    *SharedMemo
	// facts is shared by the targets that are made from one another.
	facts *factAge
}

// NamedMost bounds Target.Named.
const NamedMost = 100

// NewTarget completes a target: t.AWS is made for t.Region and lets through only actions. memo holds the pass's reads
// (nil: every read is made afresh), shared those that answer for many accounts (nil: none is shared).
func NewTarget(t Target, c Connector, actions []string, memo *Memo, shared *SharedMemo) *Target {
	t.connector, t.actions, t.memo, t.shared, t.facts = c, actions, memo, shared, &factAge{}
	t.AWS = c.Config(t.Region, actions)
	return &t
}

// Config is the same account in another region, with the same permissions as t.AWS.
func (t *Target) Config(region string) aws.Config {
	return t.connector.Config(region, t.actions)
}

// In is the same target in another region.
func (t *Target) In(region string) *Target {
	if region == t.Region {
		return t
	}
	other := *t
	other.Region, other.AWS = region, t.Config(region)
	return &other
}

// Home is the same target in the partition's home region, where services without regions answer.
func (t *Target) Home() *Target { return t.In(HomeRegion(t.Partition)) }

// Admin is a Target in the account that administers service for the organization, in the same region: its own session, its
// own role, the guard bound to that account. An error when the organization declares none.
func (t *Target) Admin(service string) (*Target, error) {
	c, account, err := t.connector.Admin(service)
	if err != nil {
		return nil, fmt.Errorf("entering the %s administrator: %w", service, err)
	}
	admin := *t
	admin.Account, admin.connector = account, c
	admin.AWS = c.Config(t.Region, t.actions)
	return &admin, nil
}

// ARN makes an ARN in the target's partition, region and account.
func (t *Target) ARN(service, resource string) string {
	return "arn:" + t.Partition + ":" + service + ":" + t.Region + ":" + t.Account + ":" + resource
}

// GlobalARN makes an ARN of a service whose ARNs name no region, such as IAM.
func (t *Target) GlobalARN(service, resource string) string {
	return "arn:" + t.Partition + ":" + service + "::" + t.Account + ":" + resource
}

// HomeRegion is the region in which a partition's services without regions answer.
func HomeRegion(partition string) string {
	switch partition {
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-cn":
		return "cn-north-1"
	}
	return "us-east-1"
}

// Read is a read that several controls of one pass share: the first that asks makes it, with the actions the read declares,
// and the others wait for the same answer. Keys are unique per type.
type Read[T any] struct {
	// Key names the read: "s3.buckets". One of a single resource goes on with its name: "s3.tags.my-bucket".
	Key string
	// Actions are the IAM actions it uses. A control that uses the read declares them among its Reads.
	Actions []string
	// Do makes the read in the account and region of t.
	Do func(ctx context.Context, t *Target) (T, error)
}

// From is the answer for the account and region of t.
func (r Read[T]) From(ctx context.Context, t *Target) (T, error) {
	if t.memo == nil {
		return r.Do(WithPurpose(ctx, purposeOf(r.Key)), t.limitedTo(r.Actions))
	}
	e := t.memo.entry(memoKey{r.Key, t.Account, t.Region})
	e.once.Do(func() {
		// Should Do panic, whoever shares the read must not take its absence for an answer.
		e.err = fmt.Errorf("reading %s: %w", r.Key, ErrUnexpected)
		// The read runs under the pass's context: a sharer that gives up must not fail the others.
		limited := t.limitedTo(r.Actions)
		limited.facts = &e.facts
		e.value, e.err = r.Do(WithPurpose(t.memo.ctx, purposeOf(r.Key)), limited)
	})
	t.facts.from(e.facts.at())
	if e.facts.isLate() {
		t.facts.hurry()
	}
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	if e.err != nil {
		var zero T
		return zero, e.err
	}
	return as[T](r.Key, e.value)
}

// as is a kept answer with its type. Two reads that share a key and not a type are a fault that must not read as an empty
// answer.
func as[T any](key string, value any) (T, error) {
	v, ok := value.(T)
	if !ok && value != nil {
		return v, fmt.Errorf("%w: reading %s: the answer kept is a %T, which another read with the same key made", ErrUnexpected, key, value)
	}
	return v, nil
}

// limitedTo is the target with only the given actions let through.
func (t *Target) limitedTo(actions []string) *Target {
	limited := *t
	limited.actions = actions
	limited.AWS = t.connector.Config(t.Region, actions)
	return &limited
}

// Memo holds the shared reads of one pass.
type Memo struct {
	ctx     context.Context
	mu      sync.Mutex
	entries map[memoKey]*memoEntry
}

type memoKey struct{ key, account, region string }

type memoEntry struct {
	once  sync.Once
	value any
	err   error
	facts factAge
}

// NewMemo starts a pass's memo; ctx is the pass's.
func NewMemo(ctx context.Context) *Memo {
	return &Memo{ctx: ctx, entries: map[memoKey]*memoEntry{}}
}

func (m *Memo) entry(k memoKey) *memoEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[k]
	if e == nil {
		e = &memoEntry{}
		m.entries[k] = e
	}
	return e
}
