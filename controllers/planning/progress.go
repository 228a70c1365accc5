package planning

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// tellEvery is how often progress is told where no terminal shows it.
const tellEvery = 10 * time.Second

// progress tells how many accounts were looked at, and how often AWS was asked: an account with tens of thousands of buckets takes
// minutes. On a terminal it is a bar, else plain lines and only where it takes long.
type progress struct {
	mu       sync.Mutex
	to       io.Writer
	bar      *progressbar.ProgressBar
	clock    func() time.Time
	told     time.Time
	n, of    int
	requests int
}

func newProgress(to io.Writer, clock func() time.Time) *progress {
	return &progress{to: to, clock: clock, told: clock()}
}

// begin says how many accounts are looked at.
func (p *progress) begin(of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of = of
	if file, is := p.to.(*os.File); is && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor is small
		p.bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(p.to), progressbar.OptionSetDescription("accounts"),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(of > 1), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(barEvery), progressbar.OptionSetWidth(40))
		_ = p.bar.RenderBlank()
	}
}

// barEvery is how often the bar is drawn anew.
const barEvery = 100 * time.Millisecond

// seen counts one more account.
func (p *progress) seen(string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.bar != nil {
		_ = p.bar.Add(1)
		return
	}
	p.tell()
}

// asked counts one more request to AWS.
func (p *progress) asked(cloud.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if p.bar == nil {
		p.tell()
		return
	}
	if now := p.clock(); now.Sub(p.told) >= barEvery {
		p.told = now
		p.bar.Describe(fmt.Sprintf("accounts, %d AWS requests", p.requests))
	}
}

// tell says in a line how far it is, where the last one was said a while ago. The lock is held.
func (p *progress) tell() {
	now := p.clock()
	switch {
	case now.Sub(p.told) < tellEvery:
		return
	case p.of == 0:
		_, _ = fmt.Fprintf(p.to, "finding the accounts, %d AWS requests\n", p.requests)
	default:
		_, _ = fmt.Fprintf(p.to, "%d of %d accounts looked at, %d AWS requests\n", p.n, p.of, p.requests)
	}
	p.told = now
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
