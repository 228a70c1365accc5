// Package crd holds the custom resource definitions, so that a program can judge manifests as the API server does.
package crd

import "embed"

// Bases are the generated definitions, below bases/.
//
//go:embed bases/*.yaml
var Bases embed.FS
