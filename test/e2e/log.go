package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// eventsWithin is how long an event may take to be written: they are sent beside the work.
const eventsWithin = 20 * time.Second

// logged are the lines of a manager's log with this message.
func logged(path, message string) []map[string]any {
	GinkgoHelper()
	content, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	var found []map[string]any
	for line := range strings.Lines(string(content)) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// forbidden is how the API server refuses.
const forbidden = "is forbidden: User"

// neverLogged is what no line of a manager's log may hold.
var neverLogged = []string{
	"SecretAccessKey", "SessionToken", "FwoGZXIvYXdzE", "X-Amz-Security-Token", "aws_secret", "AWS4-HMAC", // credentials
	"<?xml", "Response>", `\"Statement\"`, "Action=", "@example.com", // bodies of requests and answers
	forbidden, // what the manager's own role in the cluster does not allow
	"panic",
}

// expectCleanLog is asked of every scene when it is over.
func expectCleanLog(path string, allowed ...string) {
	GinkgoHelper()
	content, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(content)) {
		for _, text := range neverLogged {
			if slices.Contains(allowed, text) {
				continue
			}
			Expect(line).NotTo(ContainSubstring(text), path)
		}
	}
}
