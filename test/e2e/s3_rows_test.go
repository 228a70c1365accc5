package e2e

import (
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	contract "github.com/plumbline-dev/plumbline/controllers/control"
)

// A departure is a field of a resource that departs: its name, what is desired, what is observed.
type departure struct{ field, desired, observed string }

// notOn are the named settings that should be on and are off.
func notOn(names ...string) []departure {
	var all []departure
	for _, name := range names {
		all = append(all, departure{name, "Enabled", "Disabled"})
	}
	return all
}

// A verdict is what a row says of why it stands.
type verdict struct{ reason, message string }

// inAudit is the verdict on a change of the risk in Audit.
func inAudit(risk string) verdict {
	return verdict{v1alpha1.RowAudit, inAuditMessage(risk)}
}

// unchanging is the verdict on what a control never changes.
func unchanging(control string) verdict {
	return verdict{v1alpha1.RowReportOnly, "Plumbline does not change this; see " + control + " in docs/controls.md"}
}

// weakening stands in for the risk of a change that lowers security.
const weakening = "weakens"

// awaiting is the verdict on a change that waits for an approval, with all of its departures.
func awaiting(risk string, all ...departure) verdict {
	var parts []string
	for _, d := range all {
		parts = append(parts, d.field+" from "+contract.Bounded(d.observed, 80)+" to "+contract.Bounded(d.desired, 80))
	}
	text := contract.Bounded("would set "+strings.Join(parts, ", "), 300)
	switch risk {
	case weakening:
		text += " (weakens security); waits for an approval in every mode"
	case "Disruptive":
		text += " (Disruptive); waits for an approval, or is applied with approval: Irreversible on the section"
	default:
		text += " (" + risk + "); waits for an approval"
	}
	return verdict{v1alpha1.RowAwaitingApproval, text}
}

// severityOf is the severity of the controls whose rows rowsOf makes; Medium where it is not named.
var severityOf = map[string]v1alpha1.Severity{
	s3AccountBlock: v1alpha1.SeverityHigh, s3BucketBlock: v1alpha1.SeverityCritical,
	s3Versioning: v1alpha1.SeverityLow, s3ObjectLock: v1alpha1.SeverityLow,
}

// rowsOf are the drift rows of one control about one resource, one a departure.
func rowsOf(control, region, resource string, because verdict, fields ...departure) []v1alpha1.DriftRow {
	severity, ok := severityOf[control]
	if !ok {
		severity = v1alpha1.SeverityMedium
	}
	var rows []v1alpha1.DriftRow
	for _, f := range fields {
		rows = append(rows, v1alpha1.DriftRow{
			Control: control, Region: region, Resource: resource, Field: f.field, Desired: f.desired, Observed: f.observed,
			Severity: severity, Reason: because.reason, Message: because.message,
		})
	}
	return rows
}

// ofBucket are the rows about one bucket in Frankfurt.
func ofBucket(control, bucket string, because verdict, fields ...departure) []v1alpha1.DriftRow {
	return rowsOf(control, frankfurt, s3ARN(bucket), because, fields...)
}
