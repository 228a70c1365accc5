package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	}
	grown, less := compare(was, now)
	if diff := cmp.Diff([]string{
		"control new: 1.00 requests per account, accepted are 0.00",
		"control s3-versioning: 20.01 requests per account, accepted are 20.00",
		"operation S3.GetBucketVersioning: 40.00 requests per account, accepted are 20.00",
	}, grown); diff != "" {
		t.Errorf("grown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"control iam-root-mfa: 0.00 requests per account, accepted are 1.00"}, less); diff != "" {
		t.Errorf("less (-want +got):\n%s", diff)
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
