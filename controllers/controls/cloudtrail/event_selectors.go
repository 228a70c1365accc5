package cloudtrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// selectors say which events a trail records. They come in two forms, basic and advanced, and a trail has one of them;
// writing one form takes the other away with everything in it. A trail records an event that any selector matches.
type selectors struct {
	Basic    []types.EventSelector         `json:"basic,omitempty"`
	Advanced []types.AdvancedEventSelector `json:"advanced,omitempty"`
}

// selectorsOf reads a trail's event selectors.
func selectorsOf(arn string) control.Read[selectors] {
	return control.Read[selectors]{
		Key:     "cloudtrail.selectors." + arn,
		Actions: []string{"cloudtrail:GetEventSelectors"},
		Do: func(ctx context.Context, t *control.Target) (selectors, error) {
			out, err := cloudtrail.NewFromConfig(t.AWS).GetEventSelectors(ctx, &cloudtrail.GetEventSelectorsInput{TrailName: &arn})
			if err != nil {
				return selectors{}, fmt.Errorf("reading the event selectors of %s: %w", arn, err)
			}
			if (len(out.EventSelectors) == 0) == (len(out.AdvancedEventSelectors) == 0) {
				return selectors{}, control.Unexpected("GetEventSelectors", "event selectors of one form")
			}
			return selectors{Basic: out.EventSelectors, Advanced: out.AdvancedEventSelectors}, nil
		},
	}
}

func putSelectors(ctx context.Context, t *control.Target, arn string, s selectors) error {
	_, err := cloudtrail.NewFromConfig(t.AWS).PutEventSelectors(ctx, &cloudtrail.PutEventSelectorsInput{
		TrailName: &arn, EventSelectors: s.Basic, AdvancedEventSelectors: s.Advanced,
	})
	if err != nil {
		return fmt.Errorf("writing the event selectors of %s: %w", arn, err)
	}
	return nil
}

// recordAllManagementEvents mends the selectors as they are now: whoever changed data events meanwhile keeps that.
func recordAllManagementEvents(ctx context.Context, t *control.Target, arn string) error {
	now, err := selectorsOf(arn).From(ctx, t)
	if err != nil {
		return err
	}
	recorded, err := now.managementEvents()
	if err != nil || recorded.all() {
		return err
	}
	mended, err := now.mended()
	if err != nil {
		return err
	}
	return putSelectors(ctx, t, arn, mended)
}

// equal compares by meaning: AWS answers empty lists where none were sent.
func (s selectors) equal(other selectors) bool {
	return string(control.JSON(pruned(s))) == string(control.JSON(pruned(other)))
}

// pruned is v as JSON's own types, without what is null or empty.
func pruned(v any) any {
	var tree any
	if err := json.Unmarshal(control.JSON(v), &tree); err != nil {
		return nil
	}
	return prune(tree)
}

func prune(tree any) any {
	switch node := tree.(type) {
	case map[string]any:
		for k, v := range node {
			if v = prune(v); v == nil {
				delete(node, k)
			} else {
				node[k] = v
			}
		}
	case []any:
		if len(node) == 0 {
			return nil
		}
		for i, v := range node {
			node[i] = prune(v)
		}
	}
	return tree
}

// maxBasicSelectors is how many basic selectors a trail may have.
const maxBasicSelectors = 5

// mended is the least change, in the form that is there, with which all management events are recorded. Selectors of data
// and network events stay as they are.
func (s selectors) mended() (selectors, error) {
	if len(s.Advanced) > 0 {
		return selectors{Advanced: mendedAdvanced(s.Advanced)}, nil
	}
	kept := slices.Clone(s.Basic)
	if i := widest(kept); i >= 0 {
		kept[i].IncludeManagementEvents, kept[i].ExcludeManagementEventSources = aws.Bool(true), nil
		return selectors{Basic: kept}, nil
	}
	// The type of a selector counts for its data events too, so it is not widened; a new selector takes its place. Those
	// without data events have nothing left to do beside it.
	kept = slices.DeleteFunc(kept, func(e types.EventSelector) bool { return len(e.DataResources) == 0 })
	if len(kept) >= maxBasicSelectors {
		return selectors{}, errors.New("the trail has all the event selectors it may have, each with data events: make room for one of management events")
	}
	return selectors{Basic: append(kept, types.EventSelector{
		IncludeManagementEvents: aws.Bool(true), ReadWriteType: types.ReadWriteTypeAll,
	})}, nil
}

// widest is the basic selector of reads and writes that takes the least to record all management events, -1 when there is
// none.
func widest(all []types.EventSelector) int {
	found := -1
	for i, e := range all {
		if e.ReadWriteType == types.ReadWriteTypeAll && (found < 0 || aws.ToBool(e.IncludeManagementEvents)) {
			found = i
		}
	}
	return found
}

func mendedAdvanced(all []types.AdvancedEventSelector) []types.AdvancedEventSelector {
	everything := types.AdvancedEventSelector{
		Name: aws.String("Management events"),
		FieldSelectors: []types.AdvancedFieldSelector{
			{Field: aws.String("eventCategory"), Equals: []string{"Management"}},
		},
	}
	first := slices.IndexFunc(all, ofManagementEvents)
	if first < 0 {
		return append(slices.Clone(all), everything)
	}
	if name := aws.ToString(all[first].Name); name != "" {
		everything.Name = &name
	}
	var kept []types.AdvancedEventSelector
	for i, s := range all {
		switch {
		case i == first:
			kept = append(kept, everything)
		case !ofManagementEvents(s):
			kept = append(kept, s)
		}
	}
	return kept
}

func ofManagementEvents(s types.AdvancedEventSelector) bool {
	return slices.ContainsFunc(s.FieldSelectors, func(f types.AdvancedFieldSelector) bool {
		return strings.EqualFold(aws.ToString(f.Field), "eventCategory") && slices.Contains(f.Equals, "Management")
	})
}
