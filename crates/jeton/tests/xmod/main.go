// Verifies exports of a log with golang.org/x/mod/sumdb/{note,tlog}, which nobody here wrote.
//
// main DIR: reads checkpoint, vkey and tile/ as c2sp.org/tlog-tiles has them, and proofs.json, which holds what jeton proved.
// It prints "ok SIZE" as its last line, or says what is wrong and ends with status 1.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The same tiles under the names of tlog-tiles: the height is fixed there, and data is called entries.
func path(dir string, t tlog.Tile) string {
	name := strings.TrimPrefix(t.Path(), "tile/8/")
	if t.L == -1 {
		name = "entries/" + strings.TrimPrefix(name, "data/")
	}
	return filepath.Join(dir, "tile", name)
}

type reader struct{ dir string }

func (r reader) Height() int { return 8 }

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(path(r.dir, t))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		if i < 0 || i >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d", i)
		}
		out = append(out, s[i])
	}
	return out, nil
}

type proofs struct {
	Inclusion []struct {
		Index int64
		Path  []string
	}
	Consistency []struct {
		Old  int64
		Path []string
	}
}

func hashes(texts []string) ([]tlog.Hash, error) {
	out := []tlog.Hash{}
	for _, text := range texts {
		h, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func head(dir string) (tlog.Tree, error) {
	var tree tlog.Tree
	key, err := os.ReadFile(filepath.Join(dir, "vkey"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return tree, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("the checkpoint has other lines: %q", lines)
	}
	if _, err := fmt.Sscanf(lines[1], "%d", &tree.N); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		return tree, err
	}
	copy(tree.Hash[:], root)
	return tree, nil
}

// Every entry, hashed into a tree of our own, against the hash that the tiles give for it.
func entries(dir string, tree tlog.Tree, tiles tlog.HashReader) (stored, error) {
	var own stored
	for first := int64(0); first < tree.N; first += 256 {
		width := tree.N - first
		if width > 256 {
			width = 256
		}
		bundle, err := os.ReadFile(path(dir, tlog.Tile{H: 8, L: -1, N: first / 256, W: int(width)}))
		if err != nil {
			return nil, err
		}
		var indexes []int64
		for i := int64(0); i < width; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+i))
		}
		told, err := tiles.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("entry %d is cut off", first+i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2:end]
			bundle = bundle[end:]
			if tlog.RecordHash(entry) != told[i] {
				return nil, fmt.Errorf("entry %d has another hash than the tile says", first+i)
			}
			more, err := tlog.StoredHashes(first+i, entry, own)
			if err != nil {
				return nil, err
			}
			own = append(own, more...)
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("bundle %d goes on", first/256)
		}
	}
	return own, nil
}

func prove(dir string, tree tlog.Tree, own stored, tiles tlog.HashReader) error {
	text, err := os.ReadFile(filepath.Join(dir, "proofs.json"))
	if err != nil {
		return err
	}
	var all proofs
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for _, p := range all.Inclusion {
		theirs, err := hashes(p.Path)
		if err != nil {
			return err
		}
		ours, err := tlog.ProveRecord(tree.N, p.Index, tiles)
		if err != nil {
			return err
		}
		leaf := own[tlog.StoredHashIndex(0, p.Index)]
		if err := tlog.CheckRecord(theirs, tree.N, tree.Hash, p.Index, leaf); err != nil {
			return fmt.Errorf("the proof of %d: %v", p.Index, err)
		}
		if len(ours)+len(theirs) > 0 && !reflect.DeepEqual([]tlog.Hash(ours), theirs) {
			return fmt.Errorf("the proof of %d is another", p.Index)
		}
	}
	for _, p := range all.Consistency {
		theirs, err := hashes(p.Path)
		if err != nil {
			return err
		}
		ours, err := tlog.ProveTree(tree.N, p.Old, tiles)
		if err != nil {
			return err
		}
		old, err := tlog.TreeHash(p.Old, own)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(theirs, tree.N, tree.Hash, p.Old, old); err != nil {
			return fmt.Errorf("the proof from %d: %v", p.Old, err)
		}
		if len(ours)+len(theirs) > 0 && !reflect.DeepEqual([]tlog.Hash(ours), theirs) {
			return fmt.Errorf("the proof from %d is another", p.Old)
		}
	}
	if len(all.Inclusion) == 0 {
		return fmt.Errorf("nothing was to be proved")
	}
	return nil
}

func verify(dir string) (tlog.Tree, error) {
	tree, err := head(dir)
	if err != nil {
		return tree, err
	}
	tiles := tlog.TileHashReader(tree, reader{dir})
	own, err := entries(dir, tree, tiles)
	if err != nil {
		return tree, err
	}
	root, err := tlog.TreeHash(tree.N, own)
	if err != nil {
		return tree, err
	}
	if root != tree.Hash {
		return tree, fmt.Errorf("the entries give the root %v, signed is %v", root, tree.Hash)
	}
	return tree, prove(dir, tree, own, tiles)
}

func main() {
	tree, err := verify(os.Args[1])
	if err != nil {
		fmt.Println("wrong:", err)
		os.Exit(1)
	}
	fmt.Println("ok", tree.N)
}
