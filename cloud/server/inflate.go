package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast/uplink"
)

// inflate decompresses an upload. A frame's header may claim any size and a few
// bytes may unfold to gigabytes, so both the window and what is read are
// bounded before anything is allocated for them.
func inflate(wire []byte) ([]byte, error) {
	dec, err := zstd.NewReader(bytes.NewReader(wire),
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(2*uplink.MaxSliceBytes),
		zstd.WithDecoderMaxMemory(2*uplink.MaxSliceBytes))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	b, err := io.ReadAll(io.LimitReader(dec, uplink.MaxSliceBytes+1))
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded), len(b) > uplink.MaxSliceBytes:
		return nil, kindTooLarge.because("the slice unfolds to more than %d bytes", int64(uplink.MaxSliceBytes))
	case err != nil:
		return nil, kindBadRequest.because("zstd: %v", err)
	}
	return b, nil
}

// deflate compresses a download. Repairs are rare: the encoder is made for each,
// and nothing of it stays in memory.
func deflate(frames []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer enc.Close()
	return enc.EncodeAll(frames, nil), nil
}
