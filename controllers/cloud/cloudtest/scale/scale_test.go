package scale_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

func TestTheOrganizationIsReadWhole(t *testing.T) {
	stage := scale.New(scale.Options{Accounts: 45})
	org, err := cloud.New(stage.Base(), nil, time.Now).ReadOrganization(t.Context(), account(0))
	if err != nil {
		t.Fatal(err)
	}
	var ids, wanted []string
	for i, m := range org.Members {
		ids, wanted = append(ids, m.ID), append(wanted, scale.Account(i))
		if m.Path == "" || len(m.OUs) != 3 {
			t.Errorf("%s lies in %q, %v", m.ID, m.Path, m.OUs)
		}
	}
	if diff := cmp.Diff(wanted, ids); diff != "" || len(ids) != 45 {
		t.Errorf("%d members (-want +got):\n%s", len(ids), diff)
	}
	if n := stage.Counts()["Organizations.ListAccounts"].Calls; n != 3 {
		t.Errorf("%d pages of 20 for 45 accounts, want 3", n)
	}
}

func account(i int) cloud.Account {
	id := scale.Account(i)
	return cloud.Account{ID: id, Partition: "aws", AuditRole: "arn:aws:iam::" + id + ":role/plumbline/PlumblineAudit"}
}

// asks whether EBS encryption by default is on, as a control does.
func asks(ctx context.Context, stage *scale.Cloud, i int, region string) (bool, error) {
	cfg := cloud.New(stage.Base(), nil, time.Now).Session(account(i), nil).Config(region, []string{"ec2:GetEbsEncryptionByDefault"})
	out, err := ec2.NewFromConfig(cfg).GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	if err != nil {
		return false, err
	}
	return aws.ToBool(out.EbsEncryptionByDefault), nil
}

func TestDriftIsTheSameEveryTimeAndInItsShare(t *testing.T) {
	const accounts = 400
	drifted := func() []int {
		stage := scale.New(scale.Options{Accounts: accounts, Drift: 0.25})
		var all []int
		for i := range accounts {
			on, err := asks(t.Context(), stage, i, "eu-west-1")
			if err != nil {
				t.Fatal(err)
			}
			if !on {
				all = append(all, i)
			}
		}
		return all
	}
	first := drifted()
	if n := len(first); n < accounts/5 || n > accounts*3/10 {
		t.Errorf("%d of %d accounts have drifted, want about a quarter", n, accounts)
	}
	if diff := cmp.Diff(first, drifted()); diff != "" {
		t.Errorf("another stand-in of the same size answers differently:\n%s", diff)
	}
}

func TestOneSettingIsChanged(t *testing.T) {
	stage := scale.New(scale.Options{})
	stage.SetEBSDefault(scale.Account(1), "eu-west-1", false)
	for _, where := range []struct {
		account int
		region  string
		want    bool
	}{{1, "eu-west-1", false}, {1, "eu-west-2", true}, {0, "eu-west-1", true}} {
		got, err := asks(t.Context(), stage, where.account, where.region)
		if err != nil || got != where.want {
			t.Errorf("account %d in %s: %t, %v; want %t", where.account, where.region, got, err, where.want)
		}
	}
}

func TestWhatWasWrittenStands(t *testing.T) {
	stage := scale.New(scale.Options{Drift: 1, Drifts: map[string]float64{"block": 0}})
	call, bucket := scale.Call{Account: scale.Account(1), Region: "eu-west-1"}, aws.String("data-00-"+scale.Account(1))
	other := aws.String("data-01-" + scale.Account(1))
	for _, in := range []any{
		&ec2.EnableEbsEncryptionByDefaultInput{}, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String("{}")},
		&s3.PutBucketVersioningInput{Bucket: bucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}},
	} {
		if _, err := stage.Answer(t.Context(), call, in); err != nil {
			t.Fatalf("%T: %v", in, err)
		}
	}
	got := map[string]any{}
	for name, in := range map[string]any{
		"default": &ec2.GetEbsEncryptionByDefaultInput{}, "policy": &s3.GetBucketPolicyInput{Bucket: bucket},
		"policy of another": &s3.GetBucketPolicyInput{Bucket: other}, "versions": &s3.GetBucketVersioningInput{Bucket: bucket},
		"versions of another": &s3.GetBucketVersioningInput{Bucket: other}, "a share apart": &s3.GetPublicAccessBlockInput{Bucket: other},
	} {
		out, err := stage.Answer(t.Context(), call, in)
		switch out := out.(type) {
		case *ec2.GetEbsEncryptionByDefaultOutput:
			got[name] = *out.EbsEncryptionByDefault
		case *s3.GetBucketPolicyOutput:
			got[name] = *out.Policy
		case *s3.GetBucketVersioningOutput:
			got[name] = string(out.Status)
		default:
			got[name] = code(err)
		}
	}
	want := map[string]any{
		"default": true, "policy": "{}", "policy of another": "NoSuchBucketPolicy", "versions": "Enabled", "versions of another": "",
		"a share apart": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// code is AWS's code of an error, empty for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestFaultsAreAWSsOwnErrorsAndTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		faults scale.Faults
		want   string
		count  scale.Count
	}{
		"nothing goes wrong": {scale.Faults{}, "", scale.Count{Calls: 1}},
		"throttling":         {scale.Faults{Throttled: 1}, "RequestLimitExceeded", scale.Count{Calls: 3, Throttled: 3}},
		"a 503":              {scale.Faults{Failed: 1}, "ServiceUnavailable", scale.Count{Calls: 3, Failed: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			stage := scale.New(scale.Options{})
			stage.SetFaults(c.faults)
			_, err := ec2.NewFromConfig(stage.Base()).DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
			if got := code(err); got != c.want {
				t.Errorf("got %v, want code %q", err, c.want)
			}
			if diff := cmp.Diff(map[string]scale.Count{"EC2.DescribeRegions": c.count}, stage.Counts()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSTSRefusesSomeAccounts(t *testing.T) {
	stage := scale.New(scale.Options{})
	stage.SetFaults(scale.Faults{Refuses: func(a string) bool { return a == scale.Account(1) }})
	var got []string
	for i := range 2 {
		_, err := asks(t.Context(), stage, i, "eu-west-1")
		got = append(got, code(err))
	}
	if diff := cmp.Diff([]string{"", "AccessDenied"}, got); diff != "" {
		t.Errorf("codes by account (-want +got):\n%s", diff)
	}
}

func TestCredentialsThatExpireAreAskedForAnew(t *testing.T) {
	stage := scale.New(scale.Options{})
	entrance := cloud.New(stage.Base(), nil, time.Now)
	ask := func() error {
		cfg := entrance.Session(account(0), nil).Config("eu-west-1", []string{"ec2:GetEbsEncryptionByDefault"})
		_, err := ec2.NewFromConfig(cfg).GetEbsEncryptionByDefault(t.Context(), &ec2.GetEbsEncryptionByDefaultInput{})
		return err
	}
	var got []bool
	for range 2 {
		got = append(got, ask() == nil)
	}
	stage.ExpireCredentials()
	for range 2 {
		got = append(got, ask() == nil)
	}
	if diff := cmp.Diff([]bool{true, true, false, true}, got); diff != "" {
		t.Errorf("calls that succeed (-want +got):\n%s", diff)
	}
}

func TestARegionThatHangsEndsWithTheCall(t *testing.T) {
	stage := scale.New(scale.Options{})
	stage.SetFaults(scale.Faults{Hangs: func(_, region string) bool { return region == "eu-west-1" }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := asks(ctx, stage, 0, "eu-west-1")
		ended <- err
	}()
	if _, err := asks(t.Context(), stage, 0, "eu-west-2"); err != nil {
		t.Errorf("another region: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the region that hangs: %v", err)
	}
}

func TestRatesAreThoseOfAnAccountAndRegion(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stage := scale.New(scale.Options{Limited: true, Clock: func() time.Time { return now }})
	calls := func(account, region string, n int) (through int) {
		for range n {
			if _, err := stage.Answer(t.Context(), scale.Call{Account: account, Region: region}, &guardduty.ListDetectorsInput{}); err == nil {
				through++
			}
		}
		return through
	}
	got := []int{calls("a", "r1", 50), calls("a", "r2", 10), calls("b", "r1", 10)}
	now = now.Add(time.Second)
	got = append(got, calls("a", "r1", 50))
	// GuardDuty: a burst of 40, and 20 a second.
	if diff := cmp.Diff([]int{40, 10, 10, 20}, got); diff != "" {
		t.Errorf("calls let through (-want +got):\n%s", diff)
	}
}

func TestLatencyHasTheMedianAndTheTailItIsGiven(t *testing.T) {
	stage := scale.New(scale.Options{Latency: scale.Latency{Median: 200 * time.Microsecond, P99: 2 * time.Millisecond}})
	var took []time.Duration
	for range 1000 {
		took = append(took, stage.Latency.Draw())
	}
	slices.Sort(took)
	// Wide bounds: of a thousand draws these are missed once in many million runs.
	if m := took[500]; m < 150*time.Microsecond || m > 270*time.Microsecond {
		t.Errorf("the median is %s, want about 200µs", m)
	}
	if p := took[990]; p < time.Millisecond || p > 5*time.Millisecond {
		t.Errorf("the 99th percentile is %s, want about 2ms", p)
	}
}

func TestAnUnknownOperationSaysSo(t *testing.T) {
	_, err := scale.New(scale.Options{}).Answer(t.Context(), scale.Call{}, &ec2.RunInstancesInput{})
	if err == nil {
		t.Fatal("it was answered")
	}
}
