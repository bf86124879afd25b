package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"

	"lsrun/nn"
)

// description is the graph as the other engines' programs read it: an operation is its kind and
// the fields of its Go type.
type description struct {
	Nodes   []nodeDescription `json:"nodes"`
	Entries []entry           `json:"entries"`
}

type nodeDescription struct {
	Kind    string   `json:"kind"`
	Op      nn.Op    `json:"op"`
	Inputs  []int    `json:"inputs"`
	Entries []int    `json:"entries"`
	Shape   nn.Shape `json:"shape"`
}

type entry struct {
	Name  string   `json:"name"`
	Shape nn.Shape `json:"shape"`
}

func describe(g *nn.Graph) description {
	var d description
	for _, n := range g.Nodes {
		node := nodeDescription{Op: n.Op, Inputs: append([]int{}, n.Inputs...), Entries: append([]int{}, n.Entries...), Shape: n.Shape}
		if n.Op != nil {
			node.Kind = n.Op.Kind()
		}
		d.Nodes = append(d.Nodes, node)
	}
	for _, e := range g.Entries {
		d.Entries = append(d.Entries, entry{e.Name, e.Shape})
	}
	return d
}

// write leaves in folder what the other engines' programs read.
func write(folder string, g *nn.Graph, states nn.Params, images *nn.Images) error {
	text, err := json.Marshal(describe(g))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "graph.json"), text, 0o644); err != nil {
		return err
	}
	var tensors []any
	for _, t := range states {
		tensors = append(tensors, t.Data)
	}
	if err := writeRaw(filepath.Join(folder, "states.f32"), tensors...); err != nil {
		return err
	}
	if err := writeRaw(filepath.Join(folder, "images.f32"), images.Pixels); err != nil {
		return err
	}
	return writeRaw(filepath.Join(folder, "labels.i32"), images.Labels)
}

func writeRaw(path string, arrays ...any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, a := range arrays {
		if err := binary.Write(w, binary.LittleEndian, a); err != nil {
			f.Close()
			return err
		}
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
