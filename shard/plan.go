package shard

// Plan is the immutable description of a run: every input that can change a number.
// plan.json holds its canonical form (MarshalPlan) and its SHA-256 is the run's plan_id.
// What the words mean is up to the program that fills them in; this package reads only
// Grid, Metrics, UnitPoints, Kernel and Mix.
type Plan struct {
	Format     int        `json:"format"`    // of plan.json; 1
	Evaluator  int        `json:"evaluator"` // version of the arithmetic, raised by hand
	Network    Network    `json:"network"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Directions Directions `json:"directions"`
	Data       Data       `json:"data"`
	Grid       Grid       `json:"grid"`
	Loss       string     `json:"loss"`
	Metrics    []Metric   `json:"metrics"`
	UnitPoints int        `json:"unit_points"` // points a unit; the last one may have fewer
	Device     string     `json:"device"`      // "cpu" or "cuda"
	Kernel     string     `json:"kernel"`      // the arithmetic that every worker must have
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
	Type   string     `json:"type"`   // "weights" or "states"
	Source string     `json:"source"` // "random", "checkpoints" or "file"
	Seed   uint64     `json:"seed"`
	Index  int        `json:"idx"`
	Same   bool       `json:"same"` // y is x
	File   string     `json:"file,omitempty"`
	X      Direction  `json:"x"`
	Y      *Direction `json:"y,omitempty"`
	SHA256 string     `json:"sha256"` // of RUN/directions.h5
}

// Direction is one axis's part.
type Direction struct {
	Norm       string      `json:"norm"`
	Ignore     string      `json:"ignore"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"` // whose difference from θ it is
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
