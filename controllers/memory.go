package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// checkID names a check within an account.
type checkID = engine.CheckID

// sight is when a check was last observed, with what, and what came of it.
type sight struct {
	with *settings
	// why is nil when the check was compliant.
	why *why
	at  moment
	// retry is when it is to be observed again before its interval is over; zero: not before.
	retry moment
	// failures counts the tries in a row that came to nothing; it spreads the retries.
	failures int32
	// age is how much later than at it was looked at, in milliseconds: what other accounts share may have been read before.
	age int32
}

// looked is when the check was last looked at, which answers who has asked for a look before that.
func (s sight) looked() time.Time { return s.at.time().Add(time.Duration(s.age) * time.Millisecond) }

// settings are what the checks of a row were observed with. The checks of a pass share them.
type settings struct {
	revision, exceptions string
	// regions are those selected; they matter to a check that is not of one region.
	regions []string
}

// why says why the worst of a check stands.
type why struct{ reason, message string }

// moment is a time in nanoseconds since 1970.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}

// changedResource names a drift (by its Judged.ID) whose change is waited for.
type changedResource struct {
	check checkID
	drift string
}

// request is a reconcile-requested-at token and when it was first seen.
type request struct {
	token string
	seen  time.Time
}

// memory is what is known of one account beyond its status. Nothing in it is needed for correctness: after a restart the
// stored status stands in, and what it does not cover is looked at again. It says only when things were observed; what was
// observed stands in the status, so a memory is good only beside the status that was written with it.
type memory struct {
	// basis identifies that status, and uncut is what stood in it before it was cut to fit.
	basis string
	uncut
	// learned becomes uncut once the status that is made from it stands.
	learned *uncut

	seen map[checkID]sight
	// looks counts, per changed resource, how often it was looked at without showing the change.
	looks map[changedResource]int
	// denied has the regions that a service control policy refuses, and since when that is known.
	denied map[string]time.Time
	// suspected has the regions in which a policy refused a check, and when all the others were made due to see whether it
	// refuses the region.
	suspected map[string]time.Time
	// requests has the tokens that ask for a new look, by baseline key; "" is the account's own.
	requests map[string]request
	// unreachable counts the failed tries in a row to enter the account, unread those to list its regions.
	unreachable, unread int
	// anew is since when every check is to be looked at again, because the account was not or could not be entered. behind is since
	// when something is due that no event tells of and that was put off. Zero: nothing is.
	anew, behind time.Time
	// entry is how the account was last entered: roles and external id. Zero before that.
	entry cloud.Account
}

// uncut is what a status has no room for.
type uncut struct {
	// controls are the status's entries with every region.
	controls []v1alpha1.AccountControl
	// rows are drift rows of checks that are to be looked at anew, kept for the time since when they stand.
	rows []v1alpha1.DriftRow
}

func newMemory() *memory {
	return &memory{
		seen: map[checkID]sight{}, looks: map[changedResource]int{}, denied: map[string]time.Time{},
		suspected: map[string]time.Time{}, requests: map[string]request{},
	}
}

// written notes that a status stands, which was made with what was learned.
func (m *memory) written(basis string) {
	m.basis = basis
	if m.learned != nil {
		m.uncut, m.learned = *m.learned, nil
	}
}

// basisOf identifies the results in an account's status.
func basisOf(uid types.UID, s *v1alpha1.AWSAccountStatus) string {
	raw, err := json.Marshal(s.Controls)
	if err != nil {
		panic("encoding a status that was decoded: " + err.Error())
	}
	sum := sha256.Sum256(append([]byte(uid), raw...))
	return hex.EncodeToString(sum[:])
}

// faceStatus forgets what does not belong to the account's status as it is now: it was written by somebody else, the object
// was made anew, or this process has just started. The status then stands in.
func (m *memory) faceStatus(a *v1alpha1.AWSAccount, now time.Time) {
	if m.basis == basisOf(a.UID, &a.Status) {
		return
	}
	clear(m.seen)
	clear(m.looks)
	m.uncut = uncut{controls: a.Status.Controls}
	for _, region := range a.Status.DeniedRegions {
		if _, known := m.denied[region]; !known {
			m.denied[region] = now // a restart forgot since when
		}
	}
}

// request notes a token and says since when it has been asked for. A token that was answered already asks for nothing.
func (m *memory) request(key, token, handled string, now time.Time) time.Time {
	if token == "" || token == handled {
		delete(m.requests, key)
		return time.Time{}
	}
	r := m.requests[key]
	// A clock that was set back would make every look seem older than the question.
	if r.token != token || r.seen.After(now) {
		r = request{token, now}
		m.requests[key] = r
	}
	return r.seen
}

// entered notes that the account could be entered. Where it could not be before, every check is to be looked at again, in
// however many passes: what events told of meanwhile was not kept.
func (m *memory) entered(a *v1alpha1.AWSAccount, now time.Time) {
	// A clock that was set back would make every look seem older than that.
	if m.unreachable > 0 || a.Status.State == v1alpha1.AccountUnreachable || m.anew.After(now) {
		m.anew = now
	}
	m.unreachable = 0
}

// prune drops what belongs to checks and baselines that are no longer planned.
func (m *memory) prune(p *plan) {
	planned, baselines := map[checkID]bool{}, map[string]bool{"": true}
	for _, r := range p.rows {
		baselines[r.key()] = true
		for _, c := range r.checks {
			planned[c.id] = true
		}
	}
	maps.DeleteFunc(m.seen, func(id checkID, _ sight) bool { return !planned[id] })
	maps.DeleteFunc(m.looks, func(r changedResource, _ int) bool { return !planned[r.check] })
	maps.DeleteFunc(m.requests, func(key string, _ request) bool { return !baselines[key] })
}

// memories holds the memory of every account, packed. A memory is used by one pass at a time: the queue never hands out a key
// twice.
type memories struct {
	mu  sync.Mutex
	all map[string]held
}

// held is a memory and the resource version of the account as it was last written or read.
type held struct {
	packed
	version string
}

// of is a copy of an account's memory, for one pass; what the pass learns counts once it is kept.
func (m *memories) of(account string) *memory {
	m.mu.Lock()
	known := m.all[account]
	m.mu.Unlock()
	if known.packed == nil {
		return newMemory()
	}
	return known.unpack()
}

// version is the resource version of the account as it was last written or read; empty when that is not known.
func (m *memories) version(account string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[account].version
}

// keep makes a pass's copy the account's memory.
func (m *memories) keep(account string, learned *memory, version string) {
	p := learned.pack()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]held{}
	}
	m.all[account] = held{p, version}
}

func (m *memories) forget(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, account)
}
