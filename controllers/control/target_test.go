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
	one := target(&cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}, control.NewMemo(ctx), control.NewSharedMemo())
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
		forget    string
		fails     bool
	}
	for name, tc := range map[string]struct {
		asks []ask
		want []int // what each is told; 0: an error
	}{
		"it is kept for five minutes":           {[]ask{{}, {after: 5 * time.Minute}, {after: 5*time.Minute + 1}}, []int{1, 1, 2}},
		"regions are apart":                     {[]ask{{}, {region: "eu-central-1"}, {}}, []int{1, 2, 1}},
		"a change is never verified from it":    {[]ask{{}, {verifying: true}, {}}, []int{1, 2, 1}},
		"a change of the service makes it anew": {[]ask{{}, {forget: "guardduty"}, {forget: "guard"}}, []int{1, 2, 2}},
		"a failure is not kept":                 {[]ask{{fails: true}, {}, {}}, []int{0, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var source members
			memo := control.NewSharedMemo()
			for i, a := range tc.asks {
				one := target(&cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}, nil, memo)
				one.Now, one.Verifying = now.Add(a.after), a.verifying
				if a.region != "" {
					one = one.In(a.region)
				}
				memo.Forget(a.forget)
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

func TestASharedReadWithoutAnAdministratorOrThatPanicsIsAnError(t *testing.T) {
	ctx := context.Background()
	var source members
	if _, _, err := source.read().From(ctx, target(&cloudtest.Cloud{}, nil, control.NewSharedMemo())); err == nil {
		t.Error("without an administrator there is no error")
	}
	bad := control.Shared[int]{Key: "guardduty.bad", Service: "guardduty", Do: func(context.Context, *control.Target) (int, error) { panic("nil map") }}
	admins := &cloudtest.Cloud{Admins: map[string]string{"guardduty": "222233334444"}}
	if _, _, err := bad.From(ctx, target(admins, nil, control.NewSharedMemo())); !errors.Is(err, control.ErrUnexpected) {
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

func TestAGroupReturnsTheFirstError(t *testing.T) {
	var g control.Group
	want := errors.New("no")
	g.Go(func() error { return want })
	if err := g.Wait(); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}
