"""Every promise, which bench measures it, and how its figures become rows of the table."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import rows_sync
from benchmarks.rows import Row, figure, row


def _json(module: str, *options: str) -> Any:
    """Run a bench that prints JSON as a program of its own, so that it starts with a fresh memory."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--json", *options], capture_output=True, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout)


def _polling(found: Any) -> list[Row]:
    reading, period, bare = "poller, a commit a reading", "poller, a commit a period", "bare pymodbus"
    rows = []
    for case, rival, figure_, most in (
        ("1 s, 10 % changing", reading, "<= 0.35 of the poller", 0.35),
        ("1 s, 10 % changing", period, "(the same poller, one commit for all 50)", None),
        ("1 s, unchanged", bare, "<= 5 of bare pymodbus", 5.0),
    ):
        cost, ratio = found[case]["cpu s per 1,000 points"], found[case]["ratio to"][rival]
        rows.append(
            row(
                f"Polling, gateway's CPU, 50 x 100 registers, {case}",
                figure_,
                figure(cost["gateway"], ".4f", " s per 1,000 points"),
                None if most is None else ratio[0] <= most,
                base=f"{rival}: {figure(cost[rival], '.4f', ' s')}",
                ratio=figure(ratio, ".2f"),
            )
        )
    beside = found["1 s, 10 % changing"]["cpu s per 1,000 points"]
    rows.append(
        row(
            "beside it, at 1 s, 10 % changing",
            "",
            ", ".join(f"{n} {beside[n][0]:.4f} s" for n in ("broker", "office", "field")),
            None,
        )
    )
    fast = found["100 ms, 10 % changing"]
    arrived = fast["arrived"]
    whole = arrived["samples of m20 at the office"] >= arrived["readings served"] - 50
    rows.append(
        row(
            "Polling at 100 ms, 50,000 points/s",
            "kept up: >= 99 % of polls, all samples at the office",
            f"polls {figure(fast['polls kept']['gateway'], '.1%')}, "
            f"samples {arrived['samples of m20 at the office']} of {arrived['readings served']}, "
            f"CPU {fast['cpu % of a core']['gateway']:.0f} % of a core",
            fast["polls kept"]["gateway"][0] >= 0.99 and whole,
            base=f"{reading}: polls {figure(fast['polls kept'][reading], '.1%')}",
            ratio=figure(fast["ratio to"][reading], ".2f"),
        )
    )
    return rows


def _requests(found: Any) -> list[Row]:
    return [
        row(
            f"Modbus driver alone, {case}",
            "(no promise)",
            f"{one['ours_us']} us a request",
            None,
            base=f"bare pymodbus {one['pymodbus_us']} us",
            ratio=f"{one['ratio']}",
        )
        for case, one in found.items()
    ]


def _sick(found: Any) -> list[Row]:
    rows = []
    for wire in ("Modbus TCP", "RTU over TCP"):
        one = found[wire]
        on_tcp = wire == "Modbus TCP"
        rows.append(
            row(
                f"Sick neighbours, {wire}: 1 of 5 units silent, time-out 1 s, read each second",
                ">= 99 % of the polls of the other four" if on_tcp else "<= 10 % of the time lost to it",
                f"{one['kept']:.1%} of the polls, {one['lost to silence']:.1%} of the time lost",
                one["kept"] >= 0.99 if on_tcp else round(one["lost to silence"], 2) <= 0.1,
                base=f"bare pymodbus: {one['kept, naive']:.1%} of the polls, {one['lost to silence, naive']:.1%} lost",
            )
        )
    many = found["40 units on one link"]
    rows.append(
        row(
            "4,000 points/s on one link of 40 units that take 10 ms to answer",
            "no missed period",
            f"{many['points/s']} points/s, {many['kept']:.1%} of the polls",
            many["kept"] >= 0.999,
        )
    )
    return rows


def _alarms(found: Any) -> list[Row]:
    rows = []
    for case in ("one at a time", "one at a time, during backfill"):
        one = found[case]
        at = one["from reply"]
        rows.append(
            row(
                f"Alarm latency, reply to push receiver, {case}",
                "p50 <= 30 ms, p99 <= 100 ms",
                f"p50 {at['p50']} ms, p99 {at['p99']} ms, of {one['pushed']} pushes for {one['alarms']} alarms",
                at["p50"] <= 30 and at["p99"] <= 100 and one["pushed"] == one["alarms"],
                **_beside(one),
            )
        )
    at = found["one at a time"]["from change"]
    rows.append(
        row(
            "Alarm latency, change in the field to push receiver, read every 250 ms",
            "p99 <= one period + 100 ms",
            f"p50 {at['p50']} ms, p99 {at['p99']} ms",
            at["p99"] <= 350,
        )
    )
    return rows


def _beside(one: Any) -> dict[str, str]:
    """Return baseline and ratio of a latency: what three bare commits took in the same run, and how often that."""
    bare, at = one["bare commits"], one["from reply"]
    ratios = ", ".join(f"{p} {at[p] / bare[p]:.1f}" for p in ("p50", "p99"))
    return {"base": f"three bare commits: p50 {bare['p50']} ms, p99 {bare['p99']} ms", "ratio": ratios}


def _protocols(found: Any) -> list[Row]:
    rows = []
    for protocol, begin in (("Modbus", "reply"), ("BACnet/IP", "reply"), ("MQTT", "opening of the door")):
        one = found[protocol]
        at = one["from reply"]
        measured = f"p50 {at['p50']} ms, p99 {at['p99']} ms, of {one['pushed']} pushes for {one['alarms']} alarms"
        if begin == "reply":
            measured += f"; from the change p99 {one['from change']['p99']} ms"
        rows.append(
            row(
                f"Alarm latency, three protocols at once, {protocol}, {begin} to push receiver",
                "p50 <= 30 ms, p99 <= 100 ms",
                measured,
                at["p50"] <= 30 and at["p99"] <= 100 and one["pushed"] == one["alarms"],
                **_beside(one),
            )
        )
    return rows


def _rules(found: Any) -> list[Row]:
    one, base, again = found["1k rules"], found["baseline 1k rules"], found["backtest"]
    rate = (one["changes/s"], one["least"], one["most"])
    return [
        row(
            "Rules, changes into 1,000 rules on one core",
            ">= 100,000 a second",
            figure(rate, ",.0f", "/s"),
            rate[0] >= 100_000,
            base=f"every rule at each change: {base['changes/s']:,}/s",
            ratio=f"{found['times baseline']}",
        ),
        row(
            "Rules, cost of 10,000 rules over 1,000 for the same changes",
            "about 1",
            f"{found['10k over 1k rules']}",
            found["10k over 1k rules"] <= 1.2,
        ),
        row(
            "Backtest, records a second through 1,000 rules, from their blocks",
            ">= 20,000 a second",
            figure((again["changes/s"], again["least"], again["most"]), ",.0f", "/s"),
            again["changes/s"] >= 20_000,
            base=f"deciding alone: {one['changes/s']:,}/s",
            ratio=f"{found['backtest over deciding']}",
        ),
        row(
            "Rules, a change of a number under a window of 600 values",
            "",
            ", ".join(f"{name} {found[f'{name}, us a change']} us" for name in ("mean", "rate", "baseline")),
            None,
        ),
        row(
            f"Rules, start of {found['start']['plans']:,} with their state restored, CPU",
            "<= 1 s",
            figure((found["start"]["start s"], *found["start"]["start least, most"]), ".2f", " s"),
            found["start"]["start s"] <= 1.0,
        ),
    ]


def _footprint(found: Any) -> list[Row]:
    large, start, back = found["large"], found["start"], found["back"]
    worst = max(back["after silence s"][2], back["after refusing s"][2])
    return [
        row(
            "Memory, 372 devices: 4,500 Modbus points at 1 s, 504 BACnet points at 10 s",
            "<= 100 MB",
            figure(large["memory MB"], ".0f", " MB"),
            large["memory MB"][0] <= 100,
        ),
        row(
            "CPU, the same",
            "<= 5 % of one core",
            figure(large["cpu % of a core"], ".1f", " %"),
            large["cpu % of a core"][0] <= 5,
        ),
        row(
            "First sample after start, 50 devices",
            "<= 1.0 s",
            figure(start["first sample s"], ".2f", " s"),
            start["first sample s"][0] <= 1.0,
        ),
        row(
            "A device back after 20 s is polled",
            "within 2 s, each",
            f"silent {figure(back['after silence s'], '.2f', ' s')}, "
            f"refusing {figure(back['after refusing s'], '.2f', ' s')}",
            worst <= 2.0,
        ),
    ]


def _cli(found: Any) -> list[Row]:
    base = f"Python that does nothing: {found['python -c pass ms'][0]:.0f} ms"
    return [
        row(
            f"`{command}`",
            f"<= {most} ms",
            figure(found[f"{command} ms"], ".0f", " ms"),
            found[f"{command} ms"][0] <= most,
            base=base,
        )
        for command, most in (("sk status", 250), ("sk --help", 150))
    ]


def _run_polling(quick: bool) -> Any:
    from benchmarks import polling_cost

    return polling_cost.run(quick=quick)


def _run_requests(quick: bool) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        times = ["--requests", "1000" if quick else "5000", "--rounds", "5", "--json", str(out)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.polling_requests", *times],
            check=True,
            timeout=600,
            stdout=subprocess.DEVNULL,
        )
        return json.loads(out.read_text(encoding="utf-8"))


def _run_sick(quick: bool) -> Any:
    from benchmarks import sick_neighbours

    return sick_neighbours.run(quick=quick)


def _run_alarms(quick: bool) -> Any:
    from benchmarks import alarm_latency

    return alarm_latency.run(quick=quick)


def _run_protocols(quick: bool) -> Any:
    from benchmarks import alarm_protocols

    return alarm_protocols.run(quick=quick)


def _run_outbox(quick: bool) -> Any:  # noqa: ARG001 - it has one length
    from benchmarks import outbox

    with tempfile.TemporaryDirectory() as folder:
        return outbox.run(Path(folder))


def _run_footprint(quick: bool) -> Any:
    from benchmarks import footprint

    return footprint.run(quick=quick)


def _run_backfill(quick: bool) -> Any:
    from benchmarks import backfill

    return backfill.run(quick=quick)


def _run_outage(quick: bool) -> Any:
    from benchmarks import outage

    return outage.run(quick=quick)


def _run_cli(quick: bool) -> Any:
    from benchmarks import cli

    return cli.run(quick=quick)


BENCHES: dict[str, Callable[[bool], Any]] = {
    "polling_cost": _run_polling,
    "polling_requests": _run_requests,
    "sick_neighbours": _run_sick,
    "alarm_latency": _run_alarms,
    "alarm_protocols": _run_protocols,
    "rules": lambda _: {**_json("benchmarks.rules"), "start": _json("benchmarks.rules_start")},
    "outbox": _run_outbox,
    "blocks": lambda _: _json("benchmarks.blocks"),
    "ingest": lambda _: _json("benchmarks.ingest"),
    "record": lambda quick: _json("benchmarks.record", "--quick" if quick else "--hour"),
    "ingest_postgres": lambda _: _json("benchmarks.ingest_postgres"),
    "backfill": _run_backfill,
    "footprint": _run_footprint,
    "outage": _run_outage,
    "cli": _run_cli,
}
"""By name: takes `quick`, returns figures."""

ROWS: dict[str, Callable[[Any], list[Row]]] = {
    "polling_cost": _polling,
    "polling_requests": _requests,
    "sick_neighbours": _sick,
    "alarm_latency": _alarms,
    "alarm_protocols": _protocols,
    "rules": _rules,
    "outbox": rows_sync.outbox,
    "blocks": rows_sync.blocks,
    "ingest": rows_sync.ingest,
    "record": rows_sync.record,
    "ingest_postgres": rows_sync.ingest_postgres,
    "backfill": rows_sync.backfill,
    "footprint": _footprint,
    "outage": rows_sync.outage,
    "cli": _cli,
}
