package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

func journalCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "journal",
		Short: "Verify, read and export a gateway's journal, without the gateway",
		Long: `Verify, read and export a gateway's journal. DIR is one journal's directory:
DATA/evidence or DATA/telemetry. Nothing is changed and no lock is taken: the
gateway may be running.`,
	}
	c.AddCommand(journalVerifyCommand(), journalShowCommand(), journalExportCommand())
	return c
}

func journalVerifyCommand() *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Prove that a journal is what its gateway wrote, or say where it is not",
		Long: `Check every byte of the journal in DIR: checksums, the order of records, the
Merkle tree, the seals, the joins between segments and epochs, and every signed
checkpoint against the gateway's public key.

Exit code 0: everything verifies. 1: it does not; each place is named with its
segment and offset. 2: the question was wrong (no such directory, no journal in
it, a key that cannot be read).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := journalDir(args[0])
			if err != nil {
				return err
			}
			pub, key, err := journalKey(args[0], keyFile)
			if err != nil {
				return err
			}
			report, err := journal.VerifyProgress(dir, pub, verifyProgress(cmd.ErrOrStderr()))
			if err != nil {
				return noJournal(args[0], err)
			}
			return printJournalVerdict(cmd.OutOrStdout(), report, key, asJSON)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "the gateway's public key, PEM (default: gateway.pub in DIR or one folder up)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// journalDir opens DIR.
func journalDir(path string) (*durable.Dir, error) {
	dir, err := durable.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return dir, nil
}

// noJournal adds what an operator may have meant.
func noJournal(path string, err error) error {
	if !errors.Is(err, journal.ErrNone) {
		return err
	}
	if info, serr := os.Stat(filepath.Join(path, string(holdfast.Evidence))); serr == nil && info.IsDir() {
		return fmt.Errorf("%s: %w: its journals are in %s and %s", path, err, filepath.Join(path, string(holdfast.Evidence)), filepath.Join(path, string(holdfast.Telemetry)))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// journalKey reads the named key, or the one that a gateway keeps beside its
// journals. Without any, signatures are not checked.
func journalKey(path, keyFile string) (*ecdsa.PublicKey, string, error) {
	if keyFile != "" {
		pub, err := readReceiptKey(keyFile)
		return pub, keyFile, err
	}
	for _, try := range []string{filepath.Join(path, "gateway.pub"), filepath.Join(path, "..", "gateway.pub")} {
		pub, err := readReceiptKey(try)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return pub, try, err
		}
	}
	return nil, "", nil
}

// verifyProgress tells how far a verification is, if w is a terminal.
func verifyProgress(w io.Writer) func(done, total int64) {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return func(done, total int64) {}
	}
	return func(done, total int64) {
		fmt.Fprintf(w, "\rverifying %d %% of %s", 100*done/max(total, 1), byteCount(total))
		if done >= total {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

// byteCount prints bytes for people.
func byteCount(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

func printJournalVerdict(w io.Writer, r journal.Report, key string, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(struct {
			OK  bool   `json:"ok"`
			Key string `json:"key,omitempty"` // the public key that signatures were checked with
			journal.Report
		}{r.OK(), key, r}); err != nil {
			return err
		}
	} else {
		printJournalReport(w, r, key)
	}
	if !r.OK() {
		return failed(fmt.Errorf("the journal does not verify: %s", r.Problems[0]))
	}
	return nil
}

func printJournalReport(w io.Writer, r journal.Report, key string) {
	records, unsigned := uint64(0), uint64(0)
	for _, e := range r.Epochs {
		records += e.Records
		unsigned += e.Size - max(e.Signed, min(uint64(e.First), e.Size))
	}
	fmt.Fprintf(w, "%s/%s: %s, %s\n\n", r.Gateway, r.Journal, count(int(records), "record"), byteCount(r.Bytes))
	t := newTable("EPOCH", ">FIRST", ">SIZE", ">SEGMENTS", ">CHECKPOINTS", ">SIGNED TO", "BEGAN")
	for _, e := range r.Epochs {
		t.add(e.Epoch.String(), fmt.Sprint(e.First), fmt.Sprint(e.Size), fmt.Sprint(e.Segments), fmt.Sprint(e.Checkpoints), fmt.Sprint(e.Signed), e.Reason)
	}
	t.print(w)
	fmt.Fprintln(w)
	if r.Torn != nil {
		fmt.Fprintf(w, "A crash left %d bytes half written at the end (%s at offset %d). Nobody was told of them.\n", r.Torn.Bytes, r.Torn.Segment, r.Torn.Offset)
	}
	for _, name := range r.Asides {
		fmt.Fprintf(w, "Set aside by an earlier recovery: %s\n", name)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "PROBLEM: %s\n", p)
	}
	if !r.OK() {
		return
	}
	if key == "" {
		fmt.Fprintln(w, "GOOD, as far as can be told without a key: checksums, tree and roots agree. Name the gateway's public key with --key FILE to check its signatures.")
		return
	}
	fmt.Fprintf(w, "GOOD: everything verifies with the key in %s; %s newer than the last checkpoint.\n", key, count(int(unsigned), "record"))
}

// A recordFilter picks frames.
type recordFilter struct {
	typ, session, epoch string
	from                uint64
}

func (f *recordFilter) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.typ, "type", "", `only records of this type ("session.opened"; "checkpoint" and "key" for those frames)`)
	c.Flags().StringVar(&f.session, "session", "", "only records of this session: its id, or the first digits of it")
	c.Flags().Uint64Var(&f.from, "from", 0, "only from this sequence number on")
	c.Flags().StringVar(&f.epoch, "epoch", "", "only this epoch: its id, or the first digits of it")
}

// A journalEntry is a frame with what can be read of it.
type journalEntry struct {
	epoch holdfast.Epoch
	frame journal.Frame
	leaf  holdfast.Hash // of a record
	typ   string
	rec   record.Record
	err   error // the record's form is not known
}

func newEntry(id journal.Identity, f journal.Frame) journalEntry {
	e := journalEntry{epoch: id.Epoch, frame: f, typ: f.Kind.String()}
	if f.Kind != journal.Record {
		return e
	}
	e.leaf = holdfast.LeafHash(f.Body)
	if e.rec, e.err = record.Decode(f.Body); e.err == nil {
		e.typ = string(e.rec.Body.Type())
	}
	return e
}

// session is the id of the session that the record belongs to or opens.
func (e *journalEntry) session() string {
	switch {
	case e.frame.Kind != journal.Record || e.err != nil:
		return ""
	case !e.rec.Session.IsZero():
		return e.rec.Session.String()
	case e.typ == string((&record.SessionOpened{}).Type()):
		return e.leaf.String()
	}
	return ""
}

func (f *recordFilter) takes(e *journalEntry) bool {
	return (f.typ == "" || e.typ == f.typ) &&
		(f.session == "" || strings.HasPrefix(e.session(), f.session)) &&
		strings.HasPrefix(e.epoch.String(), f.epoch) &&
		uint64(e.frame.Seq) >= f.from
}

func journalShowCommand() *cobra.Command {
	var filter recordFilter
	var asJSON bool
	c := &cobra.Command{
		Use:   "show DIR",
		Short: "Print a journal's records, one a line",
		Long: `Print the journal in DIR, oldest first: sequence number, the gateway's clock with
its quality (U unknown, I informative, R relative, S synchronised), type,
charger, session and content. Checksums are checked, signatures are not.

Exit code 0: everything could be read. 1: something could not; the rest is
printed. 2: the question was wrong.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachEntry(cmd.OutOrStdout(), args[0], &filter, func(w *bufio.Writer, e *journalEntry) {
				if asJSON {
					writeEntryJSON(w, e)
				} else {
					writeEntryText(w, e)
				}
			})
		},
	}
	filter.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line, as export does")
	return c
}

func journalExportCommand() *cobra.Command {
	var filter recordFilter
	var out string
	c := &cobra.Command{
		Use:   "export DIR",
		Short: "Write a journal as NDJSON",
		Long: `Write the journal in DIR as NDJSON, oldest first, one object a frame:

  {"epoch":"<hex>","seq":7,"kind":"record","leaf":"<hex>","body":{...}}

"body" holds a record's bytes as they are, so that "leaf" is the SHA-256 of a
zero byte and that text. A body that is no JSON (checkpoints are text) is in
"text" or, when it is no UTF-8, in "base64".

Exit codes as those of show.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			w := cmd.OutOrStdout()
			if out != "" {
				f, ferr := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if ferr != nil {
					return fmt.Errorf("export: %w", ferr)
				}
				defer func() { err = errors.Join(err, f.Close()) }()
				w = f
			}
			return eachEntry(w, args[0], &filter, writeEntryJSON)
		},
	}
	filter.flags(c)
	c.Flags().StringVarP(&out, "out", "o", "", "write to this new file instead of standard output")
	return c
}

// eachEntry writes the entries that the filter takes, and then says what could
// not be read.
func eachEntry(out io.Writer, path string, filter *recordFilter, write func(*bufio.Writer, *journalEntry)) error {
	dir, err := journalDir(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 64<<10)
	bad, err := journal.Scan(dir, func(id journal.Identity, f journal.Frame) error {
		e := newEntry(id, f)
		if !filter.takes(&e) {
			return nil
		}
		write(w, &e)
		return nil
	})
	if err != nil {
		return noJournal(path, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if len(bad) == 0 {
		return nil
	}
	errs := make([]error, len(bad))
	for i := range bad {
		errs[i] = fmt.Errorf("%s: %w", path, &bad[i])
	}
	return failed(errors.Join(errs...))
}

// writeEntryText writes a line for people. An error sticks in w until Flush.
func writeEntryText(w *bufio.Writer, e *journalEntry) {
	fmt.Fprintf(w, "%s/%d  ", e.epoch.String()[:8], e.frame.Seq)
	switch {
	case e.frame.Kind == journal.Checkpoint:
		fmt.Fprintf(w, "%-24s -  checkpoint of the first %s\n", "-", count(int(e.frame.Seq), "record"))
	case e.frame.Kind == journal.Key:
		fmt.Fprintf(w, "%-24s -  key %s\n", "-", oneLine(e.frame.Body))
	case e.err != nil:
		fmt.Fprintf(w, "%-24s -  %d bytes of another form: %v\n", "-", len(e.frame.Body), e.err)
	default:
		fmt.Fprintf(w, "%-24s %s  %-20s", e.rec.At.Wall, orDash(string(e.rec.At.Quality)), e.typ)
		if e.rec.Charger != "" {
			fmt.Fprintf(w, "  charger=%s", e.rec.Charger)
		}
		if s := e.session(); s != "" {
			fmt.Fprintf(w, "  session=%s", s[:12])
		}
		fmt.Fprintf(w, "  %s\n", recordContent(e.frame.Body))
	}
}

// recordContent is a record's own part, as it is written.
func recordContent(body []byte) []byte {
	var r struct {
		Data json.RawMessage `json:"d"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return oneLine(body)
	}
	return oneLine(r.Data)
}

// oneLine keeps control characters off the terminal.
func oneLine(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, b)
}

// writeEntryJSON writes an object and a newline. An error sticks in w until
// Flush.
func writeEntryJSON(w *bufio.Writer, e *journalEntry) {
	fmt.Fprintf(w, `{"epoch":"%s","seq":%d,"kind":"%s"`, e.epoch, e.frame.Seq, e.frame.Kind)
	if e.frame.Kind == journal.Record {
		fmt.Fprintf(w, `,"leaf":"%s"`, e.leaf)
	}
	body := e.frame.Body
	if json.Valid(body) && !bytes.ContainsAny(body, "\n\r") && bytes.Equal(body, bytes.TrimSpace(body)) {
		w.WriteString(`,"body":`)
		w.Write(body)
	} else if text, err := json.Marshal(string(body)); err == nil && bytes.Equal(bytes.ToValidUTF8(body, nil), body) {
		w.WriteString(`,"text":`)
		w.Write(text)
	} else if b64, err := json.Marshal(body); err == nil {
		w.WriteString(`,"base64":`)
		w.Write(b64)
	}
	w.WriteString("}\n")
}
