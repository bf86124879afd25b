package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// wrapperKeys are the keys under which training scripts keep the state dict (or the whole
// module), best first. Where several hold one the first is taken, and a note says so.
var wrapperKeys = []string{
	"state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net", "network",
	"module", "params", "weights", "params_ema", "state_dict_ema", "ema_state_dict", "model_ema", "ema",
}

// wrapperPrefixes are what DataParallel, torch.compile and Lightning put before names.
var wrapperPrefixes = []string{"module.", "_orig_mod.", "model.", "net.", "network."}

// maxNesting bounds wrappers in wrappers, maxDepth modules in modules.
const (
	maxNesting = 2
	maxDepth   = 100
)

// entry is a tensor of a state dict, its values still in the file.
type entry struct {
	name   string
	tensor *tensor
}

// findStates lists the entries of the state dict in root and notes where it was.
func (f *File) findStates(root any, limit *budget) ([]entry, error) {
	found, where := locateStates(f, root, nil)
	if found == nil {
		return nil, errNoStates(root)
	}
	if len(where) > 0 {
		f.note("the state dict is the one under %s", strings.Join(where, " → "))
	}
	var entries []entry
	var err error
	if isModule(found) {
		f.note("a whole module was saved (class %v); its parameters and buffers were taken", found)
		entries, err = walkModule(nil, "", found, 0, limit)
	} else {
		entries, err = f.tensorsOf(found)
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.name
	}
	if i := slices.Index(names, "n_averaged"); i >= 0 && len(names) > 1 { // AveragedModel's counter
		entries, names = slices.Delete(entries, i, i+1), slices.Delete(names, i, i+1)
		f.note("entry n_averaged left out: the weights are an average (AveragedModel)")
	}
	f.noteNames(names)
	for i, name := range names {
		entries[i].name = name
	}
	return entries, nil
}

// noteNames strips the wrappers' prefixes from names and notes what is particular.
func (f *File) noteNames(names []string) {
	if prefix := stripPrefixes(names); prefix != "" {
		f.note("prefix %s removed from every entry", prefix)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		seen[name] = true
	}
	for _, name := range names {
		if of, ok := strings.CutSuffix(name, "running_mean"); ok && !seen[of+batchCounter] {
			f.note("there is no %s, as before PyTorch 0.4.1: it is taken as 0", batchCounter)
			break
		}
	}
}

// stripPrefixes removes the prefixes of wrappers that all names share, and returns them.
func stripPrefixes(names []string) string {
	removed := ""
	for again := len(names) > 0; again; {
		again = false
		for _, prefix := range wrapperPrefixes {
			if slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) }) {
				continue
			}
			for i := range names {
				names[i] = names[i][len(prefix):]
			}
			removed += prefix
			again = true
		}
	}
	return removed
}

// locateStates finds the mapping or module that is the state dict, and the keys above it.
func locateStates(f *File, v any, above []string) (found any, where []string) {
	if isModule(v) {
		return v, above
	}
	items, _ := pairs(v)
	if len(above) < maxNesting {
		for _, key := range wrapperKeys {
			inner := item(v, key)
			if inner == nil {
				continue
			}
			below := slices.Concat(above, []string{key})
			if found == nil {
				found, where = locateStates(f, inner, below)
			} else if other, _ := locateStates(f, inner, below); other != nil {
				f.note("%s holds a state dict too, which is not used", key)
			}
		}
	}
	if found != nil {
		return found, where
	}
	var others []string
	for _, e := range items {
		if key, ok := e.Key.(string); ok && (isModule(e.Value) || holdsTensors(e.Value)) {
			others = append(others, key)
			found = e.Value
		}
	}
	if len(others) == 1 {
		return found, slices.Concat(above, others)
	}
	if len(others) == 0 && holdsTensors(v) {
		return v, above
	}
	return nil, nil
}

// errNoStates says what a checkpoint has instead of a state dict.
func errNoStates(root any) error {
	items, ok := pairs(root)
	if !ok {
		return fmt.Errorf("it holds %s instead of a state dict: %s", describe(root), saveStateDict)
	}
	var keys []string
	for _, e := range items {
		if key, ok := e.Key.(string); ok {
			keys = append(keys, fmt.Sprintf("%.40q (%s)", key, describe(e.Value)))
		}
	}
	return fmt.Errorf("it holds no state dict, or several under unknown keys; its names are: %s. "+
		"Save one with torch.save(model.state_dict(), path)", strings.Join(capped(keys), ", "))
}

// holdsTensors reports whether v is a mapping of names in which there is a tensor.
func holdsTensors(v any) bool {
	items, _ := pairs(v)
	some := false
	for _, e := range items {
		if _, ok := e.Key.(string); !ok {
			return false
		}
		_, ok := e.Value.(*tensor)
		some = some || ok || isRebuilt(e.Value)
	}
	return some
}

// isRebuilt reports whether v is a tensor of a kind that is not supported.
func isRebuilt(v any) bool {
	o, ok := v.(*inert)
	return ok && o.module == "torch._utils" && strings.HasPrefix(o.name, "_rebuild_")
}

// tensorsOf lists the tensors of a mapping and notes what else is in it.
func (f *File) tensorsOf(mapping any) ([]entry, error) {
	items, _ := pairs(mapping)
	var entries []entry
	var left []string
	for _, e := range items {
		name := e.Key.(string) // holdsTensors saw to it
		t, err := asTensor(name, e.Value)
		if err != nil {
			return nil, err
		}
		if t == nil {
			left = append(left, fmt.Sprintf("%.40q (%s)", name, describe(e.Value)))
			continue
		}
		entries = append(entries, entry{name, t})
	}
	if len(left) > 0 {
		f.note("no tensors, left out: %s", strings.Join(capped(left), ", "))
	}
	return entries, unique(entries)
}

// asTensor is v if it is a tensor, nil if it is something else, or an error if it is a
// tensor of a kind that has no dense values.
func asTensor(name string, v any) (*tensor, error) {
	if isRebuilt(v) {
		return nil, fmt.Errorf("entry %s is a tensor of a special kind (%v): save it dense, in floating point and on a device", name, v)
	}
	t, _ := v.(*tensor)
	return t, nil
}

func unique(entries []entry) error {
	if len(entries) == 0 {
		return errors.New("its state dict is empty: " + saveStateDict)
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if seen[e.name] {
			return fmt.Errorf("entry %s occurs twice: the file is damaged", e.name)
		}
		seen[e.name] = true
	}
	return nil
}

// isModule reports whether v is an instance of a class derived from nn.Module.
func isModule(v any) bool {
	o, ok := v.(*inert)
	return ok && item(o.state, "_modules") != nil && item(o.state, "_parameters") != nil
}

// walkModule appends what module.state_dict() would list: its parameters, its persistent
// buffers, then its children's.
func walkModule(entries []entry, prefix string, module any, depth int, limit *budget) ([]entry, error) {
	if depth > maxDepth {
		return nil, errors.New("its modules are nested without end: the file is damaged")
	}
	state := module.(*inert).state
	transient := members(item(state, "_non_persistent_buffers_set"))
	for _, kind := range []string{"_parameters", "_buffers"} {
		items, _ := pairs(item(state, kind))
		for _, e := range items {
			key, _ := e.Key.(string)
			// A module can be its own descendant many times over.
			if err := limit.spend(int64(64 + len(prefix) + len(key))); err != nil {
				return nil, err
			}
			if kind == "_buffers" && transient[key] {
				continue
			}
			t, err := asTensor(prefix+key, e.Value)
			if err != nil {
				return nil, err
			}
			if t != nil {
				entries = append(entries, entry{prefix + key, t})
			}
		}
	}
	children, _ := pairs(item(state, "_modules"))
	for _, e := range children {
		key, _ := e.Key.(string)
		if !isModule(e.Value) {
			continue
		}
		if err := limit.spend(int64(64 + len(prefix) + len(key))); err != nil {
			return nil, err
		}
		var err error
		if entries, err = walkModule(entries, prefix+key+".", e.Value, depth+1, limit); err != nil {
			return nil, err
		}
	}
	if depth == 0 {
		return entries, unique(entries)
	}
	return entries, nil
}
