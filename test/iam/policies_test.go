package iam

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/controls"
	plumblineiam "github.com/plumbline-dev/plumbline/controllers/controls/iam"
)

// anyUsers and anyRoles are as the plain JSON files name them.
const (
	anyUsers = "arn:aws:iam::*:user/*"
	anyRoles = "arn:aws:iam::*:role/*"
)

func TestPoliciesFit(t *testing.T) {
	for name := range policies(t, "config/iam/policies") {
		text := read(t, "config/iam/policies/"+name+".json")
		// The longest partition, and an account in place of the asterisk.
		deployed := strings.NewReplacer("arn:aws:iam::*:", "arn:aws-us-gov:iam::111122223333:").Replace(text)
		if n := size(deployed); n > policyLimit {
			t.Errorf("%s has %d characters; AWS allows %d", name, n, policyLimit)
		}
		t.Logf("%-24s %5d of %d", name, size(text), policyLimit)
	}
	for _, name := range []string{"scp-protect-plumbline", "scp-kill-switch"} {
		n := len(read(t, "config/iam/"+name+".json"))
		if n > scpLimit {
			t.Errorf("%s has %d characters; AWS allows %d", name, n, scpLimit)
		}
		t.Logf("%-24s %5d of %d", name, n, scpLimit)
	}
	if n := len(read(t, "config/iam/member-roles.yaml")); n > templateLimit {
		t.Errorf("member-roles.yaml has %d bytes; CloudFormation takes %d in a request", n, templateLimit)
	}
}

// TestSessionPoliciesFit looks at the longest of the policies with which the enforce role is assumed for one control.
func TestSessionPoliciesFit(t *testing.T) {
	const limit = 2048
	for _, c := range controls.Catalogue() {
		raw, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
			"Effect": "Allow", "Action": sorted(slices.Concat(c.Reads, c.Writes, c.Grants)), "Resource": "*"}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > limit {
			t.Errorf("a session for %s would have a policy of %d characters; AWS allows %d", c.ID, len(raw), limit)
		}
	}
}

func TestOnlyDenialsHaveWildcards(t *testing.T) {
	for _, folder := range []string{"config/iam", "config/iam/policies", "config/events"} {
		for name, p := range policies(t, folder) {
			for _, s := range p.Statement {
				if s.Effect == "Allow" && (len(s.NotAction) > 0 || strings.Contains(strings.Join(s.Action, " "), "*")) {
					t.Errorf("%s, statement %s allows by pattern: %v", name, s.Sid, s)
				}
			}
		}
	}
}

func TestConditionsHoldBackWhatWouldBeTooMuch(t *testing.T) {
	guard := map[string]map[string]values{"ArnEquals": {"iam:PolicyARN": plumblineiam.GuardARNs("aws", "*")}}
	services := func(key string, of ...string) map[string]map[string]values {
		return map[string]map[string]values{"StringEquals": {key: of}}
	}
	guardDuty := []string{"guardduty.amazonaws.com", "malware-protection.guardduty.amazonaws.com"}
	type held struct {
		Resource  values
		Condition map[string]map[string]values
	}
	want := map[string]map[string]held{
		"enforce-iam": {
			"iam:AttachUserPolicy": {values{anyUsers}, guard},
			"iam:DetachUserPolicy": {values{anyUsers}, guard},
		},
		"enforce-cloudtrail": {
			"iam:PassRole": {values{anyRoles}, services("iam:PassedToService", "cloudtrail.amazonaws.com")},
			"iam:CreateServiceLinkedRole": {values{"arn:aws:iam::*:role/aws-service-role/cloudtrail.amazonaws.com/*"},
				services("iam:AWSServiceName", "cloudtrail.amazonaws.com")},
		},
		"enforce-guardduty": {
			"iam:CreateServiceLinkedRole": {values{"arn:aws:iam::*:role/aws-service-role/guardduty.amazonaws.com/*",
				"arn:aws:iam::*:role/aws-service-role/malware-protection.guardduty.amazonaws.com/*"},
				services("iam:AWSServiceName", guardDuty...)},
			"organizations:EnableAWSServiceAccess":         {values{"*"}, services("organizations:ServicePrincipal", guardDuty...)},
			"organizations:RegisterDelegatedAdministrator": {values{"*"}, services("organizations:ServicePrincipal", guardDuty...)},
		},
	}
	got := map[string]map[string]held{}
	for name, p := range policies(t, "config/iam/policies") {
		for _, s := range p.Statement {
			for _, action := range s.Action {
				if len(s.Condition) == 0 && slices.Equal(s.Resource, values{"*"}) {
					continue
				}
				if got[name] == nil {
					got[name] = map[string]held{}
				}
				if _, twice := got[name][action]; twice {
					t.Errorf("%s allows %s twice", name, action)
				}
				got[name][action] = held{s.Resource, s.Condition}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions under a condition, by policy (-want +got):\n%s", diff)
	}
}

func TestConditionKeysAreThoseThatAWSKnowsForTheAction(t *testing.T) {
	known := published(t)
	for name, p := range policies(t, "config/iam/policies") {
		for _, s := range p.Statement {
			for _, keys := range s.Condition {
				for key := range keys {
					for _, action := range s.Action {
						if !slices.Contains(known[action].keys, key) {
							t.Errorf("%s: %s knows no condition key %s, so that AWS would never allow it", name, action, key)
						}
					}
				}
			}
		}
	}
}

func TestWritingPoliciesIsApart(t *testing.T) {
	writing := func(action string) bool {
		return slices.ContainsFunc([]string{
			"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "iam:Put*Policy", "iam:*PolicyVersion", "iam:CreatePolicy",
			"iam:UpdateAssumeRolePolicy", "kms:PutKeyPolicy", "*:Put*ResourcePolicy",
		}, func(pattern string) bool { return matches(pattern, action) })
	}
	read := map[string]bool{}
	for _, c := range controls.Catalogue() {
		for _, action := range c.Reads {
			read[action] = true
		}
	}
	for name, p := range policies(t, "config/iam/policies") {
		apart := strings.HasSuffix(name, "-policies")
		for _, action := range p.allowed() {
			if writing(action) && !read[action] != apart {
				t.Errorf("%s allows %s", name, action)
			}
			if apart && !writing(action) {
				t.Errorf("%s allows %s, which writes no policy", name, action)
			}
		}
	}
}

// TestEnforceIsNoAdministrator names the ways in which a role can give itself more than it has.
func TestEnforceIsNoAdministrator(t *testing.T) {
	for name, p := range policies(t, "config/iam/policies") {
		for _, s := range p.Statement {
			for _, action := range s.Action {
				switch service, verb, _ := strings.Cut(action, ":"); {
				case s.Effect == "Deny", len(s.Condition) > 0, service != "iam" && service != "sts" && service != "kms":
				case strings.HasPrefix(verb, "Attach"), strings.HasPrefix(verb, "Put"), strings.HasPrefix(verb, "Add"),
					strings.HasPrefix(verb, "Create"), strings.HasPrefix(verb, "Assume"), strings.HasSuffix(verb, "LoginProfile") && !strings.HasPrefix(verb, "Get"),
					verb == "PassRole", verb == "UpdateAssumeRolePolicy", verb == "SetDefaultPolicyVersion":
					t.Errorf("%s allows %s without a condition", name, action)
				}
			}
		}
	}
}

func TestTheManagerMayOnlyAssumePlumblinesRoles(t *testing.T) {
	for name, want := range map[string]statement{
		"manager":  {Sid: "AssumePlumblinesRoles", Effect: "Allow", Action: values{"sts:AssumeRole"}, Resource: values{"arn:aws:iam::*:role/plumbline/*"}},
		"observer": {Sid: "AssumePlumblinesAuditRole", Effect: "Allow", Action: values{"sts:AssumeRole"}, Resource: values{"arn:aws:iam::*:role/plumbline/PlumblineAudit"}},
	} {
		if diff := cmp.Diff(policy{Version: "2012-10-17", Statement: []statement{want}}, policies(t, "config/iam")[name]); diff != "" {
			t.Errorf("%s.json (-want +got):\n%s", name, diff)
		}
	}
}

func TestGuardsAreAsTheControlComparesThem(t *testing.T) {
	for _, variant := range plumblineiam.Guards {
		got := read(t, "config/iam/"+plumblineiam.GuardName(variant)+".json")
		if diff := cmp.Diff(plumblineiam.GuardDocument(variant, "aws"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", variant, diff)
		}
	}
}

func TestServiceControlPolicies(t *testing.T) {
	scps := policies(t, "config/iam")
	t.Run("the kill switch denies everything to the enforce role and nothing to anybody else", func(t *testing.T) {
		want := []statement{{Sid: "PlumblineChangesNothing", Effect: "Deny", Action: values{"*"}, Resource: values{"*"},
			Condition: map[string]map[string]values{"ArnLike": {"aws:PrincipalArn": {"arn:*:iam::*:role/plumbline/PlumblineEnforce"}}}}}
		if diff := cmp.Diff(want, scps["scp-kill-switch"].Statement); diff != "" {
			t.Errorf("statements (-want +got):\n%s", diff)
		}
	})
	t.Run("the protection denies every change of Plumbline's roles and policies but to StackSets", func(t *testing.T) {
		except := map[string]map[string]values{"ArnNotLike": {"aws:PrincipalArn": {
			"arn:*:iam::*:role/stacksets-exec-*", "arn:*:iam::*:role/AWSCloudFormationStackSetExecutionRole"}}}
		changes := map[string][]string{}
		for action, a := range published(t) {
			verb := strings.TrimPrefix(action, "iam:")
			switch {
			case verb == action || a.level == "Read" || a.level == "List" || verb == "PassRole" || strings.Contains(verb, "ServiceLinked"):
			case strings.Contains(verb, "Role") && !strings.Contains(verb, "InstanceProfile"):
				changes["arn:*:iam::*:role/plumbline/*"] = append(changes["arn:*:iam::*:role/plumbline/*"], action)
			case strings.HasSuffix(verb, "Policy") && !strings.Contains(verb, "User") && !strings.Contains(verb, "Group") && verb != "UpdateAccountPasswordPolicy" && verb != "DeleteAccountPasswordPolicy",
				strings.HasSuffix(verb, "PolicyVersion"):
				changes["arn:*:iam::*:policy/plumbline/*"] = append(changes["arn:*:iam::*:policy/plumbline/*"], action)
			}
		}
		got := map[string][]string{}
		for _, s := range scps["scp-protect-plumbline"].Statement {
			if s.Effect != "Deny" {
				t.Errorf("%s is no denial", s.Sid)
			}
			if s.Sid == "NobodyPosesAsTheStackSet" {
				continue
			}
			if diff := cmp.Diff(except, s.Condition); diff != "" {
				t.Errorf("%s lets through (-want +got):\n%s", s.Sid, diff)
			}
			got[strings.Join(s.Resource, " ")] = s.Action
		}
		for resource, actions := range changes {
			if diff := cmp.Diff(sorted(actions), sorted(got[resource])); diff != "" {
				t.Errorf("changes of %s (-published +denied):\n%s", resource, diff)
			}
		}
	})
	t.Run("nobody can make a role that the protection would take for a StackSet's", func(t *testing.T) {
		last := scps["scp-protect-plumbline"].Statement[2]
		want := statement{Sid: "NobodyPosesAsTheStackSet", Effect: "Deny", Action: values{"iam:CreateRole", "iam:UpdateAssumeRolePolicy"},
			Resource: values{"arn:*:iam::*:role/stacksets-exec-*", "arn:*:iam::*:role/AWSCloudFormationStackSetExecutionRole"}}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("statement (-want +got):\n%s", diff)
		}
	})
	t.Run("the guards are not among them", func(t *testing.T) {
		found, err := filepath.Glob(repository(t, "config/iam/scp-*.json"))
		if err != nil || len(found) != 2 {
			t.Fatalf("service control policies: %v, %v", found, err)
		}
		for _, file := range found {
			if strings.Contains(read(t, "config/iam/"+filepath.Base(file)), "MultiFactorAuth") {
				t.Errorf("%s denies by MFA: no session of a role carries it", file)
			}
		}
	})
}
