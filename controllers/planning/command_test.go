package planning

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func noWrite(context.Context, *control.Target, control.Drift) error {
	return errors.New("nothing is written")
}

// call runs the command over files; nothing of AWS may be asked.
func call(t *testing.T, files string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var stage cloudtest.Cloud
	streams, _, out, errs := genericiooptions.NewTestIOStreams()
	cmd := New(Options{
		Streams: streams, Kinds: controls.Kinds(), Clock: time.Now,
		AWS:     func(context.Context) (aws.Config, error) { return stage.Base(), nil },
		Cluster: func() (client.Reader, error) { return nil, nil },
	})
	if files != "" {
		file := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(files), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-f", file)
	}
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(context.Background())
	if calls := stage.Calls(); len(calls) > 0 {
		t.Errorf("AWS was asked: %v", calls)
	}
	return out.String(), errs.String(), err
}

func TestACallThatCannotBeAnsweredSaysWhatToGive(t *testing.T) {
	for name, tc := range map[string]struct {
		files string
		args  []string
		want  string
	}{
		"no files":                    {"", nil, "-f is missing: name a file or folder with baselines, or - for standard input"},
		"an unknown format":           {s3YAML, []string{"-o", "xml"}, "-o xml is no format; it is one of table, wide, markdown, json"},
		"no account at a time":        {s3YAML, []string{"--concurrent-accounts", "0"}, "--concurrent-accounts is 0; it must be at least 1"},
		"an account that is none":     {s3YAML, []string{"--account", "pay-prod"}, "--account pay-prod is no account id; it has twelve digits"},
		"no baseline":                 {organizationYAML, nil, "there is no baseline in "},
		"no organization":             {s3YAML, nil, "nothing says which organization: add a file with its AWSOrganization (config/samples/awsorganization.yaml shows one), or name the cluster that has it with --kubeconfig or --context"},
		"a cluster that is not named": {organizationYAML + "---\n" + s3YAML, []string{"--with-cluster-baselines"}, "--with-cluster-baselines needs a cluster: name it with --kubeconfig or --context"},
		"a bad file":                  {strings.Replace(s3YAML, "spec", "spek", 1), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, _, err := call(t, tc.files, tc.args...)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("it ended with %v", err)
			}
			same(t, "exit code", ExitError, ExitCode(err))
			same(t, "standard output", "", stdout)
		})
	}
}

func TestProgressInPlainLines(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := newProgress(&out, func() time.Time { return now })
	ask := func(after time.Duration) {
		now = now.Add(after)
		p.asked(cloud.Attempt{})
	}
	ask(0)
	ask(tellEvery)
	p.begin(3)
	p.seen("a")
	ask(tellEvery) // an account of many buckets is looked at for minutes
	ask(time.Second)
	now = now.Add(tellEvery)
	p.seen("b")
	p.seen("c")
	p.end()
	same(t, "what is said, where it takes long", "finding the accounts, 2 AWS requests\n1 of 3 accounts looked at, 3 AWS requests\n"+
		"2 of 3 accounts looked at, 4 AWS requests\n", out.String())
}

func TestWithoutCredentialsItSaysWhatToGive(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	streams.In = strings.NewReader(organizationYAML + "---\n" + s3YAML)
	cmd := New(Options{
		Streams: streams, Kinds: controls.Kinds(), Clock: time.Now,
		AWS: func(context.Context) (aws.Config, error) {
			return aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("no source has any")
			})}, nil
		},
	})
	cmd.SetArgs([]string{"-f", "-"})
	err := cmd.ExecuteContext(context.Background())
	if err == nil || !strings.HasPrefix(err.Error(), "finding AWS credentials: no source has any; set AWS_PROFILE") {
		t.Errorf("it ended with %v", err)
	}
}
