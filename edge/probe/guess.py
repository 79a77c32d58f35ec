"""Which encoding of some registers gives the value that the device's own display shows? Pure.

Every way of reading that a profile can write is tried at every address, through the very decoder of the driver, so
that what is found here is what the gateway will read. A candidate has met what was expected at every moment; among
those, the steadier one comes first, then the one that assumes less.

Some of them no reading at this value can tell apart: a small number in two registers looks, in the second, like one of
a single register behind one that holds nothing. Both stand, as a tie. The one of two registers in the usual order comes
first: it explains why the register before is 0, and makers keep more counters so than they leave registers empty before
a plain one; four registers explain no more than two do, and are rarer.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, get_args

from drivers.modbus.address import Table
from drivers.modbus.codec import Decoder, decoder
from drivers.modbus.options import WORDS, ModbusPoint, Order, RawType
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Value

SCALES: Final = (1.0, 0.1, 0.01, 0.001, 10.0, 100.0)
"""Scales that maps of devices are full of."""

Words = Mapping[tuple[Table, int], bytes]
"""One reading: what each register held, two bytes; addresses that could not be read are not in it."""

_EXPECTED: Final = re.compile(
    r"""([+-]?\d+(?:\.(\d+))?(?:[eE]([+-]?\d{1,2}))?) \s* (?:(?:±|\+/?-)\s*(\d+(?:\.\d+)?))? \s*
    (?:[%°℃℉]\s*[CF]?|[mµkMG]?(?:V|A|W|Wh|VA|VAh|var|varh|J|Pa|m|s|g|l|lx|lm|bar|cd)|Hz|kHz|K|C|F|h|min|rpm|ppm|ppb
    |m[²³23]|m[²³23]?/[sh]|l/(?:s|min|h)|(?:µg|mg)/m[³3]|cosφ|dB|pf)?""",
    re.VERBOSE,
)
"""A number, with a tolerance and a unit if they are said; a unit says nothing here, the registers have none."""
_COMMA: Final = re.compile(r"[+-]?\d+(?:[,']\d+)+(?:\.\d+)?\s*\D{0,5}")
_TYPE_COSTS: Final = {"int32": 1, "uint32": 1, "int64": 2, "uint64": 2, "float64": 1, "bcd16": 1, "bcd32": 2}
_ORDER_COSTS: Final[dict[Order, int]] = {"ABCD": 0, "CDAB": 1, "DCBA": 2, "BADC": 2}
_SCALE_COSTS: Final = {1.0: 0, 0.1: 1, 0.01: 1, 10.0: 2, 0.001: 2, 100.0: 3}
_ODD_SCALE: Final = 3
_BYTE_COST: Final = 3

KINDS: Final[tuple[RawType, ...]] = tuple(
    sorted((k for k in get_args(RawType) if k in WORDS), key=lambda kind: kind[:3] == "int")
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the display shows: a number within `tolerance`, or a text."""

    value: float | str
    tolerance: float = 0.0

    def met(self, value: Value) -> bool:
        """Tell whether a value read is what is shown."""
        if isinstance(self.value, str):
            return value == self.value
        return isinstance(value, int | float) and abs(value - self.value) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Moment:
    """What was shown while the registers were read, a few times in a row."""

    expected: Expected
    reads: Sequence[Words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to read that gives what was expected.

    Attributes:
        value: that of the last moment which met it. raw: its registers in hex.
        met: share of all readings that gave it. cost: how much is assumed beyond one plain register.
        also: other ways that read the same from these bytes; only another value tells them apart.
    """

    point: ModbusPoint
    value: Value
    raw: str
    met: float
    cost: int
    also: tuple[str, ...] = ()

    def yaml(self, name: str) -> str:
        """Return the line of the point to paste into a profile."""
        keys = {self.point.table: self.point.address, "type": self.point.raw_type}
        keys |= {"length": self.point.length} if self.point.length else {}
        keys |= {key: set_ for key in ("byte", "order", "scale") if (set_ := getattr(self.point, key)) != _PLAIN[key]}
        return f"{name}: {{{', '.join(f'{key}: {_number(value)}' for key, value in keys.items())}}}"


_PLAIN: Final[dict[str, Any]] = {"byte": None, "order": "ABCD", "scale": 1.0}


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def expected(written: str) -> Expected:
    """Return what `231.5`, `231.5±0.3`, `231.5+-0.3`, `25 %`, `1e3` or a text mean. In quotes it is a text always.

    A number alone is meant to its last digit; one with an exponent, as it is when it is written out.

    Raises:
        ValueError: it is met by almost anything: zero, or nothing at all. Or it is a number with a comma.
    """
    plain = written.strip()
    match = _EXPECTED.fullmatch(plain)
    if match is None:
        if _COMMA.fullmatch(plain):
            raise ValueError(f"{written!r}: write a point before decimals, and nothing between thousands")
        said = plain[1:-1] if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'" else plain
        if len(said) < 2:
            raise ValueError(f"{written!r} is too short a text to be looked for")
        return Expected(said)
    value = float(match[1])
    decimals = max(0, len(match[2] or "") - int(match[3] or 0))
    tolerance = float(match[4]) if match[4] else 0.5 * 10.0**-decimals
    if abs(value) <= tolerance:
        raise ValueError(f"{written}: registers that hold nothing are 0 too; expect a value further from it")
    return Expected(value, tolerance)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to read, wherever it is tried: the keys of a point without its place."""

    keys: Mapping[str, Any]
    size: int
    cost: int

    def decoder(self) -> Decoder:
        """Return the driver's own function that reads so."""
        return decoder(self.point("holding", 0), "text" if self.keys["type"] == "string" else "float")

    def may_meet(self, wanted: Expected, raw: Value) -> bool:
        """Tell whether it is worth reading exactly: the unscaled value is near enough, or no number."""
        if isinstance(wanted.value, str) or not isinstance(raw, int | float):
            return raw is not None
        slack = wanted.tolerance * 1.001 + abs(wanted.value) * 1e-9
        return abs(raw * float(self.keys.get("scale", 1.0)) - wanted.value) <= slack

    def point(self, table: Table, address: int) -> ModbusPoint:
        return ModbusPoint.model_validate({table: f"0 + {address}", **self.keys}).resolved({})

    @property
    def name(self) -> str:
        return " ".join(str(self.keys[key]) for key in ("type", "byte", "order") if key in self.keys)


def guess(moments: Sequence[Moment], scales: Sequence[float] = SCALES) -> list[Candidate]:
    """Return every way that gives what was expected at each of the moments, the most plausible first.

    Args:
        moments: all of them numbers, or all of them texts; each with at least one reading.
    """
    places = sorted(set.intersection(*({*read} for moment in moments for read in moment.reads)))
    first, found = moments[0].expected, dict[tuple[Any, ...], Candidate]()
    for plain in _plain_ways(first):
        scaled = [(way, way.decoder()) for way in _scaled(plain, first, scales)]
        unscaled = plain.decoder()
        for table, at in places:
            chunks = _chunks(moments, table, at, plain.size)
            if chunks is None:
                continue
            raws = [unscaled(chunk)[0] for chunk in {*chunks[0]}]
            for way, decode in scaled:
                if any(way.may_meet(first, raw) for raw in raws) and (met := _met(moments, chunks, decode)) is not None:
                    _add(found, way, (table, at), chunks, met)
    best = dict[tuple[Any, ...], int]()
    for each in found.values():
        best[_lowest(each)] = min(each.cost, best.get(_lowest(each), each.cost))
    return sorted(found.values(), key=lambda each: (-each.met, best[_lowest(each)], _lowest(each), *_within(each)))


def tied(found: Sequence[Candidate]) -> int:
    """Return how many of the first fit as well as the very first one, and assume as little: 1 if that stands alone."""
    if not found:
        return 0
    first = found[0]
    mates = [each.cost for each in found if _lowest(each) == _lowest(first)]
    alike = [each.met == first.met and (_lowest(each) == _lowest(first) or each.cost <= min(mates)) for each in found]
    return next((at for at, each in enumerate(alike) if not each), len(alike))


def _lowest(candidate: Candidate) -> tuple[Any, ...]:
    """Return where the last digits lie, and how they are read: candidates with the same hide in one another."""
    point = candidate.point
    last = point.address + (point.size - 1 if point.order in ("ABCD", "BADC") else 0)
    kind = "whole" if "int" in point.raw_type else point.raw_type.rstrip("0123456789")
    swapped = point.order in ("BADC", "DCBA")
    apart = point.address if kind in ("float", "string") else -1
    return point.table, last, kind, swapped, point.byte == "high", point.scale, apart


def _within(candidate: Candidate) -> tuple[bool, int, int, int]:
    """Return the order of those that hide in one another."""
    point = candidate.point
    return not (point.size == 2 and point.order == "ABCD"), candidate.cost, point.size, point.address


def _chunks(moments: Sequence[Moment], table: Table, at: int, size: int) -> list[list[bytes]] | None:
    """Return by moment and reading the bytes of `size` registers; None if one of them was not always read."""
    wanted = [(table, at + more) for more in range(size)]
    try:
        return [[b"".join([read[each] for each in wanted]) for read in moment.reads] for moment in moments]
    except KeyError:
        return None


def _met(moments: Sequence[Moment], chunks: list[list[bytes]], decode: Decoder) -> tuple[Value, float] | None:
    """Return the last value that met what was expected, and the share of readings that did; None: a moment has none."""
    shown, met, reads = None, 0, 0
    for moment, read in zip(moments, chunks, strict=True):
        values = [value for chunk in read for value, q in (decode(chunk),) if q == GOOD and moment.expected.met(value)]
        if not values:
            return None
        shown, met, reads = values[-1], met + len(values), reads + len(read)
    return shown, met / reads


def _add(
    found: dict[tuple[Any, ...], Candidate],
    way: _Way,
    place: tuple[Table, int],
    chunks: list[list[bytes]],
    values: tuple[Value, float],
) -> None:
    """Keep a candidate, or name it beside one that reads the very same from the very same bytes."""
    value, met = values
    key = (*place, way.size, way.keys.get("byte"), way.keys.get("scale"), str(way.keys["type"]).lstrip("u")[:3], value)
    if (known := found.get(key)) is not None:
        also = (*known.also, way.name)
        found[key] = Candidate(
            point=known.point, value=value, raw=known.raw, met=max(known.met, met), cost=known.cost, also=also
        )
        return
    raw = chunks[-1][-1].hex(" ", 2).upper()
    found[key] = Candidate(point=way.point(*place), value=value, raw=raw, met=met, cost=way.cost)


def _texts(text: str) -> Iterator[_Way]:
    length = len(text.encode())
    for order in ("ABCD", "BADC"):
        keys = {"type": "string", "length": length, "order": order}
        yield _Way(keys, math.ceil(length / 2), _ORDER_COSTS[order])


def _numbers() -> Iterator[_Way]:
    for kind in KINDS:
        for order in orders(kind):
            yield _Way({"type": kind, "order": order}, WORDS[kind], _TYPE_COSTS.get(kind, 0) + _ORDER_COSTS[order])
    for side, whole in product(("low", "high"), ("uint16", "int16")):
        yield _Way({"type": whole, "byte": side}, 1, _BYTE_COST + (side == "high"))


def _plain_ways(wanted: Expected) -> list[_Way]:
    """Return the ways to try, without scales, the plainest first: what reads the same is named beside it."""
    found = _texts(wanted.value) if isinstance(wanted.value, str) else _numbers()
    return sorted(found, key=lambda way: way.cost)


def _scaled(plain: _Way, wanted: Expected, scales: Sequence[float]) -> list[_Way]:
    if isinstance(wanted.value, str):
        return [plain]
    keyed = [(scale, {} if scale == 1.0 else {"scale": scale}) for scale in scales]
    return [
        _Way({**plain.keys, **key}, plain.size, plain.cost + _SCALE_COSTS.get(scale, _ODD_SCALE))
        for scale, key in keyed
    ]


def orders(kind: RawType) -> tuple[Order, ...]:
    """Return the byte orders in which values of a type can lie."""
    return ("ABCD", "BADC") if WORDS[kind] == 1 else get_args(Order)
