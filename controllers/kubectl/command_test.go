package kubectl

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func TestTheBinaryKnowsWhenAPersonCallsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		argv []string
		want bool
	}{
		"the manager":                     {[]string{"/plumbline"}, false},
		"the manager with flags":          {[]string{"/plumbline", "--allow-writes"}, false},
		"the manager's version":           {[]string{"plumbline", "version"}, false},
		"a word that is no command":       {[]string{"plumbline", "run"}, false},
		"a subcommand":                    {[]string{"plumbline", "status"}, true},
		"a subcommand with flags":         {[]string{"bin/plumbline", "drift", "-o", "csv"}, true},
		"a shell that asks":               {[]string{"plumbline", "__complete", "dri"}, true},
		"completion":                      {[]string{"plumbline", "completion", "bash"}, true},
		"a plugin":                        {[]string{"/usr/local/bin/kubectl-plumbline"}, true},
		"a plugin of a platform":          {[]string{"kubectl-plumbline_linux_amd64", "status"}, true},
		"the plugin's version":            {[]string{"kubectl-plumbline", "version"}, true},
		"kubectl that asks":               {[]string{"kubectl_complete-plumbline", "dri"}, true},
		"nothing at all":                  {nil, false},
		"a subcommand of a like name":     {[]string{"kubectl-plumb", "status"}, true},
		"a manager under another name":    {[]string{"kubectl-other"}, false},
		"a subcommand after another flag": {[]string{"plumbline", "--leader-elect=false", "status"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Invoked(tc.argv); got != tc.want {
				t.Errorf("called by a person: %t, want %t", got, tc.want)
			}
		})
	}
}

// offline runs a command that needs no cluster.
func offline(argv ...string) (stdout, stderr string, code int) {
	var out, errOut bytes.Buffer
	code = Main(context.Background(), argv, Options{
		Kinds: controls.Kinds(), Version: "v1.2.3", Clock: time.Now, Streams: genericclioptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut},
	})
	return out.String(), errOut.String(), code
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root := New(Options{Kinds: controls.Kinds()})
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		t.Run(c.Name(), func(t *testing.T) {
			if c.Short == "" || !strings.Contains(c.Example, "kubectl") || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%q has no short help without a full stop, or no example", c.Name())
			}
			for line := range strings.Lines(c.Long) {
				if n := len([]rune(line)); n > 132 {
					t.Errorf("a line of the help has %d characters", n)
				}
			}
			args := []string{"kubectl-plumbline", "--help"}
			if c != root {
				args = []string{"kubectl-plumbline", c.Name(), "--help"}
			}
			stdout, stderr, code := offline(args...)
			if code != exitDone || stderr != "" || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "kubectl plumbline") {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

func TestTheHelpNamesTheBinaryAsItWasCalled(t *testing.T) {
	stdout, _, _ := offline("bin/plumbline", "status", "--help")
	if !strings.Contains(stdout, "plumbline status [flags]") || strings.Contains(stdout, "kubectl plumbline status [flags]") {
		t.Errorf("help of the binary under its own name:\n%s", stdout)
	}
}

func TestAMistypedCommandIsAnErrorThatHelps(t *testing.T) {
	_, stderr, code := offline("kubectl-plumbline", "statsu")
	if code != exitError || !strings.Contains(stderr, "status") || !strings.Contains(stderr, "unknown command") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestVersion(t *testing.T) {
	if stdout, _, code := offline("kubectl-plumbline", "version"); code != exitDone || stdout != "plumbline v1.2.3\n" {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

func TestExplainNeedsNoCluster(t *testing.T) {
	nowhere := []string{"--kubeconfig", t.TempDir() + "/none"}
	for _, b := range controls.Catalogue() {
		stdout, stderr, code := offline(append([]string{"kubectl-plumbline", "explain", b.ID}, nowhere...)...)
		if code != exitDone || stderr != "" {
			t.Errorf("%s: exit code %d: %s", b.ID, code, stderr)
		}
		for _, want := range append([]string{b.ID + ": " + b.Title, "Baseline, spec.", string(b.Severity), b.Risk.String()}, b.Reads...) {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is not told:\n%s", b.ID, want, stdout)
			}
		}
	}
	for id, want := range map[string]string{
		"s3-secure-trasport": "did you mean s3-secure-transport",
		"root-mfa":           "did you mean iam-root-mfa",
		"xyzzy-plugh-nothin": "there are: cloudtrail-",
	} {
		if _, stderr, code := offline(append([]string{"kubectl-plumbline", "explain", id}, nowhere...)...); code != exitError || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, error %s, want %q", id, code, stderr, want)
		}
	}
}

func TestExplainSaysHowTheControlStandsInTheCluster(t *testing.T) {
	w := newWorld(t)
	w.settle()
	for id, want := range map[string]string{
		"ebs-default-encryption": "\nIn this cluster it is declared for 4 accounts: drifted in 1, unknown in 1.\n",
		"iam-root-mfa":           "\nIn this cluster no baseline declares it for any account.\n",
	} {
		if stdout, _, _ := w.run("explain", id); !strings.HasSuffix(stdout, want) {
			t.Errorf("%s: want %q at the end of\n%s", id, want, stdout)
		}
	}
}

func TestAClusterThatDoesNotAnswerIsAnErrorThatHelps(t *testing.T) {
	config := t.TempDir() + "/config"
	if _, stderr, code := offline("kubectl-plumbline", "status", "--kubeconfig", config); code != exitError || !strings.Contains(stderr, "kubeconfig") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestNamesAreCompleted(t *testing.T) {
	w := newWorld(t)
	w.settle()
	w.remediation("proposed", v1alpha1.RemediationProposed)
	w.remediation("proposed-too", v1alpha1.RemediationProposed)
	w.remediation("applied", v1alpha1.RemediationApplied)
	for name, tc := range map[string]struct {
		args, want []string
	}{
		"commands":                      {[]string{"re"}, []string{"recheck", "reject", "report"}},
		"controls":                      {[]string{"explain", "s3-s"}, []string{"s3-secure-transport"}},
		"no second control":             {[]string{"explain", "s3-versioning", ""}, nil},
		"what can be approved":          {[]string{"approve", ""}, []string{"proposed", "proposed-too"}},
		"but not twice":                 {[]string{"approve", "proposed", ""}, []string{"proposed-too"}},
		"what can be undone":            {[]string{"undo", ""}, []string{"applied"}},
		"accounts of a flag":            {[]string{"drift", "--account", "1111222"}, []string{payProd, payDev, shopDev}},
		"severities":                    {[]string{"drift", "--severity", "C"}, []string{"Critical"}},
		"frameworks":                    {[]string{"report", "--framework", "CIS"}, []string{"CIS-3.0", "CIS-5.0"}},
		"baselines and accounts":        {[]string{"recheck", "E"}, []string{"EncryptionBaseline/organization"}},
		"shells that a script is there": {[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			argv := append([]string{"kubectl_complete-plumbline", "--kubeconfig", w.kubeconfig}, tc.args...)
			Main(w.ctx, argv, Options{
				Kinds: controls.Kinds(), Clock: func() time.Time { return w.now },
				Streams: genericclioptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &bytes.Buffer{}},
			})
			if diff := cmp.Diff(tc.want, names(out.String())); diff != "" {
				t.Errorf("offered (-want +got):\n%s", diff)
			}
		})
	}
}

// names are the names that a shell is offered.
func names(offered string) (all []string) {
	for line := range strings.Lines(offered) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); name != "" && !strings.HasPrefix(name, ":") {
			all = append(all, name)
		}
	}
	return all
}

func TestScriptsForShells(t *testing.T) {
	for _, shell := range shells {
		if stdout, stderr, code := offline("kubectl-plumbline", "completion", shell); code != exitDone || !strings.Contains(stdout, "kubectl-plumbline") {
			t.Errorf("%s: exit code %d: %s", shell, code, stderr)
		}
	}
	if _, stderr, code := offline("kubectl-plumbline", "completion", "tcsh"); code != exitError || !strings.Contains(stderr, "bash, zsh and fish") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// answering plays the controller of accounts and baselines: it answers every request, as long as the test lasts.
func (w *world) answering() {
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, time.Millisecond, true, func(ctx context.Context) (bool, error) {
			a, b := &v1alpha1.AWSAccount{}, &v1alpha1.EncryptionBaseline{}
			if w.Get(ctx, client.ObjectKey{Name: payProd}, a) == nil {
				if token := a.Annotations[v1alpha1.AnnotationReconcileRequestedAt]; token != a.Status.LastHandledReconcileAt {
					a.Status.LastHandledReconcileAt = token
					_ = w.Status().Update(ctx, a)
				}
			}
			if w.Get(ctx, client.ObjectKey{Name: "organization"}, b) == nil {
				if token := b.Annotations[v1alpha1.AnnotationReconcileRequestedAt]; token != b.Status.LastHandledReconcileAt {
					b.Status.LastHandledReconcileAt = token
					_ = w.Status().Update(ctx, b)
				}
			}
			return false, nil
		})
	}()
	w.Cleanup(func() { stop(); <-done })
}

func TestRecheckAsksAndWaits(t *testing.T) {
	w := newWorld(t)
	w.create(account(payProd, "pay-prod", "Root"), ebsBaseline())
	w.answering()
	stdout, stderr, code := w.run("recheck", payProd, "EncryptionBaseline/organization", "--wait")
	if code != exitDone || !strings.HasSuffix(stderr, "2 of 2 done\n") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	w.same("standard output", payProd+": asked for\nEncryptionBaseline/organization: asked for\n", stdout)
	a := &v1alpha1.AWSAccount{}
	w.get(payProd, a)
	if got, want := a.Annotations[v1alpha1.AnnotationReconcileRequestedAt], w.now.Format(time.RFC3339Nano); got != want {
		t.Errorf("the request is %q, want %q", got, want)
	}
	w.now = w.now.Add(time.Second)
	if stdout, stderr, code := w.run("recheck", "--all", "--wait"); code != exitDone || stdout != "EncryptionBaseline/organization: asked for\n" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestRecheckSaysWhatKeepsItFromBeingDone(t *testing.T) {
	w := newWorld(t)
	w.refuses("nothing to look at", "recheck", "--all")
	a := account(payProd, "pay-prod", "Root")
	w.create(a)
	a.Status.Conditions = append(a.Status.Conditions, w.condition(v1alpha1.ConditionReachable, "False", v1alpha1.ReasonRoleRefused, "deploy the member roles"))
	w.putStatus(a)
	w.refuses("not looked at yet: 111122223333 (deploy the member roles)", "recheck", payProd, "--wait", "--timeout", "50ms")
	a.Status.State = v1alpha1.AccountLeft
	w.get(payProd, a)
	a.Status.State = v1alpha1.AccountLeft
	w.putStatus(a)
	w.refuses("is Left and is not looked at", "recheck", payProd)
	w.refuses("there is no account 999999999999", "recheck", "999999999999")
	w.refuses("there is no S3Baseline/none; kubectl get baselines", "recheck", "s3/none")
	w.refuses("an account is named by its twelve digits", "recheck", "pay-prod")
	w.refuses("name nothing beside it", "recheck", "--all", payProd)
	w.refuses("or say --all", "recheck")
}

func TestAPersonWithoutRightsIsToldWhichRoleToAskFor(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig = w.user("bob@example.com")
	w.refuses("ask for a ClusterRole of config/rbac/people.yaml: plumbline-viewer reads", "status")
	w.refuses("plumbline-viewer reads", "approve", "one")
}

func TestThePageOfTheDocumentationNamesEveryCommand(t *testing.T) {
	page, err := os.ReadFile("../../docs/kubectl.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range New(Options{Kinds: controls.Kinds()}).Commands() {
		if heading := "\n## kubectl plumbline " + c.Name() + "\n"; c.Name() != "help" && !strings.Contains(string(page), heading) {
			t.Errorf("docs/kubectl.md has no section%s", heading)
		}
	}
}
