package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// nobody is the user that an image runs as: no name, no rights, and not root.
const nobody = 65532

// An Image is one program for several platforms, with nothing beside it: no
// shell, no package manager, nothing to patch.
type Image struct {
	Name      string
	Version   string
	Out       string
	Data      string
	Ports     []int
	Platforms map[string]string // architecture[/variant] -> binary
	Documents []string
	Arguments []string // default arguments
	Created   time.Time
}

// Write makes the layout (OCI image-spec 1.1, image-layout.md) as a tar archive,
// which every tool reads as oci-archive.
func (i *Image) Write() error {
	if i.Name == "" || i.Version == "" || i.Out == "" || len(i.Platforms) == 0 {
		return errors.New("--name, --version, --out and --platform are needed")
	}
	var files []entry
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	names := make([]string, 0, len(i.Platforms))
	for p := range i.Platforms {
		names = append(names, p)
	}
	slices.Sort(names)
	for _, p := range names {
		manifest, blobs, err := i.platform(p, i.Platforms[p])
		if err != nil {
			return fmt.Errorf("platform %s: %w", p, err)
		}
		index.Manifests = append(index.Manifests, manifest)
		files = append(files, blobs...)
	}
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	files = append(files, blob(body))
	top := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{{
		MediaType: v1.MediaTypeImageIndex, Digest: digest.FromBytes(body), Size: int64(len(body)),
		Annotations: map[string]string{v1.AnnotationRefName: i.Version},
	}}}
	if body, err = json.Marshal(top); err != nil {
		return err
	}
	layout, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	files = append(files, entry{name: v1.ImageIndexFile, body: body}, entry{name: v1.ImageLayoutFile, body: layout})
	b, err := archive(files, i.Created)
	if err != nil {
		return err
	}
	return os.WriteFile(i.Out, b, 0o644)
}

// platform returns the descriptor of one platform's manifest, and its blobs.
func (i *Image) platform(name, binary string) (v1.Descriptor, []entry, error) {
	none := v1.Descriptor{}
	arch, variant, _ := strings.Cut(name, "/")
	platform := v1.Platform{Architecture: arch, Variant: variant, OS: "linux"}
	layer, diff, err := i.layer(binary)
	if err != nil {
		return none, nil, err
	}
	config := v1.Image{
		Created: &i.Created, Author: "The Holdfast Authors", Platform: platform, Config: i.config(),
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
		History: []v1.History{{Created: &i.Created, CreatedBy: "make release", Comment: i.Name + " " + i.Version}},
	}
	configBytes, err := json.Marshal(config)
	if err != nil {
		return none, nil, err
	}
	manifest := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromBytes(configBytes), Size: int64(len(configBytes))},
		Layers: []v1.Descriptor{{MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromBytes(layer), Size: int64(len(layer))}},
	}
	body, err := json.Marshal(manifest)
	if err != nil {
		return none, nil, err
	}
	d := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body)), Platform: &platform}
	return d, []entry{blob(layer), blob(configBytes), blob(body)}, nil
}

func (i *Image) config() v1.ImageConfig {
	c := v1.ImageConfig{
		User: fmt.Sprintf("%d:%d", nobody, nobody), Entrypoint: []string{"/usr/bin/" + i.Name}, Cmd: i.Arguments,
		StopSignal: "SIGTERM", ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{},
		Labels: map[string]string{
			v1.AnnotationTitle: i.Name, v1.AnnotationVersion: i.Version, v1.AnnotationSource: homepage, v1.AnnotationLicenses: "Apache-2.0",
		},
	}
	if i.Data != "" {
		c.WorkingDir = i.Data
		c.Volumes[i.Data] = struct{}{}
	}
	for _, p := range i.Ports {
		c.ExposedPorts[fmt.Sprintf("%d/tcp", p)] = struct{}{}
	}
	return c
}

// layer is the one layer of a platform, and the digest of what is in it.
func (i *Image) layer(binary string) (packed []byte, diff digest.Digest, err error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, "", err
	}
	files := []entry{{name: "usr/bin/" + i.Name, body: program, mode: 0o755}}
	for _, d := range i.Documents {
		b, err := os.ReadFile(d)
		if err != nil {
			return nil, "", err
		}
		files = append(files, entry{name: path.Join("usr/share/doc", i.Name, filepath.Base(d)), body: b})
	}
	if i.Data != "" {
		files = append(files, entry{name: strings.TrimPrefix(i.Data, "/") + "/", mode: 0o700, owner: nobody})
	}
	// Programs that ask for temporary files expect the place to be there.
	files = append(files, entry{name: "tmp/", mode: 0o1777})
	plain, err := archive(files, i.Created)
	if err != nil {
		return nil, "", err
	}
	packed, err = compress(plain)
	return packed, digest.FromBytes(plain), err
}
