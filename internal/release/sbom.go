package release

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const homepage = "https://github.com/holdfast-ev/holdfast"

// Bill describes a binary and the modules in it, in CycloneDX 1.6. The sums are
// those of go.sum, which are hashes over a module's tree and not over one file,
// so they are properties and not CycloneDX hashes.
func Bill(file, version string, at time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what %s is built from: %w", file, err)
	}
	bytesOf, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bytesOf)
	main := cdx.Component{
		BOMRef: "main", Type: cdx.ComponentTypeApplication, Name: filepath.Base(info.Path), Version: version,
		PackageURL: "pkg:golang/" + info.Main.Path + "@" + version,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Properties: settings(info),
		ExternalReferences: &[]cdx.ExternalReference{
			{Type: cdx.ERTypeVCS, URL: homepage},
		},
	}
	components := []cdx.Component{{
		BOMRef: "std", Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion,
		PackageURL:  "pkg:golang/std@" + info.GoVersion[len("go"):],
		Description: "the Go standard library and runtime",
	}}
	depends := []string{"std"}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		ref := d.Path + "@" + d.Version
		components = append(components, cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: d.Path, Version: d.Version, PackageURL: "pkg:golang/" + ref,
			Properties: &[]cdx.Property{{Name: "holdfast:go.sum", Value: d.Sum}},
		})
		depends = append(depends, ref)
	}
	b := cdx.NewBOM()
	b.Metadata = &cdx.Metadata{Timestamp: at.Format(time.RFC3339), Component: &main}
	b.Components = &components
	b.Dependencies = &[]cdx.Dependency{{Ref: "main", Dependencies: &depends}}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(b, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// settings are the build settings that change what a binary is.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	out := []cdx.Property{}
	for _, s := range info.Settings {
		switch s.Key {
		case "CGO_ENABLED", "GOARCH", "GOARM", "GOOS", "-trimpath":
			out = append(out, cdx.Property{Name: "holdfast:build:" + s.Key, Value: s.Value})
		}
	}
	return &out
}
