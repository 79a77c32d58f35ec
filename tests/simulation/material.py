"""Blocks of the simulated sites: real ones, and ones that are wrong in a way that the office must survive."""

from collections.abc import Mapping
from functools import cache
from typing import Literal

import msgspec

from sitekeeper.block import Block, Gap, GapCause, Stream, Vouch, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, catalogue_hash
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.frame import seal
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample

DEVICE = "lift"
GROUP = f"{DEVICE}@1s"
RULES = ("L01", "L02")
UNKNOWN_QUALITY = 0b11_000000
"""No software of today knows it: a block that holds it is of a newer one."""

Poison = Literal["undecodable", "records", "handle", "key", "site"]
POISONS: tuple[Poison, ...] = ("undecodable", "records", "handle", "key", "site")


@cache
def catalogue(site: str, points: int, revision: int) -> tuple[str, bytes]:
    """Return the hash and the bytes of a site's catalogue; each revision is another one, with a point more."""
    payload = encode_catalogue(
        Catalogue(
            site=site,
            names={"en": f"{site} {revision}"},
            groups=(CatalogueGroup(GROUP, DEVICE, SECOND),),
            devices=(CatalogueDevice(DEVICE, "lift", "sim"),),
            points=tuple(
                CataloguePoint(f"{DEVICE}/p{number:04d}", DEVICE, "int", GROUP) for number in range(points + revision)
            ),
        )
    )
    return catalogue_hash(payload), payload


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What all blocks of a site share at one moment."""

    site: str
    epoch: str
    boot: str
    catalogue: str
    t0: Micros
    mono0: Micros


def samples(header: Header, sequence: int, values: list[tuple[int, int]], *, since: Micros) -> Block:
    """Return a block of samples (handle, value), vouching for its group since the one before."""
    return _block(
        header,
        "samples",
        sequence,
        samples=[Sample(handle, header.mono0 - i, value, 0) for i, (handle, value) in enumerate(reversed(values))][
            ::-1
        ],
        vouch=[Vouch(0, header.t0, max(0, header.mono0 - since))],
    )


def empty(header: Header, sequence: int, *, since: Micros) -> Block:
    """Return a block that only says why nothing is known."""
    gap = Gap(GROUP, header.t0 - (header.mono0 - since), header.t0, GapCause.SILENT)
    return _block(header, "samples", sequence, gaps=[gap])


def event(header: Header, sequence: int, name: str, fields: Mapping[str, int | str], *, device: str = DEVICE) -> Block:
    """Return a block with one event."""
    return _block(header, "events", sequence, events=[Event(f"{device}/{name}", header.mono0, dict(fields))])


def alarm(header: Header, sequence: int, rule: str, raised: int) -> Block:
    """Return a block with one transition: a raise if `raised` is 0, else the clearing of what block `raised` raised."""
    key = f"{header.site}/{DEVICE}/{rule}"
    move = Transition(
        occurrence=f"{key}@{header.epoch}-{raised or sequence}",
        key=key,
        rule=rule,
        source=AlarmState.UNACKED if raised else AlarmState.NORMAL,
        target=AlarmState.RETURNED if raised else AlarmState.UNACKED,
        cause=Cause.CLEAR if raised else Cause.RAISE,
        priority="P1",
        at=header.t0,
        mono=header.mono0,
        latched=False,
    )
    return _block(header, "alarms", sequence, transitions=[move])


def poisoned(block: Block, poison: Poison) -> bytes:
    """Return bytes that stand at the place of `block` and that no office can use."""
    sound = encode(block)
    match poison:
        case "undecodable":  # a byte of the disk has turned: the checksum tells, and nothing can be read
            return sound[:-1] + bytes([sound[-1] ^ 0xFF])
        case "records":  # a header that can be read, and records that cannot
            body = (block.site, block.epoch, block.stream, block.sequence, *("b", "c", True, 0, 0, 0, 0, "nonsense"))
            return seal(msgspec.msgpack.encode(body))
        case "handle" if block.stream == "samples":
            return encode(msgspec.structs.replace(block, samples=[Sample(10_000, block.mono0, 1, 0)]))
        case "key" if block.stream == "alarms":
            move = msgspec.structs.replace(block.transitions[0], key="elsewhere/lift/L01")
            return encode(msgspec.structs.replace(block, transitions=[move]))
        case "site":
            return encode(msgspec.structs.replace(block, site="elsewhere"))
        case _:
            return sound[:-1] + bytes([sound[-1] ^ 0xFF])


def newer(block: Block) -> bytes:
    """Return a block of samples as a future version would write it, with a quality that we do not know."""
    strange = [msgspec.structs.replace(sample, q=UNKNOWN_QUALITY) for sample in block.samples]
    return encode(msgspec.structs.replace(block, samples=strange))


def _block(header: Header, stream: Stream, sequence: int, **more: object) -> Block:
    return Block(
        site=header.site,
        epoch=header.epoch,
        stream=stream,
        sequence=sequence,
        boot=header.boot,
        catalogue=header.catalogue,
        trusted=True,
        t0=header.t0,
        mono0=header.mono0,
        **more,  # type: ignore[arg-type]
    )
