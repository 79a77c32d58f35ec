"""After a restart: of the claims that were saved, those stand whose rule still wants the same; the others end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from edge.commands.line import Line
from edge.rules.instance import Verdict
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Write


def left(
    lines: Mapping[str, Line], standing: Sequence[Verdict], now: Micros
) -> tuple[int, dict[str, dict[str, Write]]]:
    """End the saved claims of rules and machines that nobody makes any more.

    Args:
        standing: what rules claim now.

    Returns:
        The highest number of a claim, and what is still to be claimed: by claimant and point.
    """
    number, wanted = 0, {f"{v.device}/{v.rule}": {f"{w.device}/{w.point}": w for w in v.writes} for v in standing}
    over: defaultdict[str, list[Line]] = defaultdict(list)
    for id_, line in lines.items():
        for claim in line.wishes.claims:
            number = max(number, claim.number)
            write = wanted.get(claim.by, {}).get(id_)
            if write is not None and (write.value, write.priority) == (claim.value, claim.priority):
                if not claim.leaving:
                    del wanted[claim.by][id_]
            elif not (claim.person or claim.leaving):
                over[claim.by].append(line)
        for by in line.wishes.spent:
            if wanted.get(by, {}).pop(id_, None) is None:
                line.give_up(by)
    for by, given_up in over.items():
        one_by_one(given_up, by, now)
    return number, wanted


def one_by_one(lines: Sequence[Line], by: str, now: Micros) -> None:
    """Take out what a claimant claims of these points: device by device in the order of their ids, if it said so."""
    places = {device: place for place, device in enumerate(sorted({line.target.device for line in lines}))}
    for line in lines:
        stagger = max((claim.stagger for claim in line.wishes.claims if claim.by == by), default=0)
        wait = stagger * places[line.target.device]
        line.give_up(by, now + wait if wait else None)
