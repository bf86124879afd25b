package shard

// Plan is the immutable description of a run: every input that can change a number.
// plan.json holds its canonical form (MarshalPlan) and its SHA-256 is the run's plan_id.
// What the words mean is up to the program that fills them in; this package reads only
// Grid, Metrics, Hessian's steps, Work, Kernel and Mix.
type Plan struct {
	Format     int        `json:"format"`    // of plan.json; 2
	Evaluator  int        `json:"evaluator"` // version of the arithmetic, raised by hand
	Network    Network    `json:"network"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Directions Directions `json:"directions"`
	Data       Data       `json:"data"`
	Grid       Grid       `json:"grid"`
	Loss       string     `json:"loss"`
	Metrics    []Metric   `json:"metrics"`
	Hessian    *Hessian   `json:"hessian,omitempty"`
	Work       Work       `json:"work"`
	Device     string     `json:"device"` // "cpu" or "cuda"
	Kernel     string     `json:"kernel"` // the arithmetic that every worker must have
	Precision  string     `json:"precision"`
	Mix        bool       `json:"mix"` // workers with other kernels may join
}

// Network names the architecture.
type Network struct {
	Model   string `json:"model"`
	Classes int    `json:"classes"`
	Input   []int  `json:"input"`
}

// Checkpoint is the trained network that the landscape is drawn around.
type Checkpoint struct {
	File   string `json:"file"`   // base name of what was read
	SHA256 string `json:"sha256"` // of that file
	Theta  string `json:"theta"`  // SHA-256 of RUN/theta.safetensors
	// Verified says whether logits were compared with PyTorch's (lsrun check --logits).
	Verified bool `json:"verified"`
}

// Directions says how the directions were made.
type Directions struct {
	Type   string `json:"type"`   // "weights" or "states"
	Source string `json:"source"` // "random", "checkpoints", "file" or "eigenvectors"
	Seed   uint64 `json:"seed"`
	Index  int    `json:"idx"`
	Same   bool   `json:"same"` // y is x
	File   string `json:"file,omitempty"`
	// Hessian is the one at θ whose eigenvectors they are.
	Hessian *Hessian   `json:"hessian,omitempty"`
	X       Direction  `json:"x"`
	Y       *Direction `json:"y,omitempty"`
	SHA256  string     `json:"sha256"` // of RUN/directions.h5
}

// Direction is one axis's part.
type Direction struct {
	Norm       string      `json:"norm"`
	Ignore     string      `json:"ignore"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"` // whose difference from θ it is
	// Eigenvector is 1, 2, … from the largest eigenvalue down, −1, −2, … from the smallest up; 0 for others.
	Eigenvector int     `json:"eigenvector,omitempty"`
	Eigenvalue  float64 `json:"eigenvalue,omitempty"`
}

// Hessian says how the curvature is computed, and where.
type Hessian struct {
	Parameters     string  `json:"parameters"` // "weights": tensors of more than one dimension; or "all"
	Images         int     `json:"images"`     // of the training images
	Choice         string  `json:"choice"`     // which of them: "balanced", "first" or "all"
	Seed           uint64  `json:"seed"`       // of that choice and of start vectors
	Tolerance      float64 `json:"tolerance"`
	RatioTolerance float64 `json:"ratio_tolerance"` // 0: Tolerance counts
	Products       int     `json:"products"`        // at most, at a point
	TopK           int     `json:"topk"`            // eigenvalues at either end
	TraceProducts  int     `json:"trace_products"`  // that the trace is estimated with; 0 for no trace
	DensitySteps   int     `json:"density_steps"`   // of the process that gives the density; 0 for none
	StepX          int     `json:"step_x"`          // every so many points of the grid in x,
	StepY          int     `json:"step_y"`          // and in y
}

// At reports whether the plan asks for the curvature at point k.
func (h *Hessian) At(g Grid, k int) bool {
	return k%g.X.N%h.StepX == 0 && k/g.X.N%h.StepY == 0
}

// Points is the number of points with curvature.
func (h *Hessian) Points(g Grid) int {
	n := (g.X.N + h.StepX - 1) / h.StepX
	if g.Y != nil {
		n *= (g.Y.N + h.StepY - 1) / h.StepY
	}
	return n
}

// Data is what the losses are means over.
type Data struct {
	Dataset    string    `json:"dataset"`
	Path       string    `json:"path"` // absolute, where it was read
	SHA256     string    `json:"sha256"`
	Train      int       `json:"train"`    // images evaluated, after split and subset; 0 if not used
	TrainOf    int       `json:"train_of"` // images that the set holds, of which Train is a part
	Test       int       `json:"test"`
	TestOf     int       `json:"test_of"`
	Preprocess string    `json:"preprocess"`
	Mean       []float64 `json:"mean,omitempty"`
	Std        []float64 `json:"std,omitempty"`
	Splits     int       `json:"splits"` // the training set is cut into so many parts
	SplitIndex int       `json:"split_idx"`
	Subset     int       `json:"subset"` // 0 for all
	Seed       uint64    `json:"seed"`   // of the subset
	// A file of labels that replace the training set's (random-label studies).
	LabelsFile   string `json:"labels_file,omitempty"`
	LabelsSHA256 string `json:"labels_sha256,omitempty"`
}
