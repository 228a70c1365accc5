package cloud

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Organization is an AWS organization as it was read.
type Organization struct {
	// ID and ManagementAccount are the organization's.
	ID, ManagementAccount string
	// Members are its accounts, the management account among them, sorted by id.
	Members []Member
}

// Member is one account of an organization.
type Member struct {
	ID, Name string
	// Email is kept in memory only.
	Email string
	// State is AWS's: ACTIVE, SUSPENDED, PENDING_CLOSURE, ...
	State string
	// JoinedAt is when it joined; zero when AWS does not say.
	JoinedAt time.Time
	// OUs are the ids from the root down to the account's own OU, the root among them. Empty: its place was not found, as
	// when it is moved while the organization is read.
	OUs []string
	// Path is the names of those, joined with slashes.
	Path string
}

// maxPages bounds every listing: an answer that repeats its token for ever ends as an error.
const maxPages = 10_000

// ReadOrganization reads the organization through its audit role in the account it is read from.
func (c *Cloud) ReadOrganization(ctx context.Context, from Account) (*Organization, error) {
	ctx = control.WithPurpose(ctx, control.PurposeDiscovery)
	s := c.Session(from, nil)
	if err := s.Reach(ctx); err != nil {
		return nil, err
	}
	// The SDK sends Organizations to its partition's one endpoint, whatever the region.
	api := organizations.NewFromConfig(s.Config(control.HomeRegion(s.owner.Partition), DiscoveryReads))
	about, err := api.DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{})
	if err != nil {
		return nil, fmt.Errorf("describing the organization: %w", err)
	}
	if about.Organization == nil || aws.ToString(about.Organization.Id) == "" {
		return nil, control.Unexpected("DescribeOrganization", "an organization")
	}
	org := &Organization{
		ID:                aws.ToString(about.Organization.Id),
		ManagementAccount: aws.ToString(about.Organization.MasterAccountId),
	}
	accounts, err := listAccounts(ctx, api)
	if err != nil {
		return nil, err
	}
	tree, err := readTree(ctx, api, accounts)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		org.Members = append(org.Members, tree.member(a))
	}
	slices.SortFunc(org.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return org, nil
}

// listAccounts pages by hand: pages may be empty and still have a successor, and a page that comes twice must not make an
// account appear twice.
func listAccounts(ctx context.Context, api *organizations.Client) ([]types.Account, error) {
	seen := map[string]bool{}
	var all []types.Account
	err := pages("ListAccounts", func(token *string) (*string, error) {
		out, err := api.ListAccounts(ctx, &organizations.ListAccountsInput{NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing accounts: %w", err)
		}
		for _, a := range out.Accounts {
			if id := aws.ToString(a.Id); id != "" && !seen[id] {
				seen[id] = true
				all = append(all, a)
			}
		}
		return out.NextToken, nil
	})
	return all, err
}

// pages calls next until there is no token, and gives up on a token that comes twice.
func pages(operation string, next func(token *string) (*string, error)) error {
	seen := map[string]bool{}
	var token *string
	for range maxPages {
		following, err := next(token)
		if err != nil {
			return err
		}
		switch name := aws.ToString(following); {
		case name == "":
			return nil
		case seen[name]:
			return control.Unexpected(operation, "a new page: the same token came twice")
		default:
			seen[name], token = true, following
		}
	}
	return control.Unexpected(operation, "an end")
}

// orgTree is the tree of OUs: the name and the parent of each, and the parent of each account that did not say.
type orgTree struct {
	name, parent map[string]string
	accountIn    map[string]string
}

func readTree(ctx context.Context, api *organizations.Client, accounts []types.Account) (*orgTree, error) {
	roots, err := api.ListRoots(ctx, &organizations.ListRootsInput{})
	if err != nil {
		return nil, fmt.Errorf("listing roots: %w", err)
	}
	t := &orgTree{name: map[string]string{}, parent: map[string]string{}, accountIn: map[string]string{}}
	// A server that does not send Paths makes the parents be asked for, OU by OU.
	askAccounts := slices.ContainsFunc(accounts, func(a types.Account) bool { return len(a.Paths) == 0 })
	var queue []string
	for _, r := range roots.Roots {
		id := aws.ToString(r.Id)
		t.name[id] = aws.ToString(r.Name)
		queue = append(queue, id)
	}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		below, err := t.readOU(ctx, api, parent, askAccounts)
		if err != nil {
			return nil, err
		}
		queue = append(queue, below...)
	}
	return t, nil
}

func (t *orgTree) readOU(ctx context.Context, api *organizations.Client, parent string, askAccounts bool) ([]string, error) {
	var below []string
	err := pages("ListOrganizationalUnitsForParent", func(token *string) (*string, error) {
		out, err := api.ListOrganizationalUnitsForParent(ctx,
			&organizations.ListOrganizationalUnitsForParentInput{ParentId: &parent, NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing OUs below %s: %w", parent, err)
		}
		for _, ou := range out.OrganizationalUnits {
			id := aws.ToString(ou.Id)
			if _, known := t.name[id]; id == "" || known {
				continue
			}
			t.name[id], t.parent[id] = aws.ToString(ou.Name), parent
			below = append(below, id)
		}
		return out.NextToken, nil
	})
	if err != nil || !askAccounts {
		return below, err
	}
	return below, pages("ListAccountsForParent", func(token *string) (*string, error) {
		out, err := api.ListAccountsForParent(ctx, &organizations.ListAccountsForParentInput{ParentId: &parent, NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing accounts in %s: %w", parent, err)
		}
		for _, a := range out.Accounts {
			t.accountIn[aws.ToString(a.Id)] = parent
		}
		return out.NextToken, nil
	})
}

func (t *orgTree) member(a types.Account) Member {
	m := Member{
		ID: aws.ToString(a.Id), Name: aws.ToString(a.Name), Email: aws.ToString(a.Email),
		State: string(a.State), JoinedAt: aws.ToTime(a.JoinedTimestamp),
	}
	if m.State == "" {
		//lint:ignore SA1019 servers that do not send State yet send Status
		m.State = string(a.Status)
	}
	m.OUs = ousFromPaths(a.Paths)
	if len(m.OUs) == 0 {
		for id := t.accountIn[m.ID]; id != ""; id = t.parent[id] {
			m.OUs = append(m.OUs, id)
		}
		slices.Reverse(m.OUs)
	}
	var names []string
	for _, id := range m.OUs {
		if n := t.name[id]; n != "" {
			names = append(names, n)
		}
	}
	m.Path = strings.Join(names, "/")
	return m
}

// ousFromPaths takes the ids out of a path such as o-exampleorgid/r-ab12/ou-ab12-11111111/ou-ab12-22222222/111122223333/.
func ousFromPaths(paths []string) []string {
	if len(paths) == 0 {
		return nil
	}
	var ids []string
	for _, part := range strings.Split(paths[0], "/") {
		if strings.HasPrefix(part, "r-") || strings.HasPrefix(part, "ou-") {
			ids = append(ids, part)
		}
	}
	return ids
}

// ReadTags reads the AWS tags of one account, through the account the organization is read from.
func (c *Cloud) ReadTags(ctx context.Context, from Account, account string) (map[string]string, error) {
	ctx = control.WithPurpose(ctx, control.PurposeDiscovery)
	s := c.Session(from, nil)
	api := organizations.NewFromConfig(s.Config(control.HomeRegion(s.owner.Partition), DiscoveryReads))
	tags := map[string]string{}
	err := pages("ListTagsForResource", func(token *string) (*string, error) {
		out, err := api.ListTagsForResource(ctx, &organizations.ListTagsForResourceInput{ResourceId: &account, NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing the tags of %s: %w", account, err)
		}
		for _, tag := range out.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		return out.NextToken, nil
	})
	if err != nil {
		return nil, err // a part of the tags is not the tags
	}
	return tags, nil
}
