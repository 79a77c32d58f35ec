"""The outbox: the site's durable queue to the office, its local history, and the state that must survive a kill.

One SQLite file. This page is the specification; the modules below it follow it, and the tests are named after it.

Invariants
    O1  Durable means: the transaction's COMMIT has returned with synchronous=FULL. Only then does a future resolve,
        the callback run, and a block become readable. A durable record survives kill -9 at any moment.
    O2  Blocks of a stream have the sequences 1, 2, 3, ... of their epoch, without a hole and without a repeat, over
        any number of restarts. `append` takes nothing but the next one. A dropped block keeps its sequence.
    O3  One `append` is one transaction: blocks, alarm records, rule state, group times and audit rows all exist
        afterwards, or none of them. Several appends may share a transaction; they never swap places. (Receipts may.)
    O4  A block is released by the office's receipt only, and never twice counted. A receipt for another epoch, or for
        sequences that were never durable, changes nothing; an epoch whose blocks were salvaged here is not another.
    O5  Alarms and events that are not released are never deleted. Samples that are not released go only for want of
        space, oldest first, whole blocks, when there is no history left; the account of them (`dropped`) is written in
        the same transaction, and told once: the append that tells it forgets it.
    O6  Memory is bounded: 16 MiB of samples waiting for the disk, 10,000 other appends. Beyond it `append` refuses
        and takes nothing; ask `behind` before sealing, so that no sequence is spent.
    O7  One process per file (an exclusive flock on `<file>.lock`), one connection that writes and checkpoints
        (SQLite before 3.51.3 can corrupt a file with two), on one thread. Readers open with mode=ro.
    O8  A database that is not an outbox, one of another site, one that needs a newer reader, and a file with a second
        name (a hard link) are refused with the remedy and left as they are. Anything else that cannot be used is
        damage: it is moved aside, never deleted, and what can be read is carried over. There is no crash loop.
    O9  No value is believed for having been read: rows carry digests, catalogues their hash, audit rows their chain.
    O10 The audit is bounded and stops nothing: `fold_audit` deletes its oldest rows in the transaction that writes the
        row which says so; what is left stands on the anchor in `meta`.

Schema (version 2; changes only ever add; `meta.min_reader` names the oldest version that may still use the file)
    meta(key, value)             epoch, site, clean, min_reader, version, as_of, instance, salvage, copy, audit_anchor
    blocks_<stream>              sequence, count, t0, t1 (wall), payload: one table for each of alarms, events, samples
    blocks                       view over the three, with the column `released`
    released(stream, first, last)  receipts as merged ranges: a receipt rewrites one small page, never a payload
    catalogues(hash, payload)    content-addressed, kept for ever: history cannot be read without them
    alarms(key, record)          alarm records as they stand, JSON
    rule_state(instance, state)  the engine's own bytes; `meta.as_of` tells when they were true
    group_until(scan_group, until)  wall time up to which the record accounts for a scan group; the gap at the next
                                 start begins there
    audit(n, record, hash)       hash chain (`sitekeeper.chain`) over every guarded attempt, refused ones too
    dropped, dropped_groups, dropped_state   (2) what was dropped and, until told, its times and the points' last states
    salvaged(epoch, stream, sequence, ...)   (2) blocks of earlier epochs, sent as they are, released by receipt
    digest                       (2) last column of all but catalogues and audit: BLAKE2b, 64 bits, over table and row
    Version 2 is used by nothing older (min_reader 2): a program that writes rows without digests would make sound rows
    look damaged. A file of version 1 is brought to 2 at its first start; its blocks keep their own checksum instead.

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
                              where that is the truth. A failed fsync is never repeated on the same connection.
    creating the file         application_id, tables and version are one transaction; what a kill leaves before it is
                              recognised as an unfinished new file. Epoch and site are written by the next one.
    purging, dropping         transactions of their own
    salvage                   the quarantine holds `UNFINISHED` until the new file is in place; a start goes on there

Retention (once a minute; at most 500 blocks at a time, the rest with the next commits)
    by age: 14 days after their end, released blocks only, and only while the clock is trusted
    by size: above `max_size` in use, history goes first (salvaged, samples, events, alarms), then unsent samples

No room (the filesystem is full: SQLITE_FULL, or an I/O error with less than 1 MiB free)
    The reserve (`<file>.reserve`, really allocated) is given back and the commit done again at once. From then on
    history makes room inside the file. Samples are written only into such room. An append that cannot wait is written
    at once; if the samples before it and in it do not fit, they are dropped in that transaction, as if they had been
    written and dropped then, so their sequences have no hole. Samples alone wait in memory; when half of their memory
    is full, the oldest unsent blocks in the file go, and beyond it the pipeline makes a gap `writer_behind`. The
    shortage is over when the reserve and 4 MiB more can be had again; until then what was dropped is not told.

What is told (`untold`, at most each ten minutes)
    events `gateway/dropped` {stream, epoch, first, last, blocks, records, from, to}, and in a block of samples: the
    vouches of dropped blocks as gaps `dropped`, their own gaps as they were, and of each point the last dropped state,
    because the changes that follow stand on it. After a salvage `gateway/salvaged` per stream {old_epoch, stream, lost,
    lost_blocks (-1: not known), saved_blocks, alarms, why}, and gaps `dropped` where coverage was lost between blocks
    that are left; of each point there, from the end of such a gap to its next sample, that nobody knows it (`UNKNOWN`).

Damage (looked for at every start: schema, quick_check, digests; blocks only in files up to 64 MiB, in others when read)
    Also: a log that ends before what its index says was committed, or before more than two commits; a word left by the
    last run (`<file>.damaged`); a backup; a file that this gateway did not write last (`<file>.lock` keeps its mark, so
    a copy put in its place by hand is noticed; a whole folder that was put back is not: the office then sees sequences
    that it has with other bytes, GW11).
    The file, its log and index go to `<file>.quarantine-<time>/`, which keeps a word about it for people
    (`SAVED`). Read from there, row by row and, where trees do not
    lead any more, page by page: unsent blocks into `salvaged`, then history for 5 s, catalogues, receipts, times, audit
    (a broken chain is linked anew), drops. Alarms and rule state: both if both are whole ("kept"); else alarms are made
    of what blocks tell, rules begin anew and raise what is true ("check_site").
    Met while running: the writer or the uplink ends, the watchdog ends the process, and the next start salvages.

Durable when: alarms and events at once, that is one fsync after `append`; samples at most 250 ms and one fsync after.

Modules: outbox (the face), writer (thread and order), pending, store (the connection), schema, tables, rows (digests),
receipts, trail (the audit), retention, space (reserve), drops, pace (forecast), damage, quarantine, remains, carve,
salvage, copies (backup), reader, records, ranges.
"""

from edge.outbox.drops import Note
from edge.outbox.outbox import Outbox
from edge.outbox.records import AsOf, Limits, Sealed, StartState, Unsent

__all__ = ["AsOf", "Limits", "Note", "Outbox", "Sealed", "StartState", "Unsent"]
