package iam

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	consoleGuard = "arn:aws:iam::111122223333:policy/plumbline/mfa-guard"
	keysGuard    = "arn:aws:iam::111122223333:policy/plumbline/mfa-guard-keys"
	// userMFADevice is what events about devices name beside the user.
	userMFADevice = "arn:aws:iam::111122223333:mfa/ann"
)

func noMFA(arn, reason string) control.Finding {
	return reportOnly(arn, reason, control.Field{Path: "mfa", Want: "a device", Got: "none"})
}

func guardChange(arn, want, got string, risk control.Risk) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: arn, Risk: risk, Fields: []control.Field{{Path: "guard", Want: want, Got: got}},
	}}
}

func TestUserMFA(t *testing.T) {
	type settings = WithUsers[v1alpha1.UserMFA]
	with := func(g v1alpha1.MFAGuard) settings {
		return settings{Settings: v1alpha1.UserMFA{ControlSpec: enabled, Guard: g}}
	}
	only, none, both := with(v1alpha1.MFAGuardConsoleOnly), with(""), with(v1alpha1.MFAGuardConsoleAndKeys)
	alice := member{name: "alice", password: ago(30)}
	ann := member{name: "ann", password: ago(30), devices: 3}
	robot := member{name: "robot", keys: []key{{id: "AKIAROBOTROBOTROBOT1", status: "Active", created: ago(200), used: ago(1)}}}
	open := account{members: []member{alice, ann, robot}, policies: guardsInPlace()}
	// held is alice, whom something keeps from the guard.
	held := func(name, reason string, want settings, change func(*account)) controltest.Case[settings] {
		a := account{members: []member{alice}, policies: guardsInPlace()}
		change(&a)
		path := a.members[0]
		if path.path == "" {
			path.path = "/"
		}
		return controltest.Case[settings]{
			Name: name, Want: want, AWS: a.stage, Findings: []control.Finding{noMFA(path.arn(), reason)},
		}
	}
	attached := func(name string, m member, guards ...string) member {
		m.name, m.policies = name, append([]string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/Billing"}, guards...)
		return m
	}

	controltest.Run(t, UserMFA, []controltest.Case[settings]{
		{
			Name: "users with a device, and users without a password, are compliant", Want: only,
			AWS: account{members: []member{ann, robot}, policies: guardsInPlace()}.stage,
		},
		{
			Name: "without a guard a user is only reported", Want: none, AWS: open.stage,
			Findings: []control.Finding{noMFA(userARN("alice"), "")},
		},
		{
			Name: "with a guard exactly the user without a device gets it, and stays reported", Want: only, AWS: open.stage,
			Findings: []control.Finding{noMFA(userARN("alice"), ""), guardChange(userARN("alice"), "mfa-guard", "none", control.Disruptive)},
			Remains:  []control.Finding{noMFA(userARN("alice"), ReasonGuarded)},
		},
		{
			Name: "a user below a path is found by its ARN; other policies stay", Want: only,
			AWS: account{members: []member{attached("a,b", member{path: "/team/", password: ago(30)})}, policies: guardsInPlace()}.stage,
			Findings: []control.Finding{
				noMFA(userARN("team/a,b"), ""), guardChange(userARN("team/a,b"), "mfa-guard", "none", control.Disruptive),
			},
			Remains: []control.Finding{noMFA(userARN("team/a,b"), ReasonGuarded)},
		},
		{
			Name: "what the report says of a user that has changed since is not believed", Want: only,
			AWS: account{
				members:  []member{{name: "enrolled", password: ago(9), devices: 1}, {name: "closed"}},
				reported: []member{{name: "enrolled", password: ago(9)}, {name: "closed", password: ago(9)}, {name: "deleted", password: ago(9)}},
				policies: guardsInPlace(),
			}.stage,
		},
		{
			Name: "a user whom an event names is read live, whatever the report says", Want: only, Target: naming("gwen", userMFADevice),
			AWS: account{
				members: []member{{name: "gwen", password: ago(9)}, ann}, policies: guardsInPlace(),
				reported: []member{{name: "gwen", password: ago(9), devices: 1}, ann},
			}.stage,
			Findings: []control.Finding{noMFA(userARN("gwen"), ""), guardChange(userARN("gwen"), "mfa-guard", "none", control.Disruptive)},
			Remains:  []control.Finding{noMFA(userARN("gwen"), ReasonGuarded)},
		},
		{
			Name: "a user who was made since the report is looked for among all, and one who does not exist is none", Want: none,
			Target: naming("nobody", "newcomer"), AWS: account{
				members: []member{ann, alice, robot, {name: "newcomer", path: "/team/", password: ago(0)}}, reported: []member{ann},
			}.stage,
			Findings: []control.Finding{noMFA(userARN("team/newcomer"), "")},
		},
		{
			Name: "a user who departed before departs until that is mended, whatever the report says", Want: none,
			Target: naming(userARN("team/gwen")), AWS: account{
				members:  []member{{name: "gwen", path: "/team/", password: ago(9)}},
				reported: []member{{name: "gwen", path: "/team/", password: ago(9), devices: 1}},
			}.stage,
			Findings: []control.Finding{noMFA(userARN("team/gwen"), "")},
		},
		{
			Name: "what is named and no user is left alone", Want: none, AWS: account{members: []member{ann}}.stage,
			Target: naming(userMFADevice, "arn:aws:iam::999999999999:user/ann", "a/b", "*", "ann&Action=DeleteUser", ""),
		},
		{
			Name: "the guard is taken from a user that has a device or no password any more, in the report or not", Want: only,
			AWS: account{
				members: []member{
					attached("enrolled", member{password: ago(9), devices: 1}, consoleGuard), attached("closed", member{}, consoleGuard),
					attached("open", member{password: ago(9)}, consoleGuard),
				},
				reported: []member{{name: "enrolled", password: ago(9)}}, policies: guardsInPlace(),
			}.stage,
			Findings: []control.Finding{
				guardChange(userARN("enrolled"), "none", "mfa-guard", control.Safe),
				guardChange(userARN("closed"), "none", "mfa-guard", control.Safe), noMFA(userARN("open"), ReasonGuarded),
			},
		},
		{
			Name: "a user never has two guards: turning to the narrower one weakens", Want: only,
			AWS: account{members: []member{attached("alice", alice, keysGuard)}, policies: guardsInPlace()}.stage,
			Findings: []control.Finding{noMFA(userARN("alice"), ""), {Drift: control.Drift{
				Resource: userARN("alice"), Risk: control.Disruptive, Weakens: true,
				Fields: []control.Field{{Path: "guard", Want: "mfa-guard", Got: "mfa-guard-keys"}},
			}}},
			Remains: []control.Finding{noMFA(userARN("alice"), ReasonGuarded)},
		},
		{
			Name: "turning to another guard leaves nobody with the former who needs none", Want: only,
			AWS: account{
				members: []member{
					attached("enrolled", member{password: ago(9), devices: 1}, keysGuard), attached("closed", member{}, keysGuard),
					attached("twice", member{password: ago(9), devices: 1}, consoleGuard, keysGuard),
				},
				policies: guardsInPlace(),
			}.stage,
			Findings: []control.Finding{
				guardChange(userARN("enrolled"), "none", "mfa-guard-keys", control.Safe),
				guardChange(userARN("closed"), "none", "mfa-guard-keys", control.Safe),
				guardChange(userARN("twice"), "none", "mfa-guard, mfa-guard-keys", control.Safe),
			},
		},
		{
			Name: "the same the other way round, also where only one of the guards exists", Want: both,
			AWS: account{
				members:  []member{attached("enrolled", member{password: ago(9), devices: 1}, consoleGuard)},
				policies: map[string]string{consoleGuard: GuardDocument(v1alpha1.MFAGuardConsoleOnly, "aws")},
			}.stage,
			Findings: []control.Finding{guardChange(userARN("enrolled"), "none", "mfa-guard", control.Safe)},
		},
		{
			Name: "without a guard declared, guards that were attached stay and nobody asks for them", Want: none,
			AWS: account{
				members: []member{attached("enrolled", member{password: ago(9), devices: 1}, consoleGuard, keysGuard)}, policies: guardsInPlace(),
			}.stage,
		},
		{
			Name: "turning to the guard that denies keys too does not weaken; a key that nobody uses does not count", Want: both,
			AWS: account{members: []member{attached("alice", member{password: ago(30), keys: []key{
				{id: "AKIAALICEALICEALICE1", status: "Active", created: ago(300), used: ago(91)},
				{id: "AKIAALICEALICEALICE2", status: "Inactive", created: ago(300), used: ago(1)},
			}}, consoleGuard)}, policies: guardsInPlace()}.stage,
			Findings: []control.Finding{
				noMFA(userARN("alice"), ""), guardChange(userARN("alice"), "mfa-guard-keys", "mfa-guard", control.Disruptive),
			},
			Remains: []control.Finding{noMFA(userARN("alice"), ReasonGuarded)},
		},
		held("a key that is in use keeps a user from the guard that denies keys", ReasonKeyInUse, both, func(a *account) {
			a.members[0].keys = []key{{id: "AKIAALICEALICEALICE1", status: "Active", created: ago(300), used: ago(89)}}
		}),
		held("nobody gets a guard that does not exist", ReasonGuardPolicyMissing, only, func(a *account) { a.policies = nil }),
		held("nobody gets a guard that somebody has rewritten", ReasonGuardModified, only, func(a *account) {
			a.policies = map[string]string{consoleGuard: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}
		}),
		held("nobody gets a guard that cannot be read", ReasonGuardModified, only, func(a *account) {
			a.policies = map[string]string{consoleGuard: `{"Version":`}
		}),
		held("a user that could not enrol a device gets no guard", ReasonWouldLockOut, only, func(a *account) { a.lockedOut = []string{"alice"} }),
		held("a user with as many policies as it may have gets no guard", ReasonPolicyQuota, only, func(a *account) {
			a.members[0].policies = make([]string, 10)
			a.summary = map[string]int32{"AttachedPoliciesPerUserQuota": 10}
		}),
		held("a young password is given time", ReasonGracePeriod, only, func(a *account) { a.members[0].password = ago(6) }),
		held("a declared grace is given", ReasonGracePeriod, settings{Settings: v1alpha1.UserMFA{
			ControlSpec: enabled, Guard: v1alpha1.MFAGuardConsoleOnly, GracePeriod: &metav1.Duration{Duration: 30 * 24 * time.Hour},
		}}, func(a *account) { a.members[0].password = ago(29) }),
		held("an excluded user is reported and not changed", ReasonExcluded, settings{
			Settings: only.Settings, Users: &v1alpha1.UserSelector{Exclude: []string{"Alice"}},
		}, func(*account) {}),
		held("a user below an excluded path is reported and not changed", ReasonExcluded, settings{
			Settings: only.Settings, Users: &v1alpha1.UserSelector{ExcludePaths: []string{"/emergency/"}},
		}, func(a *account) { a.members[0].path = "/emergency/night/" }),
		held("the user that Plumbline signs in with gets no guard", ReasonOwnIdentity, only, func(a *account) {
			a.roles = map[string]role{"PlumblineAudit": {trust: sprintf(trusting, userARN("alice"))}}
		}),
		held("where the whole account is trusted, any user may be Plumbline's", ReasonOwnIdentity, only, func(a *account) {
			a.roles = map[string]role{"PlumblineAudit": {trust: sprintf(trusting, "arn:aws:iam::111122223333:root")}}
		}),
		{
			Name: "an excluded user keeps the guard that it has", AWS: account{
				members: []member{attached("alice", ann, consoleGuard)}, policies: guardsInPlace(),
			}.stage,
			Want: settings{Settings: only.Settings, Users: &v1alpha1.UserSelector{Exclude: []string{"alice"}}},
			Findings: []control.Finding{
				reportOnly(userARN("alice"), ReasonExcluded, control.Field{Path: "guard", Want: "none", Got: "mfa-guard"}),
			},
		},
		{
			Name: "without an audit role to ask, whom Plumbline signs in as is not guessed", Want: only,
			AWS: account{members: []member{alice}, policies: guardsInPlace(), roles: map[string]role{}}.stage,
			Findings: []control.Finding{
				noMFA(userARN("alice"), ""), unknown(userARN("alice"), control.ReasonUnexpectedData),
			},
		},
		{
			Name: "a report that AWS makes at once is used", Want: none,
			AWS:      account{members: []member{alice}, reportErrors: []string{"ReportExpired"}, generate: "COMPLETE"}.stage,
			Findings: []control.Finding{noMFA(userARN("alice"), "")},
		},
		{
			Name: "without capacity for a report nothing is known", Want: only, AWS: account{
				reportErrors: []string{"ReportNotPresent"}, generateErr: cloudtest.Error("LimitExceeded", "No more capacity"),
			}.stage,
			Findings: []control.Finding{unknown("", control.ReasonThrottled)},
		},
		{
			Name: "a report that is none is an error", Want: only, AWS: account{report: "<html>Service Unavailable</html>"}.stage,
			Err: "unexpected answer",
		},
	})
}
