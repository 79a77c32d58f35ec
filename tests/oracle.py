"""The judge of a run: joins what the simulators say they served with what the office has, and with what the phone got.

It imports nothing of ours and reads no counter of ours: the simulators' journal, the office's tables by plain SQL, the
phone's journal, the journal of a third party on the broker (the tap), and the journal of what was done to the run:
`{t, did}` with `kill PART` and `back PART` (gateway, office, broker), or `cut` and `back` for the way between them. A
zero counts only if the run had something to lose; else the verdict is "proved nothing".

    python tests/oracle.py --site ID --office office.db --journal sim.jsonl [--phone F] [--tap F] [--done F] [--json]

Exit: 0 all is well, 1 something is lost, doubled, wrong, out of order, unexplained or unproven. Beside it lie the
parts that judge samples and coverage (`oracle_record.py`), events and linkage (`oracle_events.py`), and that tell what
truly happened (`oracle_truths.py`).
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

if __package__:
    from .oracle_events import judge_events, judge_linkage
    from .oracle_record import SECOND, Account, Line, Office, absences, judge_record, judge_samples, lines
    from .oracle_truths import BEFORE, NEEDED, PACKS, Truth, truths
else:  # run as a script, from wherever it lies
    from oracle_events import judge_events, judge_linkage
    from oracle_record import SECOND, Account, Line, Office, absences, judge_record, judge_samples, lines
    from oracle_truths import BEFORE, NEEDED, PACKS, Truth, truths

GRACE = 4 * SECOND
"""How long after it is due an alarm is missing."""
SILENT = 60 * SECOND
"""GW01 is due when a site was not heard for so long."""
OF_ITSELF = {"GW03": "disk", "GW04": "outbox"}
"""Alarms of the gateway itself that are true only after this part was cut. What else it says of itself is listed."""
ANNUNCIATING = ("raise", "reannunciate")
HELD_BACK = ("E", "F", "G")
"""States in which an alarm is shown to nobody: what comes out of them and is true is pushed, what moves in them not."""
STREAMS = {"samples", "alarms", "events"}


def judge_alarms(
    journal: list[Line], done: list[Line], office: Office, account: Account, needed: dict[str, int]
) -> None:
    """Transitions follow one another, each truth that lasted raised its alarm once, and nothing else raised any."""
    moves = office.rows(
        """SELECT t.* FROM transitions t
           JOIN (SELECT epoch e, MIN(at) began FROM transitions WHERE site = ?1 GROUP BY epoch) ON e = t.epoch
           WHERE site = ?1 ORDER BY began, epoch, sequence, position"""
    )
    late = sum(a["id"] > b["id"] for a, b in pairwise(moves) if a["epoch"] == b["epoch"])
    account.check(late, "transitions committed out of order")
    state: dict[str, str] = {}
    for move in moves:
        before = state.get(move["key"], "A")
        account.check(
            move["source"] != before, f"broken order: {move['key']} moved from {move['source']}, was {before}"
        )
        state[move["key"]] = move["target"]
    for row in office.rows("SELECT key, state FROM alarms WHERE site = ?"):
        account.check(row["state"] != state.get(row["key"]), f"alarm {row['key']} stands as {row['state']}")
    account.figures["alarms_raised"] = dict(Counter(move["rule"] for move in moves if move["cause"] == "raise"))
    told = {move["id"]: move for move in moves if move["cause"] in ANNUNCIATING}
    of: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for move in moves:
        of[move["rule"], move["key"].split("/")[1]].append(move)
    happened = [truth for truth in truths(journal) if truth[0] in needed]
    account.figures["entrapments"] = sum(rule == "L01" for rule, *_ in happened)
    due = [(*truth, _is_due(truth, needed[truth[0]], office)) for truth in happened]
    for part, spans in absences(done).items():
        must = part == "gateway"
        due += [("GW01", "gateway", a + SILENT - 5 * GRACE, b, must and b - a > SILENT + 5 * GRACE) for a, b in spans]
    for rule, device, start, end, must in due:
        mine = of[rule, device]
        found = [move for move in mine if move["id"] in told and start <= move["at"] <= end + GRACE / 2]
        count = len(found) - _more_urgent(found)
        missing = must and not found and not _stands(mine, start, end)
        account.check(count > 1 or missing, f"{count} {rule} for {device} at {start}, not 1")
        if rule == "L01":
            found_s = [round((move["at"] - start) / SECOND, 2) for move in found]
            account.figures["entrapment_found_s"] = account.figures.get("entrapment_found_s", []) + found_s
        for move in found:
            del told[move["id"]]
    of_itself = [move for move in told.values() if move["key"].split("/")[1] == "gateway" and move["rule"] != "GW01"]
    account.figures["alarms_of_gateway"] = dict(Counter(move["rule"] for move in of_itself))
    for move in of_itself:
        del told[move["id"]]
        part = OF_ITSELF.get(move["rule"])
        true = part is None or any(a <= move["at"] for a, _ in absences(done)[part])
        account.check(not true, f"alarm without a reason: {move['occurrence']} at {move['at']}")
    for move in told.values():
        account.check(
            move["rule"] in {*needed, "GW01"}, f"alarm without a reason: {move['occurrence']} at {move['at']}"
        )


def _is_due(truth: Truth, needed: int, office: Office) -> bool:
    """Tell whether the site knew of a truth for so long that its alarm must be there."""
    rule, device, start, end = truth
    before = BEFORE.get(rule, 0)
    return office.known(device, start - before, end) > before + needed + GRACE


def _stands(moves: list[Any], start: int, end: int) -> bool:
    """Tell whether an alarm was told before a truth began, and has stood since: then nobody tells it again."""
    active = False
    for move in moves:
        if move["at"] > end:
            break
        active = move["target"] in {"B", "C"} and (active or move["at"] < start)
    return active


def _more_urgent(moves: list[Any]) -> int:
    """Return how many of the moves of one truth only tell that it has become more urgent."""
    return sum(
        later["cause"] == "reannunciate" and later["priority"] < sooner["priority"] for sooner, later in pairwise(moves)
    )


CAUSES = {"GW15": ("broker", "way"), "GW16": ("database",)}
"""Alarms of the office's own, and whose absence explains them."""
SETTLED = 10 * SECOND
SECRET = frozenset({"A06"})
"""Alarms of which only security may know; the phone is not security's."""
DIGEST = "/gateway/FLOOD@office-"
"""In the name of a push that tells many alarms of a site together."""
TOGETHER = 600 * SECOND
IN_FLOOD = 5
"""Fewer annunciations of a site within that time are no flood any more."""


def judge_pushes(phone: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """Each annunciation of P1 to P3 reached the phone; a repeat only with a mark, and at most one for each death."""
    accepted: dict[str, list[Line]] = defaultdict(list)
    for line in phone:
        account.check(line.get("signed") is False, f"push {line.get('event')} with a wrong signature")
        if line["status"] == 200:
            accepted[line["event"].partition("~")[0]].append(line)  # behind it: which process told it from memory
    away = absences(done)
    latencies, held, names, shown = [], [], set(), []
    for move in office.rows("SELECT * FROM transitions WHERE site IN (?, '_office') AND mode = '' ORDER BY id"):
        shown_again = move["source"] in HELD_BACK
        if move["target"] != "B" or not (shown_again or move["cause"] in {*ANNUNCIATING, "realarm"}):
            continue
        parts = CAUSES.get(move["rule"], ())
        known = not parts or any(a <= move["at"] <= b + SETTLED for part in parts for a, b in away[part])
        account.check(not known, f"{move['rule']} of the office although nothing that it needs was away")
        # A push is named by the occurrence; that of a re-annunciation also by where in the alarms stream it stands.
        name = move["occurrence"] + (
            "" if move["cause"] == "raise" else f"+{move['epoch']}-{move['sequence']}.{move['position']}"
        )
        names.add(name)
        got = accepted.get(name, [])
        if move["rule"] in SECRET:
            account.check(len(got), f"push of {name} to the phone, though it is for security alone")
            continue
        follows = move["parent"] and f"{move['key'].rpartition('/')[0]}/{move['parent']}@"  # its parent's push says it
        told = got or (follows and any(other.startswith(follows) for other in accepted))
        told = told or _together(move, shown, accepted)
        shown.append(move)
        account.check(not told and move["priority"] != "P4", f"no push for {name} ({move['rule']})")
        if got:
            cut = any(a <= move["at"] <= b for part in ("office", "broker", "way") for a, b in away[part])
            (held if cut else latencies).append((min(line["t"] for line in got) - move["at"]) / 1_000)
    for name, got in accepted.items():
        of_record = name.partition("#")[0] in names or DIGEST in name  # behind it: who was called next
        account.check(not of_record, f"push {name} of nothing in the record")
        for one, other in pairwise(sorted(got, key=lambda line: line["t"])):
            died = any(one["t"] <= b and a <= other["t"] for a, b in [*away["office"], *away["way"]])
            good = died and other["body"].get("possible_repeat")
            account.check(not good, f"repeat of {name} {'after no death' if not died else 'without a mark'}")
    account.figures["pushed"] = sum(map(len, accepted.values()))
    account.figures["push_repeats"] = account.figures["pushed"] - len(accepted)
    account.figures["latency_ms"] = _percentiles(latencies)
    account.figures["latency_held_ms"] = _percentiles(held)
    account.risk["alarms raised while the office was away"] = len(held)
    account.risk["pushes without an answer"] = sum(line["status"] != 200 for line in phone)


def _together(move: Any, shown: list[Any], accepted: dict[str, list[Line]]) -> bool:
    """Tell whether a fault or a note was rightly told with others: in a flood, or of an alarm that comes and goes."""
    if move["priority"] not in {"P3", "P4"}:
        return False
    lately = [one for one in shown if 0 <= move["committed"] - one["committed"] < TOGETHER]
    here = [one for one in lately if one["site"] == move["site"]]
    digested = any(name.startswith(f"{move['site']}{DIGEST}") for name in accepted)
    if digested and len(here) + 1 >= IN_FLOOD:
        return True
    same = [one for one in lately if one["key"] == move["key"]]
    came = [one for one in same if 0 <= move["at"] - one["at"] < 60 * SECOND]
    return len(came) >= 2 and any(one["occurrence"] in accepted for one in same)


def judge_risk(tap: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """What could have been lost: blocks that waited, that came again, processes that died with work in hand."""
    up = [[*line["topic"].split("/"), line["digest"]] for line in tap if not line["retained"]]
    seen = Counter(parts[-1] for parts in up if parts[2] == office.site and parts[-2] in STREAMS)
    stored = {row["digest"] for row in office.rows("SELECT digest FROM blocks WHERE site = ?")}
    account.check(len(seen.keys() - stored), "blocks published and not in the office")
    account.figures["resent"] = sum(count - 1 for count in seen.values())
    in_hand = 0
    for kill in (line for line in done if line["did"].startswith("kill")):
        waiting = office.rows("SELECT 1 FROM blocks WHERE site = ? AND t0 <= ?2 AND committed > ?2 LIMIT 1", kill["t"])
        unsaved = any(kill["t"] - 2 * SECOND <= t <= kill["t"] for t in account.unstored)
        in_hand += bool(waiting) or (unsaved and kill["did"] == "kill gateway")
    waited = "SELECT COUNT(*) FROM blocks WHERE site = ? AND committed - t0 > 5000000"
    account.risk |= {
        "blocks that waited": office.rows(waited)[0][0],
        "blocks sent again": account.figures["resent"],
        "deaths with work in hand": in_hand,
    }


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "n": len(ordered),
    }


def judge(
    site: str,
    office: Path | str,
    journal: Path,
    phone: Path | None = None,
    tap: Path | None = None,
    done: Path | None = None,
    needed: dict[str, int] = NEEDED,
    packs: Collection[str] = PACKS.keys(),
) -> Account:
    """Return the account of one run.

    `needed` if the site's rules have other delays than those of NEEDED, `packs` if it does not run all of them.
    """
    needed = {rule: delay for rule, delay in needed.items() if rule[0] in {PACKS[pack] for pack in packs}}
    account, tables = Account(), Office(office, site)
    served, interventions = lines(journal), lines(done)
    judge_samples(served, tables, account)
    judge_record(served, interventions, tables, account)
    judge_events(served, interventions, tables, account)
    judge_linkage(served, interventions, tables, account)
    judge_alarms(served, interventions, tables, account, needed)
    if phone is not None:
        judge_pushes(lines(phone), interventions, tables, account)
    judge_risk(lines(tap), interventions, tables, account)
    tables.close()
    told = account.figures["served"] or account.figures["events"]
    if not told or not any(account.risk.values()):
        account.wrong.append("proved nothing: " + ("nothing was at risk" if told else "nothing was served"))
    return account


def summary(account: Account) -> dict[str, Any]:
    """Return the account as data: the figures that people ask for first, then all the others as they were found."""
    figures = dict(account.figures)
    alarms = {"raised": sum(figures["alarms_raised"].values()), "by_rule": figures.pop("alarms_raised")}
    for name, figure in {"pushed": "pushed", "latency_ms": "latency_ms", "held_back_ms": "latency_held_ms"}.items():
        alarms[name] = figures.pop(figure, None)
    lost = figures.pop("lost") + figures.pop("events_lost")
    first = {
        "ok": not account.wrong, "devices": figures.pop("devices"), "points": figures.pop("points"),
        "polls": figures.pop("served"), "samples": figures.pop("samples"), "blocks": figures.pop("blocks"),
        "alarms": alarms, "lost": lost, "duplicated": figures.pop("doubled") + figures.pop("events_doubled"),
        "resent_blocks": figures.pop("resent"), "wrong": account.wrong, "at_risk": account.risk,
    }  # fmt: skip
    return first | figures


def _place(text: str) -> Path | str:
    return text if text.startswith("postgresql:") else Path(text)


def main() -> int:
    """Print the account; return the exit code."""
    parser = argparse.ArgumentParser(description="The judge of a run.")
    parser.add_argument("--site", required=True)
    parser.add_argument("--office", type=_place, required=True, help="the office's SQLite file, or postgresql://...")
    parser.add_argument("--journal", type=Path, required=True, help="of the simulators")
    parser.add_argument("--phone", type=Path)
    parser.add_argument("--tap", type=Path)
    parser.add_argument("--done", type=Path, help="what was done to the run: {t, did: kill PART, back PART, cut, back}")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    account = judge(given.site, given.office, given.journal, given.phone, given.tap, given.done)
    result = summary(account)
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:20} {value}")
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
