package cloud

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Bounds of a log file. CloudTrail writes a file about every 5 minutes per account and region, of a few megabytes where much is
// going on; a single event has at most 1 MB ("CloudTrail record contents": events over 256 KB, or 1 MB when enriched, are cut).
// A file beyond a bound is not CloudTrail's, and unpacking it must not take the manager's memory or time.
const (
	maxPacked   = 64 << 20
	maxUnpacked = 1 << 30
	maxRecord   = 4 << 20
	maxRecords  = 2_000_000
)

var errTooLarge = errors.New("a log file is larger than CloudTrail writes them")

// meter reads no more than a bound, and no more than another since the last mark.
type meter struct {
	in               io.Reader
	read, limit      int64
	mark, sinceLimit int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.read > m.limit || m.sinceLimit > 0 && m.read-m.mark > m.sinceLimit {
		return 0, errTooLarge
	}
	n, err := m.in.Read(p)
	m.read += int64(n)
	return n, err
}

// readLog hands the records of a log file to each, one by one. One that has no field of a record is empty; broken JSON ends the
// reading.
func readLog(in io.Reader, each func(*record) error) error {
	plain, err := unpacked(bufio.NewReader(&meter{in: in, limit: maxPacked}))
	if err != nil {
		return fmt.Errorf("unpacking a log file: %w", err)
	}
	bounded := &meter{in: plain, limit: maxUnpacked, sinceLimit: maxRecord}
	d := json.NewDecoder(bounded)
	if err := expect(d, json.Delim('{'), "Records", json.Delim('[')); err != nil {
		return fmt.Errorf("reading a log file: %w", err)
	}
	for n := 0; d.More(); n++ {
		var r record
		if err := sound(d.Decode(&r)); err != nil {
			return fmt.Errorf("reading a log file's record: %w", err)
		}
		if n >= maxRecords {
			return errTooLarge
		}
		bounded.mark = bounded.read
		if err := each(&r); err != nil {
			return err
		}
	}
	if err := expect(d, json.Delim(']'), json.Delim('}')); err != nil {
		return fmt.Errorf("reading a log file's end: %w", err)
	}
	// Only the packed file's end tells whether all of it was right.
	if _, err := d.Token(); err == nil {
		return errors.New("reading a log file's end: something follows")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading a log file's end: %w", err)
	}
	return nil
}

// unpacked is what a log file says, which S3 may have unpacked already.
func unpacked(in *bufio.Reader) (io.Reader, error) {
	if magic, err := in.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(in)
	}
	return in, nil
}

// expect reads these tokens: a log file is {"Records": [...]}.
func expect(d *json.Decoder, tokens ...json.Token) error {
	for _, want := range tokens {
		got, err := d.Token()
		if err != nil {
			return err
		}
		if got != want {
			return errors.New(`it is not {"Records": [...]}`)
		}
	}
	return nil
}

// logs fetches log files with the manager's own credentials.
type logs struct {
	base  aws.Config
	queue address

	mu      sync.Mutex
	regions map[string]string // of buckets
}

// maxBuckets is how many buckets' regions are remembered. An installation has one bucket of the trail, or a few.
const maxBuckets = 16

// open asks for a log file. S3 answers a question in the wrong region with the right one, which is remembered.
func (l *logs) open(ctx context.Context, f logFile) (io.ReadCloser, error) {
	region := l.regionOf(f)
	body, err := l.get(ctx, f, region)
	var response *smithyhttp.ResponseError
	if err == nil || !errors.As(err, &response) || response.Response == nil {
		return body, err
	}
	right := regionName(response.Response.Header.Get("X-Amz-Bucket-Region"))
	if right == "" || right == region || partitionOf(right) != partitionOf(region) {
		return nil, err
	}
	l.mu.Lock()
	if len(l.regions) < maxBuckets {
		l.regions[f.bucket] = right
	}
	l.mu.Unlock()
	return l.get(ctx, f, right)
}

// regionOf is the bucket's region as far as it is known, else the queue's.
func (l *logs) regionOf(f logFile) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return firstOf(l.regions[f.bucket], f.region, l.queue.region)
}

func (l *logs) get(ctx context.Context, f logFile, region string) (io.ReadCloser, error) {
	cfg := l.base.Copy()
	cfg.Region = region
	out, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).
		GetObject(ctx, &s3.GetObjectInput{Bucket: &f.bucket, Key: &f.key})
	if err != nil {
		return nil, &control.CallError{
			Service: "S3", Operation: "GetObject", Action: "s3:GetObject", Account: l.queue.account, Region: region, Role: managersRole, Err: err,
		}
	}
	return transfer{out.Body, l.queue.account, region}, nil
}

// transfer is a body whose own errors are those of the call: what is cut on its way may be whole the next time.
type transfer struct {
	io.ReadCloser
	account, region string
}

func (t transfer) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &control.CallError{
			Service: "S3", Operation: "GetObject", Action: "s3:GetObject", Account: t.account, Region: t.region, Role: managersRole, Err: err,
		}
	}
	return n, err
}
