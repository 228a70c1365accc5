package stack

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// accountIDTag is the tag by which the emulator gives a new account its id.
const accountIDTag = "emulator:account-id"

// An AccountSeed is one member account to be made.
type AccountSeed struct {
	ID   string
	Name string
	// OU is the path of its organizational unit from the root, "Workloads/Prod"; empty for the root itself.
	OU   string
	Tags map[string]string
}

// An OrganizationSeed is an organization to be made.
type OrganizationSeed struct {
	Accounts []AccountSeed
	// OUs are paths of organizational units; those of the accounts need not be repeated.
	OUs []string
	// Roles are made in every member account; nil makes none.
	Roles *RoleSeed
}

// An Organization is what was made.
type Organization struct {
	ID     string
	RootID string
	// OUs are the ids of the organizational units by path.
	OUs map[string]string
}

// SeedOrganization makes an organization in an empty emulator: its units, its accounts with the given ids, each where it
// belongs, and the roles in them.
func (e *Emulator) SeedOrganization(ctx context.Context, seed OrganizationSeed) (*Organization, error) {
	s := seeder{client: organizations.NewFromConfig(e.Config(ManagementAccount, DefaultRegion)),
		org: &Organization{OUs: map[string]string{}}}
	if err := s.create(ctx); err != nil {
		return nil, err
	}
	for _, unit := range seed.OUs {
		if _, err := s.unit(ctx, unit); err != nil {
			return nil, err
		}
	}
	for _, account := range seed.Accounts {
		if err := s.account(ctx, account); err != nil {
			return nil, fmt.Errorf("seeding account %s: %w", account.ID, err)
		}
		if seed.Roles == nil {
			continue
		}
		if err := e.SeedRoles(ctx, account.ID, *seed.Roles); err != nil {
			return nil, err
		}
	}
	return s.org, nil
}

// SeedAccount makes one more account in an organization that SeedOrganization made.
func (e *Emulator) SeedAccount(ctx context.Context, org *Organization, account AccountSeed) error {
	s := seeder{client: organizations.NewFromConfig(e.Config(ManagementAccount, DefaultRegion)), org: org}
	if err := s.account(ctx, account); err != nil {
		return fmt.Errorf("seeding account %s: %w", account.ID, err)
	}
	return nil
}

type seeder struct {
	client *organizations.Client
	org    *Organization
}

func (s seeder) create(ctx context.Context) error {
	created, err := s.client.CreateOrganization(ctx, &organizations.CreateOrganizationInput{
		FeatureSet: types.OrganizationFeatureSetAll})
	if err != nil {
		return fmt.Errorf("seeding the organization: %w", err)
	}
	if created.Organization == nil {
		return fmt.Errorf("seeding the organization: the answer holds none")
	}
	s.org.ID = aws.ToString(created.Organization.Id)
	roots, err := s.client.ListRoots(ctx, &organizations.ListRootsInput{})
	if err != nil {
		return fmt.Errorf("seeding the organization: %w", err)
	}
	if len(roots.Roots) != 1 {
		return fmt.Errorf("seeding the organization: it has %d roots", len(roots.Roots))
	}
	s.org.RootID = aws.ToString(roots.Roots[0].Id)
	return nil
}

// unit returns the id of the organizational unit at a path and makes what is missing of the path.
func (s seeder) unit(ctx context.Context, unit string) (string, error) {
	unit = strings.Trim(unit, "/")
	if unit == "" {
		return s.org.RootID, nil
	}
	if id, ok := s.org.OUs[unit]; ok {
		return id, nil
	}
	parentPath, name := path.Split(unit)
	parent, err := s.unit(ctx, parentPath)
	if err != nil {
		return "", err
	}
	created, err := s.client.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{
		Name: &name, ParentId: &parent})
	if err != nil {
		return "", fmt.Errorf("seeding organizational unit %s: %w", unit, err)
	}
	if created.OrganizationalUnit == nil {
		return "", fmt.Errorf("seeding organizational unit %s: the answer holds none", unit)
	}
	s.org.OUs[unit] = aws.ToString(created.OrganizationalUnit.Id)
	return s.org.OUs[unit], nil
}

func (s seeder) account(ctx context.Context, account AccountSeed) error {
	input := &organizations.CreateAccountInput{
		AccountName: &account.Name,
		Email:       aws.String(account.ID + "@example.com"),
		Tags:        []types.Tag{{Key: aws.String(accountIDTag), Value: &account.ID}},
	}
	for key, value := range account.Tags {
		input.Tags = append(input.Tags, types.Tag{Key: &key, Value: &value})
	}
	slices.SortFunc(input.Tags, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	created, err := s.client.CreateAccount(ctx, input)
	if err != nil {
		return fmt.Errorf("creating it: %w", err)
	}
	if err := s.awaitAccount(ctx, created.CreateAccountStatus, account.ID); err != nil {
		return err
	}
	unit, err := s.unit(ctx, account.OU)
	if err != nil || unit == s.org.RootID {
		return err
	}
	if _, err := s.client.MoveAccount(ctx, &organizations.MoveAccountInput{
		AccountId: &account.ID, SourceParentId: &s.org.RootID, DestinationParentId: &unit}); err != nil {
		return fmt.Errorf("moving it to %s: %w", account.OU, err)
	}
	return nil
}

// awaitAccount waits until an account exists and checks that it got the id asked for.
func (s seeder) awaitAccount(ctx context.Context, status *types.CreateAccountStatus, want string) error {
	for {
		switch {
		case status == nil:
			return fmt.Errorf("creating it: the answer holds no status")
		case status.State == types.CreateAccountStateFailed:
			return fmt.Errorf("creating it: %s", status.FailureReason)
		case status.State == types.CreateAccountStateSucceeded:
			if got := aws.ToString(status.AccountId); got != want {
				return fmt.Errorf("creating it: it got the id %s", got)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("creating it: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		answer, err := s.client.DescribeCreateAccountStatus(ctx, &organizations.DescribeCreateAccountStatusInput{
			CreateAccountRequestId: status.Id})
		if err != nil {
			return fmt.Errorf("creating it: %w", err)
		}
		status = answer.CreateAccountStatus
	}
}
