package controllers

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// observedEvery is how often at most the time of the last observation is written when nothing else is new.
const observedEvery = 15 * time.Minute

// refreshEvery is how often the time of the last observation is written when nothing else is new: once per interval, which
// jitter shortens by up to a tenth, and at most every observedEvery.
func refreshEvery(rows []row) time.Duration {
	var shortest time.Duration
	for i := range rows {
		if every := rows[i].spec.ObserveEvery(false); shortest == 0 || every < shortest {
			shortest = every
		}
	}
	return max(shortest-shortest/5, observedEvery)
}

// staleAfter is how old an observation is that should be made again after a while and was not: two intervals, and two of the
// times after which observing is written down at all.
func staleAfter(every time.Duration) time.Duration { return 2 * max(every, observedEvery) }

// staleRow is the time of the oldest observation of a stored row that is stale; zero when none is.
func staleRow(spec *v1alpha1.BaselineSpec, stored *v1alpha1.AccountBaseline, now time.Time) time.Time {
	var oldest time.Time
	for perResource, at := range map[bool]*metav1.Time{false: stored.LastObservedTime, true: stored.ResourcesObservedTime} {
		if at != nil && now.Sub(at.Time) > staleAfter(spec.ObserveEvery(perResource)) && (oldest.IsZero() || at.Time.Before(oldest)) {
			oldest = at.Time
		}
	}
	return oldest
}

// stale sets the condition from the rows as they are stored after the pass, one for each of the plan's and in their order.
func (c conditions) stale(p plan, rows []v1alpha1.AccountBaseline) {
	var oldest time.Time
	var which string
	for i := range p.rows {
		if at := staleRow(p.rows[i].spec, &rows[i], c.now); !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest, which = at, p.rows[i].key()
		}
	}
	c.only(!oldest.IsZero(), v1alpha1.ConditionStale, v1alpha1.ReasonNotObservedLately,
		fmt.Sprintf("some checks of %s were last observed at %s; what is reported is what was seen then", which, oldest.UTC().Format(time.RFC3339)))
}
