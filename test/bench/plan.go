package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// planResult is what `plumbline plan` costs over one account with many buckets.
type planResult struct {
	Buckets int
	// Requests are those of one plan.
	Requests int64
	Formats  []planFormat
}

// planFormat is one call of the command.
type planFormat struct {
	Format       string
	Seconds, CPU float64
	// Peak is the most memory that the process had, Bytes and Lines the size of what it wrote.
	Peak         int64
	Bytes, Lines int
	Code         int
	// Progress is the last line of standard error.
	Progress string
}

// plan measures the real binary against the stand-in behind HTTPS on loopback, which answers at once.
func (t task) plan(ctx context.Context, r *result) error {
	r.Plan = &planResult{Buckets: t.Buckets}
	dir := filepath.Dir(t.Result)
	stage := scale.New(scale.Options{Accounts: t.Accounts, Buckets: t.Buckets, Drift: t.Drift, ExternalID: externalID})
	server, err := serveTLS(stage, dir)
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // the process ends
	files, err := planFiles(dir)
	if err != nil {
		return err
	}
	p := newProgress()
	for _, format := range []string{"table", "markdown", "json"} {
		before := stage.Total().Calls
		one, err := runPlan(ctx, server, dir, files, format)
		if err != nil {
			return err
		}
		r.Plan.Requests = stage.Total().Calls - before
		r.Plan.Formats = append(r.Plan.Formats, one)
		p.say("a plan over %d buckets, -o %s: exit code %d, %.1fs, %s, %d lines, %s", t.Buckets, format, one.Code, one.Seconds, mib(one.Peak), one.Lines, mib(int64(one.Bytes)))
	}
	return nil
}

// planFiles are the organization, and the S3Baseline of the sweeps.
func planFiles(dir string) (string, error) {
	org := organization()
	org.APIVersion, org.Kind = v1alpha1.GroupVersion.String(), "AWSOrganization"
	raw, err := yaml.Marshal(org)
	if err != nil {
		return "", err
	}
	docs := []string{string(raw)}
	for _, doc := range bytes.Split(baselinesYAML, []byte("\n---\n")) {
		if bytes.Contains(doc, []byte("\nkind: S3Baseline\n")) {
			docs = append(docs, string(doc))
		}
	}
	file := filepath.Join(dir, "plan.yaml")
	return file, os.WriteFile(file, []byte(strings.Join(docs, "\n---\n")), 0o600)
}

func runPlan(ctx context.Context, s *tlsServer, dir, files, format string) (planFormat, error) {
	one := planFormat{Format: format}
	root, err := stack.Root()
	if err != nil {
		return one, err
	}
	binary := cmp.Or(os.Getenv("PLUMBLINE_BINARY"), filepath.Join(root, "bin", "plumbline"))
	out, told := filepath.Join(dir, "plan."+format), &bytes.Buffer{}
	cmd := exec.CommandContext(ctx, binary, "plan", "-f", files, "-o", format, "--file", out, "--account", scale.Account(2)) //nolint:gosec // the program that is measured
	cmd.Env = append(s.environment(), "PATH="+os.Getenv("PATH"), "HOME="+dir)
	cmd.Stderr = told
	began := time.Now()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return one, fmt.Errorf("planning (make build makes the program): %w", err)
	}
	one.Seconds, one.Code = time.Since(began).Seconds(), cmd.ProcessState.ExitCode()
	one.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		one.Peak = usage.Maxrss << 10
	}
	lines := strings.Split(strings.TrimSpace(told.String()), "\n")
	one.Progress = lines[len(lines)-1]
	if one.Code == 1 {
		return one, fmt.Errorf("the plan ended with an error: %s", one.Progress)
	}
	text, err := os.ReadFile(out) //nolint:gosec // what the program wrote
	one.Bytes, one.Lines = len(text), bytes.Count(text, []byte("\n"))
	return one, err
}

// table is what a plan costs, by format.
func (p *planResult) table(revision string) string {
	if p == nil || len(p.Formats) == 0 {
		return ""
	}
	header, rows := []string{"figure"}, [][]string{}
	for _, f := range p.Formats {
		header = append(header, "-o "+f.Format)
	}
	for _, l := range []struct {
		figure string
		of     func(planFormat) string
	}{
		{"Time", func(f planFormat) string { return fmt.Sprintf("%.0f s", f.Seconds) }},
		{"Processor time", func(f planFormat) string { return fmt.Sprintf("%.0f s", f.CPU) }},
		{"Peak memory", func(f planFormat) string { return mib(f.Peak) }},
		{"Output", func(f planFormat) string { return kib(f.Bytes) }},
		{"— in lines", func(f planFormat) string { return number(int64(f.Lines)) }},
		{"Exit code", func(f planFormat) string { return fmt.Sprint(f.Code) }},
	} {
		row := []string{l.figure}
		for _, f := range p.Formats {
			row = append(row, l.of(f))
		}
		rows = append(rows, row)
	}
	return fmt.Sprintf(planText, number(int64(p.Buckets)), number(p.Requests), revision) + table(header, rows) + "\n"
}

const planText = "`plumbline plan`" + ` over one account with %s buckets in 17 regions, in which each setting of each bucket departs from the S3Baseline
of the sweeps, over TLS on loopback, against answers that take no time. A plan asks S3 50 times a second in a region at most, and makes
%s requests here. Measured at revision %s:

`

func kib(bytes int) string { return number(int64((bytes+1<<9)>>10)) + " KiB" }
