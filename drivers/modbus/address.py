"""Addresses as people write them: zero-based integers, or sums and products over a device's `with:`.

    7000*channel + 100*short_address + 6
    sensor - 1                                 for a manual that counts its sensors from 1

Modicon numbers (`40021`: the 21st holding register) are refused with their translation, because whoever mixes the two
reads the neighbour's register.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

Table = Literal["coil", "discrete", "input", "holding"]

_SYMBOL: Final = re.compile(r"\s*(?:(\d+)|([a-z][a-z0-9_]*)|([-+*()]))")
_LONGEST: Final = 100
_MODICON: Final[dict[int, Table]] = {1: "discrete", 3: "input", 4: "holding"}
_REGISTERS: Final[tuple[Table, ...]] = ("input", "holding")
_SUSPECT: Final[dict[Table, tuple[Table, ...]]] = {
    "coil": (), "discrete": ("discrete",), "input": _REGISTERS, "holding": _REGISTERS,
}  # fmt: skip


def resolve(table: Table, written: int | str, parameters: Mapping[str, int | str]) -> int:
    """Return the zero-based address.

    Raises:
        ValueError: not an address from 0 to 65535; the message says what to write instead.
    """
    if isinstance(written, int):
        _refuse_modicon(table, written)
        address = written
    elif written.strip().isdecimal():
        number = int(written)
        if written.strip().startswith("0") and number:
            what = f"{table} address {written} looks like a Modicon number, which counts from 1"
            raise ValueError(f"{what}: write {table}: {number - 1}")
        _refuse_modicon(table, number)
        address = number
    else:
        address = _Expression(written, parameters).value()
        _refuse_bare(table, written.strip(), address)
    if not 0 <= address <= 65535:
        raise ValueError(f"{table} address {address} is outside 0 to 65535")
    return address


def modicon(number: int) -> tuple[Table, int] | None:
    """Return the table and zero-based address that a Modicon number means: 40021 is holding register 20."""
    for digit, table in _MODICON.items():
        for base, last in ((digit * 10_000, 9_999), (digit * 100_000, 65_536)):
            if base < number <= base + last:
                return table, number - base - 1
    return None


def _refuse_modicon(table: Table, number: int) -> None:
    found = modicon(number)
    if found is None or found[0] not in _SUSPECT[table]:
        return
    meant, address = found
    what = f"{number} is a Modicon number; addresses count from 0: write {meant}: {address}"
    raise ValueError(f'{what}, or "{number - address - 1} + {address + 1}" if {number} really is the address')


def _refuse_bare(table: Table, name: str, number: int) -> None:
    """Refuse a Modicon number that a device's `with:` gives for a whole address; within a sum it is an offset."""
    found = modicon(number) if name.isidentifier() else None
    if found is None or found[0] not in _SUSPECT[table]:
        return
    meant, address = found
    what = f"with: {name} is {number}, a Modicon number; addresses count from 0: write {name}: {address}"
    if meant != table:
        what += f", if {meant} {address} really is in the table {table}"
    raise ValueError(f'{what}, or in the profile "{name} + 0" if {number} really is the address')


class _Expression:
    """Recursive descent over: sum = product {+ or - product}; product = atom {* atom}; atom = n | name | ( sum )."""

    def __init__(self, text: str, parameters: Mapping[str, int | str]) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"address expression longer than {_LONGEST} characters")
        self._text = text
        self._parameters = parameters
        self._symbols = self._split()

    def _split(self) -> list[str]:
        symbols: list[str] = []
        position, text = 0, self._text.rstrip()
        while position < len(text):
            match = _SYMBOL.match(text, position)
            if match is None:
                wrong = text[position:].lstrip()[:1]
                raise ValueError(
                    f"address {self._text!r}: {wrong!r} is not an integer, a name, +, -, * or a parenthesis"
                )
            symbols.append(match[0].strip())
            position = match.end()
        return symbols

    def value(self) -> int:
        value = self._sum()
        if self._symbols:
            raise ValueError(f"address {self._text!r}: {self._symbols[0]!r} was not expected there")
        return value

    def _sum(self) -> int:
        value = self._product()
        while self._symbols[:1] in (["+"], ["-"]):
            sign = 1 if self._symbols.pop(0) == "+" else -1
            value += sign * self._product()
        return value

    def _product(self) -> int:
        value = self._atom()
        while self._symbols[:1] == ["*"]:
            del self._symbols[0]
            value *= self._atom()
        return value

    def _atom(self) -> int:
        symbol = self._symbols.pop(0) if self._symbols else ""
        if symbol.isdecimal():
            return int(symbol)
        if symbol == "(":
            value = self._sum()
            if not self._symbols or self._symbols.pop(0) != ")":
                raise ValueError(f"address {self._text!r}: a parenthesis is not closed")
            return value
        if symbol[:1].isalpha():
            return self._parameter(symbol)
        found = repr(symbol) if symbol else "the end"
        raise ValueError(f"address {self._text!r}: an integer, a name or '(' was expected, not {found}")

    def _parameter(self, name: str) -> int:
        if name not in self._parameters:
            known = ", ".join(sorted(self._parameters)) or "none"
            raise ValueError(f"address {self._text!r} needs {name!r} in the device's with: (there: {known})")
        value = self._parameters[name]
        if isinstance(value, bool) or not str(value).isdecimal():
            raise ValueError(f"address {self._text!r}: with: {name} is {value!r}, not a whole number")
        return int(value)
