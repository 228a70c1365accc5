package kubectl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// lookAtAWS checks AWS Organizations, and then every account.
func (x *checkup) lookAtAWS(ctx context.Context) {
	if x.org == nil {
		x.inAWS.skip("AWS", "not looked at: there is no AWSOrganization to go by", "apply one, or name a file with -f")
		return
	}
	base, err := x.AWS(ctx)
	if err != nil {
		x.inAWS.fail("credentials", "loading the AWS configuration: "+err.Error(), "see AWS_PROFILE and ~/.aws/config")
		return
	}
	x.cloud = cloud.New(base, nil, x.Clock)
	if !x.caller(ctx) {
		return
	}
	if x.org.Spec.Roles.ExternalID == "" {
		x.inAWS.warn("ExternalId", "spec.roles.externalId names none: a second installation may enter the same accounts", "set one, unique to this installation (config/iam/README.md)")
	}
	from, err := x.entry(x.org.Spec.ReadFromOrDefault())
	if err != nil {
		x.inAWS.skip("AWS Organizations", "read from "+x.org.Spec.ReadFromOrDefault()+": "+err.Error(), "name accounts with --account")
		x.lookAtAccounts(ctx, x.chosen(nil))
		return
	}
	org, err := x.cloud.ReadOrganization(ctx, from)
	if err != nil {
		text, next := failure(err)
		x.inAWS.fail("AWS Organizations", "cannot be read from "+from.ID+": "+text, next)
	} else {
		x.members(ctx, from, org)
	}
	x.lookAtAccounts(ctx, x.chosen(org))
}

// caller says whose credentials are used.
func (x *checkup) caller(ctx context.Context) bool {
	const check = "credentials"
	arn, err := x.cloud.Caller(ctx, x.org.Spec.PartitionOrDefault())
	switch {
	case err != nil:
		text, _ := failure(err)
		x.inAWS.fail(check, text, "give credentials of AWS, as for its own command line: aws sts get-caller-identity must answer")
	case x.managerRole == "":
		x.inAWS.warn(check, "you are "+arn+"; the manager's own identity may be another", "look with the manager's identity: the roles trust no other")
	case !sameRole(arn, x.managerRole):
		x.inAWS.warn(check, "you are "+arn+"; the manager is "+x.managerRole, "look with the manager's identity: the roles trust no other")
	default:
		x.inAWS.ok(check, "you are "+arn+", as the manager is")
	}
	return err == nil
}

// sameRole says whether a session is one of the role.
func sameRole(session, role string) bool {
	s, r := strings.Split(session, ":"), strings.Split(role, ":")
	if len(s) != 6 || len(r) != 6 || s[4] != r[4] {
		return false
	}
	parts := strings.Split(s[5], "/")
	return len(parts) > 1 && parts[0] == "assumed-role" && parts[1] == r[5][strings.LastIndex(r[5], "/")+1:]
}

// errACK says that it is not known here how an account is entered.
var errACK = errors.New("the audit role stands in ACK's map, which the manager alone reads")

// entry says how an account is entered, as the manager enters it.
func (x *checkup) entry(id string) (cloud.Account, error) {
	var own v1alpha1.AccountRoles
	if a := x.known[id]; a != nil {
		own = a.Spec.Roles
	}
	if own.AuditFromACK {
		return cloud.Account{}, errACK
	}
	return controllers.Entry(x.org, id, own, nil)
}

// members checks what AWS Organizations says against what the AWSOrganization says.
func (x *checkup) members(ctx context.Context, from cloud.Account, org *cloud.Organization) {
	active := map[string]bool{}
	for _, m := range org.Members {
		active[m.ID] = m.State == "ACTIVE"
	}
	as := "the management account"
	if from.ID != org.ManagementAccount {
		as = "a delegated administrator"
	}
	x.inAWS.ok("AWS Organizations", fmt.Sprintf("%s, read from %s, %s: %s", org.ID, from.ID, as, plural(len(org.Members), "account")))
	if declared := string(x.org.Spec.ManagementAccount); declared != org.ManagementAccount {
		x.inAWS.fail("management account", fmt.Sprintf("spec.managementAccount is %s, and AWS says %s", declared, org.ManagementAccount), "correct spec.managementAccount")
	} else {
		x.inAWS.ok("management account", declared)
	}
	admins := x.org.Spec.DelegatedAdministrators
	for _, service := range []struct{ name, principal, declared string }{
		{"GuardDuty", "guardduty.amazonaws.com", string(admins.GuardDuty)},
		{"CloudTrail", "cloudtrail.amazonaws.com", string(admins.CloudTrail)},
	} {
		check := service.name + " administrator"
		if service.declared != "" && !active[service.declared] {
			x.inAWS.fail(check, service.declared+" is no active account of the organization", "correct spec.delegatedAdministrators")
			continue
		}
		registered, err := x.cloud.DelegatedAdministrators(ctx, from, service.principal)
		x.administrator(check, service.declared, registered, err)
	}
}

// administrator compares the declared administrator of a service with those that AWS has registered.
func (x *checkup) administrator(check, declared string, registered []string, err error) {
	text, next := "none is declared", ""
	if declared != "" {
		text = declared + " is an account of the organization"
	}
	switch {
	case control.IsAccessDenied(err):
		x.inAWS.skip(check, text+"; whether AWS has one registered is not known, for the audit role may not list them",
			"see for yourself: aws organizations list-delegated-administrators")
		return
	case err != nil:
		said, step := failure(err)
		x.inAWS.warn(check, text+"; whether AWS has one registered is not known: "+said, step)
		return
	case declared == "" && len(registered) > 0:
		text, next = text+", and AWS has "+strings.Join(registered, ", "), "name it in spec.delegatedAdministrators"
	case declared != "" && !slices.Contains(registered, declared):
		text, next = text+", and AWS has it not registered as administrator", "register it in the management account, or correct spec.delegatedAdministrators"
	case declared != "":
		text += ", registered as administrator"
	default:
		text += ", and AWS has none"
	}
	if next == "" {
		x.inAWS.ok(check, text)
		return
	}
	x.inAWS.warn(check, text, next)
}

// chosen are the accounts to look at, by id: those named, else those the organization takes in, else those of the cluster.
func (x *checkup) chosen(org *cloud.Organization) []string {
	taken := map[string]bool{}
	if org != nil {
		for _, m := range org.Members {
			if m.State == "ACTIVE" {
				taken[m.ID] = x.takesIn(m.ID)
			}
		}
	} else {
		for id := range x.known {
			taken[id] = x.takesIn(id)
		}
	}
	if len(x.only) == 0 {
		maps.DeleteFunc(taken, func(_ string, in bool) bool { return !in })
		return slices.Sorted(maps.Keys(taken))
	}
	ids := slices.Compact(slices.Sorted(slices.Values(x.only)))
	for _, id := range ids {
		if org != nil && !taken[id] {
			x.inAccounts = append(x.inAccounts, finding{warns, "account", id, "not taken in: no active account of the organization, or left out by spec.discovery",
				"correct --account, or spec.discovery"})
		}
	}
	return ids
}

// takesIn says whether spec.discovery lets the account in.
func (x *checkup) takesIn(id string) bool {
	d := x.org.Spec.Discovery
	return (len(d.Include) == 0 || slices.Contains(d.Include, v1alpha1.AccountID(id))) && !slices.Contains(d.Exclude, v1alpha1.AccountID(id))
}
