package guardduty

import (
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// plan is one of GuardDuty's protection plans, or one agent of Runtime Monitoring.
type plan struct {
	// path is the setting's name in a baseline; feature is AWS's name of the plan, agent that of its additional configuration.
	path, feature, agent string
}

// runtimeMonitoring is the only plan with agents.
const runtimeMonitoring = "RUNTIME_MONITORING"

// plans are the optional features of the SDK. EKS_RUNTIME_MONITORING is left out on purpose: AWS lists it beside
// RUNTIME_MONITORING, which replaced it, and refuses a request that names both. A plan stands before its agents.
var plans = [...]plan{
	{path: "s3DataEvents", feature: "S3_DATA_EVENTS"},
	{path: "eksAuditLogs", feature: "EKS_AUDIT_LOGS"},
	{path: "ebsMalwareProtection", feature: "EBS_MALWARE_PROTECTION"},
	{path: "rdsLoginEvents", feature: "RDS_LOGIN_EVENTS"},
	{path: "lambdaNetworkLogs", feature: "LAMBDA_NETWORK_LOGS"},
	{path: "runtimeMonitoring", feature: runtimeMonitoring},
	{path: "runtimeMonitoring.eksAddonManagement", feature: runtimeMonitoring, agent: "EKS_ADDON_MANAGEMENT"},
	{path: "runtimeMonitoring.ecsFargateAgentManagement", feature: runtimeMonitoring, agent: "ECS_FARGATE_AGENT_MANAGEMENT"},
	{path: "runtimeMonitoring.ec2AgentManagement", feature: runtimeMonitoring, agent: "EC2_AGENT_MANAGEMENT"},
}

// state is what is said of a plan, for an account (on, off) or for the organization (forAll, forNew, forNone). One byte:
// those of thousands of accounts are held at a time.
type state uint8

const (
	unlisted state = iota // nothing: the region does not offer it, or the baseline does not manage it
	unclear               // a word that is not known here
	off
	on
	forNone
	forNew
	forAll
)

var words = [...]string{unlisted: "", unclear: "?", off: "DISABLED", on: "ENABLED", forNone: "NONE", forNew: "NEW", forAll: "ALL"}

// stateOf understands AWS's words and, whose spelling differs only in case, those of the baseline.
func stateOf(word string) state {
	i := slices.IndexFunc(words[:], func(w string) bool { return strings.EqualFold(w, word) })
	if i < 0 {
		return unclear
	}
	return state(i)
}

func (s state) String() string { return words[s] }

// forPeople is the baseline's word.
func (s state) forPeople() string {
	switch s {
	case on:
		return string(v1alpha1.Enabled)
	case off:
		return string(v1alpha1.Disabled)
	}
	return s.String()
}

// states are the states of plans, in their order.
type states [len(plans)]state

// declared puts a baseline's words together, in the order of plans.
func declared[W ~string](said [len(plans)]W) states {
	var s states
	for i, word := range said {
		s[i] = stateOf(string(word))
	}
	return s
}

func declaredPlans(f v1alpha1.GuardDutyFeatures) states {
	var r v1alpha1.RuntimeMonitoring
	if f.RuntimeMonitoring != nil {
		r = *f.RuntimeMonitoring
	}
	return declared([...]v1alpha1.State{
		f.S3DataEvents, f.EKSAuditLogs, f.EBSMalwareProtection, f.RDSLoginEvents, f.LambdaNetworkLogs,
		r.State, r.EKSAddonManagement, r.ECSFargateAgentManagement, r.EC2AgentManagement,
	})
}

func declaredLevers(o v1alpha1.GuardDutyOrganization) states {
	var f v1alpha1.GuardDutyOrganizationFeatures
	if o.Features != nil {
		f = *o.Features
	}
	var r v1alpha1.OrganizationRuntimeMonitoring
	if f.RuntimeMonitoring != nil {
		r = *f.RuntimeMonitoring
	}
	return declared([...]v1alpha1.AutoEnable{
		f.S3DataEvents, f.EKSAuditLogs, f.EBSMalwareProtection, f.RDSLoginEvents, f.LambdaNetworkLogs,
		r.AutoEnable, r.EKSAddonManagement, r.ECSFargateAgentManagement, r.EC2AgentManagement,
	})
}

// comparison sorts the declared plans, as indexes of plans, by what AWS says of them.
type comparison struct{ departing, notOffered, unclear []int }

func compare(want, got states) comparison {
	var c comparison
	for i := range plans {
		switch {
		case want[i] == unlisted || want[i] == got[i]:
		case got[i] == unlisted:
			c.notOffered = append(c.notOffered, i)
		case got[i] == unclear:
			c.unclear = append(c.unclear, i)
		default:
			c.departing = append(c.departing, i)
		}
	}
	return c
}

// paths names plans for people.
func paths(indexes []int) string {
	var all []string
	for _, i := range indexes {
		all = append(all, plans[i].path)
	}
	return strings.Join(all, ", ")
}

// changes maps the path of a plan to AWS's word.
type changes map[string]string

// pick is what s says of some plans. Runtime Monitoring brings its agents with it: turning it off takes them along, so
// that its before-state must hold them.
func (s states) pick(indexes []int, withAgents bool) changes {
	c := changes{}
	for i, p := range plans {
		brought := withAgents && p.agent != "" && slices.ContainsFunc(indexes, func(k int) bool {
			return plans[k].feature == p.feature && plans[k].agent == ""
		})
		if slices.Contains(indexes, i) || brought && s[i] > unclear {
			c[p.path] = s[i].String()
		}
	}
	return c
}

// shownBy says whether s is as a change left it.
func (c changes) shownBy(s states) bool {
	for i, p := range plans {
		if word, changed := c[p.path]; changed && word != s[i].String() {
			return false
		}
	}
	return true
}

// apart sorts departing plans into those that are raised and those that are lowered. They are changes of their own: what is
// lowered waits for an approval in every mode, and keeps nothing from being raised meanwhile.
func apart(want, got states, departing []int) (raised, lowered []int) {
	up := func(i int) bool { return want[i] > got[i] }
	return filter(departing, up), filter(departing, func(i int) bool { return !up(i) })
}

// drift is what putting some plans right amounts to, which is Disruptive.
func drift(resource string, want, got states, departing []int, weakens bool) control.Drift {
	d := control.Drift{Resource: resource, Risk: control.Disruptive, Weakens: weakens}
	for _, i := range departing {
		d.Fields = append(d.Fields, control.Field{Path: plans[i].path, Want: want[i].forPeople(), Got: got[i].forPeople()})
	}
	return d
}

// write is one feature as it is sent to AWS.
type write struct {
	feature, status string
	agents          []agentWrite
}

type agentWrite struct{ name, status string }

// writes are the features that a change touches, no others: AWS merges them into what is there. What is said of one
// feature is said in full, so that an agent which is not part of the change is sent as it is now.
func writes(now states, c changes) ([]write, error) {
	after := now
	touched := map[string]bool{}
	for i, p := range plans {
		if word, changed := c[p.path]; changed {
			after[i], touched[p.feature] = stateOf(word), true
		}
	}
	var all []write
	for i, p := range plans {
		if !touched[p.feature] {
			continue
		}
		if p.agent == "" {
			if after[i] <= unclear {
				return nil, control.Unexpected("the answer", "the state of "+p.path)
			}
			all = append(all, write{feature: p.feature, status: after[i].String()})
			continue
		}
		w := &all[len(all)-1] // a plan stands before its agents
		// With the plan off AWS takes no agent that is on.
		goesWith := w.status != off.String() && w.status != forNone.String()
		if _, changed := c[p.path]; changed || goesWith && after[i] > unclear {
			w.agents = append(w.agents, agentWrite{p.agent, after[i].String()})
		}
	}
	return all, nil
}
