package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// These keys of a profile hold lists of strings: lines of bash that a job executes first,
// and words for sbatch. The others are names of flags.
const (
	setupKey  = "setup"
	sbatchKey = "sbatch"
)

// adoptProfile sets every flag that was not given to what the profile of --profile says,
// and returns its lists.
func adoptProfile(c *cli.Context) (setup, passed []string, err error) {
	name := c.String("profile")
	if name == "" {
		return nil, nil, nil
	}
	path, err := profilesPath()
	if err != nil {
		return nil, nil, err
	}
	profile, err := readProfile(path, name)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(profile)) {
		switch value := profile[key]; key {
		case setupKey:
			err = json.Unmarshal(value, &setup)
		case sbatchKey:
			err = json.Unmarshal(value, &passed)
		default:
			err = adoptFlag(c, key, value)
		}
		if err != nil {
			return nil, nil, usagef("%s: profile %q: %s: %v", path, name, key, err)
		}
	}
	return setup, passed, nil
}

// adoptFlag sets a flag that was not given.
func adoptFlag(c *cli.Context, key string, value json.RawMessage) error {
	if !slices.Contains(profileKeys(), key) {
		return fmt.Errorf("there is no such key; those there are: %s", strings.Join(profileKeys(), ", "))
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		var n json.Number
		if err := json.Unmarshal(value, &n); err != nil {
			return fmt.Errorf("%s is neither a string nor a number", value)
		}
		text = n.String()
	}
	if c.IsSet(key) {
		return nil
	}
	if err := c.Set(key, text); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return nil
}

// profileKeys are those that a profile may have.
func profileKeys() []string {
	var keys []string
	for _, flag := range batchFlags {
		if name := flag.Names()[0]; name != "profile" && name != "data" && name != "labels" {
			keys = append(keys, name)
		}
	}
	return append(keys, setupKey, sbatchKey)
}

func profilesPath() (string, error) {
	if path := os.Getenv("LSRUN_PROFILES"); path != "" {
		return path, nil
	}
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("looking for profiles: %w: $LSRUN_PROFILES may name the file", err)
	}
	return filepath.Join(folder, "lsrun", "profiles.json"), nil
}

// readProfile reads {"NAME": {KEY: VALUE, …}, …}.
func readProfile(path, name string) (map[string]json.RawMessage, error) {
	data, err := files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef(`--profile %s: there is no %s; it holds {"%s": {"partition": "…", "setup": ["module load …"], …}, …}`, name, path, name)
	}
	if err != nil {
		return nil, err
	}
	var profiles map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &profiles); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, usagef("%s: line %d: %v", path, 1+strings.Count(string(data[:syntax.Offset]), "\n"), err)
		}
		return nil, usagef("%s: %v", path, err)
	}
	profile, ok := profiles[name]
	if !ok {
		return nil, usagef("%s: there is no profile %q; those there are: %s", path, name, strings.Join(slices.Sorted(maps.Keys(profiles)), ", "))
	}
	return profile, nil
}
