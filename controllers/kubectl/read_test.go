package kubectl

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// same compares whole outputs.
func (w *world) same(what, want, got string) {
	w.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimLeft(want, "\n"), "\n"), strings.Split(got, "\n")); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestStatusOfAnEmptyClusterSaysWhatToDo(t *testing.T) {
	newWorld(t).says(exitDone, `
Organization   none
Accounts       0
Checks         0: 0 compliant, 0 drifted, 0 excepted, 0 unknown
Drifted        nothing
Remediations   none open

Next:
  Say which organization to read: kubectl apply -f config/samples/awsorganization.yaml, with your own ids in it
  Say what must hold, in Audit first: kubectl apply -f config/samples/s3baseline.yaml
`, "status")
}

func TestStatusShowsTheOrganizationAtAGlance(t *testing.T) {
	w := newWorld(t)
	w.settle()
	w.create(exception("ends-in-a-year", w.now, 300*24*time.Hour))
	org := &v1alpha1.AWSOrganization{}
	w.get("main", org)
	org.Status = v1alpha1.AWSOrganizationStatus{OrganizationID: "o-abcdefghij", Accounts: 4, Conditions: []metav1.Condition{
		w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "discovery works"),
		w.condition(v1alpha1.ConditionEventsFlowing, metav1.ConditionFalse, v1alpha1.ReasonUnannouncedChange, "no event told of a change in 111122225555"),
	}}
	w.putStatus(org)
	b := &v1alpha1.EncryptionBaseline{}
	w.get("organization", b)
	b.Status = v1alpha1.BaselineStatus{ObservedGeneration: 1, Mode: v1alpha1.ModeEnforce, Accounts: 4, Compliant: 2, Drifted: 1, Unknown: 1, Conditions: []metav1.Condition{
		w.condition(v1alpha1.ConditionEnforcing, metav1.ConditionFalse, v1alpha1.ReasonWritesDisabled, "the manager runs without --allow-writes"),
	}}
	w.putStatus(b)
	a := &v1alpha1.AWSAccount{}
	w.get(payDev, a)
	a.Status.Conditions = append(a.Status.Conditions, w.condition(v1alpha1.ConditionStale, metav1.ConditionTrue, v1alpha1.ReasonNotObservedLately, "some checks were last observed yesterday"))
	w.putStatus(a)
	w.remediation("applied", v1alpha1.RemediationApplied)
	w.remediation("proposed", v1alpha1.RemediationProposed)
	w.says(exitDone, `
Organization   main (o-abcdefghij), management account 123456789012
Ready          True
Writes         Allowed by the AWSOrganization, but the manager runs without --allow-writes
Events         False, ChangeWithoutEvent: no event told of a change in 111122225555
Accounts       4: 2 Compliant, 1 Drifted, 1 Pending
Checks         7: 3 compliant, 2 drifted, 1 excepted, 1 unknown
Drifted        2 Medium
Remediations   1 Proposed

BASELINE                          MODE      ACCOUNTS   COMPLIANT   DRIFTED   UNKNOWN   ENFORCING
EncryptionBaseline/organization   Enforce   4          2           1         1         no: WritesDisabled

Exceptions that end within 14 days
NAME           CONTROLS                 WHERE          OWNER       TICKET   EXPIRES IN   ACTIVE
until-friday   ebs-default-encryption   111122226666   team-shop   SEC-1    3d           yes

Not looked at for too long: 1 account
111122225555   pay-dev   some checks were last observed yesterday

Next:
  Changes wait for a decision: kubectl get rem, then kubectl plumbline approve NAME
  See what departs: kubectl plumbline drift
`, "status")
}

func (w *world) condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(w.now)}
}

func TestNothingIsCompliantOnceOtherSettingsAreAsked(t *testing.T) {
	w := newWorld(t)
	w.settle()
	b := &v1alpha1.EncryptionBaseline{}
	w.get("organization", b)
	b.Spec.EBSDefault.Mode = v1alpha1.ModeEnforce
	b.Spec.Accounts = &v1alpha1.AccountSelector{All: true}
	if err := w.Update(w.ctx, b); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := w.run("status")
	if want := "Checks         7: 0 compliant, 0 drifted, 0 excepted, 7 unknown"; !strings.Contains(stdout, want) {
		t.Errorf("want %q in\n%s", want, stdout)
	}
	if want := "not known: the spec is newer than these numbers"; !strings.Contains(stdout, want) {
		t.Errorf("want %q in\n%s", want, stdout)
	}
}

func TestTreeShowsUnitsAndAccounts(t *testing.T) {
	w := newWorld(t)
	w.says(exitDone, "No accounts. kubectl plumbline status says what to do next.\n", "tree")
	w.settle()
	w.says(exitDone, `
main
└── Root: 4 accounts, 1 Drifted, 1 Pending
    ├── 123456789012 master   Pending       0/1, 1 unknown
    └── Workloads: 3 accounts, 1 Drifted
        ├── Dev: 2 accounts, 1 Drifted
        │   ├── 111122225555 pay-dev    Drifted       0/2, 2 drifted
        │   └── 1 compliant account
        └── Prod: 1 account
            └── 1 compliant account
`, "tree")
	w.says(exitDone, `
main
└── Root: 4 accounts, 1 Drifted, 1 Pending
    ├── 123456789012 master   Pending       0/1, 1 unknown
    └── Workloads: 3 accounts, 1 Drifted
        ├── Dev: 2 accounts, 1 Drifted
        │   ├── 111122225555 pay-dev    Drifted       0/2, 2 drifted
        │   └── 111122226666 shop-dev   Compliant     1/2, 1 excepted
        └── Prod: 1 account
            └── 111122223333 pay-prod   Compliant     2/2
`, "tree", "--all")
}

func TestDriftListsRowsAndSaysWhatHasNone(t *testing.T) {
	w := newWorld(t)
	w.says(exitDone, "No drift.\n", "drift")
	w.settle()
	w.now = w.now.Add(5 * time.Minute)
	w.says(exitDrift, `
SEVERITY   ACCOUNT        NAME      CONTROL                  REGION         RESOURCE                                                          FIELD                 DESIRED   OBSERVED   REASON   SINCE
Medium     111122225555   pay-dev   ebs-default-encryption   eu-central-1   arn:aws:ec2:eu-central-1:111122225555:ebs-encryption-by-default   encryptionByDefault   Enabled   Disabled   Audit    5m
Medium     111122225555   pay-dev   ebs-default-encryption   eu-west-1      arn:aws:ec2:eu-west-1:111122225555:ebs-encryption-by-default      encryptionByDefault   Enabled   Disabled   Audit    5m
1 check in 1 account could not be, or are not yet, looked at, and may have drifted; kubectl plumbline tree shows where
`, "drift")

	a := &v1alpha1.AWSAccount{}
	w.get(payDev, a)
	a.Status.Drift, a.Status.Truncated = a.Status.Drift[:1], true
	a.Status.Controls[0].Drifted = map[string]int32{frankfurt: 1, ireland: 7}
	w.putStatus(a)
	_, stderr, code := w.run("drift", "--account", payDev)
	if want := "7 more departing resources in 1 account have no row, since an account keeps its 20 worst: ebs-default-encryption 7\n"; code != exitDrift || stderr != want {
		t.Errorf("exit code %d, said %q, want %q", code, stderr, want)
	}
	if _, _, code := w.run("drift", "--region", ireland, "--account", payDev); code != exitDrift {
		t.Errorf("exit code %d where drift is counted that has no row, want %d", code, exitDrift)
	}
}

func TestDriftIsNarrowed(t *testing.T) {
	w := newWorld(t)
	w.settle()
	for name, tc := range map[string]struct {
		args []string
		rows int
		code int
	}{
		"nothing":              {nil, 2, exitDrift},
		"an account":           {[]string{"--account", payDev}, 2, exitDrift},
		"one that holds":       {[]string{"--account", payProd}, 0, exitDone},
		"one that is excused":  {[]string{"--account", shopDev}, 0, exitDone},
		"what is excused too":  {[]string{"--account", shopDev, "--excused"}, 1, exitDone},
		"a region":             {[]string{"--region", ireland}, 1, exitDrift},
		"a control":            {[]string{"--control", "ebs-default-encryption"}, 2, exitDrift},
		"another control":      {[]string{"--control", "iam-root-mfa"}, 0, exitDone},
		"a severity, any case": {[]string{"--severity", "medium,low"}, 2, exitDrift},
		"another severity":     {[]string{"--severity", "Critical"}, 0, exitDone},
		"a baseline, short":    {[]string{"--baseline", "encryption/organization"}, 2, exitDrift},
		"another baseline":     {[]string{"--baseline", "s3baselines/organization"}, 0, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := w.run(append([]string{"drift", "-o", "csv"}, tc.args...)...)
			if rows := strings.Count(stdout, "\n") - 1; rows != tc.rows || code != tc.code {
				t.Errorf("%d rows, exit code %d, want %d and %d\n%s%s", rows, code, tc.rows, tc.code, stdout, stderr)
			}
		})
	}
	w.refuses("did you mean iam-root-mfa", "drift", "--control", "iam-root-mfx")
	w.refuses("there is no account 999999999999", "drift", "--account", "999999999999")
	w.refuses("there is no severity", "drift", "--severity", "Awful")
	w.refuses("write KIND/NAME", "drift", "--baseline", "organization")
	w.refuses("table, wide, json, yaml or csv", "drift", "-o", "xml")
}

func TestExceptionsAreSortedByTheirEnd(t *testing.T) {
	w := newWorld(t)
	w.says(exitDone, "No exceptions.\n", "exceptions")
	over := exception("over", w.now, -3*time.Hour)
	w.create(exception("in-a-year", w.now, 300*24*time.Hour), exception("soon", w.now, 20*24*time.Hour), over)
	w.says(exitDone, `
NAME        CONTROLS                 WHERE          OWNER       TICKET   EXPIRES IN      ACTIVE
over        ebs-default-encryption   111122226666   team-shop   SEC-1    over since 3h   no
soon        ebs-default-encryption   111122226666   team-shop   SEC-1    20d             yes
in-a-year   ebs-default-encryption   111122226666   team-shop   SEC-1    300d            yes
`, "exceptions")
	w.says(exitDone, `
NAME   CONTROLS                 WHERE          OWNER       TICKET   EXPIRES IN   ACTIVE
soon   ebs-default-encryption   111122226666   team-shop   SEC-1    20d          yes
`, "exceptions", "--expiring", "30d")
	w.says(exitDone, "No exception ends within 2d; there are 3.\n", "exceptions", "--expiring", "2d")
	w.refuses("write for example 30d, 2w or 12h", "exceptions", "--expiring", "soon")
}

func TestAReportTakesNothingForCompliantThatWasNotSeenToBe(t *testing.T) {
	w := newWorld(t)
	w.settle()
	stdout, stderr, code := w.run("report", "-o", "csv", "--framework", "cis-3.0")
	if code != exitDone || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for name, line := range map[string]string{
		"one of the two controls of 2.2.1 is declared nowhere, so that it holds nowhere; where the other departs it has drifted": "requirement,CIS-3.0,2.2.1,ebs-default-encryption ebs-volume-encryption,,,4,0,1,0,3,2,0,0",
		"a control of the organization counts in the account that decides":                                                       "requirement,CIS-3.0,3.1,cloudtrail-organization-trail,,,1,0,0,0,1,1,0,0",
		"what no baseline declares is unknown in every account":                                                                  "requirement,CIS-3.0,1.5,iam-root-mfa,,,4,0,0,0,4,4,0,0",
		"an account's requirements": "account,CIS-3.0,,,111122225555,pay-dev,14,0,1,0,13,13,0,0",
	} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("%s: want the line\n%s\nin\n%s", name, line, stdout)
		}
	}
	stdout, _, _ = w.run("report", "-o", "csv", "--framework", "SecurityHub")
	if want := "requirement,SecurityHub,EC2.7,ebs-default-encryption,,,4,1,1,1,1,0,0,25\n"; !strings.Contains(stdout, want) {
		t.Errorf("want the line\n%s\nin\n%s", want, stdout)
	}
	w.refuses("csv, json or html", "report")
	w.refuses("did you mean CIS-5.0", "report", "-o", "csv", "--framework", "CIS-5")
}

func TestAnHTMLReportIsOneFileInWhichNothingRuns(t *testing.T) {
	w := newWorld(t)
	w.settle()
	a := &v1alpha1.AWSAccount{}
	w.get(payDev, a)
	a.Status.Name = `<script>alert("name")</script>`
	a.Status.Drift[0].Resource = `arn:aws:s3:::<script>alert(1)</script>`
	a.Status.Drift[0].Observed = `"><img src=x onerror=alert(2)>`
	w.putStatus(a)
	file := t.TempDir() + "/report.html"
	w.says(exitDone, "wrote "+file+": 3 frameworks, 4 accounts\n", "report", "-o", "html", "--file", file)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, no := range []string{"<script", "<img", "http://", "https://", " src=", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(strings.ReplaceAll(page, "&lt;img src=x", ""), no) {
			t.Errorf("%q stands in the page", no)
		}
	}
	for _, yes := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(&#34;name&#34;)", "prefers-color-scheme: dark", `aria-label="3 of 7 checks compliant"`,
	} {
		if !strings.Contains(page, yes) {
			t.Errorf("%q does not stand in the page", yes)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file can be read by others: %v %v", info.Mode(), err)
	}
}

func TestASpreadsheetTakesNothingForAFormula(t *testing.T) {
	w := newWorld(t)
	w.settle()
	a := &v1alpha1.AWSAccount{}
	w.get(payDev, a)
	a.Status.Drift[0].Observed = `=cmd|' /C calc'!A0`
	w.putStatus(a)
	stdout, _, _ := w.run("drift", "-o", "csv")
	if !strings.Contains(stdout, `,'=cmd|`) {
		t.Errorf("a formula stands in the CSV:\n%s", stdout)
	}
}
