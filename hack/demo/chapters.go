package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// audit applies the samples, which only report, and waits until every account was looked at.
func (d *demo) audit(ctx context.Context) error {
	d.chapter("2. A baseline, in Audit")
	d.say("config/samples declares the organization and five baselines, all in Audit: nothing will be written to AWS.")
	if err := d.show(ctx, "apply", "-k", "config/samples"); err != nil {
		return err
	}
	d.say("")
	d.say("The sample of an exception has example dates; here it lasts a month from now:")
	now := time.Now().UTC().Truncate(time.Second)
	if err := d.show(ctx, "patch", "blx", "public-website", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"from":%q,"expires":%q}}`,
		now.Format(time.RFC3339), now.AddDate(0, 0, 30).Format(time.RFC3339))); err != nil {
		return err
	}
	d.say("")
	d.say("The accounts are discovered; nobody lists them by hand. Each is looked at in every region ...")
	if err := d.await(ctx, "seven accounts are discovered", func(answer string) bool { return len(strings.Fields(answer)) == 7 },
		"get", "awsacct", "-o", "jsonpath={.items[*].metadata.name}"); err != nil {
		return err
	}
	if err := d.settled(ctx); err != nil {
		return err
	}
	if err := d.show(ctx, "get", "awsacct"); err != nil {
		return err
	}
	if err := d.show(ctx, "get", "baselines"); err != nil {
		return err
	}
	writes, err := d.writes(ctx)
	if err != nil {
		return err
	}
	d.say("")
	d.say(fmt.Sprintf("AWS saw %d requests of the manager that write. Audit never writes.", writes))
	if writes > 0 {
		return fmt.Errorf("audit made %d writes", writes)
	}
	return nil
}

// settled waits until every account was looked at with every baseline's present settings.
func (d *demo) settled(ctx context.Context) error {
	if err := d.awaitNone(ctx, "every account was looked at", "{.items[*].status.state}", "awsacct", "Pending"); err != nil {
		return err
	}
	if err := d.await(ctx, "the numbers of seven accounts are summed", func(answer string) bool { return strings.TrimSpace(answer) == "7" },
		"get", "s3baseline", "organization", "-o", "jsonpath={.status.accounts}"); err != nil {
		return err
	}
	return d.awaitNone(ctx, "every baseline was looked at in every account", "{.items[*].status.state}", "baselines", "Pending")
}

// look shows one account's drift: desired and observed, side by side.
func (d *demo) look(ctx context.Context) error {
	d.chapter("3. What is wrong, and where")
	d.say("An account's status is its whole posture. Each row says what is desired and what is observed:")
	if err := d.drift(ctx, payDev); err != nil {
		return err
	}
	d.say("")
	d.say("The same, described:")
	if err := d.describe(ctx, payDev); err != nil {
		return err
	}
	d.say("")
	d.say("One departure is excused until a date by a BaselineException, with owner and ticket. It is shown, and left alone:")
	if err := d.show(ctx, "get", "blx"); err != nil {
		return err
	}
	return d.show(ctx, "get", "awsacct", payProd)
}

// enforce lets the baselines put right what is safe, and one section what may disrupt.
func (d *demo) enforce(ctx context.Context) error {
	d.chapter("4. Enforce")
	d.say("mode: Enforce applies Safe changes. Whatever may break something, or costs money, waits for an approval.")
	for _, p := range []struct{ kind, patch string }{
		{"encryptionbaseline", `{"spec":{"mode":"Enforce","accounts":{"all":true}}}`},
		{"guarddutybaseline", `{"spec":{"mode":"Enforce","accounts":{"all":true}}}`},
		{"cloudtrailbaseline", `{"spec":{"mode":"Enforce"}}`},
		{"iambaseline", `{"spec":{"accounts":{"all":true},"passwordPolicy":{"mode":"Enforce"}}}`},
	} {
		if err := d.show(ctx, "patch", p.kind, "organization", "--type=merge", "-p", p.patch); err != nil {
			return err
		}
	}
	d.say("")
	d.say("Blocking public access can break a public site, so it is Disruptive; this section consents to such changes:")
	if err := d.show(ctx, "patch", "s3baseline", "organization", "--type=merge", "-p",
		`{"spec":{"accounts":{"all":true},"bucketPublicAccessBlock":{"mode":"Enforce","approval":"Irreversible"}}}`); err != nil {
		return err
	}
	d.say("")
	d.say("Every change is verified by reading AWS again before it is believed ...")
	if err := d.settled(ctx); err != nil {
		return err
	}
	if err := d.repaired(ctx); err != nil {
		return err
	}
	if err := d.show(ctx, "get", "awsacct"); err != nil {
		return err
	}
	d.say("")
	d.say("What is left waits for a person, and says what it would do:")
	if err := d.drift(ctx, payDev); err != nil {
		return err
	}
	d.say("")
	d.say("The management account is changed only where its id is typed into accounts.include, and by the organization-wide")
	d.say("CloudTrailBaseline, which is decided there. Every write left events, before and after:")
	return d.changes(ctx, payDev)
}

// repaired waits until nothing that was to be put right at once is left.
func (d *demo) repaired(ctx context.Context) error {
	return d.awaitNone(ctx, "every change was made and verified", "{.items[*].status.controls[*].reason}", "awsacct",
		"CapReached", "Settling", "RemediationFailed", "Waiting")
}

// tamper lets somebody undo two protections, and shows that they come back.
func (d *demo) tamper(ctx context.Context) error {
	d.chapter("5. Somebody turns a detector off and opens a bucket")
	d.say("In account " + payProd + " (pay-prod), outside Kubernetes:")
	if err := weaken(ctx, d.cloud, d.say); err != nil {
		return err
	}
	d.say("")
	d.say("Accounts are looked at again within the baseline's interval (1h here). To look now:")
	token := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	if err := d.show(ctx, "annotate", "--overwrite", "awsacct", payProd, "plumbline.dev/reconcile-requested-at="+token); err != nil {
		return err
	}
	if err := d.show(ctx, "wait", "awsacct", payProd, "--for=jsonpath={.status.lastHandledReconcileAt}="+token, "--timeout=90s"); err != nil {
		return err
	}
	if err := d.repaired(ctx); err != nil {
		return err
	}
	if err := d.changes(ctx, payProd); err != nil {
		return err
	}
	d.say("")
	d.say("And what AWS itself says now:")
	return held(ctx, d.cloud, d.say)
}

// decide has a change approved that may cost something, and taken back.
func (d *demo) decide(ctx context.Context) error {
	const control = "guardduty-features"
	d.chapter("6. Plan, approve, undo")
	d.say("What would the S3 baseline change in pay-dev, were it enforced as a whole? The plugin reads AWS as the manager does, and")
	d.say("writes nothing:")
	if err := d.plan(ctx, "config/samples/s3baseline.yaml", payDev); err != nil {
		return err
	}
	d.say("")
	d.say("What may disrupt or cost something stands as a Remediation, before AWS is touched. So does what was made without asking,")
	d.say("with what was there before:")
	if err := d.show(ctx, "get", "rem"); err != nil {
		return err
	}
	name, err := d.kubectl.Run(ctx, "get", "rem", "-l", "plumbline.dev/account="+payDev+",plumbline.dev/control="+control,
		"-o", `jsonpath={.items[?(@.status.phase=="Proposed")].metadata.name}`)
	if err != nil || name == "" {
		return fmt.Errorf("account %s has no proposal of %s: %w", payDev, control, err)
	}
	d.say("")
	d.say("The binary is a kubectl plugin as well. " + approver + " reads one, and approves just what was read:")
	if err := d.plugin(ctx, "approve", name, "--reason", "agreed in CHG-1", "--yes", "--wait"); err != nil {
		return err
	}
	d.say("")
	d.say("On second thoughts it is too expensive. What was there before is written back, as long as nobody else was there since:")
	if err := d.plugin(ctx, "undo", name, "--reason", "too expensive", "--yes", "--wait"); err != nil {
		return err
	}
	d.say("")
	d.say("It is not made again by itself: it waits for an approval.")
	if err := d.await(ctx, "it is proposed again", func(answer string) bool { return strings.Contains(answer, "Proposed") },
		"get", "rem", "-l", "plumbline.dev/account="+payDev+",plumbline.dev/control="+control, "-o", "jsonpath={.items[*].status.phase}"); err != nil {
		return err
	}
	return d.show(ctx, "get", "rem", "-l", "plumbline.dev/account="+payDev+",plumbline.dev/control="+control)
}

// plan shows what a baseline in a file would change in an account.
func (d *demo) plan(ctx context.Context, file, account string) error {
	root, err := stack.Root()
	if err != nil {
		return err
	}
	d.command("kubectl plumbline plan -f " + file + " --account " + account + " --kubeconfig $KUBECONFIG")
	out, err := stack.RunManager(ctx, stack.ManagerOptions{
		Kubeconfig: d.plane.Kubeconfig, Emulator: d.cloud,
		Args: []string{"plan", "-f", filepath.Join(root, file), "--account", account, "--kubeconfig", d.plane.Kubeconfig},
	}, "")
	if err != nil {
		return err
	}
	d.printf("%s", indent(out.Stdout))
	if out.Code != planHasDrift {
		return fmt.Errorf("the plan ended with exit code %d: %s", out.Code, out.Stderr)
	}
	return nil
}

// planHasDrift is the exit code of a plan that would change something.
const planHasDrift = 2

// plugin runs the manager's binary as the kubectl plugin, as the approver.
func (d *demo) plugin(ctx context.Context, args ...string) error {
	d.command("kubectl plumbline " + shell(args))
	cmd := exec.CommandContext(ctx, "bin/plumbline", append(args, "--kubeconfig", d.approves)...) //nolint:gosec // the demo's own arguments
	out, err := cmd.CombinedOutput()
	d.printf("%s", indent(string(out)))
	return err
}

// summary says what was seen.
func (d *demo) summary(ctx context.Context) error {
	d.chapter("7. In sum")
	if err := d.await(ctx, "what was undone is counted as drift", func(answer string) bool { return answer != "0" },
		"get", "guarddutybaseline", "organization", "-o", "jsonpath={.status.drifted}"); err != nil {
		return err
	}
	if err := d.show(ctx, "get", "baselines"); err != nil {
		return err
	}
	writes, err := d.writes(ctx)
	if err != nil {
		return err
	}
	d.say("")
	d.say(fmt.Sprintf("%d changes were made in AWS, each declared, announced and verified. What is left is reported, with its next step.", writes))
	d.say(fmt.Sprintf("The demo took %s.", time.Since(d.began).Round(time.Second)))
	return nil
}

// writes counts the manager's own writing requests.
func (d *demo) writes(ctx context.Context) (int, error) {
	yes := true
	requests, _, err := d.cloud.Requests(ctx, stack.Query{Writes: &yes})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, r := range requests {
		if strings.Contains(r.Principal, "/Plumbline") {
			n++
		}
	}
	return n, nil
}

// drift prints an account's rows as a table.
func (d *demo) drift(ctx context.Context, account string) error {
	const rows = `jsonpath={range .status.drift[*]}{.control}{"\t"}{.region}{"\t"}{.field}{"\t"}{.desired}{"\t"}{.observed}{"\t"}{.reason}{"\n"}{end}`
	d.command("kubectl get awsacct " + account + " -o '" + rows + "' | column -ts $'\\t'")
	out, err := d.kubectl.Run(ctx, "get", "awsacct", account, "-o", rows)
	if err != nil {
		return err
	}
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	if _, err := w.Write([]byte(indent(out))); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	d.printf("%s", table)
	return nil
}

// described is the number of lines that are shown of a long description.
const described = 34

func (d *demo) describe(ctx context.Context, account string) error {
	d.command(fmt.Sprintf("kubectl describe awsacct %s | sed -n '/^  Drift:/,$p' | head -%d", account, described))
	out, err := d.kubectl.Run(ctx, "describe", "awsacct", account)
	if err != nil {
		return err
	}
	_, rows, found := strings.Cut(out, "\n  Drift:")
	if !found {
		return fmt.Errorf("account %s shows no drift", account)
	}
	lines := strings.Split("  Drift:"+rows, "\n")
	d.printf("%s", indent(strings.Join(lines[:min(described, len(lines))], "\n")))
	return nil
}

// changes prints the events of an account's changes.
func (d *demo) changes(ctx context.Context, account string) error {
	return d.show(ctx, "get", "events", "--field-selector=involvedObject.name="+account+",reason=Changed",
		"-o", "custom-columns=REASON:.reason,MESSAGE:.message")
}
