package kubectl

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// maxCell is how much of a value a table shows.
const maxCell = 120

// table is what is printed in columns, as kubectl does.
type table struct {
	head   []string
	rows   [][]string
	indent string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String is the table in lines. What stands in it may have been chosen by somebody else in AWS: it cannot move the cursor or
// draw lines of its own.
func (t *table) String() string {
	var aligned, out strings.Builder
	columns := tabwriter.NewWriter(&aligned, 0, 0, 3, ' ', 0)
	lines := t.rows
	if len(t.head) > 0 {
		lines = append([][]string{t.head}, t.rows...)
	}
	for _, line := range lines {
		cells := make([]string, len(line))
		for i, cell := range line {
			cells[i] = control.Bounded(cell, maxCell)
		}
		_, _ = columns.Write([]byte(strings.Join(cells, "\t") + "\n")) // memory takes everything
	}
	_ = columns.Flush()
	for line := range strings.Lines(aligned.String()) {
		out.WriteString(t.indent + strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

// asCSV prints the table for a spreadsheet, whole.
func (t *table) asCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	for _, line := range append([][]string{t.head}, t.rows...) {
		cells := make([]string, len(line))
		for i, cell := range line {
			cells[i] = inert(cell)
		}
		if err := out.Write(cells); err != nil {
			return fmt.Errorf("writing CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

// inert keeps a spreadsheet from taking text, which may have been chosen by somebody else, for a formula.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func asJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

func asYAML(w io.Writer, v any) error {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	if _, err := w.Write(raw); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	return nil
}

// age is a length of time as kubectl writes it; the future is as long as the past.
func age(d time.Duration) string { return duration.HumanDuration(d.Abs()) }

// plural is "1 account" or "2 accounts".
func plural[N int | int32](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// orNone is a dash for what is not there.
func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
