package stack

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

const (
	payProd = "111122223333"
	payTest = "444455556666"

	readBuckets = `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]}`
)

// TestEmulator rests on the project's own model of AWS in test/emulator; it shows that this package and that model agree.
func TestEmulator(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	emulator, err := StartEmulator(ctx, EmulatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := emulator.Stop(); err != nil {
			t.Error(err)
		}
		if emulator.Alive() {
			t.Error("the emulator outlives Stop")
		}
	})
	org, err := emulator.SeedOrganization(ctx, OrganizationSeed{
		OUs: []string{"Sandbox"},
		Accounts: []AccountSeed{
			{ID: payProd, Name: "pay-prod", OU: "Workloads/Prod", Tags: map[string]string{"tier": "gold"}},
			{ID: payTest, Name: "pay-test"},
		},
		Roles: &RoleSeed{ExternalID: "secret-handshake",
			AuditPolicies: map[string]string{"PlumblineAuditS3": readBuckets}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(context.Context, *testing.T, *Emulator, *Organization){
		"accounts have the ids asked for and stand where they belong": checkAccounts,
		"a role is assumed with its external id and not without":      checkRoles,
		"calls of S3 Control arrive in the account they name":         checkS3Control,
		"rules refuse and hold calls, and the log tells":              checkRules,
	} {
		t.Run(name, func(t *testing.T) { test(ctx, t, emulator, org) })
	}
}

func checkAccounts(ctx context.Context, t *testing.T, emulator *Emulator, org *Organization) {
	client := organizations.NewFromConfig(emulator.Config(ManagementAccount, ""))
	got := map[string][]string{}
	for _, unit := range []string{org.RootID, org.OUs["Workloads/Prod"], org.OUs["Sandbox"]} {
		answer, err := client.ListAccountsForParent(ctx, &organizations.ListAccountsForParentInput{ParentId: &unit})
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range answer.Accounts {
			got[unit] = append(got[unit], aws.ToString(account.Id))
		}
	}
	want := map[string][]string{
		org.RootID:                {ManagementAccount, payTest},
		org.OUs["Workloads/Prod"]: {payProd},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts by parent (-want +got):\n%s", diff)
	}
	tags, err := client.ListTagsForResource(ctx, &organizations.ListTagsForResourceInput{ResourceId: aws.String(payProd)})
	if err != nil {
		t.Fatal(err)
	}
	if len(tags.Tags) != 1 || *tags.Tags[0].Key != "tier" || *tags.Tags[0].Value != "gold" {
		t.Errorf("tags of %s: %v", payProd, tags.Tags)
	}
}

func checkRoles(ctx context.Context, t *testing.T, emulator *Emulator, _ *Organization) {
	role := "arn:aws:iam::" + payProd + ":role/" + DefaultAuditRole
	config, err := emulator.AssumeRole(ctx, role, "secret-handshake", "")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(identity.Account); got != payProd {
		t.Errorf("acting in account %s, want %s", got, payProd)
	}
	if _, err := emulator.AssumeRole(ctx, role, "guessed", ""); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("with a wrong external id: want AccessDenied, got %v", err)
	}
	sessions, err := emulator.Sessions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(sessions) != 1 || sessions[0].Account != payProd || sessions[0].ExternalID != "secret-handshake" {
		t.Errorf("sessions: %+v", sessions)
	}
}

func checkS3Control(ctx context.Context, t *testing.T, emulator *Emulator, _ *Organization) {
	_, before, err := emulator.Requests(ctx, Query{})
	if err != nil {
		t.Fatal(err)
	}
	client := s3control.NewFromConfig(emulator.Config(payTest, "eu-west-1"))
	_, callErr := client.GetPublicAccessBlock(ctx, &s3control.GetPublicAccessBlockInput{AccountId: aws.String(payTest)})
	requests, _, err := emulator.Requests(ctx, Query{Since: before, Service: []string{"s3control"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) != 1 || requests[0].Operation != "GetPublicAccessBlock" || requests[0].Account != payTest {
		t.Errorf("requests: %v (the call: %v)", requests, callErr)
	}
}

func checkRules(ctx context.Context, t *testing.T, emulator *Emulator, _ *Organization) {
	client := ec2.NewFromConfig(emulator.Config(payProd, "eu-central-1"))
	get := func() error {
		_, err := client.GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
		return err
	}
	match := Match{Service: []string{"ec2"}, Account: []string{payProd}}
	if _, err := emulator.AddRule(ctx, Rule{Match: match, Action: ActionError, Code: "auto", Times: 1}); err != nil {
		t.Fatal(err)
	}
	if err := get(); err == nil || !strings.Contains(err.Error(), "UnauthorizedOperation") {
		t.Errorf("want UnauthorizedOperation, got %v", err)
	}

	rule, err := emulator.AddRule(ctx, Rule{Match: match, Action: ActionHoldBefore})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- get() }()
	held, err := emulator.AwaitHeld(ctx, rule)
	if err != nil {
		t.Fatal(err)
	}
	if held.Request.Operation != "GetEbsEncryptionByDefault" || held.Request.Region != "eu-central-1" {
		t.Errorf("held: %+v", held)
	}
	select {
	case err := <-answered:
		t.Errorf("the call was answered while it was held: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := emulator.Release(ctx, held.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("after the release: %v", err)
	}
	if err := emulator.DeleteRules(ctx); err != nil {
		t.Fatal(err)
	}
	writes := true
	if requests, _, err := emulator.Requests(ctx, Query{Service: []string{"ec2"}, Writes: &writes}); err != nil || len(requests) != 0 {
		t.Errorf("reads stand in the log as writes: %v, %v", requests, err)
	}
}
