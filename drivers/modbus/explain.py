"""A plan in words: what is asked, for which points, and why not together with what comes before it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from drivers.modbus.blocks import Block, Group, Unit
from drivers.modbus.plan import Request
from drivers.modbus.request import READS
from sitekeeper.model.clock import SECOND, Micros


def requests(groups: Sequence[Group]) -> list[Mapping[str, object]]:
    """Return each request of a device's scan groups: what it asks, its points, why it is one, and what came last."""
    found: list[Mapping[str, object]] = []
    for group in groups:
        before: Request | None = None
        for block in group.blocks:
            request = block.request
            found.append(
                {
                    "id": str(len(found) + 1),
                    "group": group.group.id,
                    "function": f"FC{READS[request.table]:02}",
                    "table": request.table,
                    "first": request.address,
                    "count": request.count,
                    "points": [group.group.points[span.index].name for span in request.spans],
                    "why": _why(group.unit, before, request),
                    "read_along": [_range(*gap) for gap in _gaps(request)],
                    "last": _last(block),
                }
            )
            before = request
    return found


def learned(unit: Unit, now: Micros) -> list[Mapping[str, object]]:
    """Return what the device has been found to refuse, and when that is put to the test again."""
    words = {"hole": "refused", "wide": "refused as a whole", "mute": "not answered as a whole"}
    return [
        {
            "id": str(number),
            "table": run.table,
            "addresses": _range(run.address, run.end),
            "what": words[belief.kind],
            "times": belief.tests,
            "next_try_s": round(max(belief.due - now, 0) / SECOND),
        }
        for number, (run, belief) in enumerate(unit.learned.refused, start=1)
    ]


def limits(unit: Unit) -> dict[str, object]:
    """Return the sizes that hold: as the profile says, or less where the device was found to take less."""
    most = {table: min(unit.limits.most(table), unit.learned.most(table)) for table in READS}
    less = {f"learned_{table}": size for table, size in most.items() if size < unit.limits.most(table)}
    return {
        "max_registers": unit.limits.max_registers,
        "max_bits": unit.limits.max_bits,
        "gaps": unit.limits.gaps,
        **less,
    }


def _why(unit: Unit, before: Request | None, request: Request) -> str:
    """Return why this request does not go with the one before it; empty for the first of its table."""
    if request.lone:
        return "refused alone; asked ever more rarely"
    if before is None or before.table != request.table:
        return ""
    gap, whole = request.address - before.run.end, request.run.end - before.address
    if before.lone:
        return f"{_range(before.address, before.run.end)} is refused"
    if gap > unit.limits.gaps:
        return f"{gap} addresses between that no point uses; gaps: {unit.limits.gaps}"
    most = min(unit.limits.most(request.table), unit.learned.most(request.table))
    if whole > most:
        learnt = " (learned)" if most < unit.limits.most(request.table) else ""
        return f"at most {most} in one request{learnt}"
    return "refused together"


def _gaps(request: Request) -> Iterator[tuple[int, int]]:
    reached = request.address
    for span in request.spans:
        if span.address > reached:
            yield reached, span.address
        reached = max(reached, span.end)


def _range(first: int, end: int) -> str:
    return str(first) if end - first == 1 else f"{first}-{end - 1}"


def _last(block: Block) -> str:
    if block.told:
        return f"{block.told} ({block.failures} times in a row)" if block.failures > 1 else block.told
    return "ok" if block.proven else "not asked yet"
