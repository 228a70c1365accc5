package control

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	idPattern     = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	actionPattern = regexp.MustCompile(`^[a-z0-9-]+:[A-Z][A-Za-z0-9]+$`)
)

// mayDelete are the only Delete actions that a control may declare: each takes back a setting, none deletes anything that
// holds data or history.
var mayDelete = map[string]bool{
	"s3:DeleteBucketPolicy":            true, // a policy that held only Plumbline's own statement
	"iam:DeleteAccountPasswordPolicy":  true, // undo, where there was no policy
	"s3:DeleteBucketOwnershipControls": true, // undo, where there were none
}

// mustNotRead are actions that read data or secrets; no control may declare one.
var mustNotRead = []string{
	"s3:GetObject", "secretsmanager:GetSecretValue", "ssm:GetParameter", "kms:Decrypt", "dynamodb:GetItem", "dynamodb:Scan",
	"dynamodb:Query", "logs:GetLogEvents", "logs:FilterLogEvents", "sqs:ReceiveMessage", "lambda:GetFunction",
}

// Validate checks a catalogue: every control is documented and consistent, and ids are unique. The manager does not start
// on an error.
func Validate(catalogue []Bound) error {
	var errs []error
	seen := map[string]bool{}
	for _, b := range catalogue {
		if seen[b.ID] {
			errs = append(errs, fmt.Errorf("control %s: the id is used twice", b.ID))
		}
		seen[b.ID] = true
		for _, problem := range b.problems() {
			errs = append(errs, fmt.Errorf("control %s: %s", b.ID, problem))
		}
	}
	return errors.Join(errs...)
}

func (m Meta) problems() []string {
	var p []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			p = append(p, fmt.Sprintf(format, args...))
		}
	}
	add(!idPattern.MatchString(m.ID) || len(m.ID) > 63, "the id must be kebab-case and at most 63 characters")
	add(m.Title == "" || m.Doc == "", "title and doc are needed")
	add(m.Scope != Organization && m.Scope != Account && m.Scope != Region, "scope %q is none", m.Scope)
	add(m.Risk < Safe || m.Risk > ReportOnly, "a risk is needed")
	add(m.Severity == "", "a severity is needed")
	add(len(m.Reads) == 0, "reads are needed")
	add(m.Risk == ReportOnly && len(m.Writes) > 0, "it only reports and declares writes")
	add(m.Risk != ReportOnly && len(m.Writes) == 0, "it changes something and declares no writes")
	add(m.Administrator != "" && m.Scope != Organization, "only a control of the organization is decided by an administrator")
	for _, a := range m.Actions() {
		add(!actionPattern.MatchString(a), "%q is no IAM action", a)
		_, verb, _ := strings.Cut(a, ":")
		add(strings.HasPrefix(verb, "Delete") && !mayDelete[a], "%s deletes and is not in the list of those allowed", a)
		for _, secret := range mustNotRead {
			add(strings.HasPrefix(a, secret) && a != "s3:GetObjectLockConfiguration", "%s reads data or secrets", a)
		}
	}
	return p
}

// Actions are the IAM actions that the control's own calls may use.
func (m Meta) Actions() []string {
	all := make([]string, 0, len(m.Reads)+len(m.Writes))
	return append(append(all, m.Reads...), m.Writes...)
}
