package controllers

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// fullMemory is that of an account in 17 regions with 26 controls, some of which depart everywhere.
func fullMemory(random *rand.Rand) *memory {
	m := newMemory()
	m.basis, m.unreachable, m.unread = "basis", 1, 2
	m.entry = cloud.Account{ID: member, Partition: "aws", AuditRole: "audit", EnforceRole: "enforce", ExternalID: "x", Problem: "p"}
	m.anew, m.behind = noon.Add(time.Hour), noon.Add(time.Minute)
	m.denied[ireland], m.suspected[frankfurt] = noon, noon.Add(time.Second)
	m.requests[""], m.requests["S3Baseline/a"] = request{"1", noon}, request{"2", noon.Add(time.Millisecond)}
	m.looks[changedResource{checkID{Baseline: "S3Baseline/a", Control: "s3-x", Region: global}, "drift"}] = 2
	m.rows = []v1alpha1.DriftRow{{Control: "s3-x", Region: ireland, Since: metav1.NewTime(noon)}}
	for c := range 26 {
		control, baseline := fmt.Sprintf("guardduty-control-%d", c), fmt.Sprintf("GuardDutyBaseline/organization-%d", c%5)
		with := &settings{revision: fmt.Sprint("revision-", c%5), exceptions: "e", regions: []string{ireland, frankfurt}}
		e := v1alpha1.AccountControl{Control: control, Baseline: baseline, Severity: v1alpha1.SeverityHigh, Message: "AccessDenied: " + control, Drifted: map[string]int32{}}
		for region := range 17 {
			name := fmt.Sprintf("eu-west-%d", region)
			s := sight{with: with, at: momentOf(noon.Add(time.Duration(random.IntN(1e9)))), age: int32(random.IntN(1000)), failures: int32(region % 2)}
			if c%2 == 0 {
				s.why, s.retry = &why{"Audit", "would be changed with mode: Enforce (Safe)"}, momentOf(noon.Add(time.Hour))
				if region == 3 {
					s.retry = s.at
				}
				e.Drifted[name] = int32(1 + random.IntN(20))
			}
			m.seen[checkID{Baseline: baseline, Control: control, Region: name}] = s
		}
		m.controls = append(m.controls, e)
	}
	return m
}

func TestAMemoryIsTheSameAfterItWasPacked(t *testing.T) {
	for name, m := range map[string]*memory{"full": fullMemory(rand.New(rand.NewPCG(1, 2))), "empty": newMemory()} {
		t.Run(name, func(t *testing.T) {
			unexported := cmp.AllowUnexported(memory{}, uncut{}, sight{}, settings{}, why{}, changedResource{}, request{})
			if diff := cmp.Diff(m, m.pack().unpack(), unexported, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("after packing (-before +after):\n%s", diff)
			}
		})
	}
}

// BenchmarkMemory prints what an account's memory takes between two passes, packed and as maps, and what packing costs.
func BenchmarkMemory(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	const accounts = 500
	heap := func(keep func() any) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		kept := make([]any, accounts)
		for i := range kept {
			kept[i] = keep()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(kept)
		return float64(after.HeapAlloc-before.HeapAlloc) / accounts
	}
	asMaps := heap(func() any { return fullMemory(random) })
	asPacked := heap(func() any { return fullMemory(random).pack() })
	for b.Loop() {
		fullMemory(random).pack().unpack()
	}
	b.ReportMetric(asMaps, "bytes/account-as-maps")
	b.ReportMetric(asPacked, "bytes/account-packed")
}
