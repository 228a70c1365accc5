package iam

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// report is the account's credential report and when AWS made it.
type report struct {
	rows []reportRow
	made time.Time
}

// reportLife is how long AWS serves a report, and a little longer.
const reportLife = 4*time.Hour + 2*time.Minute

// index is the report as what an observation rests on.
func (r report) index() control.Index {
	return control.Index{Made: r.made, Renewed: r.made.Add(reportLife)}
}

// credentialReport reads the account's credential report. What AWS still serves is used, however old: it is an index. A new
// one is asked for only where AWS says that there is none, or none any more, which is once in four hours at most.
var credentialReport = control.Read[report]{
	Key:     "iam.credentialReport",
	Actions: []string{"iam:GetCredentialReport", "iam:GenerateCredentialReport"},
	Do: func(ctx context.Context, t *control.Target) (report, error) {
		out, err := getReport(ctx, t)
		if err != nil {
			return report{}, err
		}
		if out.GeneratedTime == nil {
			return report{}, control.Unexpected("GetCredentialReport", "when the report was made")
		}
		rows, err := parseReport(out.Content, t.GlobalARN("iam", "user/"))
		if err != nil {
			return report{}, fmt.Errorf("reading the credential report: %w", err)
		}
		return report{rows, *out.GeneratedTime}, nil
	},
}

// errReportNotReady says that AWS is still making the report.
var errReportNotReady = errors.New("the credential report is being made")

// reportWaits are the pauses before each look at a report that is being made. It takes AWS seconds in a small account and
// minutes in a large one; the next pass finds it then.
var reportWaits = []time.Duration{time.Second, 2 * time.Second}

// unindexed is what a control answers when there is no index to go by.
func unindexed(err error) ([]control.Finding, error) {
	var later *control.LaterError
	waits := errors.As(err, &later) && errors.Is(later, control.ErrRateLimit)
	if errors.Is(err, errReportNotReady) || waits && later.Made {
		return []control.Finding{{
			Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: "AWS is making the account's credential report; looked at again by itself",
		}}, nil
	}
	if waits {
		return []control.Finding{{
			Outcome: control.Waiting, Reason: v1alpha1.RowWaiting, Again: later.Until,
			Message: "AWS makes credential reports with a capacity that all its customers share, so the accounts take turns: " +
				"this one's is asked for by itself, not before " + control.Minute(later.Until),
		}}, nil
	}
	if control.IsThrottled(err) { // "LimitExceeded: No more capacity": all of AWS's customers share it
		return []control.Finding{control.Unreadable("", err)}, nil
	}
	return nil, err
}

// getReport is the report: one call where AWS has it, and at most four where it has to be made.
func getReport(ctx context.Context, t *control.Target) (*iam.GetCredentialReportOutput, error) {
	api, waits := iam.NewFromConfig(t.AWS), reportWaits
	out, err := api.GetCredentialReport(ctx, &iam.GetCredentialReportInput{})
	if control.IsCode(err, "ReportNotPresent", "ReportExpired") {
		made, err := api.GenerateCredentialReport(ctx, &iam.GenerateCredentialReportInput{})
		if err != nil {
			return nil, fmt.Errorf("asking for a credential report: %w", err)
		}
		switch made.State {
		case "":
			return nil, control.Unexpected("GenerateCredentialReport", "a state")
		case types.ReportStateTypeComplete:
			waits = []time.Duration{0, waits[1]}
		}
	}
	for _, pause := range waits {
		if !control.IsCode(err, "ReportNotPresent", "ReportExpired", "ReportInProgress") {
			break
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
		out, err = api.GetCredentialReport(ctx, &iam.GetCredentialReportInput{})
	}
	switch {
	case control.IsCode(err, "ReportNotPresent", "ReportExpired", "ReportInProgress"):
		return nil, errReportNotReady
	case err != nil:
		return nil, fmt.Errorf("getting the credential report: %w", err)
	}
	return out, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reportRow is what the report says of one user. A zero time stands for none, or none that AWS knows of.
type reportRow struct {
	name, arn                 string
	created, passwordLastUsed time.Time
	password, mfa             bool
	keys                      [2]reportKey
	// more is true when the user has more keys or certificates than the report has columns for.
	more bool
}

type reportKey struct {
	active            bool
	rotated, lastUsed time.Time
}

// maxReport bounds the report: 5,000 users, the most that an account can have, with the longest paths take half of it.
const maxReport = 16 << 20

// rootRow is the name in the root user's row.
const rootRow = "<root_account>"

// parseReport reads the rows of users, whose ARNs begin with prefix. Columns are found by name, those of other names are
// left alone; a value that AWS does not document is an error. Source of columns and values: "Generate credential reports for
// your AWS account", IAM User Guide.
func parseReport(content []byte, prefix string) ([]reportRow, error) {
	if len(content) > maxReport {
		return nil, control.Unexpected("GetCredentialReport", fmt.Sprintf("an end within %d bytes", maxReport))
	}
	lines, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(lines) < 2 { // a header and, always, a row of root
		return nil, control.Unexpected("GetCredentialReport", "a header and well-formed rows")
	}
	columns := map[string]int{}
	for i, name := range lines[0] {
		columns[name] = i
	}
	var rows []reportRow
	for _, values := range lines[1:] {
		line := reportLine{columns: columns, values: values}
		if line.text("user") == rootRow {
			continue
		}
		row := line.row()
		if row.name == "" || !strings.HasPrefix(row.arn, prefix) {
			line.fail("the ARN of a user of the account")
		}
		if line.lacks != "" {
			return nil, control.Unexpected("GetCredentialReport", line.lacks)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// reportLine reads the values of one line and remembers the first thing it lacks.
type reportLine struct {
	columns map[string]int
	values  []string
	lacks   string
}

func (l *reportLine) row() reportRow {
	row := reportRow{
		name: l.text("user"), arn: l.text("arn"), created: l.date("user_creation_time"),
		password: l.flag("password_enabled"), passwordLastUsed: l.date("password_last_used"), mfa: l.flag("mfa_active"),
	}
	for i := range row.keys {
		key := fmt.Sprintf("access_key_%d_", i+1)
		row.keys[i] = reportKey{
			active: l.flag(key + "active"), rotated: l.date(key + "last_rotated"), lastUsed: l.date(key + "last_used_date"),
		}
	}
	if _, ok := l.columns["additional_credentials_info"]; ok { // the only column that a report may leave out
		row.more = !isNone(l.text("additional_credentials_info"))
	}
	return row
}

func (l *reportLine) text(column string) string {
	i, ok := l.columns[column]
	if !ok || i >= len(l.values) {
		l.fail("the column " + column)
		return ""
	}
	return l.values[i]
}

func (l *reportLine) flag(column string) bool {
	v := l.text(column)
	switch strings.ToLower(v) {
	case "true":
		return true
	case "false":
		return false
	}
	l.fail("true or false in " + column)
	return false
}

func (l *reportLine) date(column string) time.Time {
	v := l.text(column)
	if isNone(v) {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, v)
	if err != nil {
		l.fail("a date in " + column)
	}
	return at
}

// isNone says whether a value stands for none: not applicable, never, or not known.
func isNone(v string) bool {
	return v == "" || v == "N/A" || v == "no_information" || v == "not_supported"
}

func (l *reportLine) fail(lacks string) {
	if l.lacks == "" {
		l.lacks = lacks
	}
}
