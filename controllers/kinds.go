// Package controllers reconciles Plumbline's kinds. It is the only place that talks to Kubernetes: it works out what is due
// in an account (plan.go), has the engine do it, and turns the results into the account's status (summary.go). It never
// calls AWS itself.
package controllers

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// notInRevision are the fields of a baseline's spec that say where, how often and with which precedence, but not what must
// hold: changing them does not make what was observed stale.
var notInRevision = []string{"accounts", "interval", "resourceInterval", "priority", "suspend", "approvals", "rollout",
	"deletionPolicy"}

// revisionOf identifies a baseline's effective settings: the first 12 hex digits of SHA-256 over its sections, resource
// selectors, regions, mode and approval, and over what its controls make of them. A version of Plumbline that binds another
// control to a section, or understands a section otherwise, thereby has to look anew.
func revisionOf(k control.Kind, b control.Baseline) string {
	var fields map[string]any
	decode(encode(k.Spec(b)), &fields)
	for _, name := range notInRevision {
		delete(fields, name)
	}
	bound := map[string]any{}
	for _, c := range k.Controls(b) {
		if c.Managed() {
			bound[c.ID] = c.Settings
		}
	}
	return digestOf(encode([]any{fields, bound}))[:12] // the keys of maps are sorted
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("encoding a spec that was decoded: " + err.Error())
	}
	return raw
}

func decode(raw []byte, v any) {
	if err := json.Unmarshal(raw, v); err != nil {
		panic("decoding a spec that was encoded: " + err.Error())
	}
}

// selects says whether a baseline's accounts select the account. Absent accounts select every one.
func selects(s *v1alpha1.AccountSelector, a *v1alpha1.AWSAccount) bool {
	if s == nil {
		return true
	}
	id := v1alpha1.AccountID(a.Name)
	if slices.Contains(s.Exclude, id) {
		return false
	}
	if s.All || slices.Contains(s.Include, id) || inOUs(s.OrganizationalUnits, a) || hasLabels(s.MatchLabels, a) {
		return true
	}
	// Only exclude: every account but those.
	return len(s.Include) == 0 && len(s.OrganizationalUnits) == 0 && len(s.MatchLabels) == 0
}

func inOUs(ous []string, a *v1alpha1.AWSAccount) bool {
	return slices.ContainsFunc(ous, func(ou string) bool {
		_, ok := a.Labels[v1alpha1.LabelOUPrefix+ou]
		return ok
	})
}

func hasLabels(want map[string]string, a *v1alpha1.AWSAccount) bool {
	for k, v := range want {
		if got, there := a.Labels[k]; !there || got != v {
			return false
		}
	}
	return len(want) > 0
}

// deciding is the account in which a control of Organization scope is decided.
func deciding(org *v1alpha1.AWSOrganizationSpec, m *control.Meta) string {
	if admin := administrators(org)[m.Administrator]; admin != "" {
		return admin
	}
	return string(org.ManagementAccount)
}

// administrators maps a service to the account that administers it for the organization.
func administrators(org *v1alpha1.AWSOrganizationSpec) map[string]string {
	all := map[string]string{}
	for service, id := range map[string]v1alpha1.AccountID{
		"guardduty": org.DelegatedAdministrators.GuardDuty, "cloudtrail": org.DelegatedAdministrators.CloudTrail,
	} {
		if id != "" {
			all[service] = string(id)
		}
	}
	return all
}

// concerns says whether a control of a baseline has checks in the account.
func concerns(org *v1alpha1.AWSOrganizationSpec, spec *v1alpha1.BaselineSpec, b control.Bound, a *v1alpha1.AWSAccount) bool {
	if !b.Managed() {
		return false
	}
	if b.Scope == control.Organization {
		return deciding(org, b.Meta) == a.Name
	}
	return selects(spec.Accounts, a)
}

// absent says whether the account is not to be touched: it left the organization, or AWS has suspended or is closing it.
func absent(a *v1alpha1.AWSAccount) bool {
	switch a.Annotations[v1alpha1.AnnotationState] {
	case "", "ACTIVE":
		return false
	}
	return true
}

// governedRegions are the regions a baseline selects among those enabled in the account, and those it or the account names
// that are not enabled there. Of the organization's regions an account may lack some, but not all.
func governedRegions(org *v1alpha1.AWSOrganizationSpec, spec *v1alpha1.BaselineSpec, a *v1alpha1.AWSAccount, enabled []string) (regions, unknown []string) {
	wanted, named := org.Regions, slices.Concat(included(spec.Regions), included(a.Spec.Regions))
	if only := included(spec.Regions); len(only) > 0 {
		wanted = only
	}
	for _, r := range enabled {
		region := v1alpha1.Region(r)
		if among(wanted, region) && among(included(a.Spec.Regions), region) && !excludes(spec.Regions, region) && !excludes(a.Spec.Regions, region) {
			regions = append(regions, r)
		}
	}
	isEnabled := func(r v1alpha1.Region) bool { return slices.Contains(enabled, string(r)) }
	if !slices.ContainsFunc(org.Regions, isEnabled) {
		named = append(named, org.Regions...)
	}
	for _, r := range named {
		if !isEnabled(r) {
			unknown = append(unknown, string(r))
		}
	}
	slices.Sort(unknown)
	return regions, slices.Compact(unknown)
}

// among says whether the list is absent or has the region.
func among(list []v1alpha1.Region, r v1alpha1.Region) bool {
	return len(list) == 0 || slices.Contains(list, r)
}

func excludes(s *v1alpha1.RegionSelector, r v1alpha1.Region) bool {
	return s != nil && slices.Contains(s.Exclude, r)
}

func included(s *v1alpha1.RegionSelector) []v1alpha1.Region {
	if s == nil {
		return nil
	}
	return s.Include
}

// joinedAt is when the account joined the organization: as discovery wrote it, else when its object was made.
func joinedAt(a *v1alpha1.AWSAccount) time.Time {
	if at, err := time.Parse(time.RFC3339, a.Annotations[v1alpha1.AnnotationJoinedAt]); err == nil {
		return at
	}
	return a.CreationTimestamp.Time
}

// precedence sorts baselines of one kind: higher priority first, then the name that sorts first.
func precedence(a, b control.Baseline) int {
	sa, _ := a.Common()
	sb, _ := b.Common()
	if sa.Priority != sb.Priority {
		return int(sb.Priority) - int(sa.Priority)
	}
	return strings.Compare(a.GetName(), b.GetName())
}
