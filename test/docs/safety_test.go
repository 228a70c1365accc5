// Package docs holds tests of what the documentation claims.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// A tested sentence ends with the name of its test in brackets.
var backing = regexp.MustCompile(`\[((?:Test\w+)|(?:[^\[\]]+: [^\[\]]+))\]$`)

func TestEverySentenceOfSafetyNamesATestThatExists(t *testing.T) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "safety.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := tests(t, root)
	section, sentences := "", 0
	for _, item := range items(string(text)) {
		if strings.HasPrefix(item, "## ") {
			section = item
			continue
		}
		m := backing.FindStringSubmatch(item)
		switch {
		case section == "## What it cannot promise":
			if m != nil {
				t.Errorf("a limit that is tested is a promise: %s", item)
			}
		case m == nil:
			t.Errorf("no test backs the sentence: %s", item)
		case !known[m[1]]:
			t.Errorf("there is no test %q, which backs: %s", m[1], item)
		default:
			sentences++
		}
	}
	if sentences < 40 {
		t.Errorf("only %d sentences were found; has the form of the document changed?", sentences)
	}
}

// items are the headings and the list items of a document, each on one line.
func items(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "), strings.HasPrefix(line, "- "):
			all = append(all, line)
		case strings.HasPrefix(line, "  ") && len(all) > 0:
			all[len(all)-1] += " " + strings.TrimSpace(line)
		}
	}
	return all
}

// tests are the names of the tests there are: "TestX", and "Container: spec" of Ginkgo's.
func tests(t *testing.T, root string) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				known[f.Name.Name] = true
			}
		}
		specs(file, known)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// specs adds the specs of a file, each with the container that it stands in.
func specs(file *ast.File, known map[string]bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		container, body := call(n, "Describe")
		if body == nil {
			return true
		}
		ast.Inspect(body, func(n ast.Node) bool {
			if spec, of := call(n, "It"); of != nil {
				known[container+": "+spec] = true
			}
			return true
		})
		return true
	})
}

// call is the first argument, a literal, of a call of the function, and the call itself; nil where the node is none.
func call(n ast.Node, function string) (string, *ast.CallExpr) {
	c, ok := n.(*ast.CallExpr)
	if !ok || len(c.Args) == 0 {
		return "", nil
	}
	name, isName := c.Fun.(*ast.Ident)
	text, isText := c.Args[0].(*ast.BasicLit)
	if !isName || name.Name != function || !isText || text.Kind != token.STRING {
		return "", nil
	}
	value, err := strconv.Unquote(text.Value)
	if err != nil {
		return "", nil
	}
	return value, c
}
