package controls

import (
	"testing"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestTheCatalogueIsConsistent(t *testing.T) {
	if err := control.Validate(Catalogue()); err != nil {
		t.Fatal(err)
	}
}
