package controllers

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// What was not looked at is never compliant, whatever happened before.

func TestAFirstPassLooksAtEverythingInListOrder(t *testing.T) {
	s := newScene(t)
	same(t, "pass", passed{Looked: everything(), Next: time.Hour - jitter(member, time.Hour), Wrote: true}, s.pass())
	s.is("Compliant 5/5")
	same(t, "the next pass, at once", passed{Next: time.Hour - jitter(member, time.Hour)}, s.pass())
}

func TestWhatAPassHadNoTimeForIsPendingAndDueAtOnce(t *testing.T) {
	s := newScene(t)
	s.skips = func(id checkID) bool { return id.Region == ireland }
	if next := s.pass().Next; next != soonest {
		t.Errorf("the next pass comes after %v", next)
	}
	s.is("Pending 3/5 unknown=2")
	same(t, "the row stands for nothing yet", "", s.row().Revision)
	s.skips = nil
	same(t, "the next pass looks at the rest", []string{flag + " " + ireland, volumes + " " + ireland}, s.pass().Looked)
	s.is("Compliant 5/5")
	if s.row().Revision == "" {
		t.Error("the row stands for nothing")
	}
}

func TestAPassThatIsLostLeavesNothingBehind(t *testing.T) {
	s := newScene(t)
	s.skips = func(id checkID) bool { return id.Region == ireland }
	s.pass()
	s.restart()
	s.skips = nil
	same(t, "after a restart all that the row does not stand for is looked at", everything(), s.pass().Looked)
}

func TestARestartTrustsTheRowThatStandsForEveryCheck(t *testing.T) {
	s := newScene(t)
	s.leave(policy, global, "a")
	s.pass()
	s.restart()
	s.later(10 * time.Minute)
	same(t, "looked at", []string(nil), s.pass().Looked)
	s.is("Drifted 4/5 drifted=1")
}

func TestAStatusThatCouldNotBeWrittenIsNotTakenForWhatWasSeen(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.refuseWrite = true
	s.pass()
	s.refuseWrite = false
	same(t, "looked at again", everything(), s.pass().Looked)
	s.is("Drifted 4/5 drifted=1")
	s.later(2 * time.Hour)
	s.refuseWrite = true
	s.leave(policy, global, "b")
	s.pass()
	s.refuseWrite = false
	s.later(time.Minute)
	same(t, "what the lost pass looked at is looked at again", without(everything(), volumes), s.pass().Looked)
	s.is("Drifted 3/5 drifted=2")
}

func TestAnObjectOrAStatusThatWasMadeAnewIsLookedAtAnew(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.AWSAccount){
		"deleted and created again":     func(a *v1alpha1.AWSAccount) { a.UID, a.Status = "uid-2", v1alpha1.AWSAccountStatus{} },
		"a status that somebody wiped":  func(a *v1alpha1.AWSAccount) { a.Status = v1alpha1.AWSAccountStatus{} },
		"results that somebody removed": func(a *v1alpha1.AWSAccount) { a.Status.Controls, a.Status.Baselines = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.leave(flag, ireland, "a")
			s.pass()
			s.is("Drifted 4/5 drifted=1")
			change(s.account)
			same(t, "looked at", everything(), s.pass().Looked)
			s.is("Drifted 4/5 drifted=1")
		})
	}
}

// Nothing in the status tells a new object from the old one when all is well.
func TestANewObjectIsLookedAtAnewAlsoWhenNothingDrifted(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.account.UID, s.account.Status = "uid-2", v1alpha1.AWSAccountStatus{}
	same(t, "looked at", everything(), s.pass().Looked)
}

func TestAnAccountThatWasAwayIsLookedAtAnew(t *testing.T) {
	s := newScene(t)
	s.pass()
	w := s.world()
	w.memory = newMemory()
	s.write(w, absentStatus(w.account, w.now))
	s.is("Suspended 0/0")
	same(t, "looked at", everything(), s.pass().Looked)
	s.is("Compliant 5/5")
}

func TestNewSettingsMakeEverythingPending(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.EncryptionBaselineSpec){
		"a setting":   func(b *v1alpha1.EncryptionBaselineSpec) { b.EBSDefault.KMSKey = "alias/other" },
		"a mode":      func(b *v1alpha1.EncryptionBaselineSpec) { b.Mode = v1alpha1.ModeEnforce },
		"an approval": func(b *v1alpha1.EncryptionBaselineSpec) { b.Approval = v1alpha1.ApprovalAll },
		"a state":     func(b *v1alpha1.EncryptionBaselineSpec) { b.EBSDefault.State = v1alpha1.Disabled },
		"regions": func(b *v1alpha1.EncryptionBaselineSpec) {
			b.Regions = &v1alpha1.RegionSelector{Include: []v1alpha1.Region{ireland}}
		},
		"a section that is taken": func(b *v1alpha1.EncryptionBaselineSpec) { b.RDSStorage = nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			revision := s.row().Revision
			change(s.spec())
			s.skips = func(id checkID) bool { return id.Region == ireland }
			s.pass()
			if s.account.Status.State != v1alpha1.AccountPending || s.row().Revision != revision {
				t.Errorf("the account is %s at revision %s", s.account.Status.State, s.row().Revision)
			}
			s.skips = nil
			s.pass()
			if s.account.Status.State != v1alpha1.AccountCompliant || s.row().Revision == revision {
				t.Errorf("the account is %s at revision %s", s.account.Status.State, s.row().Revision)
			}
		})
	}
	for name, change := range map[string]func(*v1alpha1.EncryptionBaselineSpec){
		"an interval": func(b *v1alpha1.EncryptionBaselineSpec) { b.Interval = &metav1.Duration{Duration: 30 * time.Minute} },
		"a priority":  func(b *v1alpha1.EncryptionBaselineSpec) { b.Priority = 7 },
		"accounts":    func(b *v1alpha1.EncryptionBaselineSpec) { b.Accounts = &v1alpha1.AccountSelector{All: true} },
		"suspend":     func(b *v1alpha1.EncryptionBaselineSpec) { b.Suspend = true },
	} {
		t.Run(name+" is no new setting", func(t *testing.T) {
			s := newScene(t)
			s.pass()
			change(s.spec())
			same(t, "looked at", []string(nil), s.pass().Looked)
			s.is("Compliant 5/5")
		})
	}
}

func TestAVersionThatBindsAnotherControlToASectionLooksAtIt(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.restart()
	s.version = 2
	s.leave(newer, ireland, "a")
	s.skips = func(id checkID) bool { return id.Control == newer }
	s.pass()
	s.is("Pending 5/7 unknown=2")
	s.skips = nil
	s.pass()
	s.is("Drifted 6/7 drifted=1")
}

func TestANewRegionIsPendingAndEverythingThatLooksAtRegionsIsLookedAtAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		s := newScene(t)
		s.pass()
		if restart {
			s.restart()
		}
		s.enabled = []string{frankfurt, ireland, virginia}
		s.skips = func(id checkID) bool { return id.Region == virginia || id.Region == global }
		s.pass()
		if got := s.account.Status.Checks.Unknown; s.account.Status.State != v1alpha1.AccountPending || got < 3 {
			t.Errorf("the account is %s with %d unknown", s.account.Status.State, got)
		}
		s.skips = nil
		looked := s.pass().Looked
		same(t, "looked at", []string{flag + " " + virginia, volumes + " " + virginia, policy + " " + global}, looked)
		s.is("Compliant 7/7")
	}
}

func TestARegionThatIsGoneTakesItsDriftWithIt(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.pass()
	s.account.Spec.Regions = &v1alpha1.RegionSelector{Exclude: []v1alpha1.Region{ireland}}
	same(t, "looked at", []string(nil), s.pass().Looked)
	s.is("Compliant 3/3")
	same(t, "rows", []v1alpha1.DriftRow(nil), s.account.Status.Drift)
}

// A check that another baseline decided was never looked at with the settings of this one.
func TestWhatAnotherBaselineGivesBackIsPending(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for name, give := range map[string]func(s *scene){
			"deleted":             func(s *scene) { s.baselines = s.baselines[:1] },
			"without the section": func(s *scene) { s.baselines[1].Spec.EBSDefault = nil },
			"for other accounts": func(s *scene) {
				s.baselines[1].Spec.Accounts = &v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{otherOne}}
			},
			"with the lower priority": func(s *scene) { s.baselines[1].Spec.Priority = -1 },
			"with another section in its place": func(s *scene) {
				s.baselines[1].Spec.EBSDefault, s.baselines[1].Spec.EBSVolumes = nil, &v1alpha1.EBSVolumes{ControlSpec: on}
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := newScene(t)
				s.baselines = append(s.baselines, s.baseline("special", func(b *v1alpha1.EncryptionBaselineSpec) {
					b.Priority, b.EBSDefault = 1, &v1alpha1.EBSDefault{ControlSpec: on, KMSKey: "alias/special"}
				}))
				s.pass()
				s.is("Compliant 5/5 overridden=2")
				if restart {
					s.restart()
					same(t, "looked at after a restart", []string(nil), s.pass().Looked)
				}
				give(s)
				s.skips = func(id checkID) bool {
					return id == (checkID{Baseline: "EncryptionBaseline/organization", Control: flag, Region: ireland})
				}
				looked := s.pass().Looked
				if slices.Contains(looked, flag+" "+ireland) || !slices.Contains(looked, flag+" "+frankfurt) {
					t.Errorf("looked at %v", looked)
				}
				if s.account.Status.State != v1alpha1.AccountPending || s.row().Checks.Unknown == 0 {
					t.Errorf("the account is %s, the row %+v", s.account.Status.State, s.row().Checks)
				}
			})
		}
	}
}

func TestAnErrorAndASilenceAreUnknown(t *testing.T) {
	s := newScene(t)
	s.fails[flag+" "+ireland] = &control.CallError{Action: "ec2:X", Role: "the role", Err: apiError{"AccessDenied", "no"}}
	s.pass()
	s.is("Unknown 4/5 unknown=1")
	same(t, "entry", []v1alpha1.AccountControl{{
		Control: flag, Baseline: "EncryptionBaseline/organization", Severity: v1alpha1.SeverityHigh, Reason: v1alpha1.RowAccessDenied,
		Message: "AccessDenied: no — allow ec2:X to the role (config/iam), and see whether the resource's own policy refuses it",
		Unknown: map[string]int32{ireland: 1},
	}}, s.account.Status.Controls)
	if c := findCondition(s.account.Status.Conditions, v1alpha1.ConditionCompliant); c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonChecksUnknown {
		t.Errorf("Compliant is %s, %s", c.Status, c.Reason)
	}
}

func TestRegionsThatCannotBeListed(t *testing.T) {
	refused := &control.CallError{Action: "ec2:DescribeRegions", Role: "the role", Err: apiError{"UnauthorizedOperation", "no"}}
	t.Run("on the first look nothing is compliant", func(t *testing.T) {
		s := newScene(t)
		s.enabled, s.regionsErr = nil, refused
		if next := s.pass().Next; next > retryFirst {
			t.Errorf("the next pass comes after %v", next)
		}
		s.is("Unknown 1/2 unknown=1")
		for _, of := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionCompliant} {
			if c := findCondition(s.account.Status.Conditions, of); c.Reason != v1alpha1.ReasonRegionsUnreadable || c.Status == metav1.ConditionTrue {
				t.Errorf("%s is %s, %s", of, c.Status, c.Reason)
			}
		}
		s.enabled, s.regionsErr = []string{ireland}, nil
		same(t, "once they are listed", []string{flag + " " + ireland, volumes + " " + ireland, policy + " " + global}, s.pass().Looked)
		s.is("Compliant 3/3")
	})
	t.Run("later the list that was read last stands in, and there may be one more", func(t *testing.T) {
		s := newScene(t)
		s.pass()
		s.regionsErr = refused
		s.pass()
		s.is("Unknown 5/6 unknown=1")
		s.leave(flag, ireland, "a")
		s.later(2 * time.Hour)
		s.pass()
		s.is("Drifted 4/6 drifted=1 unknown=1")
		s.regionsErr = nil
		s.found = nil
		s.later(2 * time.Hour)
		s.pass()
		s.is("Compliant 5/5")
	})
	t.Run("a baseline that looks at no region does not ask for them", func(t *testing.T) {
		s := newScene(t)
		s.spec().EBSDefault, s.spec().EBSVolumes = nil, nil
		s.regionsErr = refused
		s.pass()
		same(t, "the row", v1alpha1.CheckCounts{Total: 1, Compliant: 1}, s.row().Checks)
	})
}

func TestAnAccountThatCannotBeEnteredKeepsItsRowsAndNothingOfItIsKnown(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.pass()
	rows := s.account.Status.Drift
	s.later(time.Minute)
	w := s.world()
	w.memory.unreachable++
	s.write(w, unreachableStatus(w, makePlan(w), apiError{"AccessDenied", "no"}))
	s.is("Unreachable 0/5 unknown=5")
	same(t, "rows", rows, s.account.Status.Drift)
	same(t, "when it can be entered again everything is looked at", everything(), s.pass().Looked)
	s.is("Drifted 4/5 drifted=1")
	same(t, "since", noon, s.account.Status.Drift[0].Since.UTC())
}

func TestDeniedRegions(t *testing.T) {
	s := newScene(t)
	s.denied[ireland] = true
	s.pass()
	s.is("Compliant 3/3")
	same(t, "denied", []string{ireland}, s.account.Status.DeniedRegions)
	if c := findCondition(s.account.Status.Conditions, v1alpha1.ConditionCompliant); c.Reason != v1alpha1.ReasonCompliantExceptDenied {
		t.Errorf("Compliant has the reason %s", c.Reason)
	}
	s.later(23 * time.Hour)
	same(t, "looked at within the day", 0, len(only(s.pass().Looked, flag+" "+ireland)))
	s.restart()
	same(t, "looked at after a restart", 0, len(only(s.pass().Looked, flag+" "+ireland)))
	s.denied = map[string]bool{}
	s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "now"
	s.skips = func(id checkID) bool { return id.Region == ireland }
	s.pass()
	s.is("Pending 3/5 unknown=2") // not compliant before it was looked at, though it was known once
	s.skips = nil
	s.pass()
	s.is("Compliant 5/5")
}

func TestARegionIsTriedAgainAfterADay(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.later(time.Hour)
	s.denied[ireland] = true
	s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "1"
	s.pass()
	s.is("Compliant 3/3")
	s.denied = map[string]bool{}
	s.later(24 * time.Hour)
	s.skips = func(id checkID) bool { return id.Region == ireland }
	s.pass()
	s.is("Pending 3/5 unknown=2")
}

// A region is denied only when every one of its checks says so: a policy that refuses one service must not hide what the
// others found.
func TestAPolicyThatRefusesOneServiceHidesNothing(t *testing.T) {
	s := newScene(t)
	s.leave(volumes, ireland, "a")
	s.pass()
	s.is("Drifted 4/5 drifted=1")
	s.fails[flag+" "+ireland] = scpError
	s.later(time.Hour)
	s.denied[ireland] = false
	looked := s.pass()
	same(t, "looked at", without(everything(), volumes), looked.Looked)
	s.is("Drifted 3/5 drifted=1 unknown=1")
	same(t, "all of the region is looked at to find out", soonest, looked.Next)
	s.later(looked.Next)
	again := s.pass()
	same(t, "looked at", []string{flag + " " + ireland, volumes + " " + ireland}, again.Looked)
	s.is("Drifted 3/5 drifted=1 unknown=1")
	if again.Next < time.Minute {
		t.Errorf("a hot loop: the next pass comes after %v", again.Next)
	}
}

func TestAPolicyThatBeginsToRefuseARegionIsFoundOutAlthoughNotAllOfItWasDue(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.denied[ireland] = true
	s.later(time.Hour)
	s.pass()
	s.is("Unknown 4/5 unknown=1")
	s.later(soonest)
	s.pass()
	s.is("Compliant 3/3")
	same(t, "denied", []string{ireland}, s.account.Status.DeniedRegions)
}

func TestARegionIsSuspectedOnceAnHour(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.fails[flag+" "+ireland] = scpError
	looked := 0
	for end := s.now.Add(2 * time.Hour); s.now.Before(end); {
		p := s.pass()
		looked += len(only(p.Looked, volumes+" "+ireland))
		s.later(p.Next)
	}
	same(t, "how often the region's other check was looked at for it", 1, looked)
}

func TestMaps(t *testing.T) {
	t.Run("that were cut are told apart while the process lasts, and looked at anew after a restart", func(t *testing.T) {
		s := newScene(t)
		s.enabled = []string{frankfurt, ireland, virginia}
		s.leave(flag, ireland, "a")
		s.leave(flag, virginia, "b", "c")
		s.pass()
		cut := func() {
			s.account.Status.Controls[0].Drifted = map[string]int32{everyRegion: 3}
			m := s.memories.of(member)
			m.basis = basisOf(s.account.UID, &s.account.Status)
			s.memories.keep(member, m, "")
		}
		cut()
		same(t, "looked at", []string(nil), s.pass().Looked)
		s.is("Drifted 5/7 drifted=2")
		same(t, "drifted", map[string]int32{ireland: 1, virginia: 2}, s.account.Status.Controls[0].Drifted)
		same(t, "resources", int32(3), s.account.Status.DriftedResources)
		cut()
		s.restart()
		s.skips = func(checkID) bool { return true }
		s.pass()
		s.is("Drifted 4/7 drifted=3") // more than is true, never less
		cut()
		s.restart()
		s.skips = nil
		same(t, "looked at after a restart", only([]string{flag + " " + frankfurt, flag + " " + ireland, flag + " " + virginia}, flag), s.pass().Looked)
		s.is("Drifted 5/7 drifted=2")
	})
}

func TestExceptionsAreObeyedFromTheirBeginningToTheirEnd(t *testing.T) {
	s := newScene(t)
	s.enforce()
	s.leave(flag, ireland, "a")
	s.exceptions = []*v1alpha1.BaselineException{exception("x", noon.Add(10*time.Minute), noon.Add(20*time.Minute), flag)}
	s.allowWrites = false
	first := s.pass()
	s.is("Drifted 4/5 drifted=1")
	same(t, "the next pass is when it begins", 10*time.Minute, first.Next)
	s.restart()
	s.allowWrites = true
	s.later(10 * time.Minute)
	begun := s.pass()
	s.is("Compliant 4/5 excepted=1")
	same(t, "changed", []string(nil), begun.Changed)
	same(t, "the next pass is when it ends", 10*time.Minute, begun.Next)
	same(t, "the row's excuse", "x", s.account.Status.Drift[0].Excepted)
	s.later(10*time.Minute - 1)
	same(t, "a pass before its end looks at", []string(nil), s.pass().Looked)
	s.is("Compliant 4/5 excepted=1")
	s.later(1)
	s.skips = func(id checkID) bool { return id.Control == flag }
	s.pass()
	s.is("Drifted 4/5 drifted=1") // even where the pass had no time to look
	same(t, "the row's excuse", "", s.account.Status.Drift[0].Excepted)
	s.restart()
	s.pass()
	s.is("Drifted 4/5 drifted=1")
	s.skips = nil
	same(t, "changed", []string{flag + " " + ireland + " a"}, s.pass().Changed)
	s.is("Compliant 5/5")
	same(t, "what the row obeyed", "", s.row().Exceptions)
}

func TestARowHasObeyedAnExceptionOnlyWhenEveryCheckWasLookedAt(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.pass()
	s.exceptions = []*v1alpha1.BaselineException{exception("x", noon, noon.Add(time.Hour), flag)}
	s.skips = func(id checkID) bool { return id.Region == ireland }
	s.pass()
	same(t, "the row obeyed", "", s.row().Exceptions)
	s.restart()
	s.skips = nil
	if looked := s.pass().Looked; !slices.Contains(looked, flag+" "+ireland) {
		t.Errorf("looked at %v", looked)
	}
	s.is("Compliant 4/5 excepted=1")
}

func exception(name string, from, expires time.Time, controls ...string) *v1alpha1.BaselineException {
	f, e := metav1.NewTime(from), metav1.NewTime(expires)
	return &v1alpha1.BaselineException{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid", Generation: 1},
		Spec: v1alpha1.BaselineExceptionSpec{
			Controls: controls, Accounts: &v1alpha1.ExceptionAccounts{Include: []v1alpha1.AccountID{member}}, From: &f, Expires: &e,
		},
	}
}

func TestATokenIsAnsweredOnlyWhenEverythingWasObservedAfterIt(t *testing.T) {
	for _, of := range []string{"account", "baseline"} {
		t.Run(of, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			ask := func(token string) {
				if of == "account" {
					s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = token
				} else {
					s.baselines[0].Annotations[v1alpha1.AnnotationReconcileRequestedAt] = token
				}
			}
			answered := func() string {
				if of == "account" {
					return s.account.Status.LastHandledReconcileAt
				}
				return s.row().HandledReconcileAt
			}
			s.later(time.Minute)
			ask("one")
			s.skips = func(id checkID) bool { return id.Control == policy }
			same(t, "looked at", without(everything(), policy), s.pass().Looked)
			same(t, "answered", "", answered())
			s.later(time.Second)
			s.skips = nil
			same(t, "looked at", []string{policy + " " + global}, s.pass().Looked)
			same(t, "answered", "one", answered())
			same(t, "looked at once it was answered", []string(nil), s.pass().Looked)
			ask("two")
			s.restart()
			s.refuseWrite = true
			s.pass()
			s.refuseWrite = false
			s.restart()
			same(t, "a pass that was lost answers nothing", everything(), s.pass().Looked)
			same(t, "answered", "two", answered())
			ask("")
			s.pass()
			ask("two")
			s.later(time.Second)
			same(t, "the same word, asked again", everything(), s.pass().Looked)
		})
	}
}

func TestABaselinesTokenAsksForItsOwnChecksOnly(t *testing.T) {
	s := newScene(t)
	s.baselines = append(s.baselines, s.baseline("trail", func(b *v1alpha1.EncryptionBaselineSpec) {
		b.KMSRotation = &v1alpha1.KMSRotation{ControlSpec: on}
	}))
	s.account.Name = management
	s.pass()
	s.is("Compliant 6/6")
	s.later(time.Second)
	s.baselines[1].Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "one"
	same(t, "looked at", []string{trail + " " + global}, s.pass().Looked)
	same(t, "answers", []string{"", "one"}, []string{s.account.Status.Baselines[0].HandledReconcileAt, s.account.Status.Baselines[1].HandledReconcileAt})
}

func TestSinceAndAttemptsSurvive(t *testing.T) {
	for name, between := range map[string]func(s *scene){
		"a restart":    func(s *scene) { s.restart() },
		"another look": func(*scene) {},
		"new settings": func(s *scene) { s.spec().EBSDefault.KMSKey = "alias/other" },
		"a pass without time": func(s *scene) {
			s.spec().EBSDefault.KMSKey = "alias/other"
			s.skips = func(id checkID) bool { return true }
			s.pass()
			s.pass()
			s.skips = nil
		},
		"a look that failed": func(s *scene) {},
		"an exception that was": func(s *scene) {
			s.exceptions = []*v1alpha1.BaselineException{exception("x", s.now, s.now.Add(time.Minute), flag)}
			s.pass()
			s.exceptions = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.leave(flag, ireland, "a")
			s.pass()
			s.later(time.Hour)
			between(s)
			s.pass()
			if len(s.account.Status.Drift) != 1 || !s.account.Status.Drift[0].Since.Equal(&metav1.Time{Time: noon}) {
				t.Errorf("rows: %+v", s.account.Status.Drift)
			}
		})
	}
}

func TestAnExplanationOfACheckThatWasNotLookedAtIsItsOwn(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.fails[flag+" "+frankfurt] = apiError{"AccessDenied", "no"}
	s.pass()
	same(t, "what could not be told is not hidden by what was", v1alpha1.RowAccessDenied, s.account.Status.Controls[0].Reason)
	delete(s.fails, flag+" "+frankfurt)
	s.later(time.Second)
	s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "now"
	s.skips = func(id checkID) bool { return id.Region == ireland }
	s.pass()
	s.is("Drifted 4/5 drifted=1")
	same(t, "once it is told", v1alpha1.RowAudit, s.account.Status.Controls[0].Reason)
}

// A check that rests on an answer other accounts share is as old as that answer. Somebody who asks for a new look is still
// answered by it, and a retry counts from the look: else it would be due again at once, for as long as the answer lasts.
func TestACheckThatSharesAnOldAnswerIsNotDueAgainAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		findings []engine.Judged
		asks     bool
		want     time.Duration // until it is due
	}{
		"compliant":                {nil, false, time.Hour - jitter(member, time.Hour) - 15*time.Minute},
		"asked for a minute ago":   {nil, true, time.Hour - jitter(member, time.Hour) - 15*time.Minute},
		"a check that must wait":   {[]engine.Judged{{Finding: control.Finding{Outcome: control.Waiting, Reason: "Waiting"}}}, false, time.Minute},
		"a check whose turn comes": {[]engine.Judged{{Finding: control.Finding{Outcome: control.Waiting, Reason: "Waiting", Again: noon.Add(17 * time.Minute)}}}, false, 17 * time.Minute},
		"one whose turn has come":  {[]engine.Judged{{Finding: control.Finding{Outcome: control.Waiting, Reason: "Waiting", Again: noon}}}, false, afterChange},
		"a check that was unread":  {[]engine.Judged{{Finding: control.Finding{Outcome: control.Unknown, Reason: "Throttled"}}}, false, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if tc.asks {
				s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "now"
			}
			w := s.world()
			p := makePlan(w)
			var results []engine.Result
			due, _ := p.due(w)
			for _, task := range due {
				results = append(results, engine.Result{Task: task, At: w.now.Add(-15 * time.Minute), Age: 15 * time.Minute, Findings: tc.findings})
			}
			remember(w, &p, results)
			again := makePlan(w)
			same(t, "due in the plan", map[time.Duration]bool{tc.want: true}, dueIn(w, &p))
			same(t, "due in the next plan", map[time.Duration]bool{tc.want: true}, dueIn(w, &again))
		})
	}
}

// dueIn is when the region's checks that are observed hourly are due.
func dueIn(w world, p *plan) map[time.Duration]bool {
	in := map[time.Duration]bool{}
	p.each(func(_ *row, c *check) {
		if !c.task.Control.PerResource {
			in[c.due.Sub(w.now)] = true
		}
	})
	return in
}
