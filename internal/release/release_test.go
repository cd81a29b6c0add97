package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var at = time.Unix(1_790_000_000, 0).UTC()

// program builds one of ours, with modules in it.
func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", file, "./cmd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

func TestBillNamesEveryModule(t *testing.T) {
	file := program(t)
	b, err := Bill(file, "1.2.3", at)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Timestamp != "2026-09-21T14:13:20Z" || bom.Metadata.Component.Version != "1.2.3" {
		t.Errorf("metadata %+v", bom.Metadata)
	}
	found := map[string]string{}
	for _, c := range *bom.Components {
		found[c.Name] = c.PackageURL
	}
	if found["github.com/spf13/cobra"] == "" || !strings.HasPrefix(found["std"], "pkg:golang/std@1.") {
		t.Errorf("components %v", found)
	}
	if n := len(*(*bom.Dependencies)[0].Dependencies); n != len(found) {
		t.Errorf("depends on %d of %d components", n, len(found))
	}
	again, err := Bill(file, "1.2.3", at)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("a second bill differs (%v)", err)
	}
	if _, err := Bill("release_test.go", "1", at); err == nil {
		t.Error("a bill of something that is no Go program")
	}
}

func TestLicencesOfEveryModule(t *testing.T) {
	b, err := Licences([]string{program(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The Go standard library", "github.com/spf13/cobra@v", "Apache License", "github.com/opencontainers/go-digest@v"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is missing", want)
		}
	}
	dir := t.TempDir()
	if files, err := legal(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v in an empty folder", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Licence.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if files, err := legal(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

func testImage(t *testing.T, out string) *Image {
	t.Helper()
	dir := t.TempDir()
	i := &Image{Name: "prog", Version: "1.2.3", Out: out, Data: "/var/lib/prog", Ports: []int{8180}, Arguments: []string{"run"}, Created: at, Platforms: map[string]string{}}
	for _, p := range []string{"amd64", "arm/v7"} {
		file := filepath.Join(dir, strings.ReplaceAll(p, "/", ""))
		if err := os.WriteFile(file, []byte("program for "+p), 0o755); err != nil {
			t.Fatal(err)
		}
		i.Platforms[p] = file
	}
	return i
}

// A reader that knows nothing but the specification finds its way from index.json
// to the program, and every digest and size on it is right.
func TestImageLayout(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	if err := testImage(t, out).Write(); err != nil {
		t.Fatal(err)
	}
	files := untar(t, read(t, out))
	var layout v1.ImageLayout
	decode(t, files["oci-layout"].body, &layout)
	if layout.Version != "1.0.0" {
		t.Errorf("layout %+v", layout)
	}
	follow := func(d v1.Descriptor, into any) []byte {
		t.Helper()
		b := files["blobs/sha256/"+d.Digest.Encoded()].body
		if digest.FromBytes(b) != d.Digest || int64(len(b)) != d.Size {
			t.Fatalf("%s: %d bytes do not have the digest or the size %d", d.Digest, len(b), d.Size)
		}
		if into != nil {
			decode(t, b, into)
		}
		return b
	}
	var top, index v1.Index
	decode(t, files["index.json"].body, &top)
	follow(top.Manifests[0], &index)
	if len(index.Manifests) != 2 || index.Manifests[1].Platform.Variant != "v7" {
		t.Fatalf("index %+v", index)
	}
	for _, d := range index.Manifests {
		var m v1.Manifest
		var config v1.Image
		follow(d, &m)
		follow(m.Config, &config)
		z, err := gzip.NewReader(bytes.NewReader(follow(m.Layers[0], nil)))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if config.RootFS.DiffIDs[0] != digest.FromBytes(plain) {
			t.Error("the diff id is not that of the layer")
		}
		if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/usr/bin/prog" || config.Architecture != d.Platform.Architecture {
			t.Errorf("config %+v", config)
		}
		inside := untar(t, plain)
		program, data := inside["usr/bin/prog"], inside["var/lib/prog/"]
		if !strings.HasPrefix(string(program.body), "program for "+d.Platform.Architecture) || program.mode != 0o755 || program.owner != 0 {
			t.Errorf("program %+v", program)
		}
		if data.owner != nobody || data.mode != 0o700 {
			t.Errorf("data directory %+v", data)
		}
	}
}

func TestSameBytesEveryTime(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, out := range []string{one, two} {
		if err := testImage(t, out).Write(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, one), read(t, two)) {
		t.Error("two images of the same programs differ")
	}
}

// A folder packs the same whatever the umask and the time of its files are.
func TestPack(t *testing.T) {
	var packed [2][]byte
	for n := range packed {
		dir := filepath.Join(t.TempDir(), "prog_1")
		if err := os.MkdirAll(filepath.Join(dir, "doc"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{"prog": 0o700 | os.FileMode(n)*0o55, "doc/README": 0o600 | os.FileMode(n)*0o44} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(dir, name), at, at.Add(time.Duration(n)*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Pack(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		packed[n] = b
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("two packs differ")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, plain)
	if files["prog_1/prog"].mode != 0o755 || files["prog_1/doc/README"].mode != 0o644 || string(files["prog_1/doc/README"].body) != "doc/README" {
		t.Errorf("files %v", files)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
}

func untar(t *testing.T, b []byte) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := out[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		out[h.Name] = entry{name: h.Name, body: body, mode: h.Mode, owner: h.Uid}
	}
}
