package planning

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

const (
	member, otherOne = "111122223333", "444455556666"
	encryption       = "EncryptionBaseline/organization"
)

// bound is a control of the catalogue, managed.
func bound(t *testing.T, id string, weakening bool) control.Bound {
	t.Helper()
	for _, b := range controls.Catalogue() {
		if b.ID != id {
			continue
		}
		c := control.Control[v1alpha1.ControlSpec]{Meta: *b.Meta}
		if b.Risk != control.ReportOnly {
			c.Remediate = noWrite
		}
		if b.Reversible() {
			c.Undo = noWrite
		}
		state := v1alpha1.Enabled
		if weakening {
			state = v1alpha1.Disabled
		}
		return c.With(&v1alpha1.ControlSpec{State: state})
	}
	t.Fatal("there is no control " + id)
	return control.Bound{}
}

// check is a check with what it found.
func check(b control.Bound, region string, found ...engine.Judged) controllers.CheckOutlook {
	return controllers.CheckOutlook{Result: engine.Result{Task: &engine.Task{Control: b, Baseline: encryption, Region: region}, Findings: found}}
}

func departs(resource, reason, message string, fields ...control.Field) engine.Judged {
	return engine.Judged{Finding: control.Finding{Drift: control.Drift{Resource: resource, Fields: fields}, Reason: reason, Message: message}}
}

func account(id, name string) *v1alpha1.AWSAccount {
	return &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: id, Annotations: map[string]string{v1alpha1.AnnotationName: name}}}
}

func inputOf(names ...string) *controllers.ForecastInput {
	in := &controllers.ForecastInput{Kinds: controls.Kinds()}
	for _, n := range names {
		in.Baselines = append(in.Baselines, &v1alpha1.EncryptionBaseline{ObjectMeta: metav1.ObjectMeta{Name: n}})
	}
	return in
}

// aPlan has something of everything.
func aPlan(t *testing.T) *plan {
	flag := bound(t, "ebs-default-encryption", false)
	excused := departs("arn:excused", engine.RowExcepted, "excused by the exception workshop", control.Field{Path: "encrypted", Want: "true", Got: "false"})
	excused.Excepted = "workshop"
	checks := []controllers.CheckOutlook{
		check(bound(t, "kms-key-rotation", false), "eu-west-1",
			departs("arn:key|two", v1alpha1.RowWritesDisabled, "", control.Field{Path: "state", Want: "Enabled", Got: "Disabled"}, control.Field{Path: "period", Want: "365", Got: ""})),
		check(flag, "eu-west-1", departs("arn:flag", v1alpha1.RowAwaitingApproval, "would set <b>|x", control.Field{Path: "kmsKey", Want: "alias/b", Got: "@alice #1"})),
		check(flag, "eu-central-1", engine.Judged{Finding: control.Finding{Outcome: control.Unknown, Reason: "AccessDenied", Message: "no — allow it; tried again by itself"}}),
		check(flag, "us-east-1", engine.Judged{Finding: control.Finding{Drift: control.Drift{Resource: "arn:flag"}, Outcome: control.Waiting, Reason: "Waiting", Message: "there is no key yet"}}),
		check(bound(t, "ebs-volume-encryption", false), "eu-west-1", departs("arn:volume", v1alpha1.RowReportOnly, "Plumbline does not change this")),
		check(bound(t, "rds-storage-encryption", false), "eu-west-1", excused),
	}
	return newPlan(&controllers.Outlook{
		Accounts: []controllers.AccountOutlook{
			{Account: account(member, "pay-prod"), Baselines: []controllers.BaselineOutlook{{Baseline: encryption, Planned: 5, Checks: checks}}},
			{Account: account(otherOne, ""), Role: "arn:aws:iam::444455556666:role/Audit", Err: errors.New("no connection"),
				Baselines: []controllers.BaselineOutlook{{Baseline: encryption, Planned: 5}}},
			{Account: account("777788889999", ""), Untouched: "its state in AWS Organizations is SUSPENDED; it is not touched"},
		},
		Rollouts: map[string]controllers.RolloutOutlook{encryption: {Waves: []string{"canary", "all others"}, Of: map[string]int{member: 1}}},
		Notes:    []string{"BaselineException x names no control: y"},
	}, inputOf("organization", "nobody"))
}

func TestAPlanAsATable(t *testing.T) {
	same(t, "table", `2 accounts, 10 checks: 1 changed at once, 1 changed after an approval, 1 only reported, 1 excused by an exception, 1 that follow something else, 1 that could not be told, 1 account that cannot be entered

EncryptionBaseline/nobody: 0 accounts, 0 checks

EncryptionBaseline/organization: 2 accounts, 10 checks, 4 departures; waves: canary, all others
  ACCOUNT                 CONTROL                  REGION      RESOURCE      FIELD       FROM        TO        RISK         UNDO   EFFECT                WAVE
  111122223333 pay-prod   ebs-default-encryption   eu-west-1   arn:flag      kmsKey      @alice #1   alias/b   Disruptive   yes    after approval        2/2 all others
  111122223333 pay-prod   ebs-volume-encryption    eu-west-1   arn:volume    –           –           –         ReportOnly   –      reported              –
  111122223333 pay-prod   kms-key-rotation         eu-west-1   arn:key|two   state       Disabled    Enabled   Disruptive   yes    at once               2/2 all others
  111122223333 pay-prod   kms-key-rotation         eu-west-1   arn:key|two   period      –           365       Disruptive   yes    at once               2/2 all others
  111122223333 pay-prod   rds-storage-encryption   eu-west-1   arn:excused   encrypted   false       true      ReportOnly   –      excused by workshop   –
  cost of kms-key-rotation: The first and the second rotation of a key each raise its monthly price.

Accounts that cannot be entered
  ACCOUNT        ROLE                                   REASON       MESSAGE
  444455556666   arn:aws:iam::444455556666:role/Audit   ReadFailed   no connection

What could not be told
  ACCOUNT        BASELINE                          CONTROL                  REGION         RESOURCE   REASON         MESSAGE
  111122223333   EncryptionBaseline/organization   ebs-default-encryption   eu-central-1   –          AccessDenied   no — allow it; plan again later

What follows something else, and can be told only then
  ACCOUNT        BASELINE                          CONTROL                  REGION      RESOURCE   REASON    MESSAGE
  111122223333   EncryptionBaseline/organization   ebs-default-encryption   us-east-1   arn:flag   Waiting   there is no key yet

Notes
  account 777788889999 was not looked at: its state in AWS Organizations is SUSPENDED; it is not touched
  EncryptionBaseline/nobody selects no account that was looked at
  BaselineException x names no control: y
`, aPlan(t).table(false, shownRows))
}

func TestAPlanInMarkdown(t *testing.T) {
	same(t, "Markdown", `## Plumbline plan

**2 accounts, 10 checks: 1 changed at once, 1 changed after an approval, 1 only reported, 1 excused by an exception, 1 that follow something else, 1 that could not be told, 1 account that cannot be entered**

| | |
|---|---:|
| accounts | 2 |
| checks | 10 |
| changed at once | 1 |
| changed after an approval | 1 |
| held back | 0 |
| only reported | 1 |
| excused by an exception | 1 |
| that follow something else | 1 |
| that could not be told | 1 |
| accounts that cannot be entered | 1 |

### EncryptionBaseline/nobody

0 accounts, 0 checks

### EncryptionBaseline/organization

2 accounts, 10 checks, 4 departures; waves: canary, all others

| ACCOUNT | CONTROL | REGION | RESOURCE | FIELD | FROM | TO | RISK | UNDO | EFFECT | WAVE | REASON |
|---|---|---|---|---|---|---|---|---|---|---|---|
| 111122223333 pay-prod | ebs-default-encryption | eu-west-1 | arn:flag | kmsKey | &#64;<!-- -->alice &#35;<!-- -->1 | alias/b | Disruptive | yes | after approval | 2/2 all others | would set &#60;b&#62;&#124;x |
| 111122223333 pay-prod | ebs-volume-encryption | eu-west-1 | arn:volume | – | – | – | ReportOnly | – | reported | – | Plumbline does not change this |
| 111122223333 pay-prod | kms-key-rotation | eu-west-1 | arn:key&#124;two | state | Disabled | Enabled | Disruptive | yes | at once | 2/2 all others | – |
| 111122223333 pay-prod | kms-key-rotation | eu-west-1 | arn:key&#124;two | period | – | 365 | Disruptive | yes | at once | 2/2 all others | – |
| 111122223333 pay-prod | rds-storage-encryption | eu-west-1 | arn:excused | encrypted | false | true | ReportOnly | – | excused by workshop | – | excused by the exception workshop |

Costs:

- kms-key-rotation: The first and the second rotation of a key each raise its monthly price.

### Accounts that cannot be entered

| ACCOUNT | ROLE | REASON | MESSAGE |
|---|---|---|---|
| 444455556666 | arn:aws:iam::444455556666:role/Audit | ReadFailed | no connection |

### What could not be told

| ACCOUNT | BASELINE | CONTROL | REGION | RESOURCE | REASON | MESSAGE |
|---|---|---|---|---|---|---|
| 111122223333 | EncryptionBaseline/organization | ebs-default-encryption | eu-central-1 | – | AccessDenied | no — allow it; plan again later |

### What follows something else, and can be told only then

| ACCOUNT | BASELINE | CONTROL | REGION | RESOURCE | REASON | MESSAGE |
|---|---|---|---|---|---|---|
| 111122223333 | EncryptionBaseline/organization | ebs-default-encryption | us-east-1 | arn:flag | Waiting | there is no key yet |

### Notes

- account 777788889999 was not looked at: its state in AWS Organizations is SUSPENDED; it is not touched
- EncryptionBaseline/nobody selects no account that was looked at
- BaselineException x names no control: y
`, aPlan(t).markdown(shownRows))
}

func TestALongTableIsFoldedInMarkdown(t *testing.T) {
	lines := [][]string{{"A"}}
	for range openRows {
		lines = append(lines, []string{"x"})
	}
	if text := folded(lines, "departures"); strings.Contains(text, "<details>") {
		t.Errorf("%d rows are folded", openRows)
	}
	text := folded(append(lines, []string{"x"}), "departures")
	if !strings.HasPrefix(text, "<details><summary>21 lines of departures</summary>\n\n| A |\n") || !strings.HasSuffix(text, "| x |\n\n</details>\n") {
		t.Errorf("it is not folded:\n%s", text)
	}
}

func TestWhatSomebodyChoseIsNoMarkup(t *testing.T) {
	for text, want := range map[string]string{
		"<script>`x`</script>": "&#60;script&#62;&#96;x&#96;&#60;/script&#62;",
		"a|b\n# c":             "a&#124;b &#35;<!-- --> c",
		"[x](http://e.com)":    "&#91;x&#93;(http&#58;//e.com)",
		"www.e.com":            "www&#46;e.com",
		"__a__ *b* ~c~ \\|":    "&#95;&#95;a&#95;&#95; &#42;b&#42; &#126;c&#126; &#92;&#124;",
		"&lt; @org/team":       "&#38;lt; &#64;<!-- -->org/team",
	} {
		same(t, text, want, escape(text))
	}
}

func TestTheVerdictOfAPlan(t *testing.T) {
	flag := bound(t, "ebs-default-encryption", false)
	one := func(o controllers.AccountOutlook, ro controllers.RolloutOutlook) *plan {
		o.Account = account(member, "")
		return newPlan(&controllers.Outlook{Accounts: []controllers.AccountOutlook{o}, Rollouts: map[string]controllers.RolloutOutlook{encryption: ro}}, inputOf("organization"))
	}
	looked := func(found ...engine.Judged) controllers.AccountOutlook {
		return controllers.AccountOutlook{Baselines: []controllers.BaselineOutlook{{Baseline: encryption, Planned: 1, Regional: true, Checks: []controllers.CheckOutlook{check(flag, "eu-west-1", found...)}}}}
	}
	excused := departs("arn", engine.RowExcepted, "")
	excused.Excepted = "x"
	changed := departs("arn", v1alpha1.RowWritesDisabled, "")
	regions := looked()
	regions.RegionsErr = errors.New("no regions")
	nowhere := looked()
	nowhere.Baselines[0].Nowhere = true
	skipped := looked()
	skipped.Baselines[0].Checks[0].Skipped = true
	denied := looked(departs("arn", v1alpha1.RowAudit, ""))
	denied.Baselines[0].Checks[0].Denied = true
	for name, tc := range map[string]struct {
		plan *plan
		code int
		says string
	}{
		"nothing departs":                     {one(looked(), controllers.RolloutOutlook{}), ExitClean, "<nil>"},
		"all that departs is excused":         {one(looked(excused), controllers.RolloutOutlook{}), ExitClean, "<nil>"},
		"a region that a policy refuses":      {one(denied, controllers.RolloutOutlook{}), ExitClean, "<nil>"},
		"something would change":              {one(looked(changed), controllers.RolloutOutlook{}), ExitDrift, "there is drift"},
		"something is only reported":          {one(looked(departs("arn", v1alpha1.RowAudit, "")), controllers.RolloutOutlook{}), ExitDrift, "there is drift"},
		"something follows something else":    {one(looked(engine.Judged{Finding: control.Finding{Outcome: control.Waiting, Drift: control.Drift{Resource: "arn"}}}), controllers.RolloutOutlook{}), ExitDrift, "there is drift"},
		"something waits for AWS":             {one(looked(engine.Judged{Finding: control.Finding{Outcome: control.Waiting}}), controllers.RolloutOutlook{}), ExitError, "what could not be told: 1; the plan lists each with its reason"},
		"something departs, some is not told": {one(looked(changed, engine.Judged{Finding: control.Finding{Outcome: control.Unknown, Reason: "X"}}), controllers.RolloutOutlook{}), ExitError, "what could not be told: 1; the plan lists each with its reason"},
		"regions that cannot be listed":       {one(regions, controllers.RolloutOutlook{}), ExitError, "what could not be told: 1; the plan lists each with its reason"},
		"regions that are nowhere":            {one(nowhere, controllers.RolloutOutlook{}), ExitError, "what could not be told: 1; the plan lists each with its reason"},
		"a check that was not made":           {one(skipped, controllers.RolloutOutlook{}), ExitError, "what could not be told: 1; the plan lists each with its reason"},
		"no check at all":                     {one(controllers.AccountOutlook{}, controllers.RolloutOutlook{}), ExitError, "nothing was looked at: no baseline has a check in any of the accounts; see its accounts and sections"},
		"waves that overlap": {one(looked(changed), controllers.RolloutOutlook{Waves: []string{"a", "b"}, Of: map[string]int{member: 0}, Invalid: "account is in two waves"}), ExitError,
			"EncryptionBaseline/organization: account is in two waves"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.plan.verdict()
			same(t, "exit code", tc.code, ExitCode(err))
			same(t, "error", tc.says, fmt.Sprint(err))
		})
	}
	held := one(looked(changed), controllers.RolloutOutlook{Waves: []string{"a", "b"}, Of: map[string]int{member: 0}, Invalid: "why"}).Baselines[0].Changes[0]
	same(t, "a change under waves that overlap", []string{"Held", "why"}, []string{string(held.Effect), held.Message})
}

func TestWhatWeakensSecurityIsSaid(t *testing.T) {
	p := newPlan(&controllers.Outlook{Accounts: []controllers.AccountOutlook{{Account: account(member, ""), Baselines: []controllers.BaselineOutlook{{
		Baseline: encryption, Planned: 1, Checks: []controllers.CheckOutlook{check(bound(t, "kms-key-rotation", true), "eu-west-1", departs("arn", v1alpha1.RowAwaitingApproval, ""))}}}}}}, inputOf("organization"))
	c := p.Baselines[0].Changes[0]
	same(t, "risk", "Disruptive, weakens security", c.risk())
	same(t, "costs of turning it off", 0, len(p.Baselines[0].Costs))
}
