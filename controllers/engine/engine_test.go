package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAPassPutsRightWhatDepartsAndASecondFindsNothing(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "a", "b")
	l.leave(member, frankfurt, "c")
	tasks := []Task{enforced(l.encrypted(), ireland), enforced(l.encrypted(), frankfurt)}
	compare(t, "findings", []string{}, reasons(l.run(member, tasks...)))
	compare(t, "changed", 3, len(l.changed()))
	compare(t, "findings of the second", []string{}, reasons(l.run(member, tasks...)))
	compare(t, "changed by the second", 0, len(l.changed()))
	for _, s := range l.Sessions() {
		if writes := strings.HasSuffix(s.Role, "Enforce"); writes != (s.Policy != "") || writes && !strings.Contains(s.Policy, "kms:CreateGrant") {
			t.Errorf("a session of %s has the policy %q", s.Role, s.Policy)
		}
	}
}

func TestAnAuditWritesNothingAndAssumesNoRoleThatCould(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "a")
	task := enforced(l.encrypted(), ireland)
	task.Mode = v1alpha1.ModeAudit
	compare(t, "findings", []string{"eu-west-1 a Audit"}, reasons(l.run(member, task)))
	for _, s := range l.Sessions() {
		compare(t, "role", roleOf(member, "Audit"), s.Role)
	}
}

func TestACapIsCountedBeforeTheFirstWriteAndHoldsForAMinute(t *testing.T) {
	l := newLake(t, Limits{ChangesPerPass: 3})
	l.leave(member, ireland, names("a", 2)...)
	l.leave(member, frankfurt, names("b", 3)...)
	tasks := []Task{enforced(l.encrypted(), ireland), enforced(l.encrypted(), frankfurt)}
	capped := []string{"eu-central-1 b01 CapReached", "eu-central-1 b02 CapReached"}
	compare(t, "first pass", capped, reasons(l.run(member, tasks...)))
	made := l.changed()
	slices.Sort(made)
	compare(t, "made, first in list order", []string{"eu-central-1 b00", "eu-west-1 a00", "eu-west-1 a01"}, made)
	l.pass(59 * time.Second)
	compare(t, "a pass within the minute", capped, reasons(l.run(member, tasks...)))
	compare(t, "made within the minute", 0, len(l.changed()))
	l.pass(time.Second)
	compare(t, "a pass after it", []string{}, reasons(l.run(member, tasks...)))
	compare(t, "made after it", 2, len(l.changed()))
}

func TestABaselineHasCapsOfItsOwn(t *testing.T) {
	l := newLake(t, Limits{})
	capped := func(changes, accounts int) Task {
		task := enforced(l.encrypted(), ireland)
		task.Caps = Caps{Changes: changes, Accounts: accounts}
		return task
	}
	l.leave(member, ireland, names("a", 3)...)
	compare(t, "of changes in a pass", []string{"eu-west-1 a02 CapReached"}, reasons(l.run(member, capped(2, 0))))
	compare(t, "made", 2, len(l.changed()))

	l.run(member, capped(0, 1)) // makes the third, and gives its place back
	l.hidden = -1
	l.leave(member, ireland, "v")
	compare(t, "an account that is changed", []string{"eu-west-1 v Settling"}, reasons(l.run(member, capped(0, 1))))
	l.leave(admin, ireland, "w")
	compare(t, "of accounts at a time", []string{"eu-west-1 w CapReached"}, reasons(l.run(admin, capped(0, 1))))
	l.hidden = 0
	other := capped(0, 1)
	other.Baseline = "EncryptionBaseline/another"
	compare(t, "another baseline's accounts are its own", []string{}, reasons(l.run(admin, other)))
}

func TestACapDoesNotHoldUpWhoAsks(t *testing.T) {
	l := newLake(t, Limits{ChangesPerPass: 1})
	l.leave(member, ireland, "a", "b")
	compare(t, "first pass", []string{"eu-west-1 b CapReached"}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
	l.Renew(admin, "somebody asks for another account")
	compare(t, "a pass at once", []string{"eu-west-1 b CapReached"}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
	l.Renew(member, "somebody asks")
	compare(t, "a pass that is asked for", []string{}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
}

// changing puts an account's one volume right without AWS showing it.
func (l *lake) changing(account string) []Result {
	l.leave(account, ireland, "v")
	return l.run(account, enforced(l.encrypted(), ireland))
}

func TestAnAccountHoldsItsPlaceUntilItsChangesAreVerifiedOrHaveFailed(t *testing.T) {
	const waiting = "eu-west-1 v CapReached"
	const settling = "eu-west-1 v Settling"
	for name, tc := range map[string]struct {
		between func(l *lake, task Task)
		want    string
	}{
		"while a change is waited for, no other account is changed": {func(*lake, Task) {}, waiting},
		"a pass that looks at something else does not give the place back": {func(l *lake, task Task) {
			l.runOf(context.Background(), member, []Task{task, enforced(l.encrypted(), frankfurt)}, []Task{enforced(l.encrypted(), frankfurt)})
		}, waiting},
		"nor does one that had no time to look": {func(l *lake, task Task) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			l.runOf(ctx, member, []Task{task}, []Task{task})
		}, waiting},
		"a change that shows gives it back": {func(l *lake, task Task) {
			l.mu.Lock()
			l.shows["v"] = 0
			l.mu.Unlock()
			l.run(member, task)
		}, settling},
		"a change that failed gives it back": {func(l *lake, task Task) {
			task.Looks = func(string) int { return 2 }
			l.run(member, task)
		}, settling},
		"a check that is planned no longer gives it back": {func(l *lake, _ Task) { l.runOf(context.Background(), member, nil, nil) }, settling},
		"an account that is worked on no longer gives it back": {func(l *lake, _ Task) {
			l.Release(member)
		}, settling},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{AccountsAtOnce: 1})
			l.hidden = -1
			compare(t, "the first account", []string{settling}, reasons(l.changing(member)))
			tc.between(l, enforced(l.encrypted(), ireland))
			compare(t, "the other account", []string{tc.want}, reasons(l.changing(admin)))
		})
	}
}

func TestAPassThatPanicsKeepsNoPlaceForEver(t *testing.T) {
	l := newLake(t, Limits{AccountsAtOnce: 1})
	l.leave(member, ireland, "v")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the engine swallows panics of its own")
			}
		}()
		l.sleep = func(context.Context, time.Duration) bool { panic("a fault of the engine") }
		l.hidden = -1
		l.changing(member)
	}()
	l.sleep = func(_ context.Context, d time.Duration) bool { l.pass(d); return true }
	l.mu.Lock()
	l.shows["v"] = 0
	l.mu.Unlock()
	compare(t, "the next pass", []string{}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
	l.hidden = 0
	compare(t, "the other account", []string{}, reasons(l.changing(admin)))
}

// looking runs passes of one account over one check, a minute apart, remembering the looks as the account's memory does.
func TestAChangeThatDoesNotShowHasThreeLooks(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "v")
	l.hidden = -1
	looks := map[string]int{}
	task := enforced(l.encrypted(), ireland)
	task.Looks = func(d string) int { return looks[d] }
	var got []string
	for range 4 {
		results := l.run(member, task)
		clear(looks)
		for _, j := range results[0].Findings {
			if j.Reason == v1alpha1.RowSettling {
				looks[j.ID()] = j.Looks
			}
		}
		got = append(got, reasons(results)[0]+" "+strings.Join(l.changed(), " "))
		l.pass(time.Minute)
	}
	compare(t, "passes", []string{
		"eu-west-1 v Settling eu-west-1 v", "eu-west-1 v Settling ", "eu-west-1 v RemediationFailed failed ", "eu-west-1 v Settling eu-west-1 v",
	}, got)
}

func TestVerifying(t *testing.T) {
	noVolumes := cloudtest.Error("RequestLimitExceeded", "slow down")
	for name, tc := range map[string]struct {
		set  func(l *lake)
		want []string
	}{
		"looks are repeated while the pass lasts": {func(l *lake) { l.hidden = 6 }, []string{}},
		"and no longer": {func(l *lake) { l.hidden = 100 }, []string{"eu-west-1 v Settling"}},
		"what cannot be looked at is neither here nor gone": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error { l.Deny("ec2:DescribeVolumes", noVolumes); return nil }
		}, []string{"eu-west-1 v Settling", "eu-west-1  UnknownThrottled"}},
		"a look that works after one that did not is believed": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error { l.Deny("ec2:DescribeVolumes", noVolumes); return nil }
			sleep := l.sleep
			l.sleep = func(ctx context.Context, d time.Duration) bool { l.Allow("ec2:DescribeVolumes"); return sleep(ctx, d) }
		}, []string{}},
		"a policy that begins to refuse meanwhile denies no region": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error {
				l.Deny("ec2:DescribeVolumes", cloudtest.Error("UnauthorizedOperation", "explicit deny in a service control policy"))
				return nil
			}
		}, []string{"eu-west-1 v Settling", "eu-west-1  UnknownDeniedByServiceControlPolicy"}},
		"what departs since the first look waits for the next pass": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error { l.leave(member, ireland, "w"); return nil }
		}, []string{"eu-west-1 w Waiting"}},
		"a write that failed has failed, whatever else is waited for": {func(l *lake) {
			l.leave(member, ireland, "w")
			l.onWrite = func(_ *control.Target, v string) error {
				if v == "v" {
					return cloudtest.Error("InternalError", "no")
				}
				return nil
			}
		}, []string{"eu-west-1 v RemediationFailed failed"}},
		"a write that failed and shows all the same has not": {func(l *lake) {
			l.onWrite = func(t *control.Target, v string) error {
				l.mu.Lock()
				l.volumes[t.Account+t.Region][v] = true
				l.mu.Unlock()
				return errors.New("the connection broke")
			}
		}, []string{}},
		"a change that an organization's policy refuses says so": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error { return control.ErrManagedByPolicy }
		}, []string{"eu-west-1 v ManagedByOrganizationPolicy failed"}},
		"a write that panics has failed": {func(l *lake) {
			l.onWrite = func(*control.Target, string) error { panic("nil map") }
		}, []string{"eu-west-1 v RemediationFailed failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{})
			l.leave(member, ireland, "v")
			tc.set(l)
			got := l.run(member, enforced(l.encrypted(), ireland))
			compare(t, "findings", tc.want, reasons(got))
			if got[0].Denied || got[0].Refused || got[0].State() == Compliant && len(tc.want) > 0 {
				t.Errorf("the check is %s", got[0].State())
			}
			if took := l.clock().Sub(noon); took > 25*time.Second {
				t.Errorf("the pass took %v", took)
			}
		})
	}
}

func TestAChangedResourceThatCannotBeJudgedAnyMoreIsStillWaitedFor(t *testing.T) {
	l := newLake(t, Limits{AccountsAtOnce: 1})
	l.leave(member, ireland, "v")
	written := false
	l.onWrite = func(*control.Target, string) error { written = true; return nil }
	b := l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			if written {
				return []control.Finding{control.Unreadable("v", cloudtest.Error("AccessDenied", "no"))}, nil
			}
			return l.observeVolumes(ctx, t, s)
		}
	})
	compare(t, "findings", []string{"eu-west-1 v UnknownAccessDenied", "eu-west-1 v Settling"}, reasons(l.run(member, enforced(b, ireland))))
	compare(t, "another account", []string{"eu-west-1 v CapReached"}, reasons(l.changing(admin)))
}

func TestAnEnforceRoleThatCannotBeAssumedOrLeadsElsewhereWritesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(l *lake)
		want string // part of the message
	}{
		"no role":         {func(l *lake) { l.DenyRole(roleOf(member, "Enforce"), cloudtest.Error("AccessDenied", "no")) }, "(RoleRefused)"},
		"another account": {func(l *lake) { l.LeadRole(roleOf(member, "Enforce"), admin) }, "(WrongAccount): the role's credentials belong to another account: wanted " + member + ", got " + admin},
		"another account, unsaid": {func(l *lake) {
			l.LeadRole(roleOf(member, "Enforce"), admin)
			l.AnonymousRole(roleOf(member, "Enforce"))
		}, "(WrongAccount)"},
		"no answer, which may happen": {func(l *lake) { l.DenyRole(roleOf(member, "Enforce"), errors.New("reset")) }, "(NoAnswer)"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{AccountsAtOnce: 1})
			l.leave(member, ireland, "v")
			tc.set(l)
			got := l.run(member, enforced(l.encrypted(), ireland))
			compare(t, "findings", []string{"eu-west-1 v RoleMissing"}, reasons(got))
			if m := got[0].Findings[0].Message; !strings.Contains(m, tc.want) || !strings.HasPrefix(m, "the enforce role cannot be assumed") {
				t.Errorf("message %q, want %q in it", m, tc.want)
			}
			compare(t, "heard", []string(nil), l.heard)
			compare(t, "another account has the place", []string{}, reasons(l.changing(admin)))
		})
	}
}

func TestAPanicInAControlIsAFindingAndNotTheEndOfThePass(t *testing.T) {
	ctx := context.Background()
	shared := control.Read[int]{Key: "broken", Do: func(context.Context, *control.Target) (int, error) { panic("nil map") }}
	l := newLake(t, Limits{})
	panics := func(observe func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error)) Task {
		return enforced(l.encrypted(func(c *control.Control[section]) { c.ID, c.Observe = "ebs-panics", observe }), ireland)
	}
	tasks := []Task{
		panics(func(context.Context, *control.Target, section) ([]control.Finding, error) { panic("nil map") }),
		panics(func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			_, err := shared.From(ctx, t)
			return nil, err
		}),
		panics(func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			_, err := shared.From(ctx, t)
			return nil, err
		}),
		panics(func(context.Context, *control.Target, section) ([]control.Finding, error) {
			var g control.Group
			g.Go(func() error { panic("nil map") })
			return nil, g.Wait()
		}),
		enforced(l.encrypted(), ireland),
	}
	l.leave(member, ireland, "v")
	unknown := "eu-west-1  UnknownUnexpectedAnswer"
	compare(t, "findings", []string{unknown, unknown, unknown, unknown}, reasons(l.runOf(ctx, member, tasks, tasks)))
	compare(t, "changed by the others", []string{"eu-west-1 v"}, l.changed())
}

func TestAnErrorBesideFindingsKeepsBoth(t *testing.T) {
	l := newLake(t, Limits{})
	b := l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(context.Context, *control.Target, section) ([]control.Finding, error) {
			return []control.Finding{{Drift: drift("v")}}, errors.New("the second page")
		}
	})
	task := enforced(b, ireland)
	task.Mode = v1alpha1.ModeAudit
	compare(t, "findings", []string{"eu-west-1 v Audit", "eu-west-1  UnknownReadFailed"}, reasons(l.run(member, task)))
}

func TestAControlThatReadsMoreThanItDeclaresIsUnknown(t *testing.T) {
	l := newLake(t, Limits{})
	b := l.encrypted(func(c *control.Control[section]) { c.Reads = []string{"ec2:DescribeRegions"} })
	compare(t, "findings", []string{"eu-west-1  UnknownRefusedByGuard"}, reasons(l.run(member, enforced(b, ireland))))
	observesAndWrites := l.encrypted(func(c *control.Control[section]) {
		c.Observe = func(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
			return nil, l.write(ctx, t, "v")
		}
	})
	compare(t, "findings of one that writes while it looks", []string{"eu-west-1  UnknownRefusedByGuard"},
		reasons(l.run(member, enforced(observesAndWrites, ireland))))
}

func TestDeniedRegions(t *testing.T) {
	scp := cloudtest.Error("UnauthorizedOperation", "with an explicit deny in a service control policy")
	permission := cloudtest.Error("UnauthorizedOperation", "no identity-based policy allows it")
	const refused = "eu-west-1  UnknownDeniedByServiceControlPolicy"
	for name, tc := range map[string]struct {
		volumes, regions error
		alsoPlanned      bool // another check of the region, not looked at now
		fineCheck        bool // another check of the region that works
		want             []string
	}{
		"everything is refused, and the harmless call, too": {
			volumes: scp, regions: scp, want: []string{"eu-west-1 denied", refused},
		},
		"the harmless call is let through": {volumes: scp, want: []string{refused}},
		"it is a permission that lacks":    {volumes: permission, regions: permission, want: []string{"eu-west-1  UnknownAccessDenied"}},
		"another check of the region works": {
			volumes: scp, regions: scp, fineCheck: true, want: []string{refused},
		},
		"another check of the region was not looked at: it may have drifted": {
			volumes: scp, regions: scp, alsoPlanned: true, want: []string{refused},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{})
			set := func(action string, err error) {
				if err != nil {
					l.Deny(action, err)
				}
			}
			set("ec2:DescribeVolumes", tc.volumes)
			set("ec2:DescribeRegions", tc.regions)
			due := []Task{enforced(l.encrypted(), ireland)}
			fine := enforced(l.encrypted(func(c *control.Control[section]) {
				c.ID = "ebs-fine"
				c.Observe = func(context.Context, *control.Target, section) ([]control.Finding, error) { return nil, nil }
			}), ireland)
			if tc.fineCheck {
				due = append(due, fine)
			}
			planned := append(slices.Clone(due), enforced(l.encrypted(), frankfurt))
			if tc.alsoPlanned {
				planned = append(planned, fine)
			}
			compare(t, "findings", tc.want, reasons(l.runOf(context.Background(), member, planned, due)))
		})
	}
}

func TestWhatThePassHasNoTimeForIsSkipped(t *testing.T) {
	l := newLake(t, Limits{Parallel: 1})
	slow := l.encrypted(func(c *control.Control[section]) {
		observe := c.Observe
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			if !t.Verifying {
				l.pass(11 * time.Second)
			}
			return observe(ctx, t, s)
		}
	})
	l.leave(member, ireland, "v")
	// Looking took longer than a pass begins things; its change is made all the same, or it never would be.
	compare(t, "findings", []string{"eu-central-1 skipped"}, reasons(l.run(member, enforced(slow, ireland), enforced(slow, frankfurt))))
	compare(t, "changed", []string{"eu-west-1 v"}, l.changed())
}

func TestChangesEndWhenTheirTimeIsOver(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, names("v", 4)...)
	l.onWrite = func(*control.Target, string) error { l.pass(6 * time.Second); return nil }
	compare(t, "findings", []string{"eu-west-1 v02 CapReached", "eu-west-1 v03 CapReached"}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
}

func TestAManagerThatStops(t *testing.T) {
	for name, tc := range map[string]struct {
		at   string // when it is told to: before, looking, writing, verifying
		want []string
		made []string
	}{
		"begins no check":                           {"before", []string{"eu-west-1 skipped"}, nil},
		"takes a look that was cut short for none":  {"looking", []string{"eu-west-1 skipped"}, nil},
		"ends the write it has begun and no more":   {"writing", []string{"eu-west-1 v Settling", "eu-west-1 w CapReached"}, []string{"eu-west-1 v"}},
		"takes no unverified change for a good one": {"verifying", []string{"eu-west-1 v Settling", "eu-west-1 w Settling"}, []string{"eu-west-1 v", "eu-west-1 w"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{})
			l.leave(member, ireland, "v", "w")
			l.hidden = 1
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			switch tc.at {
			case "before":
				stop()
			case "writing":
				l.onWrite = func(_ *control.Target, v string) error {
					if v == "v" {
						stop()
					}
					return nil
				}
			case "verifying":
				l.sleep = func(context.Context, time.Duration) bool { stop(); return false }
			}
			b := l.encrypted(func(c *control.Control[section]) {
				observe := c.Observe
				c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
					if tc.at == "looking" {
						stop()
						return nil, ctx.Err()
					}
					return observe(ctx, t, s)
				}
			})
			tasks := []Task{enforced(b, ireland)}
			compare(t, "findings", tc.want, reasons(l.runOf(ctx, member, tasks, tasks)))
			compare(t, "changed", tc.made, l.changed())
		})
	}
}

// traffic counts what runs at the same time.
type traffic struct {
	mu      sync.Mutex
	running map[string]int
	order   []string
	clashes []string
}

func (c *traffic) through(where, what string, clash func(running map[string]int) bool) {
	c.mu.Lock()
	if c.running == nil {
		c.running = map[string]int{}
	}
	c.running[where]++
	c.order = append(c.order, what)
	if clash(c.running) {
		c.clashes = append(c.clashes, what)
	}
	c.mu.Unlock()
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	c.running[where]--
	c.mu.Unlock()
}

func others(running map[string]int, where string) (n int) {
	for w, k := range running {
		if w != where {
			n += k
		}
	}
	return n
}

func TestOneChangeAtATimePerRegionInListOrderAndGlobalOnesAlone(t *testing.T) {
	l := newLake(t, Limits{})
	global := l.encrypted(func(c *control.Control[section]) { c.ID, c.Scope = "ebs-global", control.Account })
	tasks := []Task{
		enforced(l.encrypted(), ireland), enforced(l.encrypted(), frankfurt), enforced(global, v1alpha1.GlobalRegion),
		enforced(l.encrypted(func(c *control.Control[section]) { c.ID = "ebs-second" }), ireland),
	}
	l.leave(member, ireland, names("a", 5)...)
	l.leave(member, frankfurt, names("b", 5)...)
	l.leave(member, home, names("c", 3)...)
	var cars traffic
	l.onWrite = func(t *control.Target, v string) error {
		cars.through(t.Region, v, func(running map[string]int) bool {
			return running[t.Region] > 1 || running[home] > 0 && others(running, home) > 0
		})
		return nil
	}
	l.run(member, tasks...)
	compare(t, "clashes", []string(nil), cars.clashes)
	only := func(prefix string, from []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(v string) bool { return !strings.HasPrefix(v, prefix) })
	}
	compare(t, "Ireland's order", append(names("a", 5), names("a", 5)...), only("a", cars.order))
	compare(t, "Frankfurt's order", names("b", 5), only("b", cars.order))
	compare(t, "the global ones come after what stands before them", names("c", 3), cars.order[10:13])
}

func TestChangesInAdministratorsAccountsNeitherClashNorDeadlock(t *testing.T) {
	l := newLake(t, Limits{AccountsAtOnce: 100, ChangesPerPass: 100})
	var cars traffic
	through := func(first, second string) control.Bound {
		return l.encrypted(func(c *control.Control[section]) {
			c.Remediate = func(ctx context.Context, t *control.Target, d control.Drift) error {
				for _, service := range []string{first, second} {
					if _, err := t.Admin(service); err != nil {
						return err
					}
				}
				cars.through(t.Region, t.Account, func(running map[string]int) bool { return running[t.Region] > 1 })
				return l.write(ctx, t, d.Resource)
			}
		})
	}
	var group sync.WaitGroup
	var finished atomic.Int32
	for i, account := range append(names("1111222233", 8), admin, management) {
		l.leave(account, ireland, "v", "w")
		b := through("guardduty", "management")
		if i%2 == 0 {
			b = through("management", "guardduty")
		}
		group.Go(func() {
			if got := reasons(l.run(account, enforced(b, ireland))); len(got) > 0 {
				t.Errorf("%s: %v", account, got)
			}
			finished.Add(1)
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("a deadlock: %d passes have ended", finished.Load())
	}
	compare(t, "clashes", []string(nil), cars.clashes)
}

// The administrator's own pass, too, waits for the members' changes in its account.
func TestAChangeThatIsOfNoRegionKeepsAllOthersOutOfTheAdministrators(t *testing.T) {
	var locks adminLocks
	inIreland := &turn{locks: &locks, region: ireland}
	inIreland.enter(admin)
	inIreland.enter(management) // a second time is no second lock
	entered := make(chan string, 3)
	enter := func(region string) *turn {
		one := &turn{locks: &locks, region: region}
		go func() { one.enter(admin); entered <- region }()
		return one
	}
	elsewhere := enter(frankfurt)
	if got := <-entered; got != frankfurt {
		t.Fatal(got)
	}
	everywhere := enter(v1alpha1.GlobalRegion)
	select {
	case got := <-entered:
		t.Fatalf("%s did not wait", got)
	case <-time.After(20 * time.Millisecond):
	}
	inIreland.end()
	elsewhere.end()
	if got := <-entered; got != v1alpha1.GlobalRegion {
		t.Fatal(got)
	}
	everywhere.end()
	everywhere.enter(admin) // after its end a change cannot enter any more
	again := enter(ireland)
	<-entered
	again.end()
}

func TestWritesOfTheAdministratorsOwnPassTakeTurns(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(admin, ireland, "v")
	held := l.admins.lock(ireland)
	done := make(chan []Result)
	go func() { done <- l.run(admin, enforced(l.encrypted(), ireland)) }()
	select {
	case <-done:
		t.Error("the administrator's own change did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	held()
	compare(t, "findings", []string{}, reasons(<-done))
}

func TestAnAdministratorIsReadWithItsAuditRoleAndWrittenToWithItsEnforceRole(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(admin, ireland, "v")
	b := l.encrypted(func(c *control.Control[section]) {
		observe := c.Observe
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			a, err := t.Admin("guardduty")
			if err != nil {
				return nil, err
			}
			return observe(ctx, a, s)
		}
		c.Remediate = func(ctx context.Context, t *control.Target, d control.Drift) error {
			a, err := t.Admin("guardduty")
			if err != nil {
				return err
			}
			return l.write(ctx, a, d.Resource)
		}
	})
	compare(t, "findings", []string{}, reasons(l.run(member, enforced(b, ireland))))
	var roles []string
	for _, c := range l.Calls() {
		if c.Service == "EC2" {
			roles = append(roles, c.Operation+" "+c.Role)
		}
	}
	compare(t, "calls", []string{
		"DescribeVolumes " + roleOf(admin, "Audit"), "EnableEbsEncryptionByDefault " + roleOf(admin, "Enforce"), "DescribeVolumes " + roleOf(admin, "Audit"),
	}, roles)
	for _, s := range l.Sessions() {
		if s.Account == admin && strings.HasSuffix(s.Role, "Enforce") && !strings.Contains(s.Policy, "ec2:DescribeVolumes") {
			t.Errorf("the administrator was entered with the policy %q", s.Policy)
		}
	}
}

func TestSharedReadsAreMadeAnewAfterAChangeOfTheService(t *testing.T) {
	l := newLake(t, Limits{})
	var made atomic.Int32
	count := control.Shared[int32]{Key: "ebs.count", Service: "guardduty", Actions: []string{"ec2:DescribeVolumes"},
		Do: func(ctx context.Context, admin *control.Target) (int32, error) {
			_, err := ec2.NewFromConfig(admin.AWS).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
			return made.Add(1), err
		}}
	b := l.encrypted(func(c *control.Control[section]) {
		observe := c.Observe
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			if _, _, err := count.From(ctx, t); err != nil {
				return nil, err
			}
			return observe(ctx, t, s)
		}
	})
	task := enforced(b, ireland)
	l.run(member, task)
	l.run(admin, task)
	compare(t, "made for two accounts", int32(1), made.Load())
	l.leave(member, ireland, "v")
	l.run(member, task) // shared; then the change; then verified without sharing
	compare(t, "made for a change", int32(2), made.Load())
	l.run(admin, task)
	compare(t, "made after it", int32(3), made.Load())
}
