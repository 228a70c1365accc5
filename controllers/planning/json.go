package planning

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
)

// none is what stands in the JSON of a plan without departures in the place of a baseline's. In a string the quotes would be escaped.
const none = `"changes": null`

// json writes the plan as JSON, one departure after the other: of an account with 20,000 buckets they are hundreds of thousands, and
// encoded as a whole they would be in memory three times.
func (p *plan) json(to io.Writer) error {
	frame := *p
	frame.Baselines = make([]baseline, len(p.Baselines))
	for i, b := range p.Baselines {
		b.Changes = nil
		frame.Baselines[i] = b
	}
	raw, err := json.MarshalIndent(frame, "", "  ")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(to)
	for i, part := range strings.Split(string(raw)+"\n", none) {
		if i > 0 {
			if err := changesJSON(out, p.Baselines[i-1].Changes); err != nil {
				return err
			}
		}
		if _, err := out.WriteString(part); err != nil {
			return err
		}
	}
	return out.Flush()
}

// changesJSON writes a baseline's departures where they stand in the plan.
func changesJSON(out *bufio.Writer, changes []change) error {
	const indent = "      "
	before, after := `"changes": [`, "]"
	for _, c := range changes {
		raw, err := json.MarshalIndent(c, indent+"  ", "  ")
		if err != nil {
			return err
		}
		if _, err := out.WriteString(before + "\n" + indent + "  " + string(raw)); err != nil {
			return err
		}
		before, after = ",", "\n"+indent+"]"
	}
	if len(changes) == 0 {
		after = before + after
	}
	_, err := out.WriteString(after)
	return err
}
