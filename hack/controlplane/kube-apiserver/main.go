// Command kube-apiserver is the Kubernetes API server; it only ends together with the test that started it. The version
// it reports is set by the linker.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	"github.com/plumbline-dev/plumbline/hack/controlplane/lifeline"
)

func main() {
	lifeline.Hold()
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
