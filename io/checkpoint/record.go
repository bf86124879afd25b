package checkpoint

import (
	"math"
	"strconv"
)

// accuracyKeys are the names under which training scripts record an accuracy, best first.
var accuracyKeys = []string{
	"acc", "best_acc", "best_prec1", "best_acc1", "prec1", "acc1", "top1", "best_top1", "accuracy",
	"best_accuracy", "test_acc", "test_accuracy", "val_acc", "val_accuracy", "valid_acc", "best_val_acc",
}

// record takes epoch and accuracy from a training script's notes.
func (f *File) record(value func(key string) (float64, bool)) {
	if e, ok := value("epoch"); ok && e == math.Trunc(e) && math.Abs(e) < 1e9 {
		epoch := int(e)
		f.Epoch = &epoch
	}
	for _, key := range accuracyKeys {
		a, ok := value(key)
		if !ok || !(a >= 0 && a <= 100) {
			continue
		}
		if a > 0 && a <= 1 {
			a *= 100
			f.note("the recorded %s is a fraction: read as %.4g %%", key, a)
		}
		f.Accuracy = &a
		return
	}
}

// readRecord takes the record from the mapping around the state dict. An accuracy can be
// a number, a NumPy scalar or a tensor of one element.
func (f *File) readRecord(root any, load func(*storage) ([]byte, error)) (err error) {
	f.record(func(key string) (float64, bool) {
		switch v := item(root, key).(type) {
		case int:
			return float64(v), true
		case float64:
			return v, true
		case *tensor:
			n, bad := v.check()
			if bad != nil || n != 1 {
				return 0, false
			}
			raw, bad := load(v.storage)
			if bad != nil {
				err = bad
				return 0, false
			}
			one := make([]float32, 1)
			v.gather(one, v.dtype.floats(raw))
			return float64(one[0]), true
		}
		return 0, false
	})
	return err
}

// readMetadata takes the record from safetensors' texts.
func (f *File) readMetadata() {
	f.record(func(key string) (float64, bool) {
		v, err := strconv.ParseFloat(f.Metadata[key], 64)
		return v, err == nil
	})
}
