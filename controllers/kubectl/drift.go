package kubectl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// driftFilter says which departures are asked for. An empty list lets everything through.
type driftFilter struct {
	accounts, controls, severities, regions, baselines []string

	excused bool
}

func newDrift(c *cluster) *cobra.Command {
	var f driftFilter
	output := ""
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "What departs, resource by resource",
		Long: `List the fields of resources that depart from what a baseline declares: what is desired, what AWS has, and why it stands.

An account keeps its 20 worst rows; how many resources have none is said below the table. A list narrows by several values.

Exit code: 0 without drift, 2 with drift, 1 on an error.`,
		Example: `  kubectl plumbline drift
  kubectl plumbline drift --account 111122223333 --severity Critical,High
  kubectl plumbline drift --baseline S3Baseline/organization -o csv > drift.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explained(c.drift(cmd.Context(), f, output))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.accounts, "account", nil, "Only in these accounts, by id.")
	flags.StringSliceVar(&f.controls, "control", nil, "Only of these controls.")
	flags.StringSliceVar(&f.severities, "severity", nil, "Only of these severities: Critical, High, Medium, Low.")
	flags.StringSliceVar(&f.regions, "region", nil, "Only in these regions; global for what is of the account or the organization.")
	flags.StringSliceVar(&f.baselines, "baseline", nil, "Only what these baselines declare. Example: S3Baseline/organization")
	flags.BoolVar(&f.excused, "excused", false, "Also what an exception excuses, which is no drift.")
	flags.StringVarP(&output, "output", "o", "table", "table, wide, json, yaml or csv.")
	c.complete(cmd, "account", c.fromCluster(accountNames))
	c.complete(cmd, "control", c.completeControls)
	c.complete(cmd, "severity", fixed("Critical", "High", "Medium", "Low"))
	c.complete(cmd, "baseline", c.fromCluster(c.baselineNames))
	c.complete(cmd, "output", fixed("table", "wide", "json", "yaml", "csv"))
	return cmd
}

// foundDrift is what drift prints: rows, and what has none.
type foundDrift struct {
	Items []driftItem `json:"items"`
	// NotShown counts the departing resources that have no row.
	NotShown []unlisted `json:"notShown,omitempty"`
	// Unknown counts the checks that could not be looked at, in so many accounts.
	UnknownChecks   int32 `json:"unknownChecks"`
	UnknownAccounts int   `json:"unknownAccounts"`
}

type driftItem struct {
	Account     string `json:"account"`
	AccountName string `json:"accountName,omitempty"`
	Baseline    string `json:"baseline,omitempty"`

	v1alpha1.DriftRow `json:",inline"`
}

// unlisted are departing resources of a control without a row.
type unlisted struct {
	Account   string `json:"account"`
	Control   string `json:"control"`
	Resources int32  `json:"resources"`
}

func (c *cluster) drift(ctx context.Context, f driftFilter, output string) error {
	write, known := map[string]func(io.Writer, *foundDrift) error{
		"table": func(_ io.Writer, d *foundDrift) error { return c.print(d.table(false, c.Clock()).String()) },
		"wide":  func(_ io.Writer, d *foundDrift) error { return c.print(d.table(true, c.Clock()).String()) },
		"json":  func(w io.Writer, d *foundDrift) error { return asJSON(w, d) },
		"yaml":  func(w io.Writer, d *foundDrift) error { return asYAML(w, d) },
		"csv":   func(w io.Writer, d *foundDrift) error { return d.csv().asCSV(w) },
	}[output]
	if !known {
		return fmt.Errorf("--output is %q; it must be table, wide, json, yaml or csv", output)
	}
	if err := f.check(c); err != nil {
		return err
	}
	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	if s.accounts, err = f.among(s.accounts); err != nil {
		return err
	}
	found := f.find(s)
	if output != "table" && output != "wide" || len(found.Items) > 0 {
		if err := write(c.Streams.Out, found); err != nil {
			return err
		}
	}
	c.note(found.notes())
	if found.any() {
		return errDrift
	}
	return nil
}

// check says what is wrong with the filter itself.
func (f *driftFilter) check(c *cluster) error {
	for i, given := range f.severities {
		k := slices.IndexFunc(severities, func(s v1alpha1.Severity) bool { return strings.EqualFold(string(s), given) })
		if k < 0 {
			return fmt.Errorf("there is no severity %q; there are Critical, High, Medium and Low", given)
		}
		f.severities[i] = string(severities[k])
	}
	return c.checkNames(f.controls, f.baselines)
}

// checkNames says which control or kind of baseline does not exist, and writes the baselines' names as objects have them.
func (c *cluster) checkNames(controls, baselines []string) error {
	for _, id := range controls {
		if _, err := c.control(id); err != nil {
			return err
		}
	}
	for i, given := range baselines {
		key, err := c.baselineKey(given)
		if err != nil {
			return err
		}
		baselines[i] = key
	}
	return nil
}

// among are the accounts that are asked for.
func (f *driftFilter) among(all []surveyed) ([]surveyed, error) {
	for _, id := range f.accounts {
		if !slices.ContainsFunc(all, func(a surveyed) bool { return a.Name == id }) {
			return nil, fmt.Errorf("there is no account %s; kubectl plumbline tree --all lists them", id)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(a surveyed) bool { return !lets(f.accounts, a.Name) }), nil
}

func lets(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }

// find are the rows and the numbers that the filter lets through.
func (f *driftFilter) find(s *survey) *foundDrift {
	found := &foundDrift{Items: []driftItem{}}
	for _, a := range s.accounts {
		if n := f.unknown(a); n > 0 {
			found.UnknownAccounts++
			found.UnknownChecks += n
		}
		rows := f.rows(a.AWSAccount)
		found.Items = append(found.Items, rows...)
		found.NotShown = append(found.NotShown, f.unlisted(a.AWSAccount, rows)...)
	}
	slices.SortStableFunc(found.Items, func(a, b driftItem) int {
		return cmp.Or(severityRank(a.Severity)-severityRank(b.Severity), strings.Compare(a.Account, b.Account), strings.Compare(a.Control, b.Control),
			strings.Compare(a.Region, b.Region), strings.Compare(a.Resource, b.Resource), strings.Compare(a.Field, b.Field))
	})
	return found
}

// unknown counts the account's checks that nobody could look at. They cannot be told apart by region.
func (f *driftFilter) unknown(a surveyed) (n int32) {
	for _, s := range a.standings {
		if lets(f.controls, s.Control) && lets(f.severities, string(s.Severity)) && lets(f.baselines, s.Baseline) {
			n += s.Checks.Unknown
		}
	}
	return n
}

func (f *driftFilter) rows(a *v1alpha1.AWSAccount) (items []driftItem) {
	for _, d := range a.Status.Drift {
		item := driftItem{Account: a.Name, AccountName: nameOf(a), Baseline: declaring(a, d), DriftRow: d}
		if lets(f.controls, d.Control) && lets(f.severities, string(d.Severity)) && lets(f.regions, d.Region) &&
			lets(f.baselines, item.Baseline) && (d.Excepted == "" || f.excused) {
			items = append(items, item)
		}
	}
	return items
}

// declaring is the baseline that a row departs from: one baseline decides a control in a region.
func declaring(a *v1alpha1.AWSAccount, d v1alpha1.DriftRow) string {
	for _, e := range a.Status.Controls {
		if e.Control == d.Control && (in(e.Drifted, d.Region) || in(e.Excepted, d.Region)) {
			return e.Baseline
		}
	}
	return ""
}

// everyRegion is the key of counts that were cut to one number.
const everyRegion = "*"

func in(counts map[string]int32, region string) bool {
	return counts[region] > 0 || counts[everyRegion] > 0
}

// unlisted counts, per control, the departing resources for which there is no row. Counts that were cut to one number are
// counted whole: they cannot be told apart by region.
func (f *driftFilter) unlisted(a *v1alpha1.AWSAccount, rows []driftItem) (all []unlisted) {
	shown := resourcesOf(rows)
	for _, e := range a.Status.Controls {
		if !lets(f.controls, e.Control) || !lets(f.severities, string(e.Severity)) || !lets(f.baselines, e.Baseline) {
			continue
		}
		var n int32
		for region, resources := range e.Drifted {
			if region == everyRegion || lets(f.regions, region) {
				n += resources
			}
		}
		if n -= int32(len(shown[e.Control+" "+e.Baseline])); n > 0 { //nolint:gosec // a status has 20 rows
			all = append(all, unlisted{a.Name, e.Control, n})
		}
	}
	return all
}

// resourcesOf are the resources that the rows name, per control and baseline.
func resourcesOf(rows []driftItem) map[string]map[string]bool {
	named := map[string]map[string]bool{}
	for _, r := range rows {
		if r.Excepted != "" {
			continue
		}
		key := r.Control + " " + r.Baseline
		if named[key] == nil {
			named[key] = map[string]bool{}
		}
		named[key][r.Region+" "+r.Resource] = true
	}
	return named
}

// any says whether there is drift that nothing excuses.
func (d *foundDrift) any() bool {
	return len(d.NotShown) > 0 || slices.ContainsFunc(d.Items, func(i driftItem) bool { return i.Excepted == "" })
}

// notes says what the rows do not.
func (d *foundDrift) notes() string {
	var out strings.Builder
	if !d.any() {
		out.WriteString("No drift.\n")
	}
	if len(d.NotShown) > 0 {
		perControl, sum, in := map[string]int32{}, int32(0), map[string]bool{}
		for _, u := range d.NotShown {
			perControl[u.Control] += u.Resources
			sum += u.Resources
			in[u.Account] = true
		}
		var parts []string
		for _, id := range slices.Sorted(maps.Keys(perControl)) {
			parts = append(parts, fmt.Sprintf("%s %d", id, perControl[id]))
		}
		fmt.Fprintf(&out, "%s in %s have no row, since an account keeps its 20 worst: %s\n",
			plural(sum, "more departing resource"), plural(len(in), "account"), strings.Join(parts, ", "))
	}
	if d.UnknownChecks > 0 {
		fmt.Fprintf(&out, "%s in %s could not be, or are not yet, looked at, and may have drifted; kubectl plumbline tree shows where\n",
			plural(d.UnknownChecks, "check"), plural(d.UnknownAccounts, "account"))
	}
	return out.String()
}

func (d *foundDrift) table(wide bool, now time.Time) *table {
	t := &table{head: []string{"SEVERITY", "ACCOUNT", "NAME", "CONTROL", "REGION", "RESOURCE", "FIELD", "DESIRED", "OBSERVED", "REASON", "SINCE"}}
	if wide {
		t.head = append(t.head, "BASELINE", "BY", "EVENT", "MESSAGE")
	}
	for _, i := range d.Items {
		reason := i.Reason
		if i.Excepted != "" {
			reason = "Excepted by " + i.Excepted
		}
		cells := []string{string(i.Severity), i.Account, orNone(i.AccountName), i.Control, i.Region, orNone(i.Resource), orNone(i.Field),
			orNone(i.Desired), orNone(i.Observed), orNone(reason), age(now.Sub(i.Since.Time))}
		if wide {
			cells = append(cells, orNone(i.Baseline), orNone(i.By), orNone(i.Event), orNone(i.Message))
		}
		t.add(cells...)
	}
	return t
}

func (d *foundDrift) csv() *table {
	t := &table{head: []string{"severity", "account", "accountName", "baseline", "control", "region", "resource", "field", "desired", "observed",
		"reason", "message", "since", "by", "event", "excepted"}}
	for _, i := range d.Items {
		t.add(string(i.Severity), i.Account, i.AccountName, i.Baseline, i.Control, i.Region, i.Resource, i.Field, i.Desired, i.Observed,
			i.Reason, i.Message, i.Since.UTC().Format(time.RFC3339), i.By, i.Event, i.Excepted)
	}
	return t
}

// baselineKey is Kind/name of what a person wrote: the kind in any case, in the plural, or without "baseline".
func (c *cluster) baselineKey(given string) (string, error) {
	kind, name, two := strings.Cut(given, "/")
	if two && name != "" {
		for _, k := range c.Kinds {
			if isKind(k.Name, kind) {
				return k.Name + "/" + name, nil
			}
		}
	}
	var names []string
	for _, k := range c.Kinds {
		names = append(names, k.Name)
	}
	return "", fmt.Errorf("%q names no baseline; write KIND/NAME, for example S3Baseline/organization; the kinds are %s", given, strings.Join(names, ", "))
}

func isKind(kind, given string) bool {
	lower, given := strings.ToLower(kind), strings.ToLower(given)
	given, _, _ = strings.Cut(given, ".") // s3baseline.plumbline.dev, as kubectl prints it
	return given == lower || given == lower+"s" || given == strings.TrimSuffix(lower, "baseline")
}

// read reads one object by name; an unknown one is an error that says what to do.
func read(ctx context.Context, api client.Reader, name string, o client.Object, next string) error {
	err := api.Get(ctx, client.ObjectKey{Name: name}, o)
	if apierrors.IsNotFound(err) {
		return errors.New(next)
	}
	return err
}
