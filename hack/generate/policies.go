package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/iam"
)

// AWS's limits for a managed policy: characters, white space not counted, and policies on one role.
const (
	policyLimit     = 6144
	policiesPerRole = 10
)

// A part says which roles have a policy, and when.
type part string

const (
	// both roles have it.
	both part = "both"
	// audit: the audit role has it.
	audit part = "audit"
	// organization: the audit role has it in the account that the organization is read from.
	organization part = "organization"
	// enforce: the enforce role has it where the kind is enforced.
	enforce part = "enforce"
	// writing: the enforce role has it where the kind is enforced and may write policies.
	writing part = "writing"
	// guard: neither role has it; it is there to be attached to users.
	guard part = "guard"
)

// ofAudit and ofEnforce say which role may have the policy.
func (p part) ofAudit() bool   { return p == both || p == audit || p == organization }
func (p part) ofEnforce() bool { return p == both || p == enforce || p == writing }

// A policy is a managed policy of the accounts, below the path /plumbline/.
type policy struct {
	// name is the policy's and its file's.
	name string
	// id is the name as CloudFormation wants it.
	id string
	// about is the policy's description.
	about string
	part  part
	// kind is the baseline kind that enforce and writing belong to.
	kind string
	document
}

// base is a kind's name in the names of policies: "S3" of "S3Baseline".
func base(kind string) string { return strings.TrimSuffix(kind, "Baseline") }

// policiesOf makes every managed policy of the accounts for one place.
func policiesOf(kinds []control.Kind, p place) ([]policy, error) {
	all := []policy{
		{name: "deny-data", id: "DenyData", part: both, about: "Data and secrets are denied to both of Plumbline's roles",
			document: documentOf(statement{Sid: "DataAndSecrets", Effect: "Deny", Action: dataAndSecrets, Resource: values{"*"}})},
		{name: "audit-session", id: "AuditSession", part: audit, about: "What Plumbline reads in every account beside its controls",
			document: reading(cloud.SessionReads)},
		{name: "read-organization", id: "ReadOrganization", part: organization, about: "What Plumbline reads of AWS Organizations",
			document: reading(cloud.DiscoveryReads)},
	}
	for _, k := range kinds {
		of, err := policiesOfKind(k, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		all = append(all, of...)
	}
	for _, variant := range iam.Guards {
		d, err := parse(iam.GuardDocument(variant, p.partition))
		if err != nil {
			return nil, err
		}
		all = append(all, policy{name: iam.GuardName(variant), id: "MFAGuard" + string(variant), part: guard, document: d,
			about: "MFA guard " + string(variant) + ": leaves a user without MFA just enough to enrol a device"})
	}
	return all, fits(all)
}

// reading is the policy that allows just these actions.
func reading(actions []string) document {
	return documentOf(statement{Sid: "Read", Effect: "Allow", Action: sorted(actions), Resource: values{"*"}})
}

// policiesOfKind are a kind's audit policy, its enforce policy, and the policy of those of its actions that write policies.
func policiesOfKind(k control.Kind, p place) ([]policy, error) {
	name := strings.ToLower(base(k.Name))
	var reads []string
	var changes, writes []statement
	for _, c := range k.Catalogue() {
		reads = append(reads, c.Reads...)
		for _, group := range []struct {
			sid     string
			actions []string
		}{{"Write", c.Writes}, {"Grant", c.Grants}} {
			for _, action := range group.actions {
				s, err := statementFor(c.Meta, action, group.sid, p)
				if err != nil {
					return nil, err
				}
				if writesPolicies(action) {
					writes = append(writes, s)
					continue
				}
				changes = append(changes, s)
			}
		}
	}
	read := reading(reads).Statement[0]
	parts := []policy{
		{name: "audit-" + name, id: "Audit" + base(k.Name), part: audit, document: documentOf(read),
			about: "What the controls of " + k.Name + " read"},
		{name: "enforce-" + name, id: "Enforce" + base(k.Name), part: enforce, document: documentOf(merge(append([]statement{read}, changes...))...),
			about: "What the controls of " + k.Name + " read and change"},
		{name: "enforce-" + name + "-policies", id: "Enforce" + base(k.Name) + "Policies", part: writing, document: documentOf(merge(writes)...),
			about: "The resource policies that the controls of " + k.Name + " change"},
	}
	var all []policy
	for _, one := range parts {
		one.kind = k.Name
		if len(one.Statement) > 0 && !onlyReads(one, changes) {
			all = append(all, split(one, policyLimit)...)
		}
	}
	return all, nil
}

// onlyReads says whether an enforce policy would allow nothing but reading, because the kind changes nothing.
func onlyReads(p policy, changes []statement) bool { return p.part == enforce && len(changes) == 0 }

// merge joins statements that differ in their actions only. An action that stands in an earlier statement without a
// condition is not repeated.
func merge(statements []statement) []statement {
	var merged []statement
	for _, s := range statements {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(action string) bool {
			return slices.ContainsFunc(merged, func(m statement) bool {
				return slices.Contains(m.Action, action) && len(m.Condition) == 0 && slices.Equal(m.Resource, values{"*"})
			})
		})
		if len(s.Action) == 0 {
			continue
		}
		at := slices.IndexFunc(merged, func(m statement) bool {
			return m.Sid == s.Sid && slices.Equal(m.Resource, s.Resource) && reflect.DeepEqual(m.Condition, s.Condition)
		})
		if at < 0 {
			merged = append(merged, s)
			continue
		}
		merged[at].Action = sorted(append(slices.Clone(merged[at].Action), s.Action...))
	}
	return distinct(merged)
}

// distinct numbers statements that would have the same Sid.
func distinct(statements []statement) []statement {
	times := map[string]int{}
	for i := range statements {
		s := &statements[i]
		if times[s.Sid]++; times[s.Sid] > 1 {
			s.Sid = fmt.Sprintf("%s%d", s.Sid, times[s.Sid])
		}
	}
	return statements
}

func sorted(actions []string) values {
	return slices.Compact(slices.Sorted(slices.Values(actions)))
}

// split cuts a policy that is too long into as many as are needed, in the order of its actions: NAME, NAME-2, NAME-3.
func split(p policy, limit int) []policy {
	parts := []policy{p}
	parts[0].document = documentOf()
	for _, s := range p.Statement {
		for _, action := range s.Action {
			one := s
			one.Action = values{action}
			last := &parts[len(parts)-1]
			longer := documentOf(merge(append(slices.Clone(last.Statement), one))...)
			if size(longer.json()) <= limit || len(last.Statement) == 0 {
				last.document = longer
				continue
			}
			next := p
			next.name = fmt.Sprintf("%s-%d", p.name, len(parts)+1)
			next.id = fmt.Sprintf("%sPart%d", p.id, len(parts)+1)
			next.document = documentOf(one)
			parts = append(parts, next)
		}
	}
	return parts
}

// fits refuses policies that AWS would refuse.
func fits(all []policy) error {
	roles := map[string]int{}
	for _, p := range all {
		if n := size(p.json()); n > policyLimit {
			return fmt.Errorf("policy %s has %d characters; AWS allows %d", p.name, n, policyLimit)
		}
		if p.part.ofAudit() {
			roles["audit"]++
		}
		if p.part.ofEnforce() {
			roles["enforce"]++
		}
	}
	for role, n := range roles {
		if n > policiesPerRole {
			return fmt.Errorf("the %s role would have %d policies; AWS allows %d unless the quota is raised", role, n, policiesPerRole)
		}
	}
	return nil
}

// enforcedAnywhere says whether a kind has something to change in accounts that are neither the management account nor an
// administrator of a service.
func enforcedAnywhere(k control.Kind) bool {
	return slices.ContainsFunc(k.Catalogue(), func(c control.Bound) bool {
		return c.Scope != control.Organization && len(c.Writes) > 0
	})
}

// addPolicies adds the managed policies as JSON. The guards stand beside them, as their own text.
func addPolicies(made files, kinds []control.Kind) error {
	all, err := policiesOf(kinds, plain)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.part != guard {
			made["config/iam/policies/"+p.name+".json"] = p.json()
		}
	}
	for _, variant := range iam.Guards {
		made["config/iam/"+iam.GuardName(variant)+".json"] = []byte(iam.GuardDocument(variant, plain.partition))
	}
	return nil
}
