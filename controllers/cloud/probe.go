package cloud

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Caller is the ARN of the identity that roles are assumed with.
func (c *Cloud) Caller(ctx context.Context, partition string) (string, error) {
	cfg := c.stsConfig(Account{Partition: partition})
	cfg = Guarded(cfg, Guard{Region: cfg.Region, Role: "the caller", Actions: []string{"sts:GetCallerIdentity"}})
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(control.WithPurpose(ctx, control.PurposeSession), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	if aws.ToString(out.Arn) == "" {
		return "", control.Unexpected("GetCallerIdentity", "an ARN")
	}
	return *out.Arn, nil
}

// denyAll is the session policy of a session that may do nothing.
const denyAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`

// Probe assumes a role of the account, for a session that may do nothing and is not kept: it tells whether the role can be
// assumed and leads into the right account.
func (c *Cloud) Probe(ctx context.Context, a Account, role string) error {
	_, err := c.assume(a, role, "plumbline-doctor", func(o *stscreds.AssumeRoleOptions) {
		o.Duration = 15 * time.Minute // the shortest AWS offers
		o.Policy = aws.String(denyAll)
	}).Retrieve(ctx)
	return err
}

// DelegatedAdministrators are the accounts that AWS Organizations has registered as administrators of a service, such as
// guardduty.amazonaws.com, read through the account the organization is read from.
func (c *Cloud) DelegatedAdministrators(ctx context.Context, from Account, service string) ([]string, error) {
	ctx = control.WithPurpose(ctx, control.PurposeDiscovery)
	cfg := c.Session(from, nil).Config(control.HomeRegion(from.Partition), []string{"organizations:ListDelegatedAdministrators"})
	api := organizations.NewFromConfig(cfg)
	var all []string
	err := pages("ListDelegatedAdministrators", func(token *string) (*string, error) {
		out, err := api.ListDelegatedAdministrators(ctx, &organizations.ListDelegatedAdministratorsInput{ServicePrincipal: &service, NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing the administrators of %s: %w", service, err)
		}
		for _, a := range out.DelegatedAdministrators {
			all = append(all, aws.ToString(a.Id))
		}
		return out.NextToken, nil
	})
	return all, err
}

// AttachedPolicies is how many managed policies are attached to a role of the session's account.
func (s *Session) AttachedPolicies(ctx context.Context, roleARN string) (int, error) {
	cfg := s.Config(control.HomeRegion(s.owner.Partition), []string{"iam:ListAttachedRolePolicies"})
	api := iam.NewFromConfig(cfg)
	name := roleARN[strings.LastIndex(roleARN, "/")+1:]
	n := 0
	err := pages("ListAttachedRolePolicies", func(marker *string) (*string, error) {
		out, err := api.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name, Marker: marker})
		if err != nil {
			return nil, fmt.Errorf("listing the policies of %s: %w", name, err)
		}
		n += len(out.AttachedPolicies)
		return out.Marker, nil
	})
	return n, err
}

// CredentialReport is when the account's credential report was made, zero where there is none that is good. None is made.
func (s *Session) CredentialReport(ctx context.Context) (time.Time, error) {
	cfg := s.Config(control.HomeRegion(s.owner.Partition), []string{"iam:GetCredentialReport"})
	out, err := iam.NewFromConfig(cfg).GetCredentialReport(ctx, &iam.GetCredentialReportInput{})
	switch {
	case control.IsCode(err, "ReportNotPresent", "ReportExpired", "ReportInProgress"):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("reading the credential report: %w", err)
	}
	return aws.ToTime(out.GeneratedTime), nil
}
