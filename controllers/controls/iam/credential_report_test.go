package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func targetOf(c *cloudtest.Cloud, actions []string) *control.Target { return sharing(c, actions, nil) }

// sharing is a target that shares its reads with the others of the pass.
func sharing(c *cloudtest.Cloud, actions []string, pass *control.Memo) *control.Target {
	return control.NewTarget(control.Target{
		Account: controltest.Account, Partition: "aws", Region: "us-east-1", Now: controltest.Now,
		Facts: control.Facts{AuditRole: auditARN, EnforceRole: enforceARN, ExternalID: "example"},
	}, c.Connector(controltest.Account), actions, pass, nil)
}

func operations(c *cloudtest.Cloud) (all []string) {
	for _, call := range c.Calls() {
		all = append(all, call.Operation)
	}
	return all
}

// baseline declares everything that concerns users.
func baseline() *v1alpha1.IAMBaseline {
	b := &v1alpha1.IAMBaseline{}
	b.Spec.UserMFA = &v1alpha1.UserMFA{ControlSpec: enabled, Guard: v1alpha1.MFAGuardConsoleOnly}
	b.Spec.AccessKeyAge = &v1alpha1.AccessKeyAge{ControlSpec: enabled}
	b.Spec.UnusedCredentials = &v1alpha1.UnusedCredentials{ControlSpec: enabled}
	b.Spec.SingleAccessKey = &v1alpha1.SingleAccessKey{ControlSpec: enabled}
	return b
}

func TestControlsWaitForTheReport(t *testing.T) {
	for _, code := range []string{"ReportNotPresent", "ReportExpired"} {
		for _, b := range Controls(baseline()) {
			if !b.Managed() {
				continue
			}
			t.Run(code+" "+b.ID, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var c cloudtest.Cloud
					account{reportErrors: []string{code}, generate: "STARTED"}.stage(&c)
					found, err := b.Observe(context.Background(), targetOf(&c, b.Reads))
					want := []control.Finding{{Outcome: control.Waiting, Reason: v1alpha1.RowWaiting, Message: found[0].Message}}
					if diff := cmp.Diff(want, found); diff != "" || err != nil {
						t.Errorf("error %v, findings (-want +got):\n%s", err, diff)
					}
					calls := []string{"GetCredentialReport", "GenerateCredentialReport", "GetCredentialReport", "GetCredentialReport"}
					if diff := cmp.Diff(calls, operations(&c)); diff != "" {
						t.Errorf("calls (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestAReportThatBecomesReadyIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cloudtest.Cloud
		account{reportErrors: []string{"ReportInProgress", "ReportInProgress"}}.stage(&c)
		if _, err := credentialReport.From(context.Background(), targetOf(&c, credentialReport.Actions)); err != nil {
			t.Fatal(err)
		}
		// A report that is being made already is not asked for again.
		calls := []string{"GetCredentialReport", "GetCredentialReport", "GetCredentialReport"}
		if diff := cmp.Diff(calls, operations(&c)); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestWaitingEndsWithThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cloudtest.Cloud
		account{reportErrors: []string{"ReportNotPresent"}, generate: "STARTED"}.stage(&c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := getReport(ctx, targetOf(&c, credentialReport.Actions))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the pass", err)
		}
	})
}

// Ten healthy users cost one call, and one more for each variant of the guard where a guard is declared.
func TestHealthyUsersCostNoCallEach(t *testing.T) {
	report, guarded := "GetCredentialReport", "ListEntitiesForPolicy"
	for guard, want := range map[v1alpha1.MFAGuard][]string{
		v1alpha1.MFAGuardNone: {report}, v1alpha1.MFAGuardConsoleOnly: {report, guarded, guarded},
		v1alpha1.MFAGuardConsoleAndKeys: {report, guarded, guarded},
	} {
		t.Run(string(guard), func(t *testing.T) {
			var c cloudtest.Cloud
			a := account{policies: guardsInPlace()}
			for i := range 10 {
				a.members = append(a.members, member{
					name: fmt.Sprintf("user-%d", i), password: ago(30), passwordUsed: ago(1), devices: 1,
					keys: []key{active(fmt.Sprintf("AKIAUSERUSERUSERUSE%d", i), 30, 1)},
				})
			}
			a.stage(&c)
			declared := baseline()
			declared.Spec.UserMFA.Guard = guard
			pass := control.NewMemo(context.Background())
			for _, b := range Controls(declared) {
				if !b.Managed() {
					continue
				}
				found, err := b.Observe(context.Background(), sharing(&c, b.Reads, pass))
				if err != nil || len(found) > 0 {
					t.Fatalf("%s: %v, %v", b.ID, found, err)
				}
			}
			if diff := cmp.Diff(want, operations(&c)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseReport(t *testing.T) {
	good := reportOf(nil, []member{{name: "zoe", path: "/a/", password: ago(10), keys: []key{active("AKIAZOEZOEZOEZOEZOE1", 20, -1)}}})
	replaced := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the report has no %q", old)
		}
		return strings.ReplaceAll(good, old, with)
	}
	for name, tc := range map[string]struct {
		content string
		want    []reportRow
		err     string
	}{
		"rows of users, root left out, columns found by name": {content: good, want: []reportRow{{
			name: "zoe", arn: userARN("a/zoe"), created: ago(1000), password: true, keys: [2]reportKey{{active: true, rotated: ago(20)}, {}},
		}}},
		"values in capitals, and none in AWS's other words": {
			content: strings.NewReplacer("true", "TRUE", "false", "FALSE", "N/A", "no_information").Replace(good), want: []reportRow{{
				name: "zoe", arn: userARN("a/zoe"), created: ago(1000), password: true, keys: [2]reportKey{{active: true, rotated: ago(20)}, {}},
			}},
		},
		"an account without users":                    {content: reportOf(nil, nil)},
		"nothing":                                     {content: "", err: "a header"},
		"no rows":                                     {content: "user,arn\n", err: "a header"},
		"a line that is cut off":                      {content: good[:len(good)-20], err: "well-formed rows"},
		"a column that is missing":                    {content: replaced("mfa_active", "mfa"), err: "the column mfa_active"},
		"a switch that is neither on nor off":         {content: replaced("zoe,arn:aws:iam::111122223333:user/a/zoe,2023-06-05T12:00:00+00:00,true", "zoe,arn:aws:iam::111122223333:user/a/zoe,2023-06-05T12:00:00+00:00,maybe"), err: "true or false in password_enabled"},
		"a date that is none":                         {content: replaced("2026-02-09T12:00:00+00:00", "yesterday"), err: "a date in access_key_1_last_rotated"},
		"a user of another account":                   {content: replaced(userARN("a/zoe"), "arn:aws:iam::999999999999:user/a/zoe"), err: "the ARN of a user"},
		"a user without a name":                       {content: replaced("zoe,arn", ",arn"), err: "the ARN of a user"},
		"more than any account's report can be large": {content: strings.Repeat("x", maxReport+1), err: "an end"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseReport([]byte(tc.content), userARN(""))
			if tc.err != "" {
				if !errors.Is(err, control.ErrUnexpected) || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want an unexpected answer with %q", err, tc.err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(reportRow{}, reportKey{})); diff != "" || err != nil {
				t.Errorf("error %v, rows (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A turn at a capacity that all of AWS's customers share may be hours away: the check says when, and the pass goes on.
func TestAReportWhoseTurnHasNotComeIsWaitedFor(t *testing.T) {
	turn := controltest.Now.Add(40 * time.Minute)
	for name, tc := range map[string]struct {
		later control.LaterError
		want  control.Finding
	}{
		"its turn comes later": {control.LaterError{Err: control.ErrRateLimit, Until: turn}, control.Finding{
			Outcome: control.Waiting, Reason: v1alpha1.RowWaiting, Again: turn,
			Message: "AWS makes credential reports with a capacity that all its customers share, so the accounts take turns: this one's is " +
				"asked for by itself, not before " + control.Minute(turn),
		}},
		"AWS has accepted it already": {control.LaterError{Err: control.ErrRateLimit, Until: turn, Made: true}, control.Finding{
			Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: "AWS is making the account's credential report; looked at again by itself",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var c cloudtest.Cloud
			account{reportErrors: []string{"ReportNotPresent"}, generate: "STARTED"}.stage(&c)
			c.Deny("iam:GenerateCredentialReport", &tc.later)
			for _, b := range Controls(baseline()) {
				if !b.Managed() {
					continue
				}
				found, err := b.Observe(context.Background(), targetOf(&c, b.Reads))
				if diff := cmp.Diff([]control.Finding{tc.want}, found); diff != "" || err != nil {
					t.Errorf("%s: error %v, findings (-want +got):\n%s", b.ID, err, diff)
				}
			}
		})
	}
}

// Where there is no report yet, those whom events name are read live all the same; and what rests on a report says on which.
func TestWhomEventsNameIsReadWithAReportOrWithout(t *testing.T) {
	waiting := control.Finding{Outcome: control.Waiting, Reason: v1alpha1.RowWaiting}
	two := []key{active("AKIAONEONEONEONEONE1", 5, 1), active("AKIATWOTWOTWOTWOTWO2", 5, 1)}
	departs := reportOnly(userARN("carol"), "", control.Field{Path: "accessKeys.active", Want: "at most 1", Got: "2 (AKIA…ONE1, AKIA…TWO2)"})
	for name, tc := range map[string]struct {
		errors []string
		want   []control.Finding
		index  control.Index
	}{
		"with a report": {nil, []control.Finding{departs}, control.Index{Made: reportMade, Renewed: reportMade.Add(4*time.Hour + 2*time.Minute)}},
		"without":       {[]string{"ReportNotPresent"}, []control.Finding{waiting, departs}, control.Index{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c cloudtest.Cloud
				account{members: []member{{name: "carol", keys: two}}, reported: []member{}, reportErrors: tc.errors, generate: "STARTED"}.stage(&c)
				target := targetOf(&c, SingleAccessKey.Reads)
				target.Named = []string{"carol"}
				found, err := SingleAccessKey.Observe(context.Background(), target, v1alpha1.SingleAccessKey{ControlSpec: enabled})
				if err != nil {
					t.Fatal(err)
				}
				for i := range found {
					found[i].Message = ""
				}
				if diff := cmp.Diff(tc.want, found); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.index, target.Index()); diff != "" {
					t.Errorf("what it rests on (-want +got):\n%s", diff)
				}
			})
		})
	}
}
