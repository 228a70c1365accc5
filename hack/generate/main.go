// Generate writes what is made from the controls: docs/controls.md, under config/iam the policies, the templates of the member
// roles and the service control policies, and under config/events what the event queue is set up with. Nothing in it names a
// control; a new kind or a new control needs no change here.
//
// It writes only files whose content changes and removes those that it no longer makes, so that running it twice changes
// nothing.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func main() {
	root := flag.String("root", ".", "the folder to write into: the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	kinds := controls.Kinds()
	if err := control.Validate(controls.Catalogue()); err != nil {
		return err
	}
	made, err := generate(kinds)
	if err != nil {
		return err
	}
	return sync(root, made)
}

// files are contents by path below the root.
type files map[string][]byte

// owned are the paths that are all the generator's: a file there that it does not make is stale.
var owned = []string{
	"docs/controls.md", "config/iam/*.json", "config/iam/policies/*", "config/iam/member-roles.yaml",
	"config/iam/terraform/policies.tf", "config/events/*.json", "config/events/*.yaml",
	"config/events/patterns/*",
}

// generate makes every file.
func generate(kinds []control.Kind) (files, error) {
	made := files{"docs/controls.md": controlsDoc(kinds)}
	for _, add := range []func(files, []control.Kind) error{addPolicies, addOthers, addCloudFormation, addTerraform, addEvents} {
		if err := add(made, kinds); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// sync brings the folder into line with what was made.
func sync(root string, made files) error {
	for _, pattern := range owned {
		present, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, path := range present {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if _, wanted := made[filepath.ToSlash(name)]; wanted {
				continue
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("removing a stale file: %w", err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if err := write(filepath.Join(root, filepath.FromSlash(name)), made[name]); err != nil {
			return err
		}
	}
	return nil
}

// write leaves a file alone that has the content already.
func write(path string, content []byte) error {
	present, err := os.ReadFile(path)
	if err == nil && bytes.Equal(present, content) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading what is there: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // a file of the repository
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
