// Command etcd is the data store behind the API server; it only ends together with the test that started it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/plumbline-dev/plumbline/hack/controlplane/lifeline"
)

func main() {
	lifeline.Hold()
	etcdmain.Main(os.Args)
}
