package cloudtrail

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// extent is how many events of a sort a trail records.
type extent int

const (
	none extent = iota
	some
	every
)

func (e extent) String() string { return [...]string{"none", "some", "all"}[e] }

// recorded is what a trail records of management events. without names what restricts it: event sources, or fields of
// advanced selectors.
type recorded struct {
	reads, writes extent
	without       []string
}

func (r recorded) all() bool     { return r.reads == every && r.writes == every }
func (r recorded) nothing() bool { return r.reads == none && r.writes == none }

func (r recorded) String() string {
	s := "reads: " + r.reads.String() + ", writes: " + r.writes.String()
	if !r.all() && len(r.without) > 0 {
		s += ", restricted by " + strings.Join(slices.Compact(slices.Sorted(slices.Values(r.without))), ", ")
	}
	return s
}

// add counts one selector in: it records reads, writes or both, all of them unless something restricts it.
func (r *recorded) add(reads, writes bool, restrictions []string) {
	e := every
	if len(restrictions) > 0 {
		e = some
		r.without = append(r.without, restrictions...)
	}
	if reads {
		r.reads = max(r.reads, e)
	}
	if writes {
		r.writes = max(r.writes, e)
	}
}

// managementEvents is what the selectors record of management events. What AWS leaves out is not filled in: the answer to
// GetEventSelectors names every field.
func (s selectors) managementEvents() (recorded, error) {
	var r recorded
	for _, e := range s.Basic {
		reads, writes := e.ReadWriteType != types.ReadWriteTypeWriteOnly, e.ReadWriteType != types.ReadWriteTypeReadOnly
		if e.IncludeManagementEvents == nil || !slices.Contains(e.ReadWriteType.Values(), e.ReadWriteType) {
			return r, control.Unexpected("GetEventSelectors", "a ReadWriteType that is known and IncludeManagementEvents")
		}
		if *e.IncludeManagementEvents {
			r.add(reads, writes, e.ExcludeManagementEventSources)
		}
	}
	for _, e := range s.Advanced {
		if len(e.FieldSelectors) == 0 {
			return r, control.Unexpected("GetEventSelectors", "field selectors")
		}
		if ofManagementEvents(e) {
			r.add(readAdvanced(e))
		}
	}
	return r, nil
}

// readAdvanced is what one advanced selector of management events records. Besides the category only readOnly divides the
// events; any other field restricts them, whatever it says.
func readAdvanced(e types.AdvancedEventSelector) (reads, writes bool, restrictions []string) {
	reads, writes = true, true
	for _, f := range e.FieldSelectors {
		switch field := aws.ToString(f.Field); {
		case strings.EqualFold(field, "eventCategory"):
		case strings.EqualFold(field, "readOnly") && len(f.Equals) > 0:
			reads, writes = reads && slices.Contains(f.Equals, "true"), writes && slices.Contains(f.Equals, "false")
		case len(f.NotEquals) > 0:
			restrictions = append(restrictions, f.NotEquals...)
		default:
			restrictions = append(restrictions, field)
		}
	}
	return reads, writes, restrictions
}
