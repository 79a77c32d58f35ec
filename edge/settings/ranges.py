"""`for: {n: 1..24}`: one entry that stands for many devices."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Final

from edge.settings.written import Origin
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Plain, Scalar

_PART: Final = re.compile(r"\s*([0-9]{1,6})\s*(?:\.\.\s*([0-9]{1,6})\s*)?")
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::0([1-9]))?\}")


def expand(entry: dict[Scalar, Plain], where: Origin, faults: Faults, *, most: int) -> Iterator[dict[Scalar, Plain]]:
    """Yield the entries that `entry` stands for: itself, if it has no `for:`.

    `{n}` becomes the number, `{n:02}` the number with leading zeros. A text that is `{n}` alone becomes a number.
    Several variables give every combination.
    """
    if "for" not in entry:
        yield entry
        return
    variables = entry["for"]
    if not isinstance(variables, dict) or not variables:
        faults.add(where.place(("for",)), "bad-range", hint="range-form", text=where.text(("for",)))
        return
    ranges: dict[str, list[int]] = {}
    for name, written in variables.items():
        numbers = _numbers(written, most)
        if numbers is None:
            faults.add(where.place(("for", name)), "bad-range", hint="range-form", text=where.text(("for", name)))
            return
        ranges[str(name)] = numbers
    count = 1
    for numbers in ranges.values():
        count *= len(numbers)
    if count > most:
        faults.add(where.place(("for",)), "limit", what="devices", limit=most)
        return
    template = {key: value for key, value in entry.items() if key != "for"}
    if not _names_known(template, set(ranges), where, faults):
        return
    for combination in product(*ranges.values()):
        filled = _fill(template, dict(zip(ranges, combination, strict=True)))
        assert isinstance(filled, dict)
        yield filled


def _numbers(written: Plain, most: int) -> list[int] | None:
    """`1..3, 5, 7..9`; None if it is not that, or names more than `most` numbers."""
    numbers: list[int] = []
    for part in str(written).split(",") if isinstance(written, str | int) else ():
        match = _PART.fullmatch(part)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= most:
            return None
        numbers.extend(range(first, last + 1))
    return numbers if 0 < len(numbers) <= most and len(set(numbers)) == len(numbers) else None


def _names_known(value: Plain, known: set[str], where: Origin, faults: Faults) -> bool:
    if isinstance(value, str):
        strange = [match for match in _PLACEHOLDER.finditer(value) if match[1] not in known]
        for match in strange:
            faults.add(where.place(), "unknown-variable", near=nearest(match[1], known), text=match[0])
        return not strange
    if isinstance(value, list):
        return all(_names_known(item, known, where.within(index), faults) for index, item in enumerate(value))
    if isinstance(value, dict):
        return all(_names_known(item, known, where.within(key), faults) for key, item in value.items())
    return True


def _fill(value: Plain, numbers: dict[str, int]) -> Plain:
    if isinstance(value, str):
        alone = _PLACEHOLDER.fullmatch(value)
        if alone and alone[2] is None and alone[1] in numbers:
            return numbers[alone[1]]
        return _PLACEHOLDER.sub(lambda match: _written(match, numbers), value)
    if isinstance(value, list):
        return [_fill(item, numbers) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, numbers) for key, item in value.items()}
    return value


def _written(match: re.Match[str], numbers: dict[str, int]) -> str:
    number = numbers.get(match[1])
    return match[0] if number is None else f"{number:0{match[2] or 1}d}"
