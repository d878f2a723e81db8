// What a reader written in Go sees in the documents of an image. One request a line on standard
// input, one answer a line on standard output; both are JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

type request struct {
	Kind  string `json:"kind"`
	Bytes []byte `json:"bytes"`
}

// The specification has had these fields since version 1.1; the package may be older.
type manifest struct {
	v1.Manifest
	ArtifactType string `json:"artifactType,omitempty"`
}

type index struct {
	v1.Index
	ArtifactType string         `json:"artifactType,omitempty"`
	Subject      *v1.Descriptor `json:"subject,omitempty"`
}

type object = map[string]interface{}

func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func set(texts map[string]string) map[string]string {
	if texts == nil {
		return map[string]string{}
	}
	return texts
}

func keys(names map[string]struct{}) object {
	seen := object{}
	for name := range names {
		seen[name] = true
	}
	return seen
}

func moment(at *time.Time) interface{} {
	if at == nil {
		return nil
	}
	return at.Format(time.RFC3339Nano)[:len("2006-01-02T15:04:05")]
}

func platform(seen *v1.Platform) interface{} {
	if seen == nil {
		return nil
	}
	return object{
		"architecture": seen.Architecture, "os": seen.OS, "os.version": seen.OSVersion,
		"os.features": list(seen.OSFeatures), "variant": seen.Variant,
	}
}

func descriptor(seen *v1.Descriptor) interface{} {
	if seen == nil {
		return nil
	}
	return object{
		"mediaType": seen.MediaType, "digest": seen.Digest, "size": seen.Size,
		"urls": list(seen.URLs), "annotations": set(seen.Annotations), "data": seen.Data,
		"platform": platform(seen.Platform), "artifactType": seen.ArtifactType,
	}
}

func descriptors(seen []v1.Descriptor) []interface{} {
	all := []interface{}{}
	for at := range seen {
		all = append(all, descriptor(&seen[at]))
	}
	return all
}

// As ValidateUnambiguousManifestFormat of containers/image (internal/manifest/manifest.go).
func unambiguous(document []byte, isIndex bool) error {
	var fields struct {
		Config    interface{} `json:"config"`
		FSLayers  interface{} `json:"fsLayers"`
		History   interface{} `json:"history"`
		Layers    interface{} `json:"layers"`
		Manifests interface{} `json:"manifests"`
	}
	if err := json.Unmarshal(document, &fields); err != nil {
		return err
	}
	isImage := fields.Config != nil || fields.Layers != nil
	if fields.FSLayers != nil || fields.History != nil ||
		(isIndex && isImage) || (!isIndex && fields.Manifests != nil) {
		return fmt.Errorf("ambiguous")
	}
	return nil
}

func seenManifest(document []byte) (object, error) {
	var seen manifest
	if err := unambiguous(document, false); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(document, &seen); err != nil {
		return nil, err
	}
	return object{
		"schemaVersion": seen.SchemaVersion, "mediaType": seen.MediaType,
		"artifactType": seen.ArtifactType, "config": descriptor(&seen.Config),
		"layers": descriptors(seen.Layers), "subject": descriptor(seen.Subject),
		"annotations": set(seen.Annotations),
	}, nil
}

func seenIndex(document []byte) (object, error) {
	var seen index
	if err := unambiguous(document, true); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(document, &seen); err != nil {
		return nil, err
	}
	return object{
		"schemaVersion": seen.SchemaVersion, "mediaType": seen.MediaType,
		"artifactType": seen.ArtifactType, "manifests": descriptors(seen.Manifests),
		"subject": descriptor(seen.Subject), "annotations": set(seen.Annotations),
	}, nil
}

func seenConfig(document []byte) (object, error) {
	var seen v1.Image
	if err := json.Unmarshal(document, &seen); err != nil {
		return nil, err
	}
	diffIDs := []string{}
	for _, id := range seen.RootFS.DiffIDs {
		diffIDs = append(diffIDs, id.String())
	}
	history := []object{}
	for _, step := range seen.History {
		history = append(history, object{
			"created": moment(step.Created), "created_by": step.CreatedBy, "author": step.Author,
			"comment": step.Comment, "empty_layer": step.EmptyLayer,
		})
	}
	return object{
		"created": moment(seen.Created), "author": seen.Author,
		"platform": object{
			"architecture": seen.Architecture, "os": seen.OS, "os.version": seen.OSVersion,
			"os.features": list(seen.OSFeatures), "variant": seen.Variant,
		},
		"rootfs": object{"type": seen.RootFS.Type, "diff_ids": diffIDs}, "history": history,
		"config": object{
			"User": seen.Config.User, "WorkingDir": seen.Config.WorkingDir,
			"StopSignal": seen.Config.StopSignal, "Env": list(seen.Config.Env),
			"Entrypoint": list(seen.Config.Entrypoint), "Cmd": list(seen.Config.Cmd),
			"ExposedPorts": keys(seen.Config.ExposedPorts), "Volumes": keys(seen.Config.Volumes),
			"Labels": set(seen.Config.Labels), "ArgsEscaped": seen.Config.ArgsEscaped,
		},
	}, nil
}

func main() {
	readers := map[string]func([]byte) (object, error){
		"manifest": seenManifest, "index": seenIndex, "config": seenConfig,
	}
	requests := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	answers := json.NewEncoder(out)
	for requests.More() {
		var asked request
		if err := requests.Decode(&asked); err != nil {
			panic(err)
		}
		answer, err := readers[asked.Kind](asked.Bytes)
		if err != nil {
			answer = object{"error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			panic(err)
		}
	}
}
