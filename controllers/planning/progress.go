package planning

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// tellEvery is how often progress is told where no terminal shows it.
const tellEvery = 10 * time.Second

// progress tells how many accounts were looked at: with a bar on a terminal, else in plain lines and only where it takes long.
type progress struct {
	mu    sync.Mutex
	to    io.Writer
	bar   *progressbar.ProgressBar
	clock func() time.Time
	told  time.Time
	n, of int
}

func newProgress(to io.Writer, of int, clock func() time.Time) *progress {
	p := &progress{to: to, of: of, clock: clock, told: clock()}
	if file, is := to.(*os.File); is && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor is small
		p.bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(to), progressbar.OptionSetDescription("accounts"),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(40))
		_ = p.bar.RenderBlank()
	}
	return p
}

// seen counts one more account.
func (p *progress) seen(string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.bar != nil {
		_ = p.bar.Add(1)
		return
	}
	if now := p.clock(); now.Sub(p.told) >= tellEvery {
		p.told = now
		_, _ = fmt.Fprintf(p.to, "%d of %d accounts looked at\n", p.n, p.of)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
