package kubectl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	// accountsAtOnce is how many accounts are looked at at a time, regionsAtOnce how many regions of each.
	accountsAtOnce = 10
	regionsAtOnce  = 4
	// policiesPerRole is AWS's quota of managed policies attached to a role, unless it was raised.
	policiesPerRole = 10
)

// The checks in an account.
const (
	checkAudit   = "audit role"
	checkEnforce = "enforce role"
	checkTrust   = "trust"
	checkRegions = "regions"
	checkQuotas  = "policies"
	checkReport  = "credential report"
)

// accountChecks are all of them, in the order in which they are shown.
var accountChecks = []string{checkAudit, checkEnforce, checkTrust, checkRegions, checkQuotas, checkReport}

// lookAtAccounts looks at accounts side by side, and says how far it has come.
func (x *checkup) lookAtAccounts(ctx context.Context, ids []string) {
	if len(ids) == 0 {
		x.inAccounts.skip("accounts", "no account is known", "name some with --account")
		return
	}
	x.note("looking at " + plural(len(ids), "account") + "\n")
	all := make([]findings, len(ids))
	var g errgroup.Group
	g.SetLimit(accountsAtOnce)
	var mu sync.Mutex
	done, step := 0, max(1, len(ids)/10)
	for i, id := range ids {
		g.Go(func() error {
			all[i] = x.lookAtAccount(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if done++; done%step == 0 || done == len(ids) {
				x.note(fmt.Sprintf("%d of %d done\n", done, len(ids)))
			}
			return nil
		})
	}
	_ = g.Wait() // what fails is a finding
	for _, found := range all {
		x.inAccounts = append(x.inAccounts, found...)
	}
}

// patient is one account that is looked at.
type patient struct {
	*checkup
	cloud.Account
	session *cloud.Session
	found   findings
	// enforces says that the enforce role is there.
	enforces bool
}

// lookAtAccount is everything about one account.
func (x *checkup) lookAtAccount(ctx context.Context, id string) findings {
	p := &patient{checkup: x}
	var err error
	if p.Account, err = x.entry(id); err != nil {
		p.found.skip(checkAudit, err.Error(), "see the condition Reachable once the manager is at work: kubectl describe awsacct "+id)
		return p.found.in(id)
	}
	p.session = x.cloud.Session(p.Account, nil)
	entered := p.auditRole(ctx)
	p.enforceRole(ctx)
	p.trust(ctx, entered)
	if !entered {
		p.found.skip(checkRegions, "not looked at: the audit role cannot be assumed", "")
		return p.found.in(id)
	}
	p.regions(ctx)
	p.quotas(ctx)
	p.report(ctx)
	return p.found.in(id)
}

// in puts the account to the findings.
func (f findings) in(account string) findings {
	for i := range f {
		f[i].account = account
	}
	return f
}

func (p *patient) auditRole(ctx context.Context) bool {
	if err := p.session.Reach(ctx); err != nil {
		text, next := failure(err)
		p.found.fail(checkAudit, text, next)
		return false
	}
	p.found.ok(checkAudit, p.AuditRole+" can be assumed and leads into the account")
	return true
}

func (p *patient) enforceRole(ctx context.Context) {
	err := p.checkup.cloud.Probe(ctx, p.Account, p.EnforceRole)
	switch {
	case err == nil:
		p.enforces = true
		p.found.ok(checkEnforce, p.EnforceRole+" can be assumed and leads into the account")
	case control.IsAccessDenied(err) && !control.IsDeniedBySCP(err):
		next := "nothing, if nothing is to be changed there; else deploy it with Enforce=true (config/iam)"
		if enforcer := p.org.Spec.Roles.EnforcerPrincipal; enforcer != "" {
			next = "look as " + enforcer + ", whom alone it lets in; if it refuses that one too, deploy it with Enforce=true and EnforcerARN (config/iam)"
		}
		p.found.warn(checkEnforce, "audit only: "+p.EnforceRole+" is not there, or does not let you in", next)
	case errors.Is(err, control.ErrWrongAccount):
		text, next := failure(err)
		p.found.fail(checkEnforce, text, next)
	default:
		text, next := failure(err)
		p.found.warn(checkEnforce, text, next)
	}
}

// trust tries the roles that let the caller in without the ExternalId.
func (p *patient) trust(ctx context.Context, entered bool) {
	var roles []string
	if entered {
		roles = append(roles, p.AuditRole)
	}
	if p.enforces {
		roles = append(roles, p.EnforceRole)
	}
	switch {
	case p.ExternalID == "" || len(roles) == 0:
		return
	case p.noTrustProbe:
		p.found.skip(checkTrust, "not tried without the ExternalId, for --no-trust-probe says so", "")
		return
	}
	without := p.Account
	without.ExternalID = ""
	var open []string
	for _, role := range roles {
		switch err := p.checkup.cloud.Probe(ctx, without, role); {
		case err == nil || errors.Is(err, control.ErrWrongAccount):
			open = append(open, role)
		case !control.IsAccessDenied(err):
			text, _ := failure(err)
			p.found.warn(checkTrust, "whether "+role+" asks for the ExternalId is not known: "+text, "look again")
			return
		}
	}
	if len(open) > 0 {
		p.found.warn(checkTrust, "too open, for it does not ask for the ExternalId: "+strings.Join(open, ", "), "deploy the member roles of config/iam anew, with the ExternalId")
		return
	}
	p.found.ok(checkTrust, "asks for the ExternalId")
}

// regions checks the governed regions: enabled, and not refused by a service control policy.
func (p *patient) regions(ctx context.Context) {
	enabled, _, err := p.checkup.cloud.Regions(ctx, p.session, p.Clock())
	if err != nil {
		text, next := failure(err)
		p.found.fail(checkRegions, "which are enabled cannot be read: "+text, next)
		return
	}
	var governed, off []string
	for _, r := range p.org.Spec.Regions {
		if slices.Contains(enabled, string(r)) {
			governed = append(governed, string(r))
		} else {
			off = append(off, string(r))
		}
	}
	if len(p.org.Spec.Regions) == 0 {
		governed = enabled
	}
	if len(off) > 0 {
		p.found.warn(checkRegions, "governed but not enabled: "+strings.Join(off, ", "), "enable them in the account, or leave them out of spec.regions; nothing is looked at there")
	}
	tried := p.try(ctx, governed)
	for _, text := range slices.Compact(slices.Sorted(slices.Values(tried.texts))) {
		p.found.warn(checkRegions, tried.regions[text]+": "+text, tried.next[text])
	}
	if len(off) == 0 && len(tried.texts) == 0 {
		more := ""
		if n := len(enabled) - len(governed); n > 0 {
			more = "; " + plural(n, "enabled region") + " not governed"
		}
		p.found.ok(checkRegions, plural(len(governed), "governed region")+" enabled and answering"+more)
	}
}

// tries are the regions that did not answer as they should, by what happened.
type tries struct {
	texts         []string
	regions, next map[string]string
}

func (p *patient) try(ctx context.Context, regions []string) tries {
	errs := make([]error, len(regions))
	var g errgroup.Group
	g.SetLimit(regionsAtOnce)
	for i, region := range regions {
		g.Go(func() error { errs[i] = p.session.Try(ctx, region); return nil })
	}
	_ = g.Wait() // what fails is a finding
	t := tries{regions: map[string]string{}, next: map[string]string{}}
	for i, err := range errs {
		if err == nil {
			continue
		}
		text, next := failure(err)
		if control.IsDeniedBySCP(err) {
			text, next = "denied by a service control policy", "leave the region out of spec.regions, or change the policy; nothing is looked at there"
		}
		if t.regions[text] != "" {
			t.regions[text] += ", "
		}
		t.regions[text] += regions[i]
		t.next[text] = next
		t.texts = append(t.texts, text)
	}
	return t
}

// quotas counts the managed policies of the roles.
func (p *patient) quotas(ctx context.Context) {
	roles := []string{p.AuditRole}
	if p.enforces {
		roles = append(roles, p.EnforceRole)
	}
	var counts []string
	full := false
	for _, role := range roles {
		name := role[strings.LastIndex(role, "/")+1:]
		n, err := p.session.AttachedPolicies(ctx, role)
		if err != nil {
			text, next := failure(err)
			p.found.skip(checkQuotas, "those attached to "+name+" cannot be counted: "+text, next)
			return
		}
		full = full || n >= policiesPerRole
		counts = append(counts, fmt.Sprintf("%d of %d attached to %s", n, policiesPerRole, name))
	}
	if full {
		p.found.warn(checkQuotas, strings.Join(counts, ", "), "attach no other policies to the roles, or have the quota of managed policies per role raised")
		return
	}
	p.found.ok(checkQuotas, strings.Join(counts, ", "))
}

// report says whether the credential report can be read, which the baselines of IAM need. None is made.
func (p *patient) report(ctx context.Context) {
	made, err := p.session.CredentialReport(ctx)
	switch {
	case err != nil:
		text, next := failure(err)
		p.found.skip(checkReport, "cannot be read: "+text, next)
	case made.IsZero():
		p.found.ok(checkReport, "can be read; there is none yet, and the first pass of an IAMBaseline has one made")
	default:
		p.found.ok(checkReport, "can be read")
	}
}
