package cloud_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestAProbeAssumesARoleForASessionThatMayDoNothing(t *testing.T) {
	var stage cloudtest.Cloud
	stage.Trust("plumbline-test")
	c := cloud.New(stage.Base(), nil, time.Now)
	for range 2 { // none is kept
		if err := c.Probe(t.Context(), account(member), roleOf(member, "Enforce")); err != nil {
			t.Fatal(err)
		}
	}
	one := cloudtest.Session{
		Role: roleOf(member, "Enforce"), Account: member, Name: "plumbline-doctor", ExternalID: "plumbline-test", Region: "eu-central-1",
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`, Duration: 15 * time.Minute,
	}
	if diff := cmp.Diff([]cloudtest.Session{one, one}, stage.Sessions()); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	without := account(member)
	without.ExternalID = ""
	if err := c.Probe(t.Context(), without, roleOf(member, "Enforce")); !control.IsAccessDenied(err) {
		t.Errorf("without the ExternalId: %v, want a refusal", err)
	}
	stage.LeadRole(roleOf(member, "Enforce"), other)
	if err := c.Probe(t.Context(), account(member), roleOf(member, "Enforce")); !errors.Is(err, cloud.ErrWrongAccount) {
		t.Errorf("a role that leads elsewhere: %v, want %v", err, cloud.ErrWrongAccount)
	}
}

func TestTheCallerIsWhoeverAssumesRoles(t *testing.T) {
	var stage cloudtest.Cloud
	arn, err := cloud.New(stage.Base(), nil, time.Now).Caller(t.Context(), "aws")
	if want := "arn:aws:iam::" + cloudtest.Manager + ":user/manager"; arn != want || err != nil {
		t.Errorf("caller %q, %v; want %q", arn, err, want)
	}
	stage.Deny("sts:GetCallerIdentity", cloudtest.Expired())
	if _, err := cloud.New(stage.Base(), nil, time.Now).Caller(t.Context(), "aws"); !control.IsCredentials(err) {
		t.Errorf("expired credentials: %v", err)
	}
}

func TestAttachedPoliciesAreCountedOverAllPages(t *testing.T) {
	var stage cloudtest.Cloud
	cloudtest.Handle(&stage, func(_ cloudtest.Call, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
		if aws.ToString(in.RoleName) != "PlumblineAudit" {
			return nil, cloudtest.Error("NoSuchEntity", aws.ToString(in.RoleName))
		}
		out := &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: make([]iamtypes.AttachedPolicy, 4)}
		if in.Marker == nil {
			out.Marker = aws.String("more")
		}
		return out, nil
	})
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	if n, err := s.AttachedPolicies(t.Context(), roleOf(member, "Audit")); n != 8 || err != nil {
		t.Errorf("%d policies, %v; want 8", n, err)
	}
}

func TestACredentialReportIsReadAndNeverMade(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		err    error
		want   time.Time
		denied bool
	}{
		"there is one":       {nil, made, false},
		"there is none":      {cloudtest.Error("ReportNotPresent", "none"), time.Time{}, false},
		"it is too old":      {cloudtest.Error("ReportExpired", "old"), time.Time{}, false},
		"it may not be read": {cloudtest.Error("AccessDenied", "no"), time.Time{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			cloudtest.Handle(&stage, func(cloudtest.Call, *iam.GetCredentialReportInput) (*iam.GetCredentialReportOutput, error) {
				return &iam.GetCredentialReportOutput{GeneratedTime: &made}, tc.err
			})
			got, err := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil).CredentialReport(t.Context())
			if !got.Equal(tc.want) || control.IsAccessDenied(err) != tc.denied || !tc.denied && err != nil {
				t.Errorf("%s, %v; want %s", got, err, tc.want)
			}
		})
	}
}
