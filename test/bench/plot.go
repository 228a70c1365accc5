package main

import (
	"fmt"
	"math"
	"strings"
)

// panel is one curve: a figure against the number of accounts.
type panel struct {
	title, unit string
	target      float64 // a line across; 0: none
	x, y        []float64
}

const (
	panelWidth, panelHeight = 280.0, 220.0
	left, top               = 52.0, 34.0
	right, bottom           = 12.0, 34.0
)

// plot draws what cost grows to with the size.
func (all *results) plot() string {
	figures := []struct {
		title, unit string
		target      float64
		from        []*result
		value       func(*result) float64
	}{
		{"Full sweep", "s", 300, all.Sweeps, func(r *result) float64 { return r.Steady }},
		{"Requests of the full sweep", "thousand", 0, all.Sweeps, func(r *result) float64 { return float64(r.Requests) / 1000 }},
		{"Peak memory, full statuses", "MiB", 512, all.Full, func(r *result) float64 { return float64(r.Peak >> 20) }},
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">`+"\n",
		panelWidth*float64(len(figures)), panelHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, f := range figures {
		p := panel{title: f.title, unit: f.unit, target: f.target}
		for _, r := range f.from {
			p.x, p.y = append(p.x, float64(r.Task.Accounts)), append(p.y, f.value(r))
		}
		fmt.Fprintf(&b, `<g transform="translate(%.0f 0)">`+"\n", panelWidth*float64(i))
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p panel) draw(b *strings.Builder) {
	fmt.Fprintf(b, `<text x="%.0f" y="18" font-size="13">%s (%s)</text>`+"\n", left, p.title, p.unit)
	mostX, mostY := 1.0, p.target
	for i := range p.x {
		mostX, mostY = math.Max(mostX, p.x[i]), math.Max(mostY, p.y[i])
	}
	mostY = math.Max(mostY, 1) * 1.1
	x := func(v float64) float64 { return left + v/mostX*(panelWidth-left-right) }
	y := func(v float64) float64 { return panelHeight - bottom - v/mostY*(panelHeight-top-bottom) }
	for i := range 5 {
		v := mostY * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			left, y(v), panelWidth-right, left-6, y(v)+4, v)
	}
	if p.target > 0 {
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#c33" stroke-dasharray="5 4"/>`+"\n", left, y(p.target), panelWidth-right)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="#c33" text-anchor="end">target at 5,000</text>`+"\n", panelWidth-right, y(p.target)-4)
	}
	var points []string
	labelled := math.Inf(-1)
	for i := range p.x {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(p.x[i]), y(p.y[i])))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#246"/>`+"\n", x(p.x[i]), y(p.y[i]))
		if at := x(p.x[i]); at-labelled > 25 { // two sizes that lie close share a label
			labelled = at
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", at, panelHeight-bottom+16, number(int64(p.x[i])))
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="#246" stroke-width="2"/>`+"\n", strings.Join(points, " "))
}
