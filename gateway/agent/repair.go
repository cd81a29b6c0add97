package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/loop"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// fetch gets the cloud's copy of records that cannot be read here. That it
// fails says nothing about the link: the core asks again later.
func (l *cloudLink) fetch(f *feed, want gateway.Fetch) {
	at := l.route()
	l.start(f, func(ctx context.Context) {
		got := gateway.Fetched{Fetch: want}
		frames, err := at.client.copyOf(ctx, want)
		if err != nil {
			l.noteBusy(at, err)
			got.Err = err.Error()
			l.log.Warn("no copy to repair the journal with", "journal", string(want.Journal), "epoch", want.Epoch.String(),
				"first", uint64(want.First), "to", uint64(want.To), "err", err.Error())
		}
		got.Frames = frames
		f.put(got)
	})
}

// copyOf gets the frames of a range, piece by piece.
func (c *client) copyOf(ctx context.Context, want gateway.Fetch) (frames []byte, err error) {
	for next := want.First; next < want.To; {
		piece, err := c.download(ctx, want, next)
		if err != nil {
			return nil, err
		}
		list, err := journal.ParseSlice(piece, next)
		if err != nil {
			return nil, fmt.Errorf("download: %w", err)
		}
		before := next
		for _, f := range list {
			if f.Kind == journal.Record {
				next++
			}
		}
		if next == before || next > want.To {
			return nil, fmt.Errorf("download: asked for records %d to %d and got %d", before, want.To-1, next-before)
		}
		if frames = append(frames, piece...); len(frames) > loop.MaxRepairBytes {
			return nil, fmt.Errorf("download: more than %d bytes to repair one gap", int64(loop.MaxRepairBytes))
		}
	}
	return frames, nil
}

// download gets one piece.
func (c *client) download(ctx context.Context, want gateway.Fetch, first holdfast.Seq) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, UploadTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, nil, "journals", string(want.Journal), want.Epoch.String(), strconv.FormatUint(uint64(first), 10))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = url.Values{"to": {strconv.FormatUint(uint64(want.To), 10)}}.Encode()
	req.Header.Set("Accept", "application/octet-stream, application/problem+json")
	req.Header.Set("Accept-Encoding", "zstd")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return nil, problemOf("download", resp)
	}
	if resp.Header.Get("Content-Encoding") != "zstd" {
		return nil, fmt.Errorf("download: content encoding %q, which is not the protocol", clipText(resp.Header.Get("Content-Encoding")))
	}
	wire, err := io.ReadAll(io.LimitReader(resp.Body, uplink.MaxWireBytes+1))
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	if len(wire) > uplink.MaxWireBytes {
		return nil, fmt.Errorf("download: more than %d bytes", uplink.MaxWireBytes)
	}
	return inflate(wire)
}

// inflate decompresses a piece, bounded before anything is allocated for it.
func inflate(wire []byte) ([]byte, error) {
	dec, err := zstd.NewReader(bytes.NewReader(wire), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(2*uplink.MaxSliceBytes), zstd.WithDecoderMaxMemory(2*uplink.MaxSliceBytes))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	b, err := io.ReadAll(io.LimitReader(dec, uplink.MaxSliceBytes+1))
	if err == nil && len(b) > uplink.MaxSliceBytes {
		err = errors.New("unfolds to more than a slice may have")
	}
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	return b, nil
}
