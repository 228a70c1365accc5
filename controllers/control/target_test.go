package control_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func target(c *cloudtest.Cloud, memo *control.Memo, shared *control.SharedMemo) *control.Target {
	return control.NewTarget(control.Target{
		Account: "111122223333", Partition: "aws", Region: "eu-west-1", Now: now,
	}, c.Connector("111122223333"), nil, memo, shared)
}

func TestManyThatAskShareOneRead(t *testing.T) {
	var made atomic.Int32
	read := control.Read[int]{Key: "ec2.number", Do: func(context.Context, *control.Target) (int, error) {
		made.Add(1)
		return 7, nil
	}}
	ctx := context.Background()
	one := target(&cloudtest.Cloud{}, control.NewMemo(ctx), nil)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if n, err := read.From(ctx, one); n != 7 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	group.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("the read was made %d times", n)
	}
	if _, err := read.From(ctx, one.In("eu-central-1")); err != nil || made.Load() != 2 {
		t.Errorf("another region is another read: made %d times, %v", made.Load(), err)
	}
}

func TestASharedReadLetsThroughOnlyItsOwnActions(t *testing.T) {
	c := &cloudtest.Cloud{}
	read := control.Read[int]{Key: "ec2.volumes", Actions: []string{"ec2:DescribeRegions"}, Do: func(ctx context.Context, t *control.Target) (int, error) {
		_, err := ec2.NewFromConfig(t.AWS).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
		return 0, err
	}}
	ctx := context.Background()
	if _, err := read.From(ctx, target(c, control.NewMemo(ctx), nil)); !errors.Is(err, control.ErrUndeclared) {
		t.Errorf("got %v, want ErrUndeclared", err)
	}
	if calls := c.Calls(); len(calls) > 0 {
		t.Errorf("calls were made: %v", calls)
	}
}

func TestAReadThatPanicsIsNoAnswerForWhoeverSharesIt(t *testing.T) {
	read := control.Read[[]string]{Key: "s3.buckets", Do: func(context.Context, *control.Target) ([]string, error) { panic("nil map") }}
	ctx := context.Background()
	one := target(&cloudtest.Cloud{}, control.NewMemo(ctx), nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is swallowed for the one that made the read")
			}
		}()
		_, _ = read.From(ctx, one)
	}()
	if buckets, err := read.From(ctx, one); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("a sharer is told %v, %v", buckets, err)
	}
}

func TestTwoReadsWithOneKeyAndTwoTypesAreAFaultAndNoEmptyAnswer(t *testing.T) {
	ctx := context.Background()
	one := target(&cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}, control.NewMemo(ctx), control.NewSharedMemo(time.Now))
	if _, err := (control.Read[int]{Key: "x", Do: func(context.Context, *control.Target) (int, error) { return 1, nil }}).From(ctx, one); err != nil {
		t.Fatal(err)
	}
	other := control.Read[[]string]{Key: "x", Do: func(context.Context, *control.Target) ([]string, error) { return nil, nil }}
	if got, err := other.From(ctx, one); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("Read: %v, %v", got, err)
	}
	number := control.Shared[int]{Key: "x", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) { return 1, nil }}
	if _, _, err := number.From(ctx, one); err != nil {
		t.Fatal(err)
	}
	words := control.Shared[[]string]{Key: "x", Service: "guardduty", Do: func(context.Context, *control.Target) ([]string, error) { return nil, nil }}
	if got, _, err := words.From(ctx, one); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("Shared: %v, %v", got, err)
	}
}

func TestASharerThatGivesUpFailsNobodyElse(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	read := control.Read[int]{Key: "slow", Do: func(ctx context.Context, _ *control.Target) (int, error) {
		close(started)
		<-finish
		return 7, ctx.Err()
	}}
	ctx := context.Background()
	one := target(&cloudtest.Cloud{}, control.NewMemo(ctx), nil)
	first, giveUp := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := read.From(first, one); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up is told %v", err)
		}
	})
	<-started
	group.Go(func() {
		if n, err := read.From(ctx, one); n != 7 || err != nil {
			t.Errorf("the other is told %d, %v", n, err)
		}
	})
	giveUp()
	close(finish)
	group.Wait()
}

// members counts how often it is read, and answers or fails as told.
type members struct {
	mu   sync.Mutex
	made int
	fail error
}

func (m *members) read() control.Shared[int] {
	return control.Shared[int]{Key: "guardduty.members", Service: "guardduty", Do: func(_ context.Context, admin *control.Target) (int, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.made++
		if admin.Account != "222233334444" {
			return 0, errors.New("read in " + admin.Account)
		}
		return m.made, m.fail
	}}
}

func TestShared(t *testing.T) {
	ctx := context.Background()
	type ask struct {
		after     time.Duration
		region    string
		verifying bool
		// forget is the service of which an event came in, and forgetIn its region.
		forget, forgetIn string
		age              time.Duration
		fails            bool
	}
	for name, tc := range map[string]struct {
		asks []ask
		want []int // what each is told; 0: an error
	}{
		"it is kept for fifteen minutes":            {[]ask{{}, {after: 15 * time.Minute}, {after: 15*time.Minute + 1}}, []int{1, 1, 2}},
		"a check of every five minutes takes newer": {[]ask{{}, {age: 75 * time.Second, after: 75 * time.Second}, {age: 75 * time.Second, after: 76 * time.Second}}, []int{1, 1, 2}},
		"nobody may have it older":                  {[]ask{{}, {age: time.Hour, after: 16 * time.Minute}}, []int{1, 2}},
		"regions are apart":                         {[]ask{{}, {region: "eu-central-1"}, {}}, []int{1, 2, 1}},
		"a change is never verified from it":        {[]ask{{}, {verifying: true}, {}}, []int{1, 2, 1}},
		"a change of the service makes it anew":     {[]ask{{}, {forget: "guardduty"}, {forget: "guard"}}, []int{1, 2, 2}},
		"one in another region does not":            {[]ask{{}, {forget: "guardduty", forgetIn: "eu-central-1"}}, []int{1, 1}},
		"one in the region does, and only there":    {[]ask{{}, {region: "eu-central-1"}, {forget: "guardduty", forgetIn: "eu-west-1"}, {region: "eu-central-1"}}, []int{1, 2, 3, 2}},
		"a failure is not kept":                     {[]ask{{fails: true}, {}, {}}, []int{0, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var source members
			clock := now
			memo := control.NewSharedMemo(func() time.Time { return clock })
			for i, a := range tc.asks {
				clock = now.Add(a.after)
				one := target(&cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}, nil, memo)
				one.Now, one.Verifying, one.SharedAge = clock, a.verifying, a.age
				if a.region != "" {
					one = one.In(a.region)
				}
				memo.Forget(a.forget, a.forgetIn)
				source.mu.Lock()
				source.fail = nil
				if a.fails {
					source.fail = errors.New("no")
				}
				source.mu.Unlock()
				got, _, err := source.read().From(ctx, one)
				if got != tc.want[i] || (err != nil) != a.fails {
					t.Errorf("ask %d: got %d, %v; want %d", i, got, err, tc.want[i])
				}
			}
		})
	}
}

// What a check answers from an answer that accounts share is as old as that answer, also through a read of its own pass and
// where one shared answer rests on another.
func TestATargetKnowsHowOldItsFactsAre(t *testing.T) {
	ctx, clock := context.Background(), now
	memo := control.NewSharedMemo(func() time.Time { return clock })
	source, other := members{}, members{}
	second := other.read()
	second.Key = "guardduty.others"
	upon := control.Shared[int]{Key: "guardduty.upon", Service: "guardduty", Do: func(ctx context.Context, admin *control.Target) (int, error) {
		n, _, err := source.read().From(ctx, admin)
		return n, err
	}}
	pass := control.NewMemo(ctx)
	through := control.Read[int]{Key: "guardduty.through", Do: func(ctx context.Context, t *control.Target) (int, error) {
		n, _, err := source.read().From(ctx, t)
		return n, err
	}}
	fresh := func() *control.Target {
		return target(&cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}, pass, memo)
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		reads func(*control.Target)
		want  time.Duration // after now; negative: nothing shared
	}{
		{"nothing shared", 0, func(*control.Target) {}, -1},
		{"a read made for it", 0, func(t *control.Target) { _, _, _ = source.read().From(ctx, t) }, 0},
		{"one that was there", 10 * time.Minute, func(t *control.Target) { _, _, _ = source.read().From(ctx, t) }, 0},
		{"the older of two", 10 * time.Minute, func(t *control.Target) {
			_, _, _ = second.From(ctx, t.In("eu-central-1"))
			_, _, _ = source.read().From(ctx, t)
		}, 0},
		{"one that rests on an older", 12 * time.Minute, func(t *control.Target) { _, _, _ = upon.From(ctx, t) }, 0},
		{"through the pass's read", 13 * time.Minute, func(t *control.Target) { _, _ = through.From(ctx, t) }, 0},
		{"through the read that another control made", 14 * time.Minute, func(t *control.Target) { _, _ = through.From(ctx, t) }, 0},
		{"a new one", 16 * time.Minute, func(t *control.Target) { _, _, _ = source.read().From(ctx, t) }, 16 * time.Minute},
	} {
		clock = now.Add(step.after)
		one := fresh()
		step.reads(one)
		want := now.Add(step.want)
		if step.want < 0 {
			want = time.Time{}
		}
		if got := one.FactsFrom(); !got.Equal(want) {
			t.Errorf("%s: facts from %v, want %v", step.name, got, want)
		}
	}
}

// An answer that was being read when something changed may lack the change: who asks afterwards waits for a new one. However
// many changes there are, one read is under way and one waits.
func TestAReadUnderWayDoesNotAnswerForAChangeAfterItBegan(t *testing.T) {
	ctx := context.Background()
	memo := control.NewSharedMemo(time.Now)
	began, finish := make(chan int, 10), make(chan struct{}, 10)
	made := 0
	read := control.Shared[int]{Key: "guardduty.slow", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) {
		made++ // one at a time
		began <- made
		<-finish
		return made, nil
	}}
	admins := &cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}
	var group sync.WaitGroup
	answers := make([]int, 6)
	ask := func(i int) {
		group.Go(func() {
			var err error
			if answers[i], _, err = read.From(ctx, target(admins, nil, memo)); err != nil {
				t.Error(err)
			}
		})
	}
	ask(0)
	<-began
	for i := 1; i < len(answers); i++ {
		memo.Forget("guardduty", "eu-west-1")
		ask(i)
	}
	finish <- struct{}{}
	if n := <-began; n != 2 {
		t.Errorf("read %d began", n)
	}
	finish <- struct{}{}
	group.Wait()
	if answers[0] != 1 || made > 3 { // those who asked after the second began wait for a third
		t.Errorf("the first was told %d; %d reads", answers[0], made)
	}
	for i, got := range answers[1:] {
		if got < 2 {
			t.Errorf("asked after the change %d, and told %d", i, got)
		}
	}
}

func TestASharedReadWithoutAnAdministratorOrThatPanicsIsAnError(t *testing.T) {
	ctx := context.Background()
	var source members
	if _, _, err := source.read().From(ctx, target(&cloudtest.Cloud{}, nil, control.NewSharedMemo(time.Now))); err == nil {
		t.Error("without an administrator there is no error")
	}
	bad := control.Shared[int]{Key: "guardduty.bad", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) { panic("nil map") }}
	admins := &cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}
	if _, _, err := bad.From(ctx, target(admins, nil, control.NewSharedMemo(time.Now))); !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("a panic becomes %v", err)
	}
}

func TestAPanicInAGroupComesOutOfWait(t *testing.T) {
	var g control.Group
	g.SetLimit(2)
	var finished atomic.Int32
	for i := range 10 {
		g.Go(func() error {
			if i == 3 {
				_ = make([]int, i)[i] // an answer with less in it than was thought
			}
			finished.Add(1)
			return nil
		})
	}
	defer func() {
		p := recover()
		text, _ := p.(string)
		if !strings.Contains(text, "index out of range") || !strings.Contains(text, "target_test.go") {
			t.Errorf("Wait panics with %v", p)
		}
		if finished.Load() != 9 {
			t.Errorf("%d of the other 9 were run", finished.Load())
		}
	}()
	_ = g.Wait()
}

func TestEachCallsWithEveryNumberOnceAndPanicsAsTheFirst(t *testing.T) {
	for _, atOnce := range []int{1, 3, 100} {
		var calls [50]atomic.Int32
		control.Each(atOnce, len(calls), func(i int) { calls[i].Add(1) })
		for i := range calls {
			if n := calls[i].Load(); n != 1 {
				t.Errorf("%d at once: %d calls with %d", atOnce, n, i)
			}
		}
	}
	control.Each(3, 0, func(int) { t.Error("called for nothing") })
	var others atomic.Int32
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "the fourth") {
			t.Errorf("panics with %q", text)
		}
		if others.Load() != 9 {
			t.Errorf("%d of the other 9 were called", others.Load())
		}
	}()
	control.Each(2, 10, func(i int) {
		if i == 3 {
			panic("the fourth")
		}
		others.Add(1)
	})
}

func TestAGroupReturnsTheFirstError(t *testing.T) {
	var g control.Group
	want := errors.New("no")
	g.Go(func() error { return want })
	if err := g.Wait(); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}
