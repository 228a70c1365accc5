package engine

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Another tool may change back what a change put right, and with events each of the two answers the other within seconds. So a
// drift that comes back is put right at once a few times, and then after a wait that grows. It never grows beyond longestContest:
// a change that restores a protection must go on, or whoever tampers often enough would switch Plumbline off. Any other change
// stops instead, until a person asks for the account: nothing is lost by leaving it, and two tools that fight may break more.
const (
	// contestedWithin is for how long changes count.
	contestedWithin = time.Hour
	// freeChanges is how many changes of the same drift are made at once within that time.
	freeChanges = 3
	// firstContest is how long the change after those waits since the last; each further one waits twice as long, up to
	// longestContest.
	firstContest   = time.Minute
	longestContest = 15 * time.Minute
	// maxContests bounds the drifts that are kept in memory, of all accounts together.
	maxContests = 10_000
)

// contest names a drift that was put right: its account, its check and its Judged.ID.
type contest struct {
	account string
	check   CheckID
	drift   string
}

// contests are the drifts that were put right within the last hour. A restart forgets them, and then the first changes are
// made at once again.
type contests struct {
	mu sync.Mutex
	// made is when a drift was put right, the latest last; never empty.
	made map[contest][]time.Time
	// stopped are the drifts that are not put right again before a person asks, and how often they were.
	stopped map[contest]int
}

func newContests() contests {
	return contests{made: map[contest][]time.Time{}, stopped: map[contest]int{}}
}

// counts says whether a change made at the time still counts. One of the future does not: the clock was set back, and until
// it caught up, its wait would not be over.
func counts(at, now time.Time) bool {
	age := now.Sub(at)
	return age >= 0 && age < contestedWithin
}

// note counts a change that was made, and drops what counts no longer.
func (c *contests) note(d contest, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.made, func(_ contest, times []time.Time) bool { return !counts(times[len(times)-1], now) })
	c.made[d] = append(slices.DeleteFunc(c.made[d], func(at time.Time) bool { return !counts(at, now) }), now)
	if len(c.made) > maxContests {
		c.dropOldest()
	}
}

// dropOldest drops the drift whose last change is the longest ago. The lock is held.
func (c *contests) dropOldest() {
	var oldest contest
	var at time.Time
	for d, times := range c.made {
		if last := times[len(times)-1]; at.IsZero() || last.Before(at) {
			oldest, at = d, last
		}
	}
	delete(c.made, oldest)
}

// again is when the drift may be put right again and how often it was, within an hour, when it was last; zero when it may be
// now. What the wait is, is settled by the last change, so that the time that a person was told holds.
func (c *contests) again(d contest, now time.Time) (at time.Time, made int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := c.made[d]
	if len(times) == 0 || !counts(times[len(times)-1], now) {
		return time.Time{}, 0
	}
	at = times[len(times)-1].Add(contestWait(len(times)))
	if !now.Before(at) {
		return time.Time{}, 0
	}
	return at, len(times)
}

// contestWait is how long a drift waits that was put right so many times within an hour.
func contestWait(made int) time.Duration {
	if made < freeChanges {
		return 0
	}
	return min(firstContest<<min(made-freeChanges, 10), longestContest)
}

// stop says how often a drift was put right that stops for good; 0 while it does not.
func (c *contests) stop(d contest, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.stopped[d]; n > 0 {
		return n
	}
	times := c.made[d]
	if len(times) < freeChanges || !counts(times[len(times)-1], now) || len(c.stopped) >= maxContests {
		return 0
	}
	c.stopped[d] = len(times)
	return len(times)
}

// forget has everything of the account be put right at once again.
func (c *contests) forget(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.made, func(d contest, _ []time.Time) bool { return d.account == account })
	maps.DeleteFunc(c.stopped, func(d contest, _ int) bool { return d.account == account })
}

// Insist has the account's contested changes be made at once: a person asks for this account. A request for a baseline is one
// for thousands of accounts, and says nothing of who contests what in one of them.
func (e *Engine) Insist(account string) { e.contests.forget(account) }

// contestOf names a finding of the account that this pass is of.
func (r *run) contestOf(t *Task, j Judged) contest { return contest{r.Account, t.ID(), j.ID()} }

// isContested says whether a change waits because it was changed back too often.
func (r *run) isContested(t *Task, j Judged) bool {
	at, _ := r.contests.again(r.contestOf(t, j), r.clock())
	return !at.IsZero()
}

// RestoresNoProtection is said of a contested change that is not made again by itself. Any other restores a protection, goes on, and is
// worth an alarm whatever the severity of its control: somebody may be taking the protection away on purpose.
const RestoresNoProtection = "it restores no protection"

// unlessContested is a finding that is due, unless its change waits because it was changed back too often.
func (r *run) unlessContested(t *Task, j Judged) Judged {
	if !t.Control.Protects || t.Control.Weakens(j.Drift) {
		if made := r.contests.stop(r.contestOf(t, j), r.clock()); made > 0 {
			return j.because(v1alpha1.RowContested, fmt.Sprintf(
				"put right %d times within an hour and changed back each time; %s, so it is not made again before somebody asks for this account (kubectl plumbline recheck); see by and event who changes it",
				made, RestoresNoProtection))
		}
		return j
	}
	at, made := r.contests.again(r.contestOf(t, j), r.clock())
	if at.IsZero() {
		return j
	}
	j.Again = at
	return j.because(v1alpha1.RowContested, fmt.Sprintf(
		"put right %d times within an hour and changed back each time; made again at %s; see by and event who changes it",
		made, at.UTC().Format(time.RFC3339)))
}
