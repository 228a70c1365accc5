package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	member = "111122223333"
	other  = "444455556666"
	admin  = "222233334444"
	region = "eu-west-1"

	readsFlag  = "ec2:GetEbsEncryptionByDefault"
	writesFlag = "ec2:EnableEbsEncryptionByDefault"
)

func account(id string) cloud.Account {
	return cloud.Account{
		ID: id, Partition: "aws", AuditRole: roleOf(id, "Audit"), EnforceRole: roleOf(id, "Enforce"), ExternalID: "plumbline-test",
	}
}

func roleOf(id, name string) string { return "arn:aws:iam::" + id + ":role/plumbline/Plumbline" + name }

// flagHandlers answer for EBS encryption by default.
func flagHandlers(aws *cloudtest.Cloud) {
	cloudtest.Handle(aws, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		return &ec2.GetEbsEncryptionByDefaultOutput{}, nil
	})
	cloudtest.Handle(aws, func(cloudtest.Call, *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil
	})
}

func readFlag(ctx context.Context, cfg aws.Config) error {
	_, err := ec2.NewFromConfig(cfg).GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	return err
}

func writeFlag(ctx context.Context, cfg aws.Config) error {
	_, err := ec2.NewFromConfig(cfg).EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
	return err
}

// signed is a short form of a call for comparisons.
func signed(calls []cloudtest.Call) []string {
	var all []string
	for _, c := range calls {
		all = append(all, c.Operation+" "+c.Account+" "+c.Region+" "+c.Role)
	}
	return all
}

func TestASessionReadsWithTheAuditRoleOfItsAccountAndAssumesItOnce(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	ctx := context.Background()
	for _, r := range []string{region, "eu-central-1"} {
		if err := readFlag(ctx, s.Config(r, []string{readsFlag})); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"AssumeRole " + cloudtest.Manager + " eu-central-1 ",
		"GetEbsEncryptionByDefault " + member + " " + region + " " + roleOf(member, "Audit"),
		"GetEbsEncryptionByDefault " + member + " eu-central-1 " + roleOf(member, "Audit"),
	}
	if diff := cmp.Diff(want, signed(stage.Calls())); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]cloudtest.Session{{
		Role: roleOf(member, "Audit"), Account: member, Name: "plumbline-audit", ExternalID: "plumbline-test", Region: "eu-central-1", Duration: time.Hour,
	}}, stage.Sessions()); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestAChangeHasItsOwnSessionOfFifteenMinutesForItsActionsOnly(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	ctx := context.Background()
	writer := s.Enforce(cloud.Change{
		Control: "a-control-with-a-name-as-long-as-a-name-of-a-control-may-ever-be", Actions: []string{writesFlag, readsFlag, "iam:PassRole", readsFlag},
	})
	if err := writeFlag(ctx, writer.Config(region, []string{readsFlag, writesFlag})); err != nil {
		t.Fatal(err)
	}
	sessions := stage.Sessions()
	if diff := cmp.Diff([]cloudtest.Session{{
		Role: roleOf(member, "Enforce"), Account: member, Name: "plumbline-a-control-with-a-name-as-long-as-a-name-of-a-control-m",
		ExternalID: "plumbline-test", Region: "eu-central-1", Duration: 15 * time.Minute,
	}}, sessions, cmpopts.IgnoreFields(cloudtest.Session{}, "Policy")); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	var policy any
	if err := json.Unmarshal([]byte(sessions[0].Policy), &policy); err != nil {
		t.Fatal(err)
	}
	// What AWS demands behind the calls stands in the policy and not in the guard.
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Action": []any{writesFlag, readsFlag, "iam:PassRole"}, "Resource": "*",
	}}}
	if diff := cmp.Diff(want, policy); diff != "" {
		t.Errorf("session policy (-want +got):\n%s", diff)
	}
}

func TestTheGuardRefusesWhatIsNotDeclaredBeforeAnythingIsSent(t *testing.T) {
	ctx := context.Background()
	for name, tc := range map[string]struct {
		actions []string
		call    func(aws.Config) error
	}{
		"a write with the permissions of a read": {[]string{readsFlag}, func(cfg aws.Config) error { return writeFlag(ctx, cfg) }},
		"anything without permissions":           {nil, func(cfg aws.Config) error { return readFlag(ctx, cfg) }},
		"an operation that is in no table": {[]string{readsFlag, "", "ec2:RebootInstances"}, func(cfg aws.Config) error {
			_, err := ec2.NewFromConfig(cfg).RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: []string{"i-1"}})
			return err
		}},
		"assuming a role from within a session": {[]string{readsFlag}, func(cfg aws.Config) error {
			_, err := sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("r"), RoleSessionName: aws.String("n")})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			flagHandlers(&stage)
			s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
			err := tc.call(s.Config(region, tc.actions))
			var call *control.CallError
			if !errors.Is(err, cloud.ErrUndeclared) || !errors.As(err, &call) || call.Account != member || call.Region != region {
				t.Errorf("got %v", err)
			}
			if calls := stage.Calls(); len(calls) > 0 {
				t.Errorf("calls were made: %v", calls)
			}
		})
	}
}

func TestNothingIsCalledWithTheCredentialsOfAnotherAccount(t *testing.T) {
	for name, tc := range map[string]struct {
		anonymous bool
		enforce   bool
		want      []string // the calls that are made
	}{
		"the role says whose it is":      {want: []string{"AssumeRole"}},
		"only GetCallerIdentity tells":   {anonymous: true, want: []string{"AssumeRole", "GetCallerIdentity"}},
		"an enforce role":                {enforce: true, want: []string{"AssumeRole"}},
		"an enforce role, asking for it": {enforce: true, anonymous: true, want: []string{"AssumeRole", "GetCallerIdentity"}},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			flagHandlers(&stage)
			for _, role := range []string{roleOf(member, "Audit"), roleOf(member, "Enforce")} {
				stage.LeadRole(role, other)
				if tc.anonymous {
					stage.AnonymousRole(role)
				}
			}
			s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
			role := roleOf(member, "Audit")
			if tc.enforce {
				s, role = s.Enforce(cloud.Change{Control: "ebs", Actions: []string{readsFlag, writesFlag}}), roleOf(member, "Enforce")
			}
			ctx := context.Background()
			err := writeFlag(ctx, s.Config(region, []string{readsFlag, writesFlag}))
			var call *control.CallError
			if !errors.Is(err, cloud.ErrWrongAccount) || !errors.As(err, &call) || call.Operation != "AssumeRole" || call.Role != role {
				t.Errorf("got %v", err)
			}
			var got []string
			for _, c := range stage.Calls() {
				got = append(got, c.Operation)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if err := s.Reach(ctx); !errors.Is(err, cloud.ErrWrongAccount) {
				t.Errorf("Reach: %v", err)
			}
		})
	}
}

func TestWhoseTheCredentialsAreIsAskedOncePerCredentials(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	stage.AnonymousRole(roleOf(member, "Audit"))
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	ctx := context.Background()
	for range 3 {
		if err := readFlag(ctx, s.Config(region, []string{readsFlag})); err != nil {
			t.Fatal(err)
		}
	}
	var asked int
	for _, c := range stage.Calls() {
		if c.Operation == "GetCallerIdentity" {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("GetCallerIdentity was called %d times", asked)
	}
}

// The account is checked on every attempt: credentials that change between two tries of one call are caught.
func TestTheAccountIsCheckedOnEveryAttempt(t *testing.T) {
	var stage cloudtest.Cloud
	entrance := cloud.New(stage.Base(), nil, time.Now)
	s := entrance.Session(account(member), nil)
	cfg := s.Config(region, []string{readsFlag})
	attempts := 0
	inner := cfg.Credentials
	cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		attempts++
		return inner.Retrieve(ctx)
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		return nil, cloudtest.Error("RequestLimitExceeded", "slow down")
	})
	if err := readFlag(context.Background(), cfg); !control.IsThrottled(err) {
		t.Fatalf("got %v", err)
	}
	if attempts != 5 {
		t.Errorf("the credentials were asked for %d times in 5 attempts", attempts)
	}
}

func TestARoleThatCannotBeAssumedIsNotTakenForAMissingPermission(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	stage.DenyRole(roleOf(member, "Audit"), cloudtest.Error("AccessDenied", "no"))
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	ctx := context.Background()
	for name, err := range map[string]error{"Reach": s.Reach(ctx), "a call": readFlag(ctx, s.Config(region, []string{readsFlag}))} {
		if reason, message := control.Explain(err); reason != "RoleRefused" {
			t.Errorf("%s: %s: %s", name, reason, message)
		}
	}
	stage.DenyRole(roleOf(member, "Audit"), nil)
	if err := s.Reach(ctx); err != nil {
		t.Errorf("a refusal is remembered: %v", err)
	}
}

func TestAdmin(t *testing.T) {
	ctx := context.Background()
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	broken := account(other)
	broken.Problem = "spec.roles.auditFromACK is set and the manager runs without --ack-role-account-map"
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), map[string]cloud.Account{"guardduty": account(admin), "cloudtrail": broken})
	reader, id, err := s.Admin("guardduty")
	if err != nil || id != admin {
		t.Fatal(id, err)
	}
	if err := readFlag(ctx, reader.Config(region, []string{readsFlag})); err != nil {
		t.Fatal(err)
	}
	var entered []string
	writer := s.Enforce(cloud.Change{
		Control: "guardduty-detector", Actions: []string{readsFlag, writesFlag}, Entered: func(a string) { entered = append(entered, a) },
	})
	for range 2 { // one change enters an administrator once
		connector, _, err := writer.Admin("guardduty")
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFlag(ctx, connector.Config(region, []string{writesFlag})); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"AssumeRole " + cloudtest.Manager + " eu-central-1 ",
		"GetEbsEncryptionByDefault " + admin + " " + region + " " + roleOf(admin, "Audit"),
		"AssumeRole " + cloudtest.Manager + " eu-central-1 ",
		"EnableEbsEncryptionByDefault " + admin + " " + region + " " + roleOf(admin, "Enforce"),
		"EnableEbsEncryptionByDefault " + admin + " " + region + " " + roleOf(admin, "Enforce"),
	}
	if diff := cmp.Diff(want, signed(stage.Calls())); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{admin, admin}, entered); diff != "" {
		t.Errorf("entered (-want +got):\n%s", diff)
	}
	if last := stage.Sessions()[1]; last.Policy == "" || last.Duration != 15*time.Minute {
		t.Errorf("the administrator's session is %+v", last)
	}
	if _, _, err := s.Admin("macie"); !errors.Is(err, cloud.ErrNoAdministrator) {
		t.Errorf("no administrator: %v", err)
	}
	if _, _, err := s.Admin("cloudtrail"); err == nil || errors.Is(err, cloud.ErrNoAdministrator) {
		t.Errorf("an administrator that cannot be entered: %v", err)
	}
}

func TestSTSIsAskedInARegionOfTheAccountsPartition(t *testing.T) {
	for name, tc := range map[string]struct{ manager, partition, want string }{
		"the manager's own region":              {"eu-central-1", "aws", "eu-central-1"},
		"a manager without a region":            {"", "aws", "us-east-1"},
		"China from elsewhere":                  {"eu-central-1", "aws-cn", "cn-north-1"},
		"China from China":                      {"cn-northwest-1", "aws-cn", "cn-northwest-1"},
		"GovCloud from elsewhere":               {"us-east-1", "aws-us-gov", "us-gov-west-1"},
		"GovCloud from GovCloud":                {"us-gov-east-1", "aws-us-gov", "us-gov-east-1"},
		"elsewhere from GovCloud":               {"us-gov-east-1", "aws", "us-east-1"},
		"a commercial account from China, even": {"cn-north-1", "aws", "us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			base := stage.Base()
			base.Region = tc.manager
			a := cloud.Account{ID: member, Partition: tc.partition, AuditRole: "arn:" + tc.partition + ":iam::" + member + ":role/Audit"}
			if err := cloud.New(base, nil, time.Now).Session(a, nil).Reach(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := stage.Sessions()[0].Region; got != tc.want {
				t.Errorf("STS was asked in %s, want %s", got, tc.want)
			}
		})
	}
}

func TestForgetMakesTheRoleBeAssumedAnew(t *testing.T) {
	var stage cloudtest.Cloud
	entrance := cloud.New(stage.Base(), nil, time.Now)
	ctx := context.Background()
	for _, id := range []string{member, member, other} {
		if err := entrance.Session(account(id), nil).Reach(ctx); err != nil {
			t.Fatal(err)
		}
	}
	entrance.Forget(member)
	for _, id := range []string{member, other} {
		if err := entrance.Session(account(id), nil).Reach(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, s := range stage.Sessions() {
		got = append(got, s.Account)
	}
	if diff := cmp.Diff([]string{member, other, member}, got); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestEveryRequestForABucketNamesItsOwner(t *testing.T) {
	var stage cloudtest.Cloud
	owners := map[string]string{}
	base := stage.Base()
	base.APIOptions = append(base.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Look", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				owners[middleware.GetOperationName(ctx)] = r.Header.Get("x-amz-expected-bucket-owner")
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
		return &s3.ListBucketsOutput{}, nil
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *s3.GetBucketPolicyInput) (*s3.GetBucketPolicyOutput, error) {
		return &s3.GetBucketPolicyOutput{}, nil
	})
	api := s3.NewFromConfig(cloud.New(base, nil, time.Now).Session(account(member), nil).Config(region, []string{"s3:ListAllMyBuckets", "s3:GetBucketPolicy"}))
	ctx := context.Background()
	if _, err := api.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("b")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"AssumeRole": "", "ListBuckets": "", "GetBucketPolicy": member}, owners); diff != "" {
		t.Errorf("expected owners (-want +got):\n%s", diff)
	}
}

func TestCredentialsThatAreNoGoodAnyMoreAreAskedForAnew(t *testing.T) {
	for _, code := range []string{"ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "RequestExpired", "InvalidAccessKeyId"} {
		var stage cloudtest.Cloud
		flagHandlers(&stage)
		s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
		ctx := context.Background()
		cfg := s.Config(region, []string{readsFlag})
		if err := readFlag(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		stage.Deny(readsFlag, cloudtest.Error(code, "revoked"))
		if err := readFlag(ctx, cfg); !control.IsCredentials(err) {
			t.Errorf("%s: got %v", code, err)
		}
		stage.Allow(readsFlag)
		if err := readFlag(ctx, cfg); err != nil {
			t.Errorf("%s: the call after it: %v", code, err)
		}
		if n := len(stage.Sessions()); n != 2 {
			t.Errorf("%s: the role was assumed %d times", code, n)
		}
	}
}

func TestARoleThatLedElsewhereWorksOnceItIsMended(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	s := cloud.New(stage.Base(), nil, time.Now).Session(account(member), nil)
	stage.LeadRole(roleOf(member, "Audit"), other)
	ctx := context.Background()
	if err := s.Reach(ctx); !errors.Is(err, cloud.ErrWrongAccount) {
		t.Fatal(err)
	}
	stage.LeadRole(roleOf(member, "Audit"), "")
	if err := readFlag(ctx, s.Config(region, []string{readsFlag})); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}
