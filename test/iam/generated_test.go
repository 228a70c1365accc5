package iam

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	folder := t.TempDir()
	stale := filepath.Join(folder, "config/iam/policies/enforce-nothing.json")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	byHand := filepath.Join(folder, "config/iam/README.md")
	if err := os.WriteFile(byHand, []byte("by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "generate")
	build := exec.Command("go", "build", "-o", binary, "./hack/generate")
	build.Dir = repository(t, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the generator: %v\n%s", err, out)
	}
	generate := func() {
		if out, err := exec.Command(binary, "-root", folder).CombinedOutput(); err != nil {
			t.Fatalf("generating: %v\n%s", err, out)
		}
	}
	generate()
	made := contents(t, folder)

	t.Run("what the generator makes is what is committed", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(made)) {
			if name == "config/iam/README.md" {
				continue
			}
			if diff := cmp.Diff(read(t, name), made[name]); diff != "" {
				t.Errorf("%s is stale; run make generate (-present +generated):\n%s", name, diff)
			}
		}
		for _, pattern := range []string{"config/iam/*.json", "config/iam/policies/*", "config/iam/*.yaml", "config/events/*.*",
			"config/events/patterns/*"} {
			present, err := filepath.Glob(repository(t, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range present {
				name, err := filepath.Rel(repository(t, "."), file)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := made[filepath.ToSlash(name)]; !ok {
					t.Errorf("%s is not made any more; run make generate", name)
				}
			}
		}
	})
	t.Run("a file that is not made any more is removed, one written by hand is left", func(t *testing.T) {
		if _, err := os.Stat(stale); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", stale, err)
		}
		if made["config/iam/README.md"] != "by hand" {
			t.Error("a file that is not the generator's was changed")
		}
	})
	t.Run("running it again writes nothing", func(t *testing.T) {
		before := times(t, folder)
		generate()
		if diff := cmp.Diff(before, times(t, folder)); diff != "" {
			t.Errorf("times of writing (-first +second):\n%s", diff)
		}
	})
}

// contents are the files below a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	walk(t, folder, func(name, file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	})
	return all
}

func times(t *testing.T, folder string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	walk(t, folder, func(name, file string) {
		about, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = about.ModTime().UnixNano()
	})
	return all
}

func walk(t *testing.T, folder string, visit func(name, file string)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, file)
		visit(filepath.ToSlash(name), file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryControlIsDocumented(t *testing.T) {
	doc := read(t, "docs/controls.md")
	for _, c := range controls.Catalogue() {
		for what, text := range map[string]string{
			"a section of its own": "\n### " + c.ID + "\n", "its text": c.Doc, "its title": c.Title,
			"the field that declares it": "| [" + c.ID + "](#" + c.ID + ") | `",
		} {
			if !strings.Contains(doc, text) {
				t.Errorf("docs/controls.md lacks %s of %s", what, c.ID)
			}
		}
		for _, action := range slices.Concat(c.Reads, c.Writes, c.Grants) {
			if !strings.Contains(doc, "`"+action+"`") {
				t.Errorf("docs/controls.md lacks %s of %s", action, c.ID)
			}
		}
		for framework := range c.Frameworks {
			if !strings.Contains(doc, "\n### "+framework+"\n") {
				t.Errorf("docs/controls.md has no table of %s", framework)
			}
		}
	}
}
