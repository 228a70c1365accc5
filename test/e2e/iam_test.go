package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	iamcontrols "github.com/plumbline-dev/plumbline/controllers/controls/iam"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// The simulator, the credential report and the quota of policies are the emulator's own models of AWS.
var _ = Describe("MFA of console users", Ordered, ContinueOnFailure, func() {
	const (
		attach, detach = "iam:AttachUserPolicy", "iam:DetachUserPolicy"
		guard, wider   = "mfa-guard", "mfa-guard-keys"
	)
	lastYear := daysAgo(365)
	console := func(name, path string) *iamPerson { return &iamPerson{name: name, path: path, password: lastYear} }
	var (
		alice    = &iamPerson{name: "alice", password: lastYear, policies: []string{"ReadOnlyAccess", "IAMUserChangePassword"}}
		bob      = console("bob", "/team/")
		kim      = &iamPerson{name: "kim", password: lastYear, keys: []iamKey{{created: daysAgo(200), used: daysAgo(1)}}}
		erin     = &iamPerson{name: "erin", password: lastYear, mfa: true}
		robot    = &iamPerson{name: "robot", keys: []iamKey{{created: daysAgo(20), used: daysAgo(1)}}}
		breakin  = console("break-glass", "")
		night    = console("night", "/emergency/eu/")
		newbie   = &iamPerson{name: "newbie", password: daysAgo(2)}
		quinn    = console("quinn", "")
		lou      = console("lou", "")
		vic      = console("vic", "")
		enrolled = console("enrolled-since", "")
		gwen     = &iamPerson{name: "gwen", password: lastYear, mfa: true}
		zoe      = console("zoe", "")
		wes      = console("wes", "")
		dan      = console("dan", "")
	)
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, s *scene) {
		s.iamMake(ctx, payProd, alice, bob, kim, erin, robot, enrolled, gwen)
		s.iamMake(ctx, security, breakin, night, newbie, quinn, lou, vic)
		s.iamMake(ctx, shopProd, zoe)
		s.iamMake(ctx, webProd, wes)
		s.iamMake(ctx, dataProd, dan)
		for _, account := range []string{payProd, shopProd, security} {
			for variant, name := range map[v1alpha1.MFAGuard]string{v1alpha1.MFAGuardConsoleOnly: guard, v1alpha1.MFAGuardConsoleAndKeys: wider} {
				iamPolicy(ctx, account, "/plumbline/", name, iamcontrols.GuardDocument(variant, "aws"))
			}
		}
		iamPolicy(ctx, dataProd, "/plumbline/", guard, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
		for i := range 10 {
			arn := iamPolicy(ctx, security, "/", fmt.Sprintf("job-%d", i), iamcontrols.GuardDocument(v1alpha1.MFAGuardConsoleOnly, "aws"))
			_, err := iamOf(security).AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &quinn.name, PolicyArn: &arn})
			Expect(err).NotTo(HaveOccurred())
		}
		s.setState(ctx, map[string]any{"account": security, "user": lou.name, "simulate": map[string]any{"iam:EnableMFADevice": "explicitDeny"}})
		// What changes from here on the report does not know.
		s.setState(ctx, map[string]any{"account": payProd, "credential_report": "ready"})
		iamEnrol(ctx, payProd, enrolled.name)
		iamLose(ctx, payProd, gwen.name)
	}})
	declare := func(ctx context.Context, mode, section string, accounts ...string) {
		s.declare(ctx, "IAMBaseline", "users", `
			mode: `+mode+`
			accounts: {include: ["`+strings.Join(accounts, `", "`)+`"]}
			users: {exclude: [break-glass], excludePaths: [/emergency/]}
			userMFA: {state: Enabled, `+section+`}`)
		s.awaitLooked(ctx, "IAMBaseline", "users")
	}

	mfaRow := func(account string, p *iamPerson) v1alpha1.DriftRow {
		return iamRow(iamUserMFA, p.arn(account), "mfa", "a device", "none")
	}
	reported := func(account string, p *iamPerson) v1alpha1.DriftRow {
		return reportOnly(mfaRow(account, p))
	}
	held := func(account string, p *iamPerson, reason, message string) v1alpha1.DriftRow {
		return because(mfaRow(account, p), reason, message)
	}
	guarded := func(account string, p *iamPerson) v1alpha1.DriftRow {
		return held(account, p, "Guarded", "the guard is attached; the user has to enrol a device")
	}
	guardRow := func(account string, p *iamPerson, want, got string) v1alpha1.DriftRow {
		return iamRow(iamUserMFA, p.arn(account), "guard", want, got)
	}
	excepted := func(row v1alpha1.DriftRow) v1alpha1.DriftRow {
		row = because(row, "Excepted", "excused by the exception vic")
		row.Excepted = "vic"
		return row
	}
	// spared are the users of one account whom something keeps from the guard.
	spared := []v1alpha1.DriftRow{
		held(security, breakin, "Excluded", "users.exclude names the user; nothing of it is changed"),
		held(security, night, "Excluded", "the user is below /emergency/ of users.excludePaths; nothing of it is changed"),
		held(security, newbie, "GracePeriod", "the password is young; the guard is due on "+newbie.password.Add(7*24*time.Hour).Format(time.DateTime)+" UTC"),
		held(security, quinn, "PolicyQuota", "the user has 10 managed policies, as many as the account's quota lets it"),
		held(security, lou, "WouldLockOut", "with the guard the user could not enrol a device: iam:EnableMFADevice is denied (explicitDeny) by a "+
			"permissions boundary, a service control policy or another policy"),
		excepted(mfaRow(security, vic)), excepted(guardRow(security, vic, guard, "none")),
	}
	missing := held(webProd, wes, "GuardPolicyMissing", iamARN(webProd, "policy/plumbline/mfa-guard")+
		" does not exist: deploy the template of the member roles")
	modified := held(dataProd, dan, "GuardModified", iamARN(dataProd, "policy/plumbline/mfa-guard")+" is not the policy that Plumbline "+
		"ships: find out who changed it, then deploy the template of the member roles again")
	all := []string{payProd, security, webProd, dataProd}
	expectOthers := func(ctx context.Context) {
		GinkgoHelper()
		Expect(s.rows(ctx, security)).To(ConsistOf(spared))
		Expect(s.rows(ctx, webProd)).To(ConsistOf(missing))
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(modified))
	}

	It("reports every user with a password and no device, and what speaks against a guard; Audit attaches none", func(ctx SpecContext) {
		s.except(ctx, "vic", time.Hour, `
			controls: [`+iamUserMFA+`]
			resources: ["`+vic.arn(security)+`"]`)
		mark := s.mark(ctx)
		declare(ctx, "Audit", "guard: ConsoleOnly", all...)
		var want []v1alpha1.DriftRow
		for _, p := range []*iamPerson{alice, bob, kim} {
			want = append(want, reported(payProd, p), audited(guardRow(payProd, p, guard, "none"), "Disruptive"))
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(want))
		expectOthers(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("says nothing of a user who has enrolled since the report was made", func(ctx SpecContext) {
		Expect(s.rows(ctx, payProd)).NotTo(ContainElement(HaveField("Resource", enrolled.arn(payProd))))
	})

	It("waits for an approval to attach the guard", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "guard: ConsoleOnly", all...)
		var want []v1alpha1.DriftRow
		for _, p := range []*iamPerson{alice, bob, kim} {
			want = append(want, reported(payProd, p), awaitsApproval(guardRow(payProd, p, guard, "none")))
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(want))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("attaches it with approval: Irreversible to exactly those who need it, and keeps their other policies", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "guard: ConsoleOnly, approval: Irreversible", all...)
		Expect(s.rows(ctx, payProd)).To(ConsistOf(guarded(payProd, alice), guarded(payProd, bob), guarded(payProd, kim)))
		expectOthers(ctx)
		s.recheck(ctx, all...)
		Expect(s.changedUsers(ctx, mark)).To(ConsistOf(attach+" alice", attach+" bob", attach+" kim"))
		Expect(iamAttached(ctx, payProd, alice.name)).To(Equal([]string{"IAMUserChangePassword", "ReadOnlyAccess", guard}))
		for account, people := range map[string][]*iamPerson{
			payProd: {erin, robot, enrolled, gwen}, security: {breakin, night, newbie, lou, vic}, webProd: {wes}, dataProd: {dan},
		} {
			for _, p := range people {
				Expect(iamAttached(ctx, account, p.name)).To(BeEmpty(), p.name)
			}
		}
		Expect(iamAttached(ctx, security, quinn.name)).To(HaveLen(10))
	})

	It("attaches it once when the manager is killed after the write and before the status", func(ctx SpecContext) {
		mark := s.mark(ctx)
		answer := s.hold(ctx, stack.ActionHoldAfter, in(shopProd, "", "iam", "AttachUserPolicy"), 0)
		s.declare(ctx, "IAMBaseline", "shop", `
			mode: Enforce
			accounts: {include: ["`+shopProd+`"]}
			userMFA: {state: Enabled, guard: ConsoleOnly, approval: Irreversible}`)
		answer.await(ctx)
		s.kill()
		answer.drop(ctx)
		Expect(iamAttached(ctx, shopProd, zoe.name)).To(Equal([]string{guard}))
		Expect(s.rows(ctx, shopProd)).To(BeEmpty(), "the status knows nothing yet")
		s.start(ctx)
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(guarded(shopProd, zoe)))
		Expect(s.changedUsers(ctx, mark)).To(Equal([]string{attach + " zoe"}))
		Expect(iamAttached(ctx, shopProd, zoe.name)).To(Equal([]string{guard}))
	})

	It("takes it away once the user has enrolled a device: that is Safe", func(ctx SpecContext) {
		declare(ctx, "Enforce", "guard: ConsoleOnly", payProd)
		iamEnrol(ctx, payProd, alice.name)
		mark := s.mark(ctx)
		s.recheck(ctx, payProd)
		Expect(s.changedUsers(ctx, mark)).To(Equal([]string{detach + " alice"}))
		Expect(iamAttached(ctx, payProd, alice.name)).To(Equal([]string{"IAMUserChangePassword", "ReadOnlyAccess"}))
		Expect(s.rows(ctx, payProd)).To(ConsistOf(guarded(payProd, bob), guarded(payProd, kim)))
	})

	It("sees a device that is gone with AWS's next credential report, and not before", func(ctx SpecContext) {
		Expect(s.rows(ctx, payProd)).NotTo(ContainElement(HaveField("Resource", gwen.arn(payProd))))
		s.setState(ctx, map[string]any{"account": payProd, "credential_report": "ready"})
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(ConsistOf(guarded(payProd, bob), guarded(payProd, kim),
			reported(payProd, gwen), awaitsApproval(guardRow(payProd, gwen, guard, "none"))))
	})

	It("never leaves a user with two guards, and gives the one that denies keys to nobody who uses a key", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "guard: ConsoleAndKeys, approval: Irreversible", payProd)
		s.recheck(ctx, payProd)
		Expect(s.changedUsers(ctx, mark)).To(ConsistOf(attach+" bob", detach+" bob", attach+" gwen"))
		for _, p := range []*iamPerson{bob, gwen} {
			Expect(iamAttached(ctx, payProd, p.name)).To(Equal([]string{wider}), p.name)
		}
		Expect(iamAttached(ctx, payProd, kim.name)).To(Equal([]string{guard}))
		Expect(s.rows(ctx, payProd)).To(ContainElement(held(payProd, kim, "KeyInUse",
			kim.keys[0].masked()+" was used on "+kim.keys[0].used.Format(time.DateOnly)+", in the last 90 days")))
	})

	It("waits to turn to the narrower guard, which weakens, and leaves nobody with the former who needs none", func(ctx SpecContext) {
		iamEnrol(ctx, payProd, gwen.name)
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "guard: ConsoleOnly, approval: Irreversible", payProd)
		s.recheck(ctx, payProd)
		Expect(s.changedUsers(ctx, mark)).To(Equal([]string{detach + " gwen"}))
		Expect(s.rows(ctx, payProd)).To(ConsistOf(guarded(payProd, kim),
			reported(payProd, bob), weakens(guardRow(payProd, bob, guard, wider))))
		Expect(iamAttached(ctx, payProd, gwen.name)).To(BeEmpty())
		Expect(iamAttached(ctx, payProd, bob.name)).To(Equal([]string{wider}))
	})

	It("leaves guards alone, and does not ask for them, where none is declared", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "approval: Irreversible", payProd)
		s.recheck(ctx, payProd)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Operation: []string{"ListEntitiesForPolicy"}})).To(BeEmpty())
	})
})

// changedUsers are the writes to IAM since a mark, each with the user it concerns: "iam:AttachUserPolicy alice".
func (s *scene) changedUsers(ctx context.Context, since int) []string {
	GinkgoHelper()
	var all []string
	for _, r := range s.requests(ctx, stack.Query{Since: since, Service: []string{"iam"}, Writes: aws.Bool(true)}) {
		all = append(all, "iam:"+r.Operation+" "+r.Resource)
	}
	return all
}

var _ = Describe("The password policy", Ordered, ContinueOnFailure, func() {
	const update = "iam:UpdateAccountPasswordPolicy"
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		_, err := iamOf(payProd).UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{
			MinimumPasswordLength: aws.Int32(8), PasswordReusePrevention: aws.Int32(5), RequireNumbers: true, RequireSymbols: true,
			AllowUsersToChangePassword: true, HardExpiry: aws.Bool(true), MaxPasswordAge: aws.Int32(365),
		})
		Expect(err).NotTo(HaveOccurred())
	}})
	declare := func(ctx context.Context, mode, approval string) {
		s.declare(ctx, "IAMBaseline", "passwords", `
			mode: `+mode+`
			accounts: {include: ["`+payProd+`", "`+shopProd+`"]}
			passwordPolicy: {state: Enabled, approval: `+approval+`, uppercase: Enabled, symbols: Disabled, maxAgeDays: 90}`)
		s.awaitLooked(ctx, "IAMBaseline", "passwords")
	}
	row := func(account, field, want, got string) v1alpha1.DriftRow {
		return iamRow(iamPasswords, iamARN(account, "account-password-policy"), field, want, got)
	}

	It("reports what is weaker than declared, and that there is no policy at all", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Audit", "Disruptive")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(
			audited(row(payProd, "minimumLength", "at least 14", "8"), "Safe"), audited(row(payProd, "reusePrevention", "at least 24", "5"), "Safe"),
			audited(row(payProd, "uppercase", "Enabled", "Disabled"), "Safe"), audited(row(payProd, "maxAgeDays", "at most 90", "365"), "Disruptive"),
			audited(row(payProd, "symbols", "Disabled", "Enabled"), "weakens")))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(
			audited(row(shopProd, "minimumLength", "at least 14", "no policy"), "Safe"),
			audited(row(shopProd, "reusePrevention", "at least 24", "no policy"), "Safe"),
			audited(row(shopProd, "uppercase", "Enabled", "no policy"), "Safe"),
			audited(row(shopProd, "maxAgeDays", "at most 90", "no policy"), "Disruptive")))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("raises floors by itself and keeps every field that is not declared", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "Disruptive")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(
			awaitsApproval(row(payProd, "maxAgeDays", "at most 90", "365")), weakens(row(payProd, "symbols", "Disabled", "Enabled"))))
		Expect(iamPasswordPolicy(ctx, payProd)).To(Equal(types.PasswordPolicy{
			MinimumPasswordLength: aws.Int32(14), PasswordReusePrevention: aws.Int32(24), RequireUppercaseCharacters: true,
			RequireNumbers: true, RequireSymbols: true, AllowUsersToChangePassword: true, HardExpiry: aws.Bool(true),
			MaxPasswordAge: aws.Int32(365), ExpirePasswords: true,
		}))
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(update, []string{payProd, shopProd}, []string{virginia})))
	})

	It("makes a policy where there was none, in which users may change their own password", func(ctx SpecContext) {
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(awaitsApproval(row(shopProd, "maxAgeDays", "at most 90", "none"))))
		Expect(iamPasswordPolicy(ctx, shopProd)).To(Equal(types.PasswordPolicy{
			MinimumPasswordLength: aws.Int32(14), PasswordReusePrevention: aws.Int32(24), RequireUppercaseCharacters: true,
			AllowUsersToChangePassword: true,
		}))
	})

	It("lets passwords expire with approval: Irreversible, and waits for an approval to ask for less", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "Irreversible")
		s.recheck(ctx, payProd, shopProd)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(update, []string{payProd, shopProd}, []string{virginia})))
		Expect(s.rows(ctx, payProd)).To(ConsistOf(weakens(row(payProd, "symbols", "Disabled", "Enabled"))))
		Expect(s.rows(ctx, shopProd)).To(BeEmpty())
		policy := iamPasswordPolicy(ctx, payProd)
		Expect(policy.RequireSymbols).To(BeTrue())
		Expect(policy.MaxPasswordAge).To(Equal(aws.Int32(90)))
		Expect(policy.HardExpiry).To(Equal(aws.Bool(true)))
	})
})

var _ = Describe("Access keys and passwords", Ordered, ContinueOnFailure, func() {
	const deactivate = "iam:UpdateAccessKey"
	key := func(created, used int) iamKey {
		k := iamKey{created: daysAgo(created)}
		if used >= 0 {
			k.used = daysAgo(used)
		}
		return k
	}
	var (
		old     = &iamPerson{name: "old", keys: []iamKey{key(200, 100)}}
		due     = &iamPerson{name: "due", keys: []iamKey{key(105, 100)}}
		grace   = &iamPerson{name: "grace", keys: []iamKey{key(103, 60)}}
		busy    = &iamPerson{name: "busy", keys: []iamKey{key(200, 2)}}
		young   = &iamPerson{name: "young", keys: []iamKey{key(10, -1)}}
		vip     = &iamPerson{name: "vip", keys: []iamKey{key(400, -1)}}
		retired = &iamPerson{name: "retired", keys: []iamKey{{created: daysAgo(500), inactive: true}}}
		idle    = &iamPerson{name: "idle", path: "/jobs/", password: daysAgo(300), keys: []iamKey{key(200, -1)}}
		steady  = &iamPerson{name: "steady", keys: []iamKey{key(200, 5)}}
		fading  = &iamPerson{name: "fading", keys: []iamKey{key(200, 50)}}
		twin    = &iamPerson{name: "twin", keys: []iamKey{key(10, 1), key(5, 1)}}
		aged    = []*iamPerson{old, due, grace, busy, young, vip, retired}
		unused  = []*iamPerson{idle, steady, fading, twin}
	)
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, s *scene) {
		s.iamMake(ctx, payProd, aged...)
		s.iamMake(ctx, shopProd, unused...)
	}})
	declare := func(ctx context.Context, mode, approval string) {
		s.declare(ctx, "IAMBaseline", "age", `
			mode: `+mode+`
			accounts: {include: ["`+payProd+`"]}
			users: {exclude: [vip]}
			accessKeyAge: {state: Enabled, action: Deactivate, approval: `+approval+`}`)
		s.declare(ctx, "IAMBaseline", "use", `
			mode: `+mode+`
			accounts: {include: ["`+shopProd+`"]}
			unusedCredentials: {state: Enabled, action: DeactivateKeys, approval: `+approval+`}
			singleAccessKey: {state: Enabled}`)
		s.awaitLooked(ctx, "IAMBaseline", "age")
		s.awaitLooked(ctx, "IAMBaseline", "use")
	}
	day := func(at time.Time) string { return at.Format(time.DateOnly) }
	ageRow := func(p *iamPerson) v1alpha1.DriftRow {
		k := p.keys[0]
		return iamRow(iamKeyAge, k.arn(payProd, p), "accessKeys["+k.masked()+"].created", "at most 90 days ago", day(k.created))
	}
	useRow := func(p *iamPerson, got string) v1alpha1.DriftRow {
		k := p.keys[0]
		return iamRow(iamUnused, k.arn(shopProd, p), "accessKeys["+k.masked()+"].lastUsed", "in the last 45 days", got)
	}
	idleRow := func() v1alpha1.DriftRow { return useRow(idle, "never, made on "+day(idle.keys[0].created)) }
	// kept are the rows of keys that nothing is done to.
	kept := func() []v1alpha1.DriftRow {
		return []v1alpha1.DriftRow{
			because(ageRow(grace), "GracePeriod", grace.keys[0].masked()+" is too old; it is due to be deactivated after "+day(grace.keys[0].created.AddDate(0, 0, 104))),
			because(ageRow(busy), "KeyInUse", busy.keys[0].masked()+" was used on "+day(busy.keys[0].used)+", in the last 30 days"),
			because(ageRow(vip), "Excluded", "users.exclude names the user; nothing of it is changed"),
		}
	}
	reportedUse := func() []v1alpha1.DriftRow {
		return []v1alpha1.DriftRow{
			reportOnly(iamRow(iamUnused, idle.arn(shopProd), "password.lastUsed", "in the last 45 days",
				"never, made on "+day(idle.password))),
			because(useRow(fading, day(fading.keys[0].used)), "GracePeriod", "the key is not used; it is due to be deactivated after "+
				day(fading.keys[0].used.AddDate(0, 0, 59))),
			reportOnly(iamRow(iamSingleKey, twin.arn(shopProd), "accessKeys.active", "at most 1",
				"2 ("+twin.keys[0].masked()+", "+twin.keys[1].masked()+")")),
		}
	}

	It("are reported with the date and the masked id, and why they are kept; Audit changes none", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Audit", "Disruptive")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(append(kept(), audited(ageRow(old), "Disruptive"), audited(ageRow(due), "Disruptive"))))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(append(reportedUse(), audited(idleRow(), "Disruptive"))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("wait for an approval to be deactivated", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "Disruptive")
		Expect(s.rows(ctx, payProd)).To(ConsistOf(append(kept(), awaitsApproval(ageRow(old)), awaitsApproval(ageRow(due)))))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(append(reportedUse(), awaitsApproval(idleRow()))))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("are deactivated with approval: Irreversible, only past the grace, and never one in use or of an excluded user", func(ctx SpecContext) {
		mark := s.mark(ctx)
		declare(ctx, "Enforce", "Irreversible")
		s.recheck(ctx, payProd, shopProd)
		Expect(s.rows(ctx, payProd)).To(ConsistOf(kept()))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(reportedUse()))
		Expect(s.changedUsers(ctx, mark)).To(ConsistOf(deactivate+" old", deactivate+" due", deactivate+" idle"))
		Expect(iamActive(ctx, payProd, aged...)).To(ConsistOf(grace.keys[0].id, busy.keys[0].id, young.keys[0].id, vip.keys[0].id))
		Expect(iamActive(ctx, shopProd, unused...)).To(ConsistOf(steady.keys[0].id, fading.keys[0].id, twin.keys[0].id, twin.keys[1].id))
	})

	It("are nowhere named in full: not in status, events or the log", func(ctx SpecContext) {
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, payProd, "Changed")).To(HaveLen(2))
			g.Expect(notes(ctx, g, shopProd, "Changed")).To(HaveLen(1))
		}).WithContext(ctx).WithTimeout(eventsWithin).Should(Succeed())
		log, err := os.ReadFile(s.log)
		Expect(err).NotTo(HaveOccurred())
		for _, told := range []string{
			kubectl(ctx, "get", "awsacct,awsorg,baselines", "-o", "yaml", "--show-managed-fields"), kubectl(ctx, "get", "events.events.k8s.io", "-A", "-o", "yaml"), string(log),
		} {
			Expect(told).NotTo(BeEmpty())
			for _, p := range slices.Concat(aged, unused) {
				for _, k := range p.keys {
					Expect(told).NotTo(ContainSubstring(k.id))
				}
			}
		}
		Expect(kubectl(ctx, "get", "awsacct", payProd, "-o", "yaml")).To(ContainSubstring(busy.keys[0].masked()))
	})
})

var _ = Describe("Root and Plumbline's own roles", Ordered, ContinueOnFailure, func() {
	const manager = "arn:aws:iam::" + management + ":role/plumbline-manager"
	trust := func(id string, principals ...string) string {
		statement := map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": principals}, "Action": "sts:AssumeRole"}
		if id != "" {
			statement["Condition"] = map[string]any{"StringEquals": map[string]any{"sts:ExternalId": id}}
		}
		document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}})
		Expect(err).NotTo(HaveOccurred())
		return string(document)
	}
	setTrust := func(ctx context.Context, account, role, document string) {
		_, err := iamOf(account).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: &document})
		Expect(err).NotTo(HaveOccurred())
	}
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, s *scene) {
		for _, account := range []string{payProd, shopProd, webProd} {
			for _, role := range []string{auditRole, enforceRole} {
				setTrust(ctx, account, role, trust(externalID, manager))
			}
		}
		s.setState(ctx,
			map[string]any{"account": payProd, "root": map[string]any{"access_keys": 1, "mfa": 0, "signing_certificates": 2}},
			map[string]any{"account": shopProd, "root": map[string]any{"mfa_device": "virtual"}},
			map[string]any{"account": webProd, "root": map[string]any{"password": 0, "mfa": 0}}) // credentials removed centrally
	}})
	const accounts = `accounts: {include: ["` + payProd + `", "` + shopProd + `", "` + webProd + `"]}`
	row := func(control, resource, field, want, got string) v1alpha1.DriftRow {
		return reportOnly(iamRow(control, resource, field, want, got))
	}

	It("report root's keys, certificates and missing MFA, and change nothing whatever the mode", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "IAMBaseline", "root", `
			mode: Enforce
			approval: Irreversible
			`+accounts+`
			rootAccessKeys: {state: Enabled}
			rootMFA: {state: Enabled, device: Hardware}`)
		s.awaitLooked(ctx, "IAMBaseline", "root")
		root := func(account string) string { return iamARN(account, "root") }
		Expect(s.rows(ctx, payProd)).To(ConsistOf(row(iamRootKeys, root(payProd), "accessKeys", "0", "1"),
			row(iamRootKeys, root(payProd), "signingCertificates", "0", "2"), row(iamRootMFA, root(payProd), "mfa", "Hardware", "none")))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(row(iamRootMFA, root(shopProd), "mfa", "Hardware", "an app")))
		Expect(s.account(ctx, webProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("are compliant where the roles are as the template makes them", func(ctx SpecContext) {
		s.withdraw(ctx, "iambaseline", "root")
		s.declare(ctx, "IAMBaseline", "roles", `
			mode: Enforce
			approval: Irreversible
			`+accounts+`
			plumblineRoles: {state: Enabled}`)
		s.compliant(ctx, "IAMBaseline", "roles")
	})

	It("report as Critical a trust policy that was opened, an inline policy and one attached from elsewhere", func(ctx SpecContext) {
		setTrust(ctx, payProd, enforceRole, trust("", manager, "arn:aws:iam::999988887777:user/mallory"))
		_, err := iamOf(payProd).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName: aws.String(enforceRole), PolicyName: aws.String("back-door"),
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`),
		})
		Expect(err).NotTo(HaveOccurred())
		_, err = iamOf(shopProd).AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
			RoleName: aws.String(auditRole), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess"),
		})
		Expect(err).NotTo(HaveOccurred())
		mark := s.mark(ctx)
		s.recheck(ctx, payProd, shopProd, webProd)
		enforce, audit := roleARN(payProd, enforceRole), roleARN(shopProd, auditRole)
		tampered := []v1alpha1.DriftRow{
			row(iamRoles, enforce, "trust.principal", "exactly one user or role", manager+", arn:aws:iam::999988887777:user/mallory"),
			row(iamRoles, enforce, "trust.externalId", "the installation's", "none"),
			row(iamRoles, enforce, "policies.inline", "none", "back-door"),
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(tampered))
		Expect(s.rows(ctx, shopProd)).To(ConsistOf(row(iamRoles, audit, "policies.attached",
			"only below arn:aws:iam::"+shopProd+":policy/plumbline/", "arn:aws:iam::aws:policy/AdministratorAccess")))
		Expect(s.account(ctx, webProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("are excused by no exception: the API server refuses one", func(ctx SpecContext) {
		_, err := shared.plane.Admin().Apply(ctx, manifest("BaselineException", "roles", `
			controls: [`+iamRoles+`]
			accounts: {include: ["`+payProd+`"]}
			reason: nobody looks at these
			owner: team-e2e
			from: "2026-01-01T00:00:00Z"
			expires: "2026-01-02T00:00:00Z"`))
		Expect(err).To(MatchError(ContainSubstring(iamRoles + " guards Plumbline's own roles and cannot be excused; take it out of controls")))
	})

	It("show an ExternalId nowhere", func(ctx SpecContext) {
		Expect(kubectl(ctx, "get", "awsacct", "-o", "yaml")).NotTo(ContainSubstring(externalID))
	})
})
