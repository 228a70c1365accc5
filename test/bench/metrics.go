package main

import (
	"math"
	"os"
	"runtime/metrics"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	dto "github.com/prometheus/client_model/go"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

// standInInputs are a mix of what a sweep asks for.
func standInInputs() []any {
	bucket := aws.String("data-00-200000000000")
	return []any{
		&s3.GetBucketEncryptionInput{Bucket: bucket}, &s3.GetBucketPolicyInput{Bucket: bucket}, &ec2.GetEbsEncryptionByDefaultInput{},
		&iam.GetCredentialReportInput{}, &guardduty.ListMembersInput{}, &s3.ListBucketsInput{}, &ec2.DescribeVolumesInput{},
	}
}

// controlRequests is the manager's metric of attempts at AWS calls by control.
const controlRequests = "plumbline_control_requests_total"

// memory is what the process's memory was for when there was most of it.
type memory struct {
	// Heap is what objects took, those included that nothing refers to any more; Stacks what the stacks of goroutines took. Both
	// in bytes.
	Heap, Stacks int64
	Goroutines   int64
}

// note keeps the most of each.
func (m *memory) note() {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	for i, most := range []*int64{&m.Heap, &m.Stacks, &m.Goroutines} {
		*most = max(*most, int64(samples[i].Value.Uint64())) //nolint:gosec // bytes of memory
	}
}

// reading is what the counters said at a time.
type reading struct {
	operations    map[string]scale.Count
	controls      map[string]float64
	status, other int64
	rollUps       uint64
	rollUpSum     float64
	rollUpBuckets map[float64]uint64
	cpu           float64
}

func (b *bench) reading() reading {
	r := reading{
		operations: b.stage.Counts(), controls: map[string]float64{}, rollUpBuckets: map[float64]uint64{},
		status: b.writes.status.Load(), other: b.writes.other.Load(), cpu: usageOf(os.Getpid()).CPU,
	}
	b.stage.MostInFlight() // from now on
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		return r
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case f.GetName() == controlRequests:
				r.controls[label(m, "control")] += m.GetCounter().GetValue()
			case f.GetName() == "controller_runtime_reconcile_time_seconds" && label(m, "controller") == "baseline":
				r.rollUps, r.rollUpSum = m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
				for _, bucket := range m.GetHistogram().GetBucket() {
					r.rollUpBuckets[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
				}
			}
		}
	}
	return r
}

// gauge is the sum of a gauge of the account controller.
func gauge(name string) (sum float64) {
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label(m, "controller") == "account") {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// difference writes down what has come to the counters since a reading.
func (b *bench) difference(before reading, r *result) {
	most := b.stage.MostInFlight()
	now := b.reading()
	r.MostInFlight = most
	r.ByOperation, r.ByControl, r.Requests, r.Throttled = map[string]int64{}, map[string]int64{}, 0, 0
	for name, count := range now.operations {
		was := before.operations[name]
		if n := count.Calls - was.Calls; n > 0 {
			r.ByOperation[name] = n
			r.Requests += n
		}
		r.Throttled += count.Throttled - was.Throttled
	}
	for name, n := range now.controls {
		if n -= before.controls[name]; n > 0 {
			r.ByControl[name] = int64(n)
		}
	}
	r.StatusWrites, r.OtherWrites, r.CPU = now.status-before.status, now.other-before.other, now.cpu-before.cpu
	n := now.rollUps - before.rollUps
	r.RollUps = int64(n) //nolint:gosec // a count
	if n > 0 {
		r.RollUpSeconds = (now.rollUpSum - before.rollUpSum) / float64(n)
	}
	r.RollUpWorst = math.Inf(1)
	for bound, count := range now.rollUpBuckets {
		if count-before.rollUpBuckets[bound] == n {
			r.RollUpWorst = min(r.RollUpWorst, bound)
		}
	}
	if math.IsInf(r.RollUpWorst, 1) {
		r.RollUpWorst = 0 // more than the histogram tells
	}
}
