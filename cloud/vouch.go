package cloud

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
)

// A cover is a stream that a verified signature now covers farther than from.
type cover struct {
	st   stream
	from uint64
}

// parent checks that an epoch continues what is known of its parent. It cannot
// while the parent is not here as far as the epoch says it went.
func (f *fold) parent(st *stream) error {
	if st.Parent.IsZero() {
		return nil
	}
	parent, err := streamAt(f.tx, st.Gateway, st.Journal, st.Parent)
	if err != nil {
		return err
	}
	st.ParentDue = parent.Received < st.ParentSize
	if !st.ParentDue {
		var t journal.Tree
		err := f.tx.Leaves(parent.n, 0, holdfast.Seq(st.ParentSize), func(_ holdfast.Seq, leaf holdfast.Hash) error {
			t.Append(leaf)
			return nil
		})
		if err != nil {
			return err
		}
		if t.Size() != st.ParentSize || t.Root() != st.ParentRoot {
			x := exceptionAt(CodeFork, st.pos(0), fmt.Sprintf("the epoch says it continues %s at size %d with root %s, the records there have root %s",
				st.Parent, st.ParentSize, st.ParentRoot, t.Root()))
			if err := f.raise(x); err != nil {
				return err
			}
		}
	}
	return st.put(f.tx)
}

// children checks the epochs that waited for this one, and lets those of them
// speak for it that may.
func (f *fold) children(st *stream) error {
	docs, err := f.tx.List(KindStream, Query{Where: Fields{"gateway": string(st.Gateway)}, Oldest: true})
	if err != nil {
		return err
	}
	for _, d := range docs {
		child, err := asStream(d)
		if err != nil {
			return err
		}
		if child.Journal != st.Journal || child.Parent != st.Epoch || child.ParentSize > st.Received {
			continue
		}
		if child.ParentDue {
			if err := f.parent(&child); err != nil {
				return err
			}
		}
		if _, err := f.vouch(&child, st); err != nil {
			return err
		}
	}
	return nil
}

// ancestors lets st, of which more is covered now, speak for the epoch before
// it, and that one for the one before.
func (f *fold) ancestors(st stream) (covers []cover, err error) {
	for !st.Parent.IsZero() {
		parent, err := streamAt(f.tx, st.Gateway, st.Journal, st.Parent)
		if err != nil {
			return nil, err
		}
		from := parent.Reconciled
		if rose, err := f.vouch(&st, &parent); err != nil || !rose {
			return covers, err
		}
		covers = append(covers, cover{parent, from})
		st = parent
	}
	return covers, nil
}

// vouch takes a child's word for its parent. The first record of an epoch names
// the size and the root at which the epoch before it ended. When a verified
// checkpoint covers that record, and the records of the parent do have that
// root, then who signed the one has signed the other: the parent is covered to
// its end, although nobody lived to sign a last checkpoint of it. Without this
// what happened between that and the end could never be billed.
func (f *fold) vouch(child, parent *stream) (rose bool, err error) {
	if child.Reconciled == 0 || child.ParentSize <= parent.Reconciled || child.ParentSize > parent.Received {
		return false, nil
	}
	g, err := newGrower(f.tx, parent, nil)
	if err != nil {
		return false, err
	}
	t, err := g.at(child.ParentSize)
	if err != nil || t.Root() != child.ParentRoot {
		return false, err // another root is a fork, and raised where it is found
	}
	parent.Reconciled, parent.Base = t.Size(), t.AppendFrontier(nil)
	if err := parent.put(f.tx); err != nil {
		return false, err
	}
	f.streams[parent.n] = *parent
	return true, nil
}
