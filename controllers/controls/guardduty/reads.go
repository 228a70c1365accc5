package guardduty

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// service is GuardDuty's name among the delegated administrators.
const service = "guardduty"

// detector is GuardDuty in one account and region; the zero value is its absence.
type detector struct {
	id      string
	enabled bool
	// frequency is how often findings that occur again are published.
	frequency types.FindingPublishingFrequency
	plans     states
}

// ownDetector is what an account answers for itself.
var ownDetector = control.Read[detector]{
	Key:     "guardduty.detector",
	Actions: []string{"guardduty:ListDetectors", "guardduty:GetDetector"},
	Do:      readDetector,
}

func readDetector(ctx context.Context, t *control.Target) (detector, error) {
	id, err := detectorID(ctx, t)
	if err != nil || id == "" {
		return detector{}, err
	}
	out, err := guardduty.NewFromConfig(t.AWS).GetDetector(ctx, &guardduty.GetDetectorInput{DetectorId: &id})
	if err != nil {
		return detector{}, fmt.Errorf("reading the detector: %w", err)
	}
	if out.Status != types.DetectorStatusEnabled && out.Status != types.DetectorStatusDisabled {
		return detector{}, control.Unexpected("GetDetector", "a status that is known")
	}
	if len(out.Features) == 0 {
		return detector{}, control.Unexpected("GetDetector", "features")
	}
	return detector{
		id: id, enabled: out.Status == types.DetectorStatusEnabled, frequency: out.FindingPublishingFrequency,
		plans: detectorPlans(out.Features),
	}, nil
}

// detectorID is empty where there is no detector. An account has at most one per region.
func detectorID(ctx context.Context, t *control.Target) (string, error) {
	out, err := guardduty.NewFromConfig(t.AWS).ListDetectors(ctx, &guardduty.ListDetectorsInput{})
	switch {
	case err != nil:
		return "", fmt.Errorf("listing detectors: %w", err)
	case out.DetectorIds == nil || len(out.DetectorIds) > 1:
		return "", control.Unexpected("ListDetectors", "a list of at most one detector")
	case len(out.DetectorIds) == 0:
		return "", nil
	case out.DetectorIds[0] == "":
		return "", control.Unexpected("ListDetectors", "an id")
	}
	return out.DetectorIds[0], nil
}

// administratorDetector is the id that every call about members needs.
func administratorDetector(ctx context.Context, admin *control.Target) (string, error) {
	id, err := detectorID(ctx, admin)
	if err == nil && id == "" {
		err = fmt.Errorf("GuardDuty's delegated administrator %s has no detector in %s", admin.Account, admin.Region)
	}
	return id, err
}

// atOnce is how many accounts one call about members may name, and the most that a page of them holds.
const atOnce = 50

// members is, per account, its relationship with the delegated administrator, in AWS's words.
var members = control.Shared[map[string]string]{
	Key: "guardduty.members", Service: service,
	Actions: []string{"guardduty:ListDetectors", "guardduty:ListMembers"},
	Do: func(ctx context.Context, admin *control.Target) (map[string]string, error) {
		id, err := administratorDetector(ctx, admin)
		if err != nil {
			return nil, err
		}
		found, next := map[string]string{}, ""
		pages := guardduty.NewListMembersPaginator(guardduty.NewFromConfig(admin.AWS),
			&guardduty.ListMembersInput{DetectorId: &id, MaxResults: aws.Int32(atOnce), OnlyAssociated: aws.String("true")},
			func(o *guardduty.ListMembersPaginatorOptions) { o.StopOnDuplicateToken = true })
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("listing members: %w", err)
			}
			for _, m := range page.Members {
				found[aws.ToString(m.AccountId)] = aws.ToString(m.RelationshipStatus)
			}
			next = aws.ToString(page.NextToken)
		}
		if next != "" {
			return nil, control.Unexpected("ListMembers", "an end")
		}
		return found, nil
	},
}

// associated understands the relationship: a member is Enabled, or Disabled when it is suspended. All others (Created,
// Invited, Removed, Resigned, two of e-mail verification) are none yet or no longer. The SDK has no enumeration; GuardDuty's
// API reference once listed these.
func associated(relationship string) (enabled, ok bool) {
	switch strings.ToLower(relationship) {
	case "enabled":
		return true, true
	case "disabled":
		return false, true
	}
	return false, false
}

// asksForOne says whether the administrator is asked for the one account: to verify a change of it, and where an event tells of
// it. Listing all members takes a hundred calls where there are thousands, one after the other.
func asksForOne(t *control.Target) bool { return t.Verifying || !t.Since.IsZero() }

// relationship is the account's with the delegated administrator; empty: it is no member.
func relationship(ctx context.Context, t *control.Target) (string, error) {
	if !asksForOne(t) {
		all, _, err := members.From(ctx, t)
		return all[t.Account], err
	}
	m, err := thisMember.From(ctx, t)
	return m.relationship, err
}

// oneMember is what the administrator says of one account, and the administrator's detector.
type oneMember struct{ detector, relationship string }

// thisMember asks for one account.
var thisMember = control.Read[oneMember]{
	Key:     "guardduty.member",
	Actions: []string{"guardduty:ListDetectors", "guardduty:GetMembers"},
	Do: func(ctx context.Context, t *control.Target) (oneMember, error) {
		m, err := enterAdministrator(ctx, t)
		if err != nil {
			return oneMember{}, err
		}
		how, err := m.relationship(ctx)
		return oneMember{m.detector, how}, err
	},
}

// relationshipNow asks for one account.
func relationshipNow(ctx context.Context, admin *control.Target, id, account string) (string, error) {
	out, err := guardduty.NewFromConfig(admin.AWS).GetMembers(ctx,
		&guardduty.GetMembersInput{DetectorId: &id, AccountIds: []string{account}})
	if err != nil {
		return "", fmt.Errorf("reading the member %s: %w", account, err)
	}
	for _, m := range out.Members {
		if aws.ToString(m.AccountId) == account {
			return aws.ToString(m.RelationshipStatus), nil
		}
	}
	if len(out.UnprocessedAccounts) == 0 {
		return "", control.Unexpected("GetMembers", "the account it was asked for")
	}
	return "", nil // so AWS says of accounts that are no members
}

// relation is how an account stands with the delegated administrator.
type relation int

const (
	// alone: the organization declares no administrator, or the account is it.
	alone relation = iota
	// outside: it is no member, and governs itself until it is made one.
	outside
	// member: the administrator governs it; AWS refuses changes from inside.
	member
	// unread: the administrator could not be asked.
	unread
)

// standing is GuardDuty in one account and region. Of a member only relation and enabled are known.
type standing struct {
	relation relation
	detector
}

// standingOf asks the administrator where there is one, once for all accounts. An account that is missing there is asked
// itself, and so is every account when the administrator cannot be asked.
func standingOf(ctx context.Context, t *control.Target) (standing, error) {
	var s standing
	if admin := t.Facts.Administrators[service]; admin != "" && admin != t.Account {
		how, err := relationship(ctx, t)
		enabled, ok := associated(how)
		switch {
		case err != nil:
			s.relation = unread
		case ok:
			return standing{relation: member, detector: detector{enabled: enabled}}, nil
		default:
			s.relation = outside
		}
	}
	var err error
	s.detector, err = ownDetector.From(ctx, t)
	return s, err
}

// resource names the detector without its id: there is one per account and region, members are known without their ids,
// and a row about a detector that is missing must be the same row once there is one.
func resource(t *control.Target) string { return t.ARN(service, "detector") }
