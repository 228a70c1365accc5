package iam

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestCatalogue(t *testing.T) {
	all := Controls(&v1alpha1.IAMBaseline{})
	if err := control.Validate(all); err != nil {
		t.Error(err)
	}
	if len(all) != 8 {
		t.Errorf("got %d controls, want 8", len(all))
	}
}

func TestGuardDocument(t *testing.T) {
	for _, g := range Guards {
		document := GuardDocument(g, "aws-us-gov")
		if !json.Valid([]byte(document)) || strings.Contains(document, "PARTITION") || strings.Contains(document, "CONDITION") {
			t.Errorf("%s is not a whole document:\n%s", g, document)
		}
		// The quota of a managed policy is 6,144 characters, white space not counted.
		if n := len(strings.Join(strings.Fields(document), "")); n > 6144 {
			t.Errorf("%s has %d characters", g, n)
		}
		if strings.Count(document, "arn:aws-us-gov:iam::*:") != 3 {
			t.Errorf("%s does not name its partition:\n%s", g, document)
		}
	}
	if GuardDocument(v1alpha1.MFAGuardNone, "aws") != "" || GuardName(v1alpha1.MFAGuardNone) != "" {
		t.Error("None is a guard")
	}
	if samePolicy(GuardDocument(Guards[0], "aws"), GuardDocument(Guards[1], "aws")) {
		t.Error("the two guards are the same")
	}
	if diff := cmp.Diff([]string{consoleGuard, keysGuard}, GuardARNs("aws", controltest.Account)); diff != "" {
		t.Errorf("ARNs (-want +got):\n%s", diff)
	}
}

func TestSamePolicy(t *testing.T) {
	guard := GuardDocument(v1alpha1.MFAGuardConsoleOnly, "aws")
	var compact any
	if err := json.Unmarshal([]byte(guard), &compact); err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(compact)
	for name, tc := range map[string]struct {
		document string
		want     bool
	}{
		"the same":                               {guard, true},
		"without white space, keys sorted":       {string(raw), true},
		"encoded as a part of a URL":             {url.PathEscape(guard), true},
		"a list of one where one value stands":   {strings.Replace(guard, `"Resource": "*"`, `"Resource": ["*"]`, 1), true},
		"true for \"true\"":                      {strings.Replace(guard, `"aws:ViaAWSService": "false"`, `"AWS:viaawsservice": false`, 1), true},
		"actions in another order and case":      {strings.Replace(guard, `"iam:ListVirtualMFADevices", "iam:GetAccountPasswordPolicy"`, `"iam:getaccountpasswordpolicy", "IAM:ListVirtualMFADevices"`, 1), true},
		"another name of a statement":            {strings.Replace(guard, "OwnUser", "Own", 1), true},
		"one more action":                        {strings.Replace(guard, `"sts:GetCallerIdentity"`, `"sts:GetCallerIdentity", "s3:GetObject"`, 1), false},
		"a wider resource":                       {strings.Replace(guard, `mfa/*`, `*`, 1), false},
		"another condition":                      {strings.Replace(guard, `"Bool"`, `"BoolIfExists"`, 1), false},
		"one condition more":                     {strings.Replace(guard, `"aws:ViaAWSService": "false"`, `"aws:ViaAWSService": "false", "aws:username": "bob"`, 1), false},
		"a key twice, in another case":           {strings.Replace(guard, `"aws:ViaAWSService": "false"`, `"aws:ViaAWSService": "false", "AWS:ViaAWSService": "true"`, 1), false},
		"one statement more":                     {strings.Replace(guard, `"Statement": [`, `"Statement": [{"Effect":"Allow","Action":"*","Resource":"*"},`, 1), false},
		"an element that nobody knows":           {strings.Replace(guard, `"Sid": "List"`, `"Sid": "List", "Extra": 1`, 1), false},
		"no longer a deny":                       {strings.Replace(guard, "Deny\"", "Allow\"", 1), false},
		"something after it":                     {guard + "{}", false},
		"no policy":                              {"%zz", false},
		"a value that is no string":              {strings.Replace(guard, `"Resource": "*"`, `"Resource": {"a": 1}`, 1), false},
		"a policy for resources with principals": {strings.Replace(guard, `"Sid": "List"`, `"Principal": "*"`, 1), false},
		"a principal that is no principal":       {strings.Replace(guard, `"Sid": "List"`, `"Principal": "a"`, 1), false},
		"conditions that are no conditions":      {strings.Replace(guard, `"Condition": {"Bool"`, `"Condition": {"Bool": 1, "X"`, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := samePolicy(tc.document, guard); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestAChangedGuardIsNeverAttached(t *testing.T) {
	bob := member{name: "bob", password: ago(30)}
	rewritten := map[string]string{consoleGuard: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}
	attach := control.Drift{
		Before: control.JSON(userGuards{"bob", []string{}}), After: control.JSON(userGuards{"bob", []string{consoleGuard}}),
	}
	detach := control.Drift{Before: attach.After, After: attach.Before}
	for name, policies := range map[string]map[string]string{"rewritten": rewritten, "missing": nil} {
		t.Run(name, func(t *testing.T) {
			var c cloudtest.Cloud
			account{members: []member{bob}, policies: policies}.stage(&c)
			if err := UserMFA.Remediate(context.Background(), targetOf(&c, UserMFA.Actions()), attach); err == nil {
				t.Error("Remediate attached it")
			}
			if err := UserMFA.Undo(context.Background(), targetOf(&c, UserMFA.Actions()), detach); err == nil || errors.Is(err, control.ErrChanged) {
				t.Errorf("Undo of a detachment: got %v, want a refusal", err)
			}
		})
	}
}

func TestOnlyGuardsAreAttached(t *testing.T) {
	const admin = "arn:aws:iam::aws:policy/AdministratorAccess"
	var c cloudtest.Cloud
	account{members: []member{{name: "bob", policies: []string{admin}}}, policies: map[string]string{admin: "{}"}}.stage(&c)
	forged := control.Drift{After: control.JSON(userGuards{"bob", []string{admin}}), Before: control.JSON(userGuards{"bob", []string{}})}
	if err := UserMFA.Remediate(context.Background(), targetOf(&c, UserMFA.Actions()), forged); err != nil {
		t.Fatal(err)
	}
	if err := UserMFA.Undo(context.Background(), targetOf(&c, UserMFA.Actions()), forged); !errors.Is(err, control.ErrChanged) {
		t.Errorf("Undo: got %v, want ErrChanged", err)
	}
	for _, call := range c.Calls() {
		if call.Operation == "AttachUserPolicy" || call.Operation == "DetachUserPolicy" {
			t.Errorf("%s was called", call.Operation)
		}
	}
}

func TestChangesOfUsersThatAreGone(t *testing.T) {
	var c cloudtest.Cloud
	account{policies: guardsInPlace()}.stage(&c)
	guard := control.Drift{
		Before: control.JSON(userGuards{"bob", []string{}}), After: control.JSON(userGuards{"bob", []string{consoleGuard}}),
	}
	key := control.Drift{
		Before: control.JSON(keyStatus{"bob", "AKIA", "Active"}), After: control.JSON(keyStatus{"bob", "AKIA", "Inactive"}),
	}
	ctx, target := context.Background(), targetOf(&c, append(UserMFA.Actions(), AccessKeyAge.Actions()...))
	for name, err := range map[string]error{
		"guard": UserMFA.Remediate(ctx, target, guard), "key": AccessKeyAge.Remediate(ctx, target, key),
	} {
		if err != nil {
			t.Errorf("Remediate %s: %v; there is nothing left to change", name, err)
		}
	}
	for name, err := range map[string]error{"guard": UserMFA.Undo(ctx, target, guard), "key": AccessKeyAge.Undo(ctx, target, key)} {
		if !errors.Is(err, control.ErrChanged) {
			t.Errorf("Undo %s: got %v, want ErrChanged", name, err)
		}
	}
}

func TestPagesEnd(t *testing.T) {
	same := "again"
	for name, next := range map[string]*string{"no marker": nil, "the same marker": &same} {
		err := pages("ListX", func(*string) (*string, bool, error) { return next, true, nil })
		if !errors.Is(err, control.ErrUnexpected) {
			t.Errorf("%s: got %v, want an unexpected answer", name, err)
		}
	}
}
