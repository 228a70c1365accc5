// Command golangci-lint is golangci-lint with one more linter built in: kubeapilinter, which holds the kinds in api/ to
// the conventions of Kubernetes APIs. A plugin can only be added when the program is built.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter" // adds itself to the linters
)

func main() {
	info := commands.BuildInfo{Version: "unknown", GoVersion: "unknown", Commit: "?", Date: "?"}
	if build, ok := debug.ReadBuildInfo(); ok {
		info.GoVersion = build.GoVersion
		for _, module := range build.Deps {
			if module.Path == "github.com/golangci/golangci-lint/v2" {
				info.Version = module.Version
			}
		}
	}
	if err := commands.Execute(info); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitcodes.Failure)
	}
}
