package controllers

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// Between two passes an account's memory lies packed: as columns that repeat little, encoded and compressed. As maps, the
// checks of 5,000 accounts in 17 regions would take hundreds of megabytes that nobody looks at for most of an hour
// (BenchmarkMemory prints both).

// packed is a memory between two passes.
type packed []byte

// packedMemory is what is encoded of a memory. Names of baselines, controls and regions, settings and reasons stand in
// tables; the columns of a check are indices into them.
type packedMemory struct {
	Basis     string                    `cbor:"1,keyasint"`
	Controls  []v1alpha1.AccountControl `cbor:"2,keyasint"`
	Rows      []v1alpha1.DriftRow       `cbor:"3,keyasint"`
	Names     []string                  `cbor:"4,keyasint"`
	Settings  []packedSettings          `cbor:"5,keyasint"`
	Whys      [][2]string               `cbor:"6,keyasint"`
	Seen      packedSeen                `cbor:"7,keyasint"`
	Looks     []packedLook              `cbor:"8,keyasint"`
	Denied    map[string]moment         `cbor:"9,keyasint"`
	Suspected map[string]moment         `cbor:"10,keyasint"`
	Requests  map[string]packedRequest  `cbor:"11,keyasint"`
	Failures  [2]int                    `cbor:"12,keyasint"` // unreachable, unread
	Entry     cloud.Account             `cbor:"13,keyasint"`
	Since     [2]moment                 `cbor:"14,keyasint"` // anew, behind
}

type packedSettings struct {
	Revision   string   `cbor:"1,keyasint"`
	Exceptions string   `cbor:"2,keyasint"`
	Regions    []string `cbor:"3,keyasint"`
}

// packedSeen are the columns of the checks that were observed. Why is 0 for a compliant check; At counts from Base, and Retry
// from the check's At, noRetry for none.
type packedSeen struct {
	Base                                 moment
	Baseline, Control, Region, With, Why []uint32
	At, Retry                            []moment
	Failures, Age                        []int32
}

const noRetry = moment(math.MinInt64)

type packedLook struct {
	Check [3]string `cbor:"1,keyasint"`
	Drift string    `cbor:"2,keyasint"`
	Looks int       `cbor:"3,keyasint"`
}

type packedRequest struct {
	Token string `cbor:"1,keyasint"`
	Seen  moment `cbor:"2,keyasint"`
}

// compressor and decompressor are safe for concurrent use; one core each is enough for what a pass has.
var (
	compressor = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(64<<10)))
	})
	decompressor = sync.OnceValue(func() *zstd.Decoder { return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(2))) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("making a compressor with constant options: " + err.Error())
	}
	return v
}

// pack packs a memory.
func (m *memory) pack() packed {
	p := packedMemory{
		Basis: m.basis, Controls: m.controls, Rows: m.rows, Failures: [2]int{m.unreachable, m.unread}, Entry: m.entry,
		Since:  [2]moment{momentOf(m.anew), momentOf(m.behind)},
		Denied: moments(m.denied), Suspected: moments(m.suspected), Requests: map[string]packedRequest{},
	}
	for key, r := range m.requests {
		p.Requests[key] = packedRequest{r.token, momentOf(r.seen)}
	}
	for r, n := range m.looks {
		p.Looks = append(p.Looks, packedLook{[3]string{r.check.Baseline, r.check.Control, r.check.Region}, r.drift, n})
	}
	p.packSeen(m.seen)
	raw, err := cbor.Marshal(p)
	if err != nil {
		panic("encoding what is known of an account: " + err.Error())
	}
	return bytes.Clone(compressor().EncodeAll(raw, nil)) // without the room that compressing needed
}

func moments(times map[string]time.Time) map[string]moment {
	all := make(map[string]moment, len(times))
	for key, at := range times {
		all[key] = momentOf(at)
	}
	return all
}

// table gives each value a number, in the order in which they come.
type table[K comparable] map[K]uint32

func (t table[K]) of(v K, add func()) uint32 {
	n, known := t[v]
	if !known {
		n = uint32(len(t)) //nolint:gosec // a plan has far fewer values
		t[v] = n
		add()
	}
	return n
}

func (p *packedMemory) packSeen(seen map[checkID]sight) {
	ids := slices.SortedFunc(maps.Keys(seen), func(a, b checkID) int {
		return cmp.Or(cmp.Compare(a.Baseline, b.Baseline), cmp.Compare(a.Control, b.Control), cmp.Compare(a.Region, b.Region))
	})
	names, with, whys := table[string]{}, table[*settings]{}, table[why]{}
	name := func(s string) uint32 { return names.of(s, func() { p.Names = append(p.Names, s) }) }
	for _, id := range ids {
		s, reason := seen[id], uint32(0)
		if s.why != nil {
			reason = 1 + whys.of(*s.why, func() { p.Whys = append(p.Whys, [2]string{s.why.reason, s.why.message}) })
		}
		c := &p.Seen
		c.Baseline, c.Control, c.Region = append(c.Baseline, name(id.Baseline)), append(c.Control, name(id.Control)), append(c.Region, name(id.Region))
		c.With = append(c.With, with.of(s.with, func() {
			p.Settings = append(p.Settings, packedSettings{s.with.revision, s.with.exceptions, s.with.regions})
		}))
		if len(c.At) == 0 {
			c.Base = s.at
		}
		retry := noRetry
		if s.retry != 0 {
			retry = s.retry - s.at
		}
		c.Why, c.At, c.Retry = append(c.Why, reason), append(c.At, s.at-c.Base), append(c.Retry, retry)
		c.Failures, c.Age = append(c.Failures, s.failures), append(c.Age, s.age)
	}
}

// unpack is the memory that was packed.
func (b packed) unpack() *memory {
	raw, err := decompressor().DecodeAll(b, nil)
	var p packedMemory
	if err == nil {
		err = cbor.Unmarshal(raw, &p)
	}
	if err != nil {
		panic("decoding what is known of an account: " + err.Error())
	}
	m := newMemory()
	m.basis, m.uncut, m.unreachable, m.unread, m.entry = p.Basis, uncut{p.Controls, p.Rows}, p.Failures[0], p.Failures[1], p.Entry
	m.anew, m.behind = p.Since[0].time(), p.Since[1].time()
	for key, at := range p.Denied {
		m.denied[key] = at.time()
	}
	for key, at := range p.Suspected {
		m.suspected[key] = at.time()
	}
	for key, r := range p.Requests {
		m.requests[key] = request{r.Token, r.Seen.time()}
	}
	for _, l := range p.Looks {
		m.looks[changedResource{checkID{Baseline: l.Check[0], Control: l.Check[1], Region: l.Check[2]}, l.Drift}] = l.Looks
	}
	p.unpackSeen(m.seen)
	return m
}

func (p *packedMemory) unpackSeen(seen map[checkID]sight) {
	with := make([]*settings, len(p.Settings))
	for i, s := range p.Settings {
		with[i] = &settings{s.Revision, s.Exceptions, s.Regions}
	}
	whys := make([]*why, len(p.Whys)+1)
	for i, w := range p.Whys {
		whys[i+1] = &why{w[0], w[1]}
	}
	c := &p.Seen
	for i := range c.At {
		id := checkID{Baseline: p.Names[c.Baseline[i]], Control: p.Names[c.Control[i]], Region: p.Names[c.Region[i]]}
		s := sight{with: with[c.With[i]], why: whys[c.Why[i]], at: c.Base + c.At[i], failures: c.Failures[i], age: c.Age[i]}
		if c.Retry[i] != noRetry {
			s.retry = s.at + c.Retry[i]
		}
		seen[id] = s
	}
}
