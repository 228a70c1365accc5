package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// A rollout goes over the accounts in waves: the roll-up says which wave is under way, and an account whose wave has not come
// holds its changes back. New settings begin at the first wave. Whatever the roll-up has not yet said anything of is held back.

// waves are a baseline's waves: those it names, or one account before all others.
type waves struct {
	spec  *v1alpha1.Rollout
	first string
	soak  time.Duration
}

// wavesOf are the waves of a baseline. soak is the manager's own, for the first account where it names none.
func wavesOf(spec *v1alpha1.BaselineSpec, soak time.Duration) waves {
	return waves{spec: spec.Rollout, soak: soak}
}

func (w waves) named() []v1alpha1.Wave {
	if w.spec == nil {
		return nil
	}
	return w.spec.Waves
}

// count is the number of waves; 0 where all accounts are changed at once.
func (w waves) count() int {
	switch {
	case len(w.named()) > 0:
		return len(w.named()) + 1
	case w.soak > 0:
		return 2
	}
	return 0
}

// of is the account's wave, and twice is the second wave that selects it as well; -1: none does.
func (w waves) of(a *v1alpha1.AWSAccount) (wave, twice int) {
	wave = w.count() - 1
	if len(w.named()) == 0 {
		if a.Name == w.first {
			wave = 0
		}
		return wave, -1
	}
	found := false
	for i, one := range w.named() {
		switch {
		case !selects(&one.Accounts, a):
		case found:
			return wave, i
		default:
			wave, found = i, true
		}
	}
	return wave, -1
}

func (w waves) name(i int) string {
	switch {
	case i < len(w.named()):
		return w.named()[i].Name
	case len(w.named()) == 0 && i == 0:
		return "first account"
	}
	return "all others"
}

func (w waves) soakOf(i int) time.Duration {
	if i < len(w.named()) {
		return w.named()[i].SoakOrDefault()
	}
	return w.soak
}

// rolloutHold says why the rollout keeps an account's changes of a baseline from being made; nothing where it does not.
func (w world) rolloutHold(d declared) engine.Hold {
	spec, status := d.object.Common()
	ro := status.Rollout
	all := wavesOf(spec, w.defaultSoak)
	if all.count() == 0 {
		return engine.Hold{}
	}
	if ro == nil || ro.Revision != rolloutOf(d) || int(ro.Waves) != all.count() {
		return engine.Hold{Reason: v1alpha1.RowRolloutWaiting, Message: "the rollout of these settings has not begun yet"}
	}
	all.first = ro.First
	switch wave, _ := all.of(w.account); {
	case ro.Invalid != "":
		return engine.Hold{Reason: v1alpha1.RowRolloutPaused, Message: ro.Invalid}
	case ro.Paused != "":
		return engine.Hold{Reason: v1alpha1.RowRolloutPaused, Message: ro.Paused + "; " + howToResume}
	case wave > int(ro.Wave):
		return engine.Hold{Reason: v1alpha1.RowRolloutWaiting, Message: fmt.Sprintf(
			"changed in wave %d of %d (%s); wave %d is under way", wave+1, all.count(), all.name(wave), ro.Wave+1)}
	}
	return engine.Hold{}
}

const howToResume = "to go on, annotate the baseline with " + v1alpha1.AnnotationResumeRollout + " and any new value"

// rolloutOf identifies what is rolled out: the settings, to which accounts, in which waves. Another selection begins at the first wave
// again: an account that is selected now was not watched before.
func rolloutOf(d declared) string {
	spec, _ := d.object.Common()
	return d.revision + "-" + digestOf(encode([]any{spec.Accounts, wavesOf(spec, 0).named()}))[:8]
}

// capsOf are what a baseline's rollout bounds beside the manager's own limits.
func capsOf(d declared) engine.Caps {
	spec, status := d.object.Common()
	if spec.Rollout == nil {
		return engine.Caps{}
	}
	c := engine.Caps{Changes: int(spec.Rollout.MaxChangesPerPass)}
	most := spec.Rollout.MaxAccounts
	n, err := strconv.Atoi(strings.TrimSuffix(most, "%"))
	switch {
	case most == "" || err != nil:
	case strings.HasSuffix(most, "%"):
		c.Accounts = max(int(status.Accounts)*n/100, 1)
	default:
		c.Accounts = n
	}
	return c
}

// enrolled is what the roll-up saw of an account that the baseline selects and that can be entered.
type enrolled struct {
	account *v1alpha1.AWSAccount
	row     *v1alpha1.AccountBaseline
	// busy is true while something is left to change in it; away is true while it cannot be entered, so that nobody knows.
	busy, away bool
}

// underWay are the reasons of drift that is still to be put right, what waits for an approval included: a wave must not pass for done
// because nothing was changed in it. What somebody rejects, or excepts, holds no wave up.
var underWay = []string{
	v1alpha1.RowRolloutWaiting, v1alpha1.RowSettling, v1alpha1.RowCapReached, v1alpha1.RowNotRecorded, v1alpha1.RowRemediationFailed,
	v1alpha1.RowContested, v1alpha1.RowWritesStopped, v1alpha1.RowPending, v1alpha1.RowWaiting, v1alpha1.RowRolloutPaused,
	v1alpha1.RowRoleMissing, v1alpha1.RowWritesDisabled, v1alpha1.RowSuspended, v1alpha1.RowAwaitingApproval,
	v1alpha1.RowHandedOver,
}

// rollOut works out how far the settings are rolled out, once all accounts are counted.
func (s *sum) rollOut(soak time.Duration) { s.soak, s.rolled = soak, s.rollout(soak) }

// rollout works out how far the settings are rolled out; nil where nothing is enforced, or nothing in waves.
func (s *sum) rollout(soak time.Duration) *v1alpha1.RolloutStatus {
	spec, status := s.object.Common()
	all := wavesOf(spec, soak)
	if all.count() == 0 || !s.enforcesInAccounts(spec) {
		return nil
	}
	now := v1alpha1.RolloutStatus{Revision: rolloutOf(s.declared), Waves: int32(all.count())}
	before := status.Rollout
	begins := before == nil || before.Revision != now.Revision || before.Waves != now.Waves
	if !begins {
		now = *before.DeepCopy()
	}
	if len(all.named()) == 0 && now.Wave == 0 && !slices.ContainsFunc(s.members, func(m enrolled) bool { return m.account.Name == now.First && s.mayBeFirst(m) }) {
		now.First = s.first()
	}
	all.first = now.First
	if now.Invalid = s.overlap(all); now.Invalid != "" {
		now.Summary, now.Progress = now.Invalid, "overlap"
		return &now
	}
	s.advance(&now, all, begins)
	return &now
}

// enforcesInAccounts says whether any control that is decided in each account is enforced: settings of the whole organization have no
// waves.
func (s *sum) enforcesInAccounts(spec *v1alpha1.BaselineSpec) bool {
	return slices.ContainsFunc(s.controls, func(b control.Bound) bool {
		return b.Scope != control.Organization && spec.EffectiveMode(b.Spec) == v1alpha1.ModeEnforce
	})
}

// first is the account that is changed before all others: the first by id that can be changed; "" while there is none.
func (s *sum) first() string {
	first := ""
	for _, m := range s.members {
		if s.mayBeFirst(m) && (first == "" || m.account.Name < first) {
			first = m.account.Name
		}
	}
	return first
}

// mayBeFirst says whether an account shows what new settings do: it can be entered, and is written to at all.
func (s *sum) mayBeFirst(m enrolled) bool {
	spec, _ := s.object.Common()
	isManagement := m.account.Name == string(s.organization.ManagementAccount)
	isNew := s.now.Before(joinedAt(m.account).Add(s.organization.EnforceAfter()))
	return !m.away && !isNew && (!isManagement || named(spec.Accounts, m.account.Name))
}

// overlap names an account that two waves select.
func (s *sum) overlap(all waves) string {
	for _, m := range s.members {
		if wave, twice := all.of(m.account); twice >= 0 {
			return fmt.Sprintf("account %s is in two waves, %s and %s; nothing is changed before one of them leaves it out",
				m.account.Name, all.name(wave), all.name(twice))
		}
	}
	return ""
}

// advance brings a rollout's status up to date: it begins, pauses, resumes, soaks, and goes on to the next wave.
func (s *sum) advance(ro *v1alpha1.RolloutStatus, all waves, begins bool) {
	spec, _ := s.object.Common()
	token := s.object.GetAnnotations()[v1alpha1.AnnotationResumeRollout]
	failures, broken := s.trouble(ro, all)
	if begins || token != ro.Resumed {
		ro.Failures, ro.Broken, ro.Paused, ro.Resumed = failures, broken, "", token
	}
	ro.Failures, ro.Broken = min(ro.Failures, failures), min(ro.Broken, broken)
	for ro.Paused == "" && int(ro.Wave) < all.count() {
		ro.Paused = trouble(spec.Rollout, failures-ro.Failures, broken-ro.Broken)
		if !s.waveOver(ro, all) || ro.Paused != "" {
			break
		}
		ro.Wave, ro.SoakUntil = ro.Wave+1, nil
		failures, broken = s.trouble(ro, all)
		ro.Failures, ro.Broken = failures, broken
	}
	ro.Summary, ro.Progress = summaryOf(ro, all), progressOf(ro)
}

// trouble says why so many failures and broken checks pause a rollout; empty where they do not.
func trouble(spec *v1alpha1.Rollout, failures, broken int32) string {
	switch {
	case failures >= spec.FailuresOrDefault():
		return fmt.Sprintf("paused: changes of %d checks failed in this wave", failures)
	case broken >= spec.BrokenOrDefault():
		return fmt.Sprintf("paused: %d checks of other baselines broke in the accounts of this wave", broken)
	}
	return ""
}

// trouble counts the failed changes, and the checks of other baselines that do not hold, in the accounts up to the wave under way.
func (s *sum) trouble(ro *v1alpha1.RolloutStatus, all waves) (failures, broken int32) {
	for _, m := range s.members {
		if wave, _ := all.of(m.account); wave > int(ro.Wave) {
			continue
		}
		failures += m.row.Failed
		for _, b := range m.account.Status.Baselines {
			if b.Kind+"/"+b.Name != s.key() {
				broken += b.Checks.Drifted + b.Checks.Unknown
			}
		}
	}
	return failures, broken
}

// waveOver counts the wave's accounts, and says whether the next one may begin: nothing is left to change in this one, and it has
// soaked.
func (s *sum) waveOver(ro *v1alpha1.RolloutStatus, all waves) bool {
	s.countWave(ro, all)
	last := int(ro.Wave) == all.count()-1
	switch {
	case ro.Done < ro.Accounts:
		ro.SoakUntil = nil
		return false
	case ro.Accounts == 0 && ro.Wave == 0:
		return false // there is nobody yet to begin with
	case ro.Accounts == 0 || last:
		return true
	case ro.SoakUntil == nil:
		until := metav1.NewTime(s.now.Add(all.soakOf(int(ro.Wave))).UTC().Truncate(time.Second))
		ro.SoakUntil = &until
	}
	return !s.now.Before(ro.SoakUntil.Time)
}

func (s *sum) countWave(ro *v1alpha1.RolloutStatus, all waves) {
	ro.Accounts, ro.Done = 0, 0
	for _, m := range s.members {
		if wave, _ := all.of(m.account); wave != int(ro.Wave) {
			continue
		}
		ro.Accounts++
		if !m.busy && !m.away && m.row.Revision == s.revision && m.row.Failed == 0 {
			ro.Done++
		}
	}
}

func summaryOf(ro *v1alpha1.RolloutStatus, all waves) string {
	if int(ro.Wave) >= all.count() {
		return "done"
	}
	s := fmt.Sprintf("wave %d/%d (%s): %d of %d accounts done", ro.Wave+1, all.count(), all.name(int(ro.Wave)), ro.Done, ro.Accounts)
	switch {
	case ro.Paused != "":
		return s + "; " + ro.Paused
	case ro.SoakUntil != nil:
		return s + ", soaks until " + ro.SoakUntil.UTC().Format(time.RFC3339)
	}
	return s
}

// progressOf is the summary in two words.
func progressOf(ro *v1alpha1.RolloutStatus) string {
	if ro.Wave >= ro.Waves {
		return "done"
	}
	what := "under way"
	switch {
	case ro.Paused != "":
		what = "paused"
	case ro.SoakUntil != nil:
		what = "soaking"
	case ro.Accounts == 0:
		what = "waiting"
	}
	return fmt.Sprintf("%d/%d %s", ro.Wave+1, ro.Waves, what)
}
