package planning

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// document is one YAML document.
type document struct {
	// file is where it stands, "standard input" for what was piped in, line its first line and number the document's, from 1.
	file         string
	line, number int
	text         []byte
}

func (d document) where() string { return fmt.Sprintf("%s:%d (document %d)", d.file, d.line, d.number) }

// stdin is the name of a file that is read from standard input.
const stdin = "-"

// read reads all documents of files and folders, in order.
func read(names []string, in io.Reader) ([]document, error) {
	var all []document
	for _, name := range names {
		if name == stdin {
			text, err := io.ReadAll(in)
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			all = append(all, split("standard input", text)...)
			continue
		}
		files, err := find(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // the user names it
			if err != nil {
				return nil, err
			}
			all = append(all, split(file, text)...)
		}
	}
	return all, nil
}

// endings are those of the files in a folder that are read.
var endings = []string{".yaml", ".yml"}

// find is the file itself, or the YAML files in a folder and below it.
func find(name string) ([]string, error) {
	about, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("-f %s: %w", name, err)
	}
	if !about.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != name && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains(endings, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("-f %s: %w", name, err)
	case len(files) == 0:
		return nil, fmt.Errorf("-f %s: there is no *.yaml or *.yml in it or below", name)
	}
	slices.Sort(files)
	return files, nil
}

// split splits a file into its documents. One without anything but comments does not count.
func split(file string, text []byte) []document {
	var all []document
	current := document{file: file}
	end := func() {
		if current.line > 0 {
			current.number = len(all) + 1
			all = append(all, current)
		}
		current = document{file: file}
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		bare := strings.TrimSpace(string(line))
		if rest, cut := bytes.CutPrefix(line, []byte("---")); cut && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0]))) {
			end()
			continue
		}
		if current.line == 0 && bare != "" && !strings.HasPrefix(bare, "#") {
			current.line = n
		}
		current.text = append(current.text, line...)
	}
	end()
	return all
}
