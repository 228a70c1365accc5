package main

import (
	"encoding/xml"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/test/stack"
)

func TestWhatGrewIsNamed(t *testing.T) {
	was := requests{Accounts: 100,
		ByControl:   map[string]int64{"s3-versioning": 2000, "kms-key-rotation": 6800, "iam-root-mfa": 100},
		ByOperation: map[string]int64{"S3.GetBucketVersioning": 2000},
	}
	now := requests{Accounts: 100,
		ByControl:   map[string]int64{"s3-versioning": 2001, "kms-key-rotation": 6800, "iam-root-mfa": 0, "new": 100},
		ByOperation: map[string]int64{"S3.GetBucketVersioning": 4000},
		Changes:     changeCount{API: map[string]int64{"create secrets": 1}},
	}
	grown, less := compare(was, now)
	if diff := cmp.Diff([]string{
		"control new: 1.00 requests per account, accepted are 0.00",
		"control s3-versioning: 20.01 requests per account, accepted are 20.00",
		"operation S3.GetBucketVersioning: 40.00 requests per account, accepted are 20.00",
		"API server where there are changes: create secrets: 0.01 requests per account, accepted are 0.00",
	}, grown); diff != "" {
		t.Errorf("grown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"control iam-root-mfa: 0.00 requests per account, accepted are 1.00"}, less); diff != "" {
		t.Errorf("less (-want +got):\n%s", diff)
	}
}

func TestKindsOfRequestsToTheAPIServer(t *testing.T) {
	got := map[string]string{}
	for _, request := range []string{
		"POST /apis/plumbline.dev/v1alpha1/remediations", "PUT /apis/plumbline.dev/v1alpha1/remediations/a/status",
		"GET /apis/plumbline.dev/v1alpha1/remediations/a", "GET /apis/plumbline.dev/v1alpha1/remediations?limit=500",
		"GET /apis/plumbline.dev/v1alpha1/remediations?watch=true", "POST /api/v1/namespaces/plumbline-system/secrets",
		"DELETE /apis/plumbline.dev/v1alpha1/remediations/a", "POST /api/v1/namespaces", "GET /apis",
	} {
		method, path, _ := strings.Cut(request, " ")
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		got[request] = kindOf(method, u)
	}
	want := map[string]string{
		"POST /apis/plumbline.dev/v1alpha1/remediations":           "create remediations",
		"PUT /apis/plumbline.dev/v1alpha1/remediations/a/status":   "update remediations/status",
		"GET /apis/plumbline.dev/v1alpha1/remediations/a":          "get remediations",
		"GET /apis/plumbline.dev/v1alpha1/remediations?limit=500":  "list remediations",
		"GET /apis/plumbline.dev/v1alpha1/remediations?watch=true": "watch remediations",
		"POST /api/v1/namespaces/plumbline-system/secrets":         "create secrets",
		"DELETE /apis/plumbline.dev/v1alpha1/remediations/a":       "delete remediations",
		"POST /api/v1/namespaces":                                  "create namespaces",
		"GET /apis":                                                "discovery",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatChangesCostIsToldBySize(t *testing.T) {
	all := &results{Changes: []*result{{Task: task{Accounts: 100, Concurrent: 80}, Changes: &changesResult{
		Made: 10, Records: 8, Documents: 4,
		Changing: part{
			API: map[string]int64{"create remediations": 8, "update remediations/status": 16, "create secrets": 4, "update awsaccounts/status": 110},
			AWS: map[string]int64{"S3.PutBucketPolicy": 10, "S3.GetBucketPolicy": 2010, "SQS.ReceiveMessage": 3},
		},
		Quiet: part{API: map[string]int64{"update awsaccounts/status": 100}, AWS: map[string]int64{"S3.GetBucketPolicy": 2000}},
	}}}}
	text := all.changesTable()
	for _, line := range []string{
		"| — API server, per Remediation: made, status written, read | 1.00, 2.00, 0.00 |",
		"| — API server, per Remediation with documents: Secrets made | 1.00 |",
		"| — AWS requests per change, more than in the quiet sweep | 2.00 |",
		"| S3.GetBucketPolicy | 1.00 |", "| update awsaccounts/status | 1.25 |",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if strings.Contains(text, "SQS") {
		t.Errorf("what the event queue is asked is not of the changes:\n%s", text)
	}
}

// TestProposalsFillEveryPlace: the scenario is about as many proposals as there may be.
func TestProposalsFillEveryPlace(t *testing.T) {
	regions := map[v1alpha1.Region]int{}
	for _, o := range proposed("x") {
		spec, _ := o.Common()
		for _, r := range spec.Regions.Include {
			regions[r]++
		}
	}
	for _, r := range scale.DefaultRegions() {
		if regions[v1alpha1.Region(r)] != 1 {
			t.Errorf("%d baselines want the buckets of %s", regions[v1alpha1.Region(r)], r)
		}
	}
	if n := len(proposed("x")) * controllers.MaxOpenPerBaseline; n < controllers.MaxOpen {
		t.Errorf("%d proposals at most, and %d may be open", n, controllers.MaxOpen)
	}
}

func TestWhatAPlanCostsIsToldByFormat(t *testing.T) {
	all := &results{Plan: &result{Revision: "abc", Plan: &planResult{Buckets: 20_000, Requests: 140_220, Formats: []planFormat{
		{Format: "table", Seconds: 61.4, CPU: 10, Peak: 100 << 20, Bytes: 30_000, Lines: 300, Code: 2},
		{Format: "json", Seconds: 60, CPU: 12, Peak: 200 << 20, Bytes: 90_000_000, Lines: 2_660_073, Code: 2},
	}}}}
	text := all.planTable()
	for _, want := range []string{
		"one account with 20,000 buckets", "makes\n140,220 requests", "Measured at revision abc:", "| figure | -o table | -o json |", "| Time | 61 s | 60 s |",
		"| Peak memory | 100 MiB | 200 MiB |", "| Output | 29 KiB | 87,891 KiB |", "| — in lines | 300 | 2,660,073 |", "| Exit code | 2 | 2 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestADayIsScaledToTheOrganization(t *testing.T) {
	d := &dayResult{Accounts: 1000, Lived: 100,
		Own:    map[string]int64{"STS.AssumeRole": 2400, "S3.ListBuckets": 100},
		Shared: map[string]int64{"GuardDuty.ListMembers": 5000},
	}
	if got, want := d.Total(), int64(24000+1000+5000); got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
	if got, want := d.Events(), d.Total()+24000; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
}

func TestEveryFigureHasAValuePerSize(t *testing.T) {
	all := &results{Sweeps: []*result{
		{Task: task{Accounts: 100}, Steady: 10, Requests: 28_000},
		{Task: task{Accounts: 1000}, Steady: 60, Requests: 280_000},
	}}
	for _, l := range all.lines() {
		if len(l.values) != 2 {
			t.Errorf("%s has %d values", l.figure, len(l.values))
		}
	}
	if text := all.sizeTable(); !strings.Contains(text, "| Requests per account | 280.0 | 280.0 |") {
		t.Errorf("the table lacks what was measured:\n%s", text)
	}
	if err := xml.Unmarshal([]byte(all.plot()), new(struct{})); err != nil {
		t.Errorf("the plot is no XML: %v", err)
	}
}

func TestTheBaselinesHaveEverySection(t *testing.T) {
	all, err := baselines("x")
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range controls.Kinds() {
		for _, c := range k.Controls(all[i]) {
			if !c.Managed() {
				t.Errorf("no section declares %s", c.ID)
			}
		}
	}
}

func TestTheManagerIsMeasuredAsItIsDeployed(t *testing.T) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := os.ReadFile(filepath.Join(root, "config", "manager", "deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range asDeployed {
		name, value, _ := strings.Cut(variable, "=")
		if !regexp.MustCompile(`name: ` + name + `\s+value: "?` + value + `"?\s`).Match(deployment) {
			t.Errorf("config/manager does not set %s", variable)
		}
	}
}
