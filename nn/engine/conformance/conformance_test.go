package conformance

import (
	"testing"

	"lsrun/nn/ref"
)

func TestTheReferencePassesItsOwnSuite(t *testing.T) { Run(t, 1e-12, ref.New) }
