package planning

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const (
	organizationYAML = "apiVersion: plumbline.dev/v1alpha1\nkind: AWSOrganization\nmetadata: {name: main}\nspec: {managementAccount: \"123456789012\"}\n"
	s3YAML           = "apiVersion: plumbline.dev/v1alpha1\nkind: S3Baseline\nmetadata: {name: organization}\nspec: {defaultEncryption: {state: Enabled, algorithm: AES256}}\n"
)

// keys are the objects that text decodes to, and the lines of the error.
func keys(t *testing.T, text string) (objects, problems []string) {
	t.Helper()
	m, err := decode(context.Background(), split("f.yaml", []byte(text)), controls.Kinds())
	if err != nil {
		return nil, strings.Split(err.Error(), "\n")
	}
	if m.organization != nil {
		objects = append(objects, "AWSOrganization/"+m.organization.Name)
	}
	for _, a := range m.accounts {
		objects = append(objects, "AWSAccount/"+a.Name)
	}
	for _, x := range m.exceptions {
		objects = append(objects, "BaselineException/"+x.Name)
	}
	for _, b := range m.baselines {
		objects = append(objects, b.GetObjectKind().GroupVersionKind().Kind+"/"+b.GetName())
	}
	return append(objects, m.skipped...), nil
}

func TestWhatIsRight(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"several documents, comments and empty ones between them": {
			"# about\n---\n" + organizationYAML + "--- # next\n\n---\n" + s3YAML, []string{"AWSOrganization/main", "S3Baseline/organization"}},
		"a list, as kubectl get -o yaml prints it": {
			"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(s3YAML), "\n", "\n  ") + "\n", []string{"S3Baseline/organization"}},
		"what the API server adds, and a status, which is not read": {
			strings.Replace(s3YAML, "{name: organization}", "{name: organization, uid: u, resourceVersion: \"1\", managedFields: []}", 1) + "status: {from: another version}\n",
			[]string{"S3Baseline/organization"}},
		"a kustomization is passed over": {
			s3YAML + "---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
			[]string{"S3Baseline/organization", "f.yaml:6 (document 2): Kustomization is not read; name the files or folders that it names"}},
		"nothing": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := keys(t, tc.text)
			same(t, "problems", []string(nil), problems)
			same(t, "objects", tc.want, got)
		})
	}
}

func TestWhatIsWrongIsSaidWithItsPlace(t *testing.T) {
	const kinds = "AWSOrganization, AWSAccount, BaselineException, GuardDutyBaseline, CloudTrailBaseline, S3Baseline, IAMBaseline, EncryptionBaseline"
	const explain = " — kubectl explain s3baseline.spec says what there is"
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"YAML that is none": {"a: b: c", []string{
			"f.yaml:1 (document 1): it is no YAML: mapping values are not allowed in this context (lines counted within the document)"}},
		"a field that stands twice": {"apiVersion: v1\nkind: A\nkind: B", []string{
			`f.yaml:1 (document 1): it is no YAML: unmarshal errors:`, `  line 3: key "kind" already set in map (lines counted within the document)`}},
		"no object": {"- 1", []string{
			"f.yaml:1 (document 1): it is no Kubernetes object: it needs apiVersion: plumbline.dev/v1alpha1, kind and metadata"}},
		"another's kind": {s3YAML + "---\napiVersion: v1\nkind: ConfigMap", []string{
			"f.yaml:6 (document 2): v1 ConfigMap is not Plumbline's: a plan reads " + kinds + " of apiVersion plumbline.dev/v1alpha1; leave out what else the file holds"}},
		"a kind that there is not": {"apiVersion: plumbline.dev/v1alpha1\nkind: S3Baselines", []string{
			`f.yaml:1 (document 1): there is no kind "S3Baselines" that a plan reads: it is one of ` + kinds}},
		"an unknown field, and one of another case": {strings.Replace(s3YAML, "state: Enabled", "State: Enabled, state: Enabled, algo: x", 1), []string{
			`f.yaml:1 (document 1): S3Baseline/organization: unknown field "spec.defaultEncryption.State"` + explain,
			`f.yaml:1 (document 1): S3Baseline/organization: unknown field "spec.defaultEncryption.algo"` + explain}},
		"a value that is none of those that there are": {strings.Replace(s3YAML, "AES256", "DES", 1), []string{
			`f.yaml:1 (document 1): S3Baseline/organization: spec.defaultEncryption.algorithm: Unsupported value: "DES": supported values: "AES256", "aws:kms", "aws:kms:dsse"` + explain}},
		"an id that is a number": {strings.ReplaceAll(organizationYAML, `"`, ""), []string{
			`f.yaml:1 (document 1): AWSOrganization/main: spec.managementAccount: Invalid value: "integer": spec.managementAccount in body must be of type string: "integer" — kubectl explain awsorganization.spec says what there is`}},
		"a rule of the kind": {strings.Replace(s3YAML, "spec: {", "spec: {mode: Enforce, ", 1), []string{
			"f.yaml:1 (document 1): S3Baseline/organization: spec: mode: Enforce needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}" + explain}},
		"no name": {strings.Replace(s3YAML, "name: organization", "", 1), []string{
			`f.yaml:1 (document 1): S3Baseline/: metadata.name: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')` + explain}},
		"the same object twice": {s3YAML + "---\n" + s3YAML, []string{
			"f.yaml:6 (document 2): S3Baseline/organization stands in f.yaml:1 (document 1) already; leave one of them out"}},
		"two organizations": {organizationYAML + "---\n" + strings.Replace(organizationYAML, "main", "second", 1), []string{
			"f.yaml:6 (document 2): AWSOrganization/second: there can be one, and AWSOrganization/main is there already; leave one of them out"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := keys(t, tc.text)
			same(t, "problems", tc.want, got)
		})
	}
}

func TestTheSamplesAreRight(t *testing.T) {
	documents, err := read([]string{"../../config/samples"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(context.Background(), documents, controls.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "baselines", 5, len(m.baselines))
}

func TestFilesAreReadInOrderAndFoldersWhole(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yaml": "b: 1", "a/c.yml": "c: 1\n---\nd: 1", "a/.git/x.yaml": "x: 1", "readme.md": "#"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	documents, err := read([]string{"-", dir}, strings.NewReader("in: 1"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range documents {
		got = append(got, strings.TrimPrefix(d.where(), dir+"/"))
	}
	same(t, "documents", []string{"standard input:1 (document 1)", "a/c.yml:1 (document 1)", "a/c.yml:3 (document 2)", "b.yaml:1 (document 1)"}, got)

	empty := t.TempDir()
	_, err = read([]string{empty}, nil)
	same(t, "a folder without YAML", "-f "+empty+": there is no *.yaml or *.yml in it or below", err.Error())
	_, err = read([]string{"nowhere"}, nil)
	same(t, "what is not there", "-f nowhere: stat nowhere: no such file or directory", err.Error())
}
