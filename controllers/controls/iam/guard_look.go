package iam

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// guardLook is one look at the users that may need the guard, or no longer need it.
type guardLook struct {
	*control.Target
	guard v1alpha1.MFAGuard
	grace time.Duration
	users *v1alpha1.UserSelector
	// intact is guardIntact of the guard, asked when the first user needs it.
	intact func(context.Context) (hold, error)
}

// guardUser is a user with what decides about its guard.
type guardUser struct {
	user
	// open is true when the password alone opens the console.
	open         bool
	passwordMade time.Time
	// attached are the user's managed policies.
	attached []string
}

func newGuardLook(t *control.Target, want WithUsers[v1alpha1.UserMFA]) *guardLook {
	l := &guardLook{
		Target: t, guard: want.Settings.GuardOrDefault(), grace: want.Settings.GracePeriodOrDefault(), users: want.Users,
	}
	var once sync.Once
	var why hold
	var err error
	l.intact = func(ctx context.Context) (hold, error) {
		once.Do(func() { why, err = guardIntact(ctx, t, l.guard) })
		return why, err
	}
	return l
}

// guarded are the users that have a guard of either variant, so that a baseline which turns from one to the other leaves
// nobody with the former; and which variants could not be told. Nobody is asked for where none is declared.
func (l *guardLook) guarded(ctx context.Context) (names []string, unread []control.Finding) {
	if l.guard == v1alpha1.MFAGuardNone {
		return nil, nil
	}
	for _, variant := range Guards {
		some, err := guardedUsers(ctx, l.Target, variant)
		if err != nil {
			unread = append(unread, control.Unreadable(GuardARN(variant, l.Partition, l.Account), err))
		}
		names = append(names, some...)
	}
	return names, unread
}

// read reads what the decision needs: of a user that turns out to be healthy and has no guard no more than shows it.
func (l *guardLook) read(ctx context.Context, name string, guarded bool) (u guardUser, err error) {
	made, password, err := readPassword(ctx, l.Target, name)
	if err != nil {
		return u, err
	}
	device := false
	if password {
		if device, err = hasMFA(ctx, l.Target, name); err != nil {
			return u, err
		}
	}
	u.passwordMade, u.open = made, password && !device
	if !u.open && !guarded {
		return u, nil
	}
	if u.user, err = readUser(ctx, l.Target, name); err != nil || l.guard == v1alpha1.MFAGuardNone {
		return u, err
	}
	u.attached, err = attachedPolicies(ctx, l.Target, name)
	return u, err
}

// attach reports a user without MFA, and proposes the guard where nothing speaks against it.
func (l *guardLook) attach(ctx context.Context, u guardUser) ([]control.Finding, error) {
	now, after := guardsAmong(l.Target, u.attached), []string{GuardARN(l.guard, l.Partition, l.Account)}
	if slices.Equal(now, after) {
		why := hold{ReasonGuarded, "the guard is attached; the user has to enrol a device"}
		return []control.Finding{reported(u.arn, mfaMissing, why)}, nil
	}
	why, err := l.why(ctx, u)
	found := []control.Finding{reported(u.arn, mfaMissing, why)}
	if err != nil || why.reason != "" {
		return found, err
	}
	d := guardDrift(u, now, after)
	d.Risk = control.Disruptive
	// Access keys that the wider guard denied work again.
	d.Weakens = l.guard == v1alpha1.MFAGuardConsoleOnly && len(now) > 0
	return append(found, control.Finding{Drift: d}), nil
}

// detach takes the guard from a user that has MFA, or no password any more.
func (l *guardLook) detach(u guardUser) []control.Finding {
	now := guardsAmong(l.Target, u.attached)
	if len(now) == 0 {
		return nil
	}
	d := guardDrift(u, now, []string{})
	if why := excluded(l.users, u.user); why.reason != "" {
		return []control.Finding{reported(u.arn, d.Fields, why)}
	}
	d.Risk = control.Safe
	return []control.Finding{{Drift: d}}
}

func guardDrift(u guardUser, now, after []string) control.Drift {
	return control.Drift{
		Resource: u.arn, Fields: []control.Field{{Path: "guard", Want: guardNames(after), Got: guardNames(now)}},
		Before: control.JSON(userGuards{u.name, now}), After: control.JSON(userGuards{u.name, after}),
	}
}

// guardNames are the names of guard policies, for people.
func guardNames(arns []string) string {
	if len(arns) == 0 {
		return "none"
	}
	names := make([]string, len(arns))
	for i, arn := range arns {
		names[i] = arn[strings.LastIndex(arn, "/")+1:]
	}
	return strings.Join(names, ", ")
}
