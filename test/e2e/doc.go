// Package e2e tests Plumbline as its users meet it: the real binary, a real Kubernetes API server, kubectl, and AWS as the
// emulator of test/emulator answers it over the wire, an organization of six member accounts in two OUs and three regions.
//
// One control plane and one emulator serve the suite. Each container stages a scene of its own (scene.go): an emulator
// emptied and seeded anew, no object of Plumbline left over, a manager with the flags of the scene. Inside a container the
// specs are a story and run in order.
//
// A spec never sleeps. It waits for a condition, and it claims that something did not happen only after a condition has
// proved that the pass in which it would have happened is over: the account answered the token that asked for the pass
// (scene.recheck), and the emulator's request log then holds no such call. What the emulator answers is Plumbline's own
// model of AWS; test/emulator/README.md says which parts of it are not moto's.
//
// The manager runs with what config/default gives its service account, and no log of a manager may hold a secret, the body
// of a request or answer, or a refusal by the API server (log.go).
//
// Specs with the label "fault" bend the wire and kill the manager; fault.go says how large. `make test-chaos` runs them
// in full.
//
// The files: scene.go stages and strikes a scene, cluster.go is everything about Kubernetes, aws.go the request log and the
// faults, liar.go garbage; encryption.go, buckets.go, roles.go and the like change AWS behind the manager's back. A file
// <subject>_test.go holds the specs of one subject. E2EFLAGS='-ginkgo.focus=exception' picks some; PLUMBLINE_BINARY names another binary than bin/plumbline.
package e2e
