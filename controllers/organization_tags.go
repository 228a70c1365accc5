package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// tagCache holds the accounts' tags for a day.
type tagCache struct {
	mu   sync.Mutex
	tags map[string]tagEntry
}

type tagEntry struct {
	tags map[string]string
	at   time.Time
}

const tagsMaxAge = 24 * time.Hour

// tagLabels are the labels that an account's AWS tags become, and what could not become one. Where tags cannot be read, the
// labels that stand are kept: an account must not fall out of its baselines for that.
func (r *OrganizationReconciler) tagLabels(ctx context.Context, d *discovery, m cloud.Member, standing map[string]string) (labels map[string]string, notes []string) {
	if len(d.org.Spec.TagLabels) == 0 {
		return nil, nil
	}
	tags, err := r.accountTags(ctx, d.from, m)
	if err != nil {
		_, message := control.Explain(err)
		tags, notes = standing, append(notes, m.ID+": tags: "+control.Bounded(message, 120))
	}
	labels = map[string]string{}
	for _, key := range d.org.Spec.TagLabels {
		value, ok := tags[key]
		switch {
		case !ok:
		case len(validation.IsValidLabelValue(value)) > 0:
			notes = append(notes, m.ID+": tag "+key)
		default:
			labels[key] = value
		}
	}
	return labels, notes
}

// forget drops the tags of the accounts that events tell of.
func (c *tagCache) forget(events told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		for _, id := range slices.Concat(e.event.Resources, e.event.Accounts) {
			delete(c.tags, id)
		}
	}
}

// accountTags reads an account's tags, or those it had less than a day ago.
func (r *OrganizationReconciler) accountTags(ctx context.Context, from cloud.Account, m cloud.Member) (map[string]string, error) {
	r.tags.mu.Lock()
	known, ok := r.tags.tags[m.ID]
	r.tags.mu.Unlock()
	if ok && r.Clock().Sub(known.at) < tagsMaxAge {
		return known.tags, nil
	}
	tags, err := r.Tags(ctx, from, m.ID)
	if err != nil {
		return nil, err
	}
	r.tags.mu.Lock()
	defer r.tags.mu.Unlock()
	if r.tags.tags == nil {
		r.tags.tags = map[string]tagEntry{}
	}
	r.tags.tags[m.ID] = tagEntry{tags, r.Clock()}
	return tags, nil
}
