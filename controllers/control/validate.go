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
	add((m.Risk == ReportOnly) != (len(m.Writes) == 0), "it must declare writes if it changes something, and none if it only reports")
	add(m.Administrator != "" && m.Scope != Organization, "only a control of the organization is decided by an administrator")
	for _, a := range append(m.Actions(), m.Grants...) {
		if problem := actionProblem(a); problem != "" {
			p = append(p, problem)
		}
	}
	return p
}

// actionProblem says why an IAM action cannot be declared; empty when it can.
func actionProblem(action string) string {
	_, verb, _ := strings.Cut(action, ":")
	switch {
	case !actionPattern.MatchString(action):
		return fmt.Sprintf("%q is no IAM action", action)
	case strings.HasPrefix(verb, "Delete") && !mayDelete[action]:
		return action + " deletes and is not in the list of those allowed"
	}
	for _, secret := range mustNotRead {
		if strings.HasPrefix(action, secret) && action != "s3:GetObjectLockConfiguration" {
			return action + " reads data or secrets"
		}
	}
	return ""
}

// Actions are the IAM actions that the control's own calls may use.
func (m Meta) Actions() []string {
	all := make([]string, 0, len(m.Reads)+len(m.Writes))
	return append(append(all, m.Reads...), m.Writes...)
}
