package guardduty

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/aws/smithy-go"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// memberAnswers are the plans of members, and why AWS did not tell those of others.
type memberAnswers struct {
	plans   map[string]states
	refused map[string]string
}

// membersPlans are the plans of every member that is on, 50 at a time.
var membersPlans = control.Shared[memberAnswers]{
	Key: "guardduty.members-plans", Service: service,
	Actions: []string{"guardduty:ListDetectors", "guardduty:ListMembers", "guardduty:GetMemberDetectors"},
	Do: func(ctx context.Context, admin *control.Target) (memberAnswers, error) {
		found := memberAnswers{plans: map[string]states{}, refused: map[string]string{}}
		all, _, err := members.From(ctx, admin)
		if err != nil {
			return found, err
		}
		id, err := administratorDetector(ctx, admin)
		if err != nil {
			return found, err
		}
		var ids []string
		for account, how := range all {
			if enabled, _ := associated(how); enabled {
				ids = append(ids, account)
			}
		}
		slices.Sort(ids)
		// Thousands of members are a hundred calls; the rate limit spaces them.
		var g control.Group
		g.SetLimit(membersSideBySide)
		var mu sync.Mutex
		for some := range slices.Chunk(ids, atOnce) {
			g.Go(func() error {
				part := memberAnswers{plans: map[string]states{}, refused: map[string]string{}}
				if err := part.read(ctx, admin, id, some); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(found.plans, part.plans)
				maps.Copy(found.refused, part.refused)
				return nil
			})
		}
		return found, g.Wait()
	},
}

// membersSideBySide is how many calls about members are under way at a time in one region.
const membersSideBySide = 5

func (m *memberAnswers) read(ctx context.Context, admin *control.Target, id string, accounts []string) error {
	out, err := guardduty.NewFromConfig(admin.AWS).GetMemberDetectors(ctx,
		&guardduty.GetMemberDetectorsInput{DetectorId: &id, AccountIds: accounts})
	if err != nil {
		return fmt.Errorf("reading the plans of members: %w", err)
	}
	for _, c := range out.MemberDataSourceConfigurations {
		if len(c.Features) > 0 {
			m.plans[aws.ToString(c.AccountId)] = memberPlans(c.Features)
		}
	}
	for _, u := range out.UnprocessedAccounts {
		m.refused[aws.ToString(u.AccountId)] = control.Bounded(aws.ToString(u.Result), 256)
	}
	return nil
}

// errLeftOut says that AWS answered for other accounts and not for this one.
var errLeftOut = errors.New("GetMemberDetectors left the account out")

// of is what was said of one account.
func (m memberAnswers) of(account string) (states, error) {
	if s, ok := m.plans[account]; ok {
		return s, nil
	}
	if why := m.refused[account]; why != "" {
		return states{}, fmt.Errorf("%w: %s", errLeftOut, why)
	}
	return states{}, errLeftOut
}

// plansOfMember asks the administrator: for all members at once, or for this one.
func plansOfMember(ctx context.Context, t *control.Target) (states, error) {
	if !asksForOne(t) {
		all, _, err := membersPlans.From(ctx, t)
		if err != nil {
			return states{}, err
		}
		return all.of(t.Account)
	}
	admin, err := t.Admin(service)
	if err != nil {
		return states{}, err
	}
	m, err := thisMember.From(ctx, t)
	if err != nil {
		return states{}, err
	}
	return membership{admin: admin, detector: m.detector, account: t.Account}.plans(ctx)
}

// membership is one account seen from its delegated administrator, for a change.
type membership struct {
	admin *control.Target
	// detector is the administrator's.
	detector string
	account  string
}

func enterAdministrator(ctx context.Context, t *control.Target) (membership, error) {
	admin, err := t.Admin(service)
	if err != nil {
		return membership{}, err
	}
	id, err := administratorDetector(ctx, admin)
	return membership{admin: admin, detector: id, account: t.Account}, err
}

func (m membership) relationship(ctx context.Context) (string, error) {
	return relationshipNow(ctx, m.admin, m.detector, m.account)
}

func (m membership) plans(ctx context.Context) (states, error) {
	one := memberAnswers{plans: map[string]states{}, refused: map[string]string{}}
	if err := one.read(ctx, m.admin, m.detector, []string{m.account}); err != nil {
		return states{}, err
	}
	return one.of(m.account)
}

// enable makes an account a member, or resumes it. As the organization's administrator CreateMembers turns GuardDuty on
// in the account, with the plans that the organization's configuration names.
func (m membership) enable(ctx context.Context, email string) error {
	how, err := m.relationship(ctx)
	if err != nil {
		return err
	}
	api := guardduty.NewFromConfig(m.admin.AWS)
	switch enabled, ok := associated(how); {
	case enabled:
		return nil
	case ok:
		out, err := api.StartMonitoringMembers(ctx,
			&guardduty.StartMonitoringMembersInput{DetectorId: &m.detector, AccountIds: []string{m.account}})
		if err != nil {
			return refused("resuming the member", err)
		}
		return unprocessed("resuming the member", out.UnprocessedAccounts)
	case email == "":
		return errors.New("the account's e-mail address, which CreateMembers needs, is not known")
	}
	out, err := api.CreateMembers(ctx, &guardduty.CreateMembersInput{
		DetectorId:     &m.detector,
		AccountDetails: []types.AccountDetail{{AccountId: &m.account, Email: &email}},
	})
	if err != nil {
		return refused("adding the account as a member", err)
	}
	return unprocessed("adding the account as a member", out.UnprocessedAccounts)
}

// suspend stops GuardDuty in a member; findings and settings stay.
func (m membership) suspend(ctx context.Context) error {
	how, err := m.relationship(ctx)
	if err != nil {
		return err
	}
	if enabled, ok := associated(how); ok && !enabled {
		return nil
	}
	out, err := guardduty.NewFromConfig(m.admin.AWS).StopMonitoringMembers(ctx,
		&guardduty.StopMonitoringMembersInput{DetectorId: &m.detector, AccountIds: []string{m.account}})
	if err != nil {
		return refused("suspending the member", err)
	}
	return unprocessed("suspending the member", out.UnprocessedAccounts)
}

func (m membership) setPlans(ctx context.Context, features []types.MemberFeaturesConfiguration) error {
	out, err := guardduty.NewFromConfig(m.admin.AWS).UpdateMemberDetectors(ctx, &guardduty.UpdateMemberDetectorsInput{
		DetectorId: &m.detector, AccountIds: []string{m.account}, Features: features,
	})
	if err != nil {
		return refused("setting the member's plans", err)
	}
	return unprocessed("setting the member's plans", out.UnprocessedAccounts)
}

// unprocessed makes an error of the accounts that AWS names in an answer that otherwise says all went well.
func unprocessed(doing string, accounts []types.UnprocessedAccount) error {
	if len(accounts) == 0 {
		return nil
	}
	return refused(doing, &smithy.GenericAPIError{
		Code: "UnprocessedAccounts", Message: control.Bounded(aws.ToString(accounts[0].Result), 256),
	})
}

// refused tells a refusal because an organization's GuardDuty policy decides the setting from all others.
func refused(doing string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && byPolicy(api.ErrorMessage()) {
		return fmt.Errorf("%s: %w: %w", doing, control.ErrManagedByPolicy, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// byPolicy goes by the message: AWS has no code for it. "Managed protection plans are read-only in the console and the
// API" (GuardDuty user guide, considerations for organization policies); its wording is not documented.
func byPolicy(message string) bool {
	message = strings.ToLower(message)
	return strings.Contains(message, "organization policy") || strings.Contains(message, "organizations policy") ||
		strings.Contains(message, "guardduty policy") || strings.Contains(message, "guardduty_policy")
}
