package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// inquiry is a forecast over two regions of a few accounts, in which EBS encryption by default is off in Ireland.
type inquiry struct {
	*testing.T
	aws cloudtest.Cloud
	in  ForecastInput
	// took is how long the clock says every look takes.
	took time.Duration

	mu  sync.Mutex
	now time.Time
}

func newInquiry(t *testing.T) *inquiry {
	q := &inquiry{T: t, now: noon}
	org := organization()
	org.Spec.EnforceNewAccountsAfter = &metav1.Duration{}
	q.in = ForecastInput{
		Organization: org, Accounts: []*v1alpha1.AWSAccount{anAccount(member)}, Kinds: controls.Kinds(),
		Baselines: []control.Baseline{encryptionBaseline(v1alpha1.ModeEnforce)}, Parallel: 4, Clock: q.clock,
	}
	q.in.Cloud = cloud.New(q.aws.Base(), nil, q.clock)
	cloudtest.Handle(&q.aws, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{Regions: []types.Region{{RegionName: aws.String(frankfurt)}, {RegionName: aws.String(ireland)}}}, nil
	})
	cloudtest.Handle(&q.aws, func(call cloudtest.Call, _ *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.now = q.now.Add(q.took)
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(call.Region != ireland)}, nil
	})
	return q
}

func (q *inquiry) clock() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}

func (q *inquiry) spec() *v1alpha1.EncryptionBaselineSpec {
	b, _ := q.in.Baselines[0].(*v1alpha1.EncryptionBaseline)
	return &b.Spec
}

// ask makes the forecast, and fails the test if anything but reading happened, whatever came of it.
func (q *inquiry) ask() (*Outlook, error) {
	q.Helper()
	out, err := Forecast(context.Background(), q.in)
	for _, s := range q.aws.Sessions() {
		if !strings.HasSuffix(s.Role, "Audit") {
			q.Errorf("the role %s was assumed", s.Role)
		}
	}
	for _, c := range q.aws.Calls() {
		switch c.Operation {
		case "AssumeRole", "DescribeRegions", "GetEbsEncryptionByDefault":
		default:
			q.Errorf("%s was called", c.Operation)
		}
	}
	return out, err
}

// lines are what a forecast says: "account region Effect", with why where it says.
func lines(out *Outlook) []string {
	var all []string
	for _, a := range out.Accounts {
		if a.Err != nil {
			all = append(all, a.Account.Name+" cannot be entered")
		}
		for _, b := range a.Baselines {
			for _, c := range b.Checks {
				for _, j := range c.Findings {
					effect, _, why := c.Effect(j)
					if effect != EffectHeld {
						why = ""
					}
					all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", a.Account.Name, c.Region, effect, why)))
				}
			}
		}
	}
	return all
}

func TestAForecastSaysWhatWouldBecomeOfADepartureAndWritesNothing(t *testing.T) {
	exception := &v1alpha1.BaselineException{ObjectMeta: metav1.ObjectMeta{Name: "workshop"}, Spec: v1alpha1.BaselineExceptionSpec{
		Controls: []string{"ebs-default-encryption"}, Accounts: &v1alpha1.ExceptionAccounts{Include: []v1alpha1.AccountID{member}},
		From: &metav1.Time{Time: noon.Add(-time.Hour)}, Expires: &metav1.Time{Time: noon.Add(time.Hour)},
	}}
	for name, tc := range map[string]struct {
		set  func(q *inquiry)
		want string
	}{
		"enforced and safe, it is changed at once":          {func(*inquiry) {}, "Changed"},
		"a section in Audit is told as if it were enforced": {func(q *inquiry) { q.spec().Mode = v1alpha1.ModeAudit }, "Changed"},
		"as declared, a section in Audit only reports":      {func(q *inquiry) { q.spec().Mode, q.in.AsDeclared = v1alpha1.ModeAudit, true }, "Reported"},
		"as declared, what is enforced is changed":          {func(q *inquiry) { q.in.AsDeclared = true }, "Changed"},
		"where everything needs an approval, it waits":      {func(q *inquiry) { q.spec().Approval = v1alpha1.ApprovalAll }, "AwaitingApproval"},
		"an exception excuses it":                           {func(q *inquiry) { q.in.Exceptions = append(q.in.Exceptions, exception) }, "Excepted"},
		"a suspended baseline changes nothing":              {func(q *inquiry) { q.spec().Suspend = true }, "Held the baseline is suspended; reported as in Audit"},
		"nor does an organization whose writes are stopped": {func(q *inquiry) { q.in.Organization.Spec.Writes = v1alpha1.WritesStopped }, "Held spec.writes of the AWSOrganization is Stopped"},
		"an account that has only joined is observed": {func(q *inquiry) {
			q.in.Organization.Spec.EnforceNewAccountsAfter, q.in.Accounts[0].CreationTimestamp = nil, metav1.NewTime(noon)
		}, "Held the account is new and only observed until 2026-03-02T12:00:00Z"},
		"the management account is changed only where named": {func(q *inquiry) { q.in.Organization.Spec.ManagementAccount = member }, "Held the management account is changed only when its id stands in accounts.include"},
		"a rollout holds nothing back for good":              {func(q *inquiry) { q.spec().Rollout = &v1alpha1.Rollout{Waves: []v1alpha1.Wave{{Name: "canary"}}} }, "Changed"},
		"what an earlier manager saw does not count":         {func(q *inquiry) { q.in.Accounts[0].Status.Regions = []string{virginia} }, "Changed"},
	} {
		t.Run(name, func(t *testing.T) {
			q := newInquiry(t)
			tc.set(q)
			out, err := q.ask()
			if err != nil {
				t.Fatal(err)
			}
			same(t, "outlook", []string{member + " " + ireland + " " + tc.want}, lines(out))
		})
	}
}

func TestAForecastNeedsAsManyPassesAsItTakes(t *testing.T) {
	q := newInquiry(t)
	q.took = 7 * time.Second // a pass begins nothing any more after 10
	var want []string
	cloudtest.Handle(&q.aws, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		var all []types.Region
		for i := range 60 {
			all = append(all, types.Region{RegionName: aws.String(fmt.Sprintf("eu-west-%02d", i))})
		}
		return &ec2.DescribeRegionsOutput{Regions: all}, nil
	})
	cloudtest.Handle(&q.aws, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.now = q.now.Add(q.took)
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(false)}, nil
	})
	for i := range 60 {
		want = append(want, fmt.Sprintf("%s eu-west-%02d Changed", member, i))
	}
	out, err := q.ask()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "outlook", want, lines(out))
}

func TestOfAForecastsBaselinesThoseThatAreAskedAboutAreTold(t *testing.T) {
	q := newInquiry(t)
	stronger := encryptionBaseline(v1alpha1.ModeAudit)
	stronger.Name, stronger.Spec.Priority = "stronger", 1
	stronger.Spec.Regions = &v1alpha1.RegionSelector{Include: []v1alpha1.Region{ireland}}
	older := encryptionBaseline(v1alpha1.ModeAudit)
	older.Spec.Priority = 5 // stands in the cluster; the one that is asked about takes its place
	q.in.Others = []control.Baseline{stronger, older}
	out, err := q.ask()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "outlook", []string(nil), lines(out))
	b := out.Accounts[0].Baselines[0]
	same(t, "the part that another decides", []any{1, 1, "EncryptionBaseline/stronger", 1}, []any{b.Planned, b.Overridden, b.OverriddenBy, len(out.Accounts[0].Baselines)})
}

func TestWhatAForecastCannotTellItSays(t *testing.T) {
	q := newInquiry(t)
	left := anAccount(otherOne)
	left.Annotations = map[string]string{v1alpha1.AnnotationState: "SUSPENDED"}
	q.in.Accounts = append(q.in.Accounts, anAccount(admin), left)
	q.aws.DenyRole(roleIn(admin, "Audit"), cloudtest.Error("AccessDenied", "no"))
	q.in.Exceptions = []*v1alpha1.BaselineException{{ObjectMeta: metav1.ObjectMeta{Name: "typo"}, Spec: v1alpha1.BaselineExceptionSpec{Controls: []string{"ebs-typo"}}}}
	out, err := q.ask()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "outlook", []string{member + " " + ireland + " Changed", admin + " cannot be entered"}, lines(out))
	same(t, "untouched", "its state in AWS Organizations is SUSPENDED; it is not touched", out.Accounts[2].Untouched)
	same(t, "notes", []string{"BaselineException typo names no control: ebs-typo — docs/controls.md lists the ids"}, out.Notes)

	q.in.Only = []string{"999999999999"}
	_, err = q.ask()
	same(t, "an account that is not there", "account 999999999999 is not known: the organization has 3 accounts, and it is none of them", fmt.Sprint(err))
}

func TestAForecastNamesTheWavesAndWhatIsWrongWithThem(t *testing.T) {
	q := newInquiry(t)
	q.in.Accounts = append(q.in.Accounts, anAccount(otherOne))
	of := func(ids ...v1alpha1.AccountID) v1alpha1.AccountSelector {
		return v1alpha1.AccountSelector{Include: ids}
	}
	q.spec().Rollout = &v1alpha1.Rollout{Waves: []v1alpha1.Wave{{Name: "canary", Accounts: of(otherOne)}}}
	out, err := q.ask()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rollout", map[string]RolloutOutlook{"EncryptionBaseline/organization": {
		Waves: []string{"canary", "all others"}, Of: map[string]int{otherOne: 0, member: 1}}}, out.Rollouts)

	q.spec().Rollout.Waves = append(q.spec().Rollout.Waves, v1alpha1.Wave{Name: "early", Accounts: of(otherOne)})
	if out, err = q.ask(); err != nil {
		t.Fatal(err)
	}
	same(t, "what is wrong", "account "+otherOne+" is in two waves, canary and early; nothing is changed before one of them leaves it out",
		out.Rollouts["EncryptionBaseline/organization"].Invalid)
}

func TestAForecastEndsWhenItIsInterrupted(t *testing.T) {
	q := newInquiry(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Forecast(ctx, q.in); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatComesLaterIsWaitedFor(t *testing.T) {
	at := func(id string, findings ...control.Finding) engine.Result {
		r := engine.Result{Task: &engine.Task{Baseline: id}}
		for _, f := range findings {
			r.Findings = append(r.Findings, engine.Judged{Finding: f})
		}
		return r
	}
	results := []engine.Result{
		at("has a turn", control.Finding{Outcome: control.Waiting, Again: noon.Add(time.Minute)}),
		at("waits", control.Finding{Outcome: control.Waiting}),
		at("follows", control.Finding{Outcome: control.Waiting, Drift: control.Drift{Resource: "trail"}}),
		at("departs", control.Finding{}),
		at("is unknown", control.Finding{Outcome: control.Unknown}),
	}
	for blindly, want := range map[bool][]string{true: {"has a turn", "waits"}, false: {"has a turn"}} {
		tasks, until := comesLater(results, noon, blindly)
		var names []string
		for _, task := range tasks {
			names = append(names, task.Baseline)
		}
		same(t, "tasks", want, names)
		same(t, "until", noon.Add(time.Minute), until)
	}
}

func TestAnAccountOfWhichOnlyReadingIsAskedHasNoSessionThatWrites(t *testing.T) {
	w := readOnly{}.Writer(cloud.Change{})
	if err := w.Reach(context.Background()); !errors.Is(err, errOnlyReads) {
		t.Errorf("reaching it ended with %v", err)
	}
}

func TestDiscoverMakesTheAccountsThatDiscoveryWouldTakeIn(t *testing.T) {
	var stage cloudtest.Cloud
	cloudtest.Handle(&stage, func(cloudtest.Call, *organizations.DescribeOrganizationInput) (*organizations.DescribeOrganizationOutput, error) {
		return &organizations.DescribeOrganizationOutput{Organization: &orgtypes.Organization{Id: aws.String("o-example"), MasterAccountId: aws.String(management)}}, nil
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *organizations.ListAccountsInput) (*organizations.ListAccountsOutput, error) {
		one := func(id string) orgtypes.Account {
			return orgtypes.Account{Id: aws.String(id), Name: aws.String("name of " + id), State: "ACTIVE", Paths: []string{"o-example/r-ab12/" + id + "/"}}
		}
		return &organizations.ListAccountsOutput{Accounts: []orgtypes.Account{one(management), one(member), one(otherOne)}}, nil
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
		return &organizations.ListRootsOutput{Roots: []orgtypes.Root{{Id: aws.String("r-ab12"), Name: aws.String("Root")}}}, nil
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
		return &organizations.ListOrganizationalUnitsForParentOutput{}, nil
	})
	cloudtest.Handle(&stage, func(cloudtest.Call, *organizations.ListTagsForResourceInput) (*organizations.ListTagsForResourceOutput, error) {
		return &organizations.ListTagsForResourceOutput{Tags: []orgtypes.Tag{{Key: aws.String("tier"), Value: aws.String("prod")}}}, nil
	})
	org := organization()
	org.Spec.TagLabels, org.Spec.Discovery.Exclude = []string{"tier"}, []v1alpha1.AccountID{otherOne}
	given := anAccount(member)
	given.Labels = map[string]string{"tier": "core"}
	found, err := Discover(context.Background(), cloud.New(stage.Base(), nil, time.Now), org, []*v1alpha1.AWSAccount{given}, nil)
	if err != nil {
		t.Fatal(err)
	}
	meta := func(id, tier string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: id,
			Labels:      map[string]string{v1alpha1.LabelOrganization: org.Name, v1alpha1.LabelOUPrefix + "r-ab12": "", "tier": tier},
			Annotations: map[string]string{v1alpha1.AnnotationName: "name of " + id, v1alpha1.AnnotationOUPath: "Root", v1alpha1.AnnotationState: "ACTIVE"}}
	}
	same(t, "accounts, what a file says of one winning", []*v1alpha1.AWSAccount{{ObjectMeta: meta(member, "core")}, {ObjectMeta: meta(management, "prod")}}, found.Accounts)

	org.Spec.ManagementAccount = admin
	_, err = Discover(context.Background(), cloud.New(stage.Base(), nil, time.Now), org, nil, nil)
	if err == nil || !strings.Contains(err.Error(), `has the management account "123456789012", and spec says 222233334444`) {
		t.Errorf("another organization: %v", err)
	}
}
