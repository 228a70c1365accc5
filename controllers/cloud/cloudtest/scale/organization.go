package scale

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsorg "github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// keyPrefix begins the access key ids of roles; the account's id and the generation follow.
const keyPrefix = "ASIASCALE"

// sts answers for STS.
func sts(c *Cloud) {
	on(c, "STS", func(_ Call, in *awssts.AssumeRoleInput) (*awssts.AssumeRoleOutput, error) {
		arn := aws.ToString(in.RoleArn)
		parts := strings.Split(arn, ":")
		if len(parts) != 6 || !strings.HasPrefix(parts[5], "role/") {
			return nil, fail("ValidationError", arn+" is invalid")
		}
		account := parts[4]
		if f := c.faults.Load(); f.Refuses != nil && f.Refuses(account) {
			return nil, fail("AccessDenied", "User is not authorized to perform: sts:AssumeRole on resource: "+arn)
		}
		return &awssts.AssumeRoleOutput{
			Credentials: &ststypes.Credentials{
				AccessKeyId:     aws.String(fmt.Sprintf("%s%s%d", keyPrefix, account, c.generation.Load())),
				SecretAccessKey: aws.String("secret"), SessionToken: aws.String("token"),
				// The SDK's cache of credentials goes by the real time, whatever the stand-in's clock says.
				Expiration: aws.Time(time.Now().Add(time.Duration(aws.ToInt32(in.DurationSeconds)) * time.Second)),
			},
			AssumedRoleUser: &ststypes.AssumedRoleUser{
				Arn: aws.String("arn:aws:sts::" + account + ":assumed-role/" + strings.TrimPrefix(parts[5], "role/") + "/" +
					aws.ToString(in.RoleSessionName)),
			},
		}, nil
	})
	on(c, "STS", func(call Call, _ *awssts.GetCallerIdentityInput) (*awssts.GetCallerIdentityOutput, error) {
		return &awssts.GetCallerIdentityOutput{Account: aws.String(call.Account)}, nil
	})
}

const (
	organizationID = "o-benchmarks"
	rootID         = "r-bnch"
	// parents and leaves are the numbers of OUs: every account lies in a leaf.
	parents, leaves = 2, 6
	accountsPerPage = 20 // the most that a page of ListAccounts holds
)

func parentOU(i int) string { return fmt.Sprintf("ou-bnch-%08d", i) }
func leafOU(i int) string   { return fmt.Sprintf("ou-bnch-1%07d", i) }

// organizations answers for AWS Organizations.
func organizations(c *Cloud) {
	on(c, "Organizations", func(Call, *awsorg.DescribeOrganizationInput) (*awsorg.DescribeOrganizationOutput, error) {
		return &awsorg.DescribeOrganizationOutput{Organization: &orgtypes.Organization{
			Id: aws.String(organizationID), MasterAccountId: aws.String(Management()),
		}}, nil
	})
	on(c, "Organizations", func(_ Call, in *awsorg.ListAccountsInput) (*awsorg.ListAccountsOutput, error) {
		out := &awsorg.ListAccountsOutput{}
		from, to, next := page(in.NextToken, accountsPerPage, c.Accounts)
		for i := from; i < to; i++ {
			out.Accounts = append(out.Accounts, c.member(i))
		}
		out.NextToken = next
		return out, nil
	})
	on(c, "Organizations", func(Call, *awsorg.ListRootsInput) (*awsorg.ListRootsOutput, error) {
		return &awsorg.ListRootsOutput{Roots: []orgtypes.Root{{Id: aws.String(rootID), Name: aws.String("Root")}}}, nil
	})
	on(c, "Organizations", listOUs)
	on(c, "Organizations", func(_ Call, in *awsorg.ListTagsForResourceInput) (*awsorg.ListTagsForResourceOutput, error) {
		tier := "dev"
		if hash(aws.ToString(in.ResourceId), "tier")%4 == 0 {
			tier = "prod"
		}
		return &awsorg.ListTagsForResourceOutput{Tags: []orgtypes.Tag{{Key: aws.String("tier"), Value: &tier}}}, nil
	})
}

func (c *Cloud) member(i int) orgtypes.Account {
	id := Account(i)
	return orgtypes.Account{
		Id: &id, Name: aws.String("workload-" + strconv.Itoa(i)), Email: aws.String("aws+" + id + "@example.org"),
		State: orgtypes.AccountStateActive, JoinedTimestamp: aws.Time(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)),
		Paths: []string{fmt.Sprintf("%s/%s/%s/%s/%s/", organizationID, rootID, parentOU(i%leaves%parents), leafOU(i%leaves), id)},
	}
}

func listOUs(_ Call, in *awsorg.ListOrganizationalUnitsForParentInput) (*awsorg.ListOrganizationalUnitsForParentOutput, error) {
	out := &awsorg.ListOrganizationalUnitsForParentOutput{}
	add := func(id, name string) {
		out.OrganizationalUnits = append(out.OrganizationalUnits, orgtypes.OrganizationalUnit{Id: &id, Name: &name})
	}
	of := aws.ToString(in.ParentId)
	for i := range parents {
		if of == rootID {
			add(parentOU(i), fmt.Sprintf("division-%d", i))
		}
	}
	for i := range leaves {
		if of == parentOU(i%parents) {
			add(leafOU(i), fmt.Sprintf("team-%d", i))
		}
	}
	return out, nil
}

// page is a page of n things: from which to before which, and the token of the next page.
func page(token *string, size, n int) (from, to int, next *string) {
	from, _ = strconv.Atoi(aws.ToString(token)) // none: from the first
	to = min(from+size, n)
	if to < n {
		next = aws.String(strconv.Itoa(to))
	}
	return from, to, next
}
