package nn

import "fmt"

// Images is a labelled set of pictures (or vectors) as the network sees them, after
// preprocessing.
type Images struct {
	Shape  Shape     // of one image
	Pixels []float32 // N × Shape, row-major
	Labels []int32   // N
}

// Len is the number of images.
func (s *Images) Len() int { return len(s.Labels) }

// Check returns an error unless every image fits g's input and every label its classes.
func (s *Images) Check(g *Graph) error {
	if s.Len() == 0 {
		return fmt.Errorf("the data set holds no images")
	}
	if !s.Shape.Equal(g.Input) {
		return fmt.Errorf("the images are %v, but %s takes %v", s.Shape, g.Name, g.Input)
	}
	if want := s.Len() * s.Shape.Size(); len(s.Pixels) != want {
		return fmt.Errorf("the data set holds %d values, but %d images of %v have %d", len(s.Pixels), s.Len(), s.Shape, want)
	}
	for i, l := range s.Labels {
		if l < 0 || int(l) >= g.Classes {
			return fmt.Errorf("image %d has label %d, but %s tells %d classes apart (0…%d)", i, l, g.Name, g.Classes, g.Classes-1)
		}
	}
	return nil
}
