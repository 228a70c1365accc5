package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const management = "123456789012"

// fakeOrganization answers for AWS Organizations.
type fakeOrganization struct {
	// pages are those of ListAccounts, tokens what follows each; a page that does not exist is the last again.
	pages  [][]types.Account
	tokens []string
	// in says which accounts ListAccountsForParent finds.
	in map[string][]string
}

func (f fakeOrganization) handle(stage *cloudtest.Cloud) {
	cloudtest.Handle(stage, func(cloudtest.Call, *organizations.DescribeOrganizationInput) (*organizations.DescribeOrganizationOutput, error) {
		return &organizations.DescribeOrganizationOutput{Organization: &types.Organization{Id: aws.String("o-example"), MasterAccountId: aws.String(management)}}, nil
	})
	cloudtest.Handle(stage, func(_ cloudtest.Call, in *organizations.ListAccountsInput) (*organizations.ListAccountsOutput, error) {
		n := 0
		if in.NextToken != nil {
			_, _ = fmt.Sscanf(*in.NextToken, "to-%d", &n)
		}
		out := &organizations.ListAccountsOutput{Accounts: f.pages[n]}
		if n < len(f.tokens) && f.tokens[n] != "" {
			out.NextToken = &f.tokens[n]
		}
		return out, nil
	})
	cloudtest.Handle(stage, func(cloudtest.Call, *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
		return &organizations.ListRootsOutput{Roots: []types.Root{{Id: aws.String("r-ab12"), Name: aws.String("Root")}}}, nil
	})
	cloudtest.Handle(stage, func(_ cloudtest.Call, in *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
		below := map[string][]types.OrganizationalUnit{
			"r-ab12":            {{Id: aws.String("ou-ab12-11111111"), Name: aws.String("Workloads")}},
			"ou-ab12-11111111":  {{Id: aws.String("ou-ab12-22222222"), Name: aws.String("Prod EU")}},
			"ou-ab12-22222222":  {{Id: aws.String("r-ab12"), Name: aws.String("a loop")}, {}},
			"ou-ab12-333333333": nil,
		}
		return &organizations.ListOrganizationalUnitsForParentOutput{OrganizationalUnits: below[*in.ParentId]}, nil
	})
	cloudtest.Handle(stage, func(_ cloudtest.Call, in *organizations.ListAccountsForParentInput) (*organizations.ListAccountsForParentOutput, error) {
		var all []types.Account
		for _, id := range f.in[*in.ParentId] {
			all = append(all, types.Account{Id: aws.String(id)})
		}
		return &organizations.ListAccountsForParentOutput{Accounts: all}, nil
	})
}

func read(f fakeOrganization) (*cloud.Organization, error) {
	var stage cloudtest.Cloud
	f.handle(&stage)
	return cloud.New(stage.Base(), nil, time.Now).ReadOrganization(context.Background(), account(management))
}

func placed(id, path string) types.Account {
	a := types.Account{Id: aws.String(id), Name: aws.String("name of " + id), State: types.AccountStateActive}
	if path != "" {
		a.Paths = []string{path}
	}
	return a
}

func TestReadOrganization(t *testing.T) {
	joined := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	const deep = "o-example/r-ab12/ou-ab12-11111111/ou-ab12-22222222/" + member + "/"
	ous := []string{"r-ab12", "ou-ab12-11111111", "ou-ab12-22222222"}
	for name, tc := range map[string]struct {
		aws  fakeOrganization
		want []cloud.Member
	}{
		"the path says where an account is": {
			fakeOrganization{pages: [][]types.Account{{{
				Id: aws.String(member), Name: aws.String("pay-prod"), Email: aws.String("pay@example.com"), State: types.AccountStateActive,
				JoinedTimestamp: &joined, Paths: []string{deep},
			}}}},
			[]cloud.Member{{
				ID: member, Name: "pay-prod", Email: "pay@example.com", State: "ACTIVE", JoinedAt: joined, OUs: ous, Path: "Root/Workloads/Prod EU",
			}},
		},
		"where servers send no path, the parents are asked": {
			fakeOrganization{pages: [][]types.Account{{placed(member, "")}}, in: map[string][]string{"ou-ab12-22222222": {member}}},
			[]cloud.Member{{ID: member, Name: "name of " + member, State: "ACTIVE", OUs: ous, Path: "Root/Workloads/Prod EU"}},
		},
		"an account whose place is not found has none": {
			fakeOrganization{pages: [][]types.Account{{placed(member, "")}}},
			[]cloud.Member{{ID: member, Name: "name of " + member, State: "ACTIVE"}},
		},
		"servers that send no state yet send a status": {
			fakeOrganization{pages: [][]types.Account{{{Id: aws.String(member), Status: types.AccountStatusSuspended, Paths: []string{deep}}}}},
			[]cloud.Member{{ID: member, State: "SUSPENDED", OUs: ous, Path: "Root/Workloads/Prod EU"}},
		},
		"an empty page may have a successor, and an account may come twice": {
			fakeOrganization{
				pages:  [][]types.Account{{}, {placed(other, deep)}, {placed(member, deep), placed(other, deep), {}}},
				tokens: []string{"to-1", "to-2"},
			},
			[]cloud.Member{
				{ID: member, Name: "name of " + member, State: "ACTIVE", OUs: ous, Path: "Root/Workloads/Prod EU"},
				{ID: other, Name: "name of " + other, State: "ACTIVE", OUs: ous, Path: "Root/Workloads/Prod EU"},
			},
		},
		"no account at all": {fakeOrganization{pages: [][]types.Account{nil}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(tc.aws)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&cloud.Organization{ID: "o-example", ManagementAccount: management, Members: tc.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPagesThatRepeatAreAnErrorAndNotAWholeList(t *testing.T) {
	for name, f := range map[string]fakeOrganization{
		"a page that follows itself":  {pages: [][]types.Account{nil, {placed(member, "")}}, tokens: []string{"to-1", "to-1"}},
		"pages that follow in a ring": {pages: [][]types.Account{nil, {placed(member, "")}, nil}, tokens: []string{"to-1", "to-2", "to-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := read(f); !errors.Is(err, control.ErrUnexpected) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestAnOrganizationThatCannotBeReadWholeIsNotRead(t *testing.T) {
	for _, action := range cloud.DiscoveryReads {
		if action == "organizations:ListTagsForResource" {
			continue // tags are read apart
		}
		t.Run(action, func(t *testing.T) {
			var stage cloudtest.Cloud
			fakeOrganization{pages: [][]types.Account{{placed(member, "")}}}.handle(&stage)
			stage.Deny(action, nil)
			got, err := cloud.New(stage.Base(), nil, time.Now).ReadOrganization(context.Background(), account(management))
			if !control.IsAccessDenied(err) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	var stage cloudtest.Cloud
	fakeOrganization{}.handle(&stage)
	stage.Blank("organizations:DescribeOrganization")
	if got, err := cloud.New(stage.Base(), nil, time.Now).ReadOrganization(context.Background(), account(management)); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("an organization without an id: %v, %v", got, err)
	}
}

func TestReadTags(t *testing.T) {
	var stage cloudtest.Cloud
	pages := []organizations.ListTagsForResourceOutput{
		{NextToken: aws.String("more"), Tags: []types.Tag{{Key: aws.String("tier"), Value: aws.String("prod")}}},
		{Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("pay")}, {}}},
	}
	cloudtest.Handle(&stage, func(_ cloudtest.Call, in *organizations.ListTagsForResourceInput) (*organizations.ListTagsForResourceOutput, error) {
		if aws.ToString(in.NextToken) == "more" {
			return &pages[1], nil
		}
		return &pages[0], nil
	})
	got, err := cloud.New(stage.Base(), nil, time.Now).ReadTags(context.Background(), account(management), member)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tier": "prod", "team": "pay", "": ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stage.Deny("organizations:ListTagsForResource", nil)
	if tags, err := cloud.New(stage.Base(), nil, time.Now).ReadTags(context.Background(), account(management), member); err == nil || tags != nil {
		t.Errorf("tags that cannot be read: %v, %v", tags, err)
	}
}
