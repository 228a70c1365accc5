package kubectl

import (
	_ "embed" // the report's template
	"fmt"
	"html/template"
	"io"
	"math"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// reportTemplate is the report as one page. html/template escapes everything that comes from the cluster.
//
//go:embed report.html.tmpl
var reportTemplate string

// segment is a part of a chart: how much of what, and where it begins.
type segment struct {
	Class, Label string
	N            int
	From, Length float64
}

// chart are the parts of a whole, of which each takes its share of a length. What is there is seen, however small its share.
func chart(length float64, n Tally) []segment {
	parts := []segment{
		{Class: "compliant", Label: "compliant", N: n.Compliant}, {Class: "drifted", Label: "drifted", N: n.Drifted},
		{Class: "excepted", Label: "excepted", N: n.Excepted}, {Class: "unknown", Label: "unknown", N: n.Unknown},
	}
	var shown []segment
	from := 0.0
	for _, p := range parts {
		if p.N == 0 {
			continue
		}
		p.From, p.Length = from, math.Round(length*float64(p.N)/float64(n.Of)*100)/100
		from += p.Length
		shown = append(shown, p)
	}
	return shown
}

func tallyOf(n v1alpha1.CheckCounts) Tally {
	return Tally{Of: int(n.Total), Compliant: int(n.Compliant), Drifted: int(n.Drifted), Excepted: int(n.Excepted), Unknown: int(n.Unknown)}
}

func writeHTML(w io.Writer, r *report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"chart": chart, "tally": tallyOf, "percent": percentText,
	}).Parse(reportTemplate)
	if err != nil {
		return fmt.Errorf("reading the report's template: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("writing HTML: %w", err)
	}
	return nil
}

func percentText(p *int) string {
	if p == nil {
		return "–"
	}
	return fmt.Sprintf("%d %%", *p)
}
