"""The outbox: the site's durable queue to the office, its local history, and the state that must survive a kill.

One SQLite file. This page is the specification; the modules below it follow it, and the tests are named after it.

Invariants
    O1  Durable means: the transaction's COMMIT has returned with synchronous=FULL. Only then does a future resolve,
        the callback run, and a block become readable. A durable record survives kill -9 at any moment.
    O2  Blocks of a stream have the sequences 1, 2, 3, ... of their epoch, without a hole and without a repeat, over
        any number of restarts. `append` takes nothing but the next one.
    O3  One `append` is one transaction: blocks, alarm records, rule state, group times and audit rows all exist
        afterwards, or none of them. Several appends may share a transaction; they never swap places.
    O4  A block is released by the office's receipt only, and never twice counted. A receipt for another epoch, or for
        sequences that were never durable, changes nothing.
    O5  What is not released is never deleted here. (What may be dropped when space ends is decided elsewhere, with a
        gap record; until then a full disk is a problem that `Outbox.problem` shows, and the queue waits in memory.)
    O6  Memory is bounded: 16 MiB of samples waiting for the disk, 10,000 other appends. Beyond it `append` refuses
        and takes nothing; ask `behind` before sealing, so that no sequence is spent.
    O7  One process per file (an exclusive flock on `<file>.lock`), one connection that writes and checkpoints
        (SQLite before 3.51.3 can corrupt a file with two), on one thread. Readers open with mode=ro.
    O8  A file that is not an outbox, belongs to another site, or needs a newer reader is refused and left as it is.

Schema (version 1; changes only ever add; `meta.min_reader` names the oldest version that may still use the file)
    meta(key, value)             epoch, site, clean, min_reader, version, as_of
    blocks_<stream>              sequence, count, t0, t1 (wall), payload: one table for each of alarms, events, samples
    blocks                       view over the three, with the column `released`
    released(stream, first, last)  receipts as merged ranges: a receipt rewrites one small page, never a payload
    catalogues(hash, payload)    content-addressed, kept for ever: history cannot be read without them
    alarms(key, record)          alarm records as they stand, JSON
    rule_state(instance, state)  the engine's own bytes; `meta.as_of` tells when they were true
    group_until(scan_group, until)  wall time up to which the record accounts for a scan group; the gap at the next
                                 start begins there
    audit(n, record, hash)       hash chain (`sitekeeper.chain`) over every guarded attempt, refused ones too

Commits
    Appends that carry alarms, events or audit rows are committed at once, together with all that waits before them.
    Samples and catalogues wait for company up to 250 ms or 1 MiB, receipts up to 2 s: a site that is read once a second
    commits them with its next block, and one fsync a second is spared. With `inline=True` there is no thread
    and no waiting: `append` has committed when it returns, unless the disk failed.

Crash points
    before COMMIT returns     nothing of the transaction is there; nobody was told otherwise
    after COMMIT, before the future resolves   all of it is there; the office gets it; a caller who never heard of it
                              finds the sequence taken at the next start
    COMMIT or anything before it reports an error   the outcome is unknown: close, open, checkpoint (which makes what
                              is there durable in the file itself), re-read the last sequences. If the transaction is
                              there, its futures resolve; if not, it is done again as it was. Once a second,
                              until it works. Futures fail only at `close`, with `StorageError.unknown` set
                              where that is the truth.
    creating the file         application_id, tables and version are one transaction; what a kill leaves before it is
                              recognised as an unfinished new file. Epoch and site are written by the next one.
    purging                   its own transaction, of released blocks only
    unclean stop              the next start runs quick_check: on all of a file up to 64 MiB, on everything but the
                              blocks of a larger one. A damaged file is refused with its name, never deleted.

Retention (released blocks only; once a minute; at most 500 blocks at a time, the rest with the next commits)
    by age: 14 days after their end, and only while the clock is trusted
    by size: above 4 GiB in use, oldest samples first, then events, then alarms

Durable when: alarms and events at once, that is one fsync after `append`; samples at most 250 ms and one fsync after.
"""

from edge.outbox.outbox import Outbox
from edge.outbox.records import AsOf, Limits, Sealed, StartState, Unsent

__all__ = ["AsOf", "Limits", "Outbox", "Sealed", "StartState", "Unsent"]
