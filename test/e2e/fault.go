package e2e

import (
	"fmt"
	"os"
	"strconv"
)

// The fault tests (label "fault") run in two sizes: small within the suite, and as large as `make test-chaos` says by these
// variables. The code is the same; only what takes minutes even when it is small (label "chaos") is left to `make test-chaos`.
var chaos = struct {
	// kills is how often the manager is killed at random points: PLUMBLINE_CHAOS_KILLS.
	kills int
	// seconds is how long each sort of weather lasts at least, in seconds: PLUMBLINE_CHAOS_SECONDS.
	seconds int
	// seed makes the dice fall as in a run that failed: PLUMBLINE_CHAOS_SEED.
	seed int
}{number("PLUMBLINE_CHAOS_KILLS", 6), number("PLUMBLINE_CHAOS_SECONDS", 1), number("PLUMBLINE_CHAOS_SEED", 1)}

// number is a variable of the environment; what is no number fails before anything starts.
func number(name string, otherwise int) int {
	v, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(fmt.Sprintf("%s=%q: %v", name, v, err))
	}
	return n
}
