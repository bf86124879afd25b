package conformance

import (
	"testing"

	"lsrun/nn/ref"
)

func TestTheReferencePassesItsOwnSuite(t *testing.T) { Run(t, 1e-12, ref.New) }

func TestTheReferencePassesItsOwnSuiteOfDerivatives(t *testing.T) { RunDerivatives(t, 1e-10, ref.New) }

func TestTheReferencePassesItsOwnSuiteOfTraining(t *testing.T) { RunTraining(t, 1e-12, ref.New) }
