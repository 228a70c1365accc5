package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

const changesText = `What changes cost, with --allow-writes and --max-accounts-changing %d. Nobody is asked about two baselines: EBS encryption by default, and
bucket policies that demand TLS (approval: Irreversible), whose states lie in Secrets; 2 %% of these settings depart. Ten baselines want
every bucket versioned, which waits for an approval, and more wait than may be proposed at a time. From the start there are as many
finished Remediations as are kept. Each sweep is of these baselines alone; "quiet" is the same sweep with nothing left to change.

`

// changesTable is what changes cost.
func (all *results) changesTable() string {
	measured := slices.DeleteFunc(slices.Clone(all.Changes), func(r *result) bool { return r.Changes == nil })
	if len(measured) == 0 {
		return ""
	}
	header := []string{"figure"}
	for _, r := range measured {
		header = append(header, number(int64(r.Task.Accounts)))
	}
	var rows [][]string
	for _, l := range changesLines() {
		row := []string{l.figure}
		for _, r := range measured {
			row = append(row, l.of(r))
		}
		rows = append(rows, row)
	}
	largest := measured[len(measured)-1]
	return fmt.Sprintf(changesText, largest.Task.Concurrent) + table(header, rows) + "\n" + largest.Changes.requestTables(largest.Task.Accounts)
}

// changesLine is a figure of what changes cost.
type changesLine struct {
	figure string
	of     func(*result) string
}

func changesLines() []changesLine {
	of := func(figure string, value func(c *changesResult) string) changesLine {
		return changesLine{figure, func(r *result) string { return value(r.Changes) }}
	}
	return slices.Concat([]changesLine{
		{"Measured at revision", func(r *result) string { return r.Revision }},
		of("Load average of the machine when it began", func(c *changesResult) string { return fmt.Sprintf("%.1f", c.Load) }),
		of("Changes without asking: changes, Remediations, of these with a Secret", func(c *changesResult) string {
			return fmt.Sprintf("%s, %s, %s", number(c.Made), number(c.Records), number(c.Documents))
		}),
		of("— time of their sweep, of the quiet one", func(c *changesResult) string {
			return fmt.Sprintf("%.1f s, %.1f s", c.Changing.Seconds, c.Quiet.Seconds)
		}),
		of("— API server, per Remediation: made, status written, read", func(c *changesResult) string {
			return fmt.Sprintf("%s, %s, %s", c.each("create remediations"), c.each("update remediations/status"), c.each("get remediations"))
		}),
		of("— API server, per Remediation with documents: Secrets made", func(c *changesResult) string {
			return per(c.Changing.API["create secrets"], c.Documents)
		}),
		of("— AWS requests per change, more than in the quiet sweep", func(c *changesResult) string {
			return per(sum(c.forChanges(func(p part) map[string]int64 { return p.AWS })), c.Made)
		}),
		of("Proposals open, plans that wait for a place", func(c *changesResult) string {
			return fmt.Sprintf("%s, %s", number(c.Open), number(c.Waiting))
		}),
		of("— time of their sweep, of the same again", func(c *changesResult) string {
			return fmt.Sprintf("%.1f s, %.1f s", c.Proposing.Seconds, c.Resting.Seconds)
		}),
		of("— processor time of both, stand-in included", func(c *changesResult) string {
			return fmt.Sprintf("%.1f s, %.1f s", c.Proposing.CPU, c.Resting.CPU)
		}),
		of("— API server, per proposal: made, status written", func(c *changesResult) string {
			return fmt.Sprintf("%s, %s", per(c.Proposing.API["create remediations"], c.Open), per(c.Proposing.API["update remediations/status"], c.Open))
		}),
		of("A batch that was approved: proposals, changes, time until all was made", func(c *changesResult) string {
			return fmt.Sprintf("%d, %d, %.1f s", c.Approved, c.ApprovedChanges, c.Approving.Seconds)
		}),
		of("— API server, per proposal: status written", func(c *changesResult) string {
			api := c.Approving.API // what was proposed in the places that became free has a status of its own
			return per(api["update remediations/status"]-api["create remediations"], c.Approved)
		}),
	}, listLines(), memoryLines())
}

// listLines are what the manager's lists of Remediations took in the sweep that had nothing new to propose.
func listLines() []changesLine {
	lists := func(figure, by string) changesLine {
		return changesLine{figure, func(r *result) string {
			l := r.Changes.Resting.Lists[by]
			return orNone(l.N > 0, "%s, %.2f ms, %.2f ms", number(int64(l.N)), 1000*l.Mean, 1000*l.P99)
		}}
	}
	return []changesLine{
		lists("Lists of an account's Remediations, one per pass: number, mean, p99", "status.account"),
		lists("Lists of what is proposed, one per plan that wants a place: number, mean, p99", "status.phase"),
		lists("Lists of all Remediations, one per roll-up: number, mean, p99", "all"),
	}
}

func memoryLines() []changesLine {
	return []changesLine{
		{fmt.Sprintf("Memory of %s finished Remediations", number(finishedKept)), func(r *result) string {
			return mib(r.Changes.HeapFinished - r.Changes.HeapEmpty)
		}},
		{fmt.Sprintf("Memory of %d open ones of %d resources each", controllers.MaxOpen, engine.MaxProposed), func(r *result) string {
			return mib(r.Changes.HeapOpen - r.Changes.HeapFinished)
		}},
		{"Peak memory, stand-in included", func(r *result) string { return mib(r.Peak) }},
	}
}

// each is how many requests of a kind were made for one of the Remediations that nobody was asked about.
func (c *changesResult) each(kind string) string { return per(c.Changing.API[kind], c.Records) }

func per(n, of int64) string { return fmt.Sprintf("%.2f", float64(n)/float64(max(of, 1))) }

// forChanges is what came to the counts of the quiet sweep because of changes. What the event queue is asked is not of them.
func (c *changesResult) forChanges(counts func(part) map[string]int64) map[string]int64 {
	more := since(counts(c.Quiet), counts(c.Changing))
	maps.DeleteFunc(more, func(name string, _ int64) bool { return strings.HasPrefix(name, "SQS.") })
	return more
}

func sum(counts map[string]int64) (n int64) {
	for _, one := range counts {
		n += one
	}
	return n
}

// requestTables are the requests that changes cost beyond those of the quiet sweep.
func (c *changesResult) requestTables(accounts int) string {
	text := ""
	for _, kind := range []struct {
		of, what string
		n        int64
		counts   map[string]int64
	}{
		{"AWS", "change", c.Made, c.forChanges(func(p part) map[string]int64 { return p.AWS })},
		{"the API server", "Remediation", c.Records, c.forChanges(func(p part) map[string]int64 { return p.API })},
	} {
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(kind.counts)) {
			rows = append(rows, []string{name, per(kind.counts[name], kind.n)})
		}
		text += fmt.Sprintf("Requests to %s for the %s changes of %s accounts beyond those of the quiet sweep, per %s:\n\n",
			kind.of, number(c.Made), number(int64(accounts)), kind.what) + table([]string{"request", "per " + kind.what}, rows) + "\n"
	}
	return text
}
