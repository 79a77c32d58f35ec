"""What a probe of a Modbus device asks, and what its answer can mean: addresses, types, byte orders. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from drivers.modbus.address import Table, modicon, resolve
from drivers.modbus.codec import decoder
from drivers.modbus.options import WORDS, ModbusPoint, RawType
from edge.probe.guess import orders
from sitekeeper.model.sample import Value

TYPES: Final[tuple[RawType, ...]] = tuple(name for name in get_args(RawType) if name in WORDS)
TABLES: Final[tuple[Table, ...]] = get_args(Table)
SHOWN: Final = (*TYPES, "string", "bits")
"""What can be asked for by type: with `string` all registers are one text, `bits` names those of one that are set."""
MANY: Final = 4
"""Registers up to which every type is tried; of more, only single registers are shown unless types are named."""

_LIKELY: Final = (1e-6, 1e12)
"""A float outside, other than 0, is more likely one read with the wrong type or order. Shown if asked for by type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read some of the registers. `value` None: the bytes are no value of this type."""

    address: int
    type: str
    order: str
    raw: str
    value: Value


def units(written: str) -> list[int]:
    """Return the units of `1..10`.

    Raises:
        ValueError: not two numbers from 0 to 255 in rising order.
    """
    first, dots, last = written.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= 255):
        raise ValueError(f"{written!r} is not a range of units; write 1..10")
    return list(range(int(first), int(last) + 1))


def address(table: Table | None, written: str, *, as_it_is: bool) -> tuple[Table, int, bool]:
    """Return table, zero-based address, and whether a Modicon number was translated.

    Args:
        as_it_is: a number that looks like a Modicon one is the address itself.

    Raises:
        ValueError: no such address, or the Modicon number is of another table than the one named.
    """
    if not written.isdecimal():
        raise ValueError(f"address {written!r} is not a whole number")
    number = int(written)
    if as_it_is:
        return table or "holding", resolve(table or "holding", f"0 + {number}", {}), False
    meant = modicon(number)
    if meant is None and len(written) in (5, 6) and written.startswith("0") and number:
        meant = ("coil", number - 1)  # 00021: the 21st coil
    if meant is None or (table == "coil" and not written.startswith("0")):
        return table or "holding", resolve(table or "holding", number, {}), False
    if table not in (None, meant[0]):
        raise ValueError(f"{written} is the Modicon number of {meant[0]} {meant[1]}, not of the table {table}")
    return *meant, True


def words(data: bytes) -> list[str]:
    """Return registers in hex."""
    return [data[at : at + 2].hex().upper() for at in range(0, len(data), 2)]


def bits(start: int, count: int, data: bytes) -> list[Reading]:
    """Return coils or discrete inputs, lowest address first."""
    return [
        Reading(address=start + at, type="bool", order="", raw=str(bit), value=bool(bit))
        for at in range(count)
        for bit in (data[at // 8] >> at % 8 & 1,)
    ]


def readings(table: Table, start: int, data: bytes, types: Sequence[str]) -> list[Reading]:
    """Return each way to read the registers: the `types` named at every place, else all that give a likely value."""
    count = len(data) // 2
    named = [name for name in TYPES if name in types]
    found = [
        reading
        for name in (named if types else [name for name in TYPES if WORDS[name] <= (count if count <= MANY else 1)])
        for at in range(0, count - WORDS[name] + 1, WORDS[name])
        for order in orders(name)
        for reading in (_read(table, start + at, name, order, data[2 * at : 2 * (at + WORDS[name])]),)
        if types or _is_likely(reading)
    ]
    if count and ("string" in types or (not types and count <= MANY)):
        found += [text for text in _texts(table, start, data) if types or text.value]
    if "bits" in types or (not types and count <= MANY):
        found += [_bits(start + at, data[2 * at : 2 * at + 2]) for at in range(count)]
    return found


def _read(table: Table, at: int, name: RawType, order: str, chunk: bytes) -> Reading:
    point = ModbusPoint.model_validate({table: f"0 + {at}", "type": name, "order": order})
    value, _ = decoder(point, "float" if name.startswith("float") else "int")(chunk)
    return Reading(address=at, type=name, order=order, raw=" ".join(words(chunk)), value=value)


def _texts(table: Table, start: int, data: bytes) -> list[Reading]:
    """Return all the registers as one text, the bytes of each in both orders."""
    data, found = data[:250], []
    for order in ("ABCD", "BADC"):
        point = ModbusPoint.model_validate(
            {table: f"0 + {start}", "type": "string", "length": len(data), "order": order}
        )
        value = cast("str | None", decoder(point, "text")(data)[0])
        found.append(Reading(address=start, type="string", order=order, raw=" ".join(words(data)), value=value))
    return found


def _bits(at: int, word: bytes) -> Reading:
    bits = [str(bit) for bit in range(16) if int.from_bytes(word) >> bit & 1]
    return Reading(address=at, type="bits", order="", raw=word.hex().upper(), value=" ".join(bits) or "none")


def _is_likely(reading: Reading) -> bool:
    value = reading.value
    return value == 0 or (
        value is not None and (not isinstance(value, float) or _LIKELY[0] <= abs(value) <= _LIKELY[1])
    )
