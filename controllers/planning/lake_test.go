package planning

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// lakePlan is a plan in which n keys of each account depart, and of as many it cannot be told.
func lakePlan(t *testing.T, accounts, n int) *plan {
	t.Helper()
	rotation := bound(t, "kms-key-rotation", false)
	out := &controllers.Outlook{}
	for a := range accounts {
		var found []engine.Judged
		for i := range n {
			reason := v1alpha1.RowWritesDisabled
			if i == n-1 {
				reason = v1alpha1.RowAwaitingApproval
			}
			found = append(found, departs(fmt.Sprintf("arn:key-%05d", i), reason, "", control.Field{Path: "state", Want: "Enabled", Got: "Disabled"}),
				engine.Judged{Finding: control.Finding{Drift: control.Drift{Resource: fmt.Sprintf("arn:denied-%05d", i)}, Outcome: control.Unknown, Reason: "AccessDenied", Message: "no"}})
		}
		out.Accounts = append(out.Accounts, controllers.AccountOutlook{Account: account(fmt.Sprintf("%012d", a), "lake"), Baselines: []controllers.BaselineOutlook{
			{Baseline: encryption, Planned: 1, Checks: []controllers.CheckOutlook{check(rotation, "eu-west-1", found...)}},
		}})
	}
	return newPlan(out, inputOf("organization"))
}

func TestOfManyResourcesTheFirstAreListedAndTheOthersCounted(t *testing.T) {
	table := lakePlan(t, 1, shownRows+10).table(true, shownRows)
	for _, line := range []string{
		"1 account, 1 check: 29 changed at once, 1 changed after an approval, 30 that could not be told",
		"  000000000000 lake   kms-key-rotation   …           10 more         …       …          …         Disruptive   yes    at once, after approval   –",
		"  000000000000   EncryptionBaseline/organization   kms-key-rotation   …           10 more            AccessDenied   …",
		"20 resources are counted and not listed: -o json has each, as has --all",
	} {
		if !strings.Contains(table, line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, table)
		}
	}
	same(t, "listed", [2]int{shownRows, shownRows}, [2]int{strings.Count(table, "arn:key-"), strings.Count(table, "arn:denied-")})
	whole := lakePlan(t, 1, shownRows+10).table(true, everything)
	same(t, "listed with --all", [2]int{30, 30}, [2]int{strings.Count(whole, "arn:key-"), strings.Count(whole, "arn:denied-")})
	if strings.Contains(whole, "more") || strings.Contains(whole, "not listed") {
		t.Errorf("something was left out with --all:\n%s", whole)
	}
	one := lakePlan(t, 1, shownRows+1).table(true, shownRows)
	same(t, "a line for one resource names it", shownRows+1, strings.Count(one, "arn:key-"))
}

func TestAPlanFitsIntoAPullRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		accounts, keys int
		listed         int // of each account
		says           string
	}{
		"a few":                         {2, 3, 3, "| departures"},
		"an account with 20,000 keys":   {1, 20_000, shownRows, "39960 resources are counted and not listed"},
		"100 accounts":                  {100, 100, 1, "19800 resources are counted and not listed"},
		"more than even the numbers of": {1000, 100, 0, "the tables and notes are left out, for they are longer than a pull request takes"},
	} {
		t.Run(name, func(t *testing.T) {
			p := lakePlan(t, tc.accounts, tc.keys)
			text := p.fittingMarkdown(false)
			if n := utf8.RuneCountInString(text); n > maxMarkdown {
				t.Errorf("it has %d characters", n)
			}
			same(t, "listed", tc.listed*tc.accounts, strings.Count(text, "arn:key-"))
			if name != "a few" && !strings.Contains(text, tc.says) {
				t.Errorf("it does not say %q:\n%s", tc.says, control.Bounded(text, 2000))
			}
			total := fmt.Sprintf("| changed at once | %d |", tc.accounts*(tc.keys-1))
			if !strings.Contains(text, total) {
				t.Errorf("it does not count %q", total)
			}
			same(t, "listed with --all", tc.accounts*tc.keys, strings.Count(p.fittingMarkdown(true), "arn:key-"))
		})
	}
}

func TestTheJSONOfAPlanIsThatOfItsValue(t *testing.T) {
	sly := lakePlan(t, 2, 3)
	sly.Baselines[0].Changes[1].Resource = none + "\n<&>"
	for name, p := range map[string]*plan{"something of everything": aPlan(t), "many": lakePlan(t, 3, 50), "sly names": sly, "nothing": newPlan(&controllers.Outlook{}, inputOf())} {
		var got strings.Builder
		if err := p.json(&got); err != nil {
			t.Fatal(err)
		}
		want, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		same(t, name, string(want)+"\n", got.String())
	}
}

// TestAPlanOverALake has the command look at an account with many buckets; test/bench does so with 20,000.
func TestAPlanOverALake(t *testing.T) {
	const buckets = 300
	stage := scale.New(scale.Options{Buckets: buckets, Drift: 1, ExternalID: "lake"})
	files := strings.Replace(organizationYAML, `"123456789012"`, `"`+scale.Management()+`", roles: {externalId: lake}`, 1) + "---\n" +
		strings.Replace(s3YAML, "{defaultEncryption", "{buckets: {include: [\"*\"]}, versioning: {state: Enabled}, defaultEncryption", 1)
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(files), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := func(args ...string) (string, int) {
		streams, _, out, errs := genericiooptions.NewTestIOStreams()
		cmd := New(Options{Streams: streams, Kinds: controls.Kinds(), Clock: time.Now, AWS: func(context.Context) (aws.Config, error) { return stage.Base(), nil }})
		cmd.SetArgs(append([]string{"-f", file, "--account", scale.Administrator()}, args...))
		err := cmd.ExecuteContext(t.Context())
		same(t, "standard error", "", errs.String())
		if code := ExitCode(err); code == ExitError {
			t.Error(err)
		}
		return out.String(), ExitCode(err)
	}
	table, code := plan()
	same(t, "exit code", ExitDrift, code)
	same(t, "buckets in the table", 2*shownRows, strings.Count(table, "arn:aws:s3:::data-"))
	if want := "560 resources are counted and not listed: -o json has each, as has --all\n"; !strings.HasSuffix(table, want) {
		t.Errorf("the table ends with %q", table[max(0, len(table)-200):])
	}
	asked := map[string]int64{}
	for name, n := range stage.Counts() {
		if strings.HasPrefix(name, "S3.") {
			asked[name] = n.Calls
		}
	}
	same(t, "requests to S3", map[string]int64{"S3.ListBuckets": 1, "S3.GetBucketEncryption": buckets, "S3.GetBucketVersioning": buckets}, asked)

	raw, code := plan("-o", "json")
	same(t, "exit code", ExitDrift, code)
	var told struct {
		Baselines []struct{ Changes []struct{ Resource string } }
	}
	if err := json.Unmarshal([]byte(raw), &told); err != nil {
		t.Fatal(err)
	}
	same(t, "departures in JSON", 2*buckets, len(told.Baselines[0].Changes))
}
