"""An outbox full of blocks that no office has seen, as if the office had been away. Blocks are full: 500 samples.

Written as the gateway writes: sealed blocks, through the outbox, durable. Two kinds of content: `scattered`, any of the
site's points at random, which is the most that the office's pages can be made to suffer; and `moving`, the registers of
the estate that change with every reading, in turn, which is what this very site would have recorded.
"""

import random
from collections.abc import Callable, Sequence

from benchmarks.rig import SITE, Estate, Rig
from edge.outbox import AsOf, Outbox
from edge.recorder import SealedBlock
from edge.settings import load
from sitekeeper import catalogue
from sitekeeper.block import Block, Vouch, encode
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.sample import Sample

BLOCK = 500
BOOT = "earlier"
"""The boot that all these blocks name: by it they are counted at the office."""
WAITING = 500
"""Blocks given to the writer between two waits for the disk."""

Content = Callable[[int], Sequence[int]]
"""Returns the handles of one block, by its sequence."""


def scattered(estate: Estate) -> Content:
    """Return blocks of points at random."""
    dice, points = random.Random(1), estate.devices * estate.registers
    return lambda _: [dice.randrange(points) for _ in range(BLOCK)]


def moving(estate: Estate) -> Content:
    """Return blocks of the registers that move, one reading of all devices after the other."""
    handles = [device * estate.registers + register for device in range(estate.devices) for register in estate.moving]
    return lambda sequence: [handles[(sequence * BLOCK + n) % len(handles)] for n in range(BLOCK)]


def samples_of(content: Content, sequence: int) -> list[Sample]:
    """Return the samples of a block: one every 2 ms, so that a block is a second."""
    at = sequence * SECOND
    return [
        Sample(handle, at + 2_000 * n, (sequence * 7 + handle) % 1_000, 0) for n, handle in enumerate(content(sequence))
    ]


def fill(made: Rig, content: Content, samples: int) -> int:
    """Fill the outbox of the site whose folder is written; return the bytes of all blocks."""
    site, clock = load(made.folder / "site"), SystemClock()
    payload = catalogue.encode(site.catalogue)
    outbox = Outbox.open(site.outbox.path, site=SITE, clock=clock)
    outbox.put_catalogue(payload)
    begin, size = clock.wall() - (samples // BLOCK + 60) * SECOND, 0
    for sequence in range(1, samples // BLOCK + 1):
        at = sequence * SECOND
        block = Block(
            site=SITE, epoch=outbox.epoch, boot=BOOT, trusted=True, stream="samples", sequence=sequence, mono0=at,
            catalogue=catalogue.catalogue_hash(payload), t0=begin + at, samples=samples_of(content, sequence),
            vouch=[Vouch(group, begin + at + SECOND, SECOND) for group in range(len(site.groups))],
        )  # fmt: skip
        encoded = encode(block)
        size += len(encoded)
        sealed = SealedBlock(
            stream="samples", sequence=sequence, payload=encoded, count=BLOCK, t0=block.t0, t1=block.t0 + SECOND
        )
        outbox.append([sealed], as_of=AsOf(wall=block.t0, mono=at, boot=BOOT))
        if sequence % WAITING == 0:
            outbox.flush(120)
    outbox.close(120)
    return size
