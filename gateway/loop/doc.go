// Package loop is the effect loop of a gateway: it steps the core with every
// waiting input, appends all records with one sync per journal that has any,
// and only then releases frames, uploads and questions through a [Shell]. The
// daemon and the simulator run this loop; it does no I/O of its own but through
// the journal's FS and the Shell.
//
// # Recovery is the normal path
//
// [Open] brings a core up from what is on the disk: the journals, which recover
// themselves, the newest snapshot that a record in the journal attests, and the
// records after it, folded by the same [gateway.State.Apply] that runs in
// operation. A failed write or sync makes [Loop.Turn] fail; the core, which may
// know things that the disk does not, is then discarded and Open is called
// again. A core that finds that the cloud holds more than its disk fails with
// [RestartError], and Open begins a new epoch.
package loop
