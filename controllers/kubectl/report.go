package kubectl

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// reportFlags are the flags of the command.
type reportFlags struct {
	output, file string
	frameworks   []string
}

func newReport(c *cluster) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "How accounts stand to the requirements of frameworks, for auditors",
		Long: `Report, per requirement of a framework, how many accounts are compliant, drifted, excepted or unknown with regard to the
controls that speak to it, and the same per account.

An account is compliant with a requirement when every control that speaks to it is declared for the account by a baseline and
was seen to hold with today's settings. What was not looked at, and what no baseline declares (not covered), is unknown. The
worst control counts. A control of the whole organization counts in the account where it is decided. That the controls hold
does not by itself meet a requirement.

HTML is one file that needs nothing else. CSV has a line per requirement, which counts accounts, and a line per account and
framework, which counts requirements.`,
		Example: `  kubectl plumbline report -o html --file report.html
  kubectl plumbline report -o csv --framework CIS-5.0 > cis.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explained(c.report(cmd.Context(), f))
		},
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "csv, json or html.")
	cmd.Flags().StringSliceVar(&f.frameworks, "framework", nil, "Only these frameworks. Example: CIS-5.0")
	cmd.Flags().StringVar(&f.file, "file", "", "Write to this file, which only you may read, and not to standard output.")
	c.complete(cmd, "output", fixed("csv", "json", "html"))
	var names []string
	for _, framework := range control.Frameworks(c.catalogue()) {
		names = append(names, framework.Name)
	}
	c.complete(cmd, "framework", fixed(names...))
	return cmd
}

// report is what auditors get.
type report struct {
	Generated    time.Time `json:"generated"`
	Organization string    `json:"organization"`
	// Checks counts every check of every baseline, whatever framework it belongs to.
	Checks     v1alpha1.CheckCounts `json:"checks"`
	Frameworks []frameworkReport    `json:"frameworks"`
	Accounts   []accountReport      `json:"accounts"`
}

// frameworkReport counts requirements over all accounts.
type frameworkReport struct {
	Name         string              `json:"name"`
	Total        Tally               `json:"total"`
	Requirements []requirementReport `json:"requirements"`
}

// requirementReport counts accounts.
type requirementReport struct {
	ID       string   `json:"id"`
	Controls []string `json:"controls"`

	Tally   `json:",inline"`
	Percent *int `json:"percent,omitempty"`
}

// accountReport counts the account's checks, and its requirements per framework.
type accountReport struct {
	ID         string                `json:"id"`
	Name       string                `json:"name,omitempty"`
	Path       string                `json:"path,omitempty"`
	State      v1alpha1.AccountState `json:"state"`
	Observed   *time.Time            `json:"lastObserved,omitempty"`
	Checks     v1alpha1.CheckCounts  `json:"checks"`
	Frameworks []accountFramework    `json:"frameworks"`
	Drift      []v1alpha1.DriftRow   `json:"drift,omitempty"`
	// Resources is the number of departing resources, those without a row included.
	Resources int32 `json:"driftedResources"`
}

type accountFramework struct {
	Name string `json:"name"`

	Tally   `json:",inline"`
	Percent *int `json:"percent,omitempty"`
}

func (c *cluster) report(ctx context.Context, f reportFlags) error {
	write, known := map[string]func(io.Writer, *report) error{
		"csv":  func(w io.Writer, r *report) error { return r.csv().asCSV(w) },
		"json": func(w io.Writer, r *report) error { return asJSON(w, r) },
		"html": writeHTML,
	}[f.output]
	if !known {
		return fmt.Errorf("--output is %q; it must be csv, json or html", f.output)
	}
	frameworks, err := c.frameworks(f.frameworks)
	if err != nil {
		return err
	}
	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	r := c.newReport(s, frameworks)
	if f.file == "" {
		return write(c.Streams.Out, r)
	}
	var content bytes.Buffer
	if err := write(&content, r); err != nil {
		return err
	}
	// Names of users and buckets stand in it.
	if err := os.WriteFile(f.file, content.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	_, err = fmt.Fprintf(c.Streams.ErrOut, "wrote %s: %s, %s\n", f.file, plural(len(r.Frameworks), "framework"), plural(len(r.Accounts), "account"))
	return err
}

// frameworks are those that are asked for; all where none is named.
func (c *cluster) frameworks(wanted []string) ([]control.Framework, error) {
	all := control.Frameworks(c.catalogue())
	if len(wanted) == 0 {
		return all, nil
	}
	var chosen []control.Framework
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	for _, name := range wanted {
		found := false
		for _, f := range all {
			if strings.EqualFold(f.Name, name) {
				chosen, found = append(chosen, f), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no framework %q; %s", name, didYouMean(name, names))
		}
	}
	return chosen, nil
}

func (c *cluster) newReport(s *survey, frameworks []control.Framework) *report {
	r := &report{Generated: c.Clock().UTC().Truncate(time.Second), Organization: "none", Accounts: []accountReport{}}
	if s.Organization != nil {
		r.Organization = s.Organization.Name
	}
	byID := map[string]control.Bound{}
	for _, b := range c.catalogue() {
		byID[b.ID] = b
	}
	for _, a := range s.kept() {
		r.Checks.Add(a.checks)
		r.Accounts = append(r.Accounts, newAccountReport(a))
	}
	for _, u := range s.Undecided(objects(s.accounts)) {
		r.Checks.Add(u.Checks)
	}
	for _, f := range frameworks {
		r.Frameworks = append(r.Frameworks, r.framework(s, f, byID))
	}
	return r
}

func newAccountReport(a surveyed) accountReport {
	one := accountReport{
		ID: a.Name, Name: nameOf(a.AWSAccount), Path: pathOf(a.AWSAccount), State: a.state(), Checks: a.checks, Resources: a.Status.DriftedResources,
	}
	if at := a.Status.LastObservedTime; at != nil {
		one.Observed = new(at.UTC())
	}
	for _, d := range a.Status.Drift {
		if d.Excepted == "" {
			one.Drift = append(one.Drift, d)
		}
	}
	return one
}

// framework counts a framework's requirements, and adds them to the accounts.
func (r *report) framework(s *survey, f control.Framework, byID map[string]control.Bound) frameworkReport {
	out := frameworkReport{Name: f.Name}
	perAccount := make([]Tally, len(r.Accounts))
	for _, requirement := range f.Requirements {
		var controls []control.Bound
		for _, id := range requirement.Controls {
			controls = append(controls, byID[id])
		}
		one := requirementReport{ID: requirement.ID, Controls: requirement.Controls}
		for i, a := range s.kept() {
			if o, decided := s.requirementIn(a, controls); decided {
				one.add(o)
				out.Total.add(o)
				perAccount[i].add(o)
			}
		}
		if s.nowhere(controls) {
			one.add(unknown)
			out.Total.add(unknown)
		}
		one.Percent = one.Tally.Percent()
		out.Requirements = append(out.Requirements, one)
	}
	for i := range r.Accounts {
		r.Accounts[i].Frameworks = append(r.Accounts[i].Frameworks, accountFramework{f.Name, perAccount[i], perAccount[i].Percent()})
	}
	return out
}

// csv is the report for a spreadsheet.
func (r *report) csv() *table {
	t := &table{head: []string{"line", "framework", "requirement", "controls", "account", "accountName", "counted", "compliant", "drifted", "excepted",
		"unknown", "notCovered", "notApplicable", "percent"}}
	add := func(first []string, n Tally) {
		cells := first
		for _, v := range []int{n.Of, n.Compliant, n.Drifted, n.Excepted, n.Unknown, n.NotCovered, n.NotApplicable} {
			cells = append(cells, fmt.Sprint(v))
		}
		t.add(append(cells, percent(n.Percent()))...)
	}
	for _, f := range r.Frameworks {
		for _, q := range f.Requirements {
			add([]string{"requirement", f.Name, q.ID, strings.Join(q.Controls, " "), "", ""}, q.Tally)
		}
	}
	for _, a := range r.Accounts {
		for _, f := range a.Frameworks {
			add([]string{"account", f.Name, "", "", a.ID, a.Name}, f.Tally)
		}
	}
	return t
}

func percent(p *int) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(*p)
}
