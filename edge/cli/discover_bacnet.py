"""`sk discover bacnet`: which BACnet/IP devices there are, what they have, and the lines to paste into a site."""

import asyncio
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any, Final

import click

from edge.cli.output import envelope, lang_option, table
from edge.cli.searching import announce, complain, count_range
from edge.discover import machine
from sitekeeper.control import Problem
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceRefused, FieldError, LinkDown
from sitekeeper.texts import text

if TYPE_CHECKING:
    from drivers.bacnet.discovery import Heard
    from edge.discover.bacnet import Asked, Found
    from edge.probe.bacnet_talk import Report

UNREACHABLE: Final = 5
_SHOWN: Final = ("name", "vendor", "model", "firmware", "max_apdu", "segmentation")
_SEGMENTATION: Final = ("both", "transmit", "receive", "none")


@click.command()
@click.option("--interface", metavar="ADDRESS/BITS", help="Our address and its network, if this machine has several.")
@click.option(
    "--range", "range_", metavar="NETWORK/BITS", help="Ask each address of this network, where broadcasts do not pass."
)
@click.option("--directed", metavar="NETWORK/BITS", help="Ask the broadcast address of another network.")
@click.option("--network", type=click.IntRange(1, 65534), help="Ask one BACnet network behind a router, by its number.")
@click.option("--bbmd", metavar="HOST[:PORT]", help="Register there as a foreign device, and ask everybody it reaches.")
@click.option("--instances", metavar="LOW-HIGH", default="0-4194302", show_default=True, help="Of which devices.")
@click.option("--port", type=click.IntRange(1, 65535), default=47808, show_default=True, help="Theirs, and ours.")
@click.option("--wait", default="2s", show_default=True, help="For the answers to each question.")
@click.option("--no-details", is_flag=True, help="Only who is there, not what it is.")
@click.option("--plan", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of tables.")
@lang_option
def bacnet(*, plan: bool, as_json: bool, lang: str, **given: Any) -> None:
    """Find BACnet/IP devices by Who-Is to everybody, to another network, through a BBMD, or address by address.

    Exit codes: 0 somebody answered, 1 with duplicate instances or not in full, 5 nobody, or nothing could be sent.
    """
    from edge.discover.bacnet import search, steps

    try:
        asked = _asked(lang=lang, **given)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    announce(steps(asked), lang)
    if plan:
        click.echo(text("discover.planned", lang), err=True)
        return
    found = asyncio.run(search(asked))
    sys.exit(_shown(asked, found, as_json=as_json, lang=lang))


def _asked(*, interface: str | None, range_: str | None, directed: str | None, network: int | None, bbmd: str | None,
           instances: str, port: int, wait: str, no_details: bool, lang: str) -> "Asked":  # fmt: skip
    from drivers.bacnet.names import LARGEST_INSTANCE
    from edge.discover.bacnet import MOST_ADDRESSES, Asked, hosts

    sweep, other = (IPv4Network(each, strict=False) if each else None for each in (range_, directed))
    if sweep is not None and hosts(sweep) > MOST_ADDRESSES:
        raise ValueError(f"--range {range_}: {hosts(sweep)} addresses; {MOST_ADDRESSES} at most, a network of 20 bits")
    low, high = count_range(instances, LARGEST_INSTANCE)
    seconds = parse_duration(wait) / SECOND
    if not 0.05 <= seconds <= 30:
        raise ValueError("--wait is from 50ms to 30s")
    place = _place(bbmd) if bbmd else None
    towards = place[0] if place else str((sweep or other or IPv4Network("0.0.0.0/0")).network_address)
    own = _interface(interface, towards, lang, broadcasts=not (place or sweep))
    return Asked(own=own, port=port, low=low, high=high, network=network, bbmd=place, sweep=sweep, directed=other,
                 wait=seconds, details=not no_details)  # fmt: skip


def _place(written: str) -> tuple[str, int]:
    """Return numeric address and port; raises OSError if the name is not known."""
    from edge.cli.probe_bacnet import _endpoint

    host, _, port = _endpoint(written).rpartition(":")
    return host, int(port)


def _interface(written: str | None, towards: str, lang: str, *, broadcasts: bool) -> IPv4Interface:
    """Return our own address; raises ValueError if it is not clear which one is meant."""
    if written:
        return IPv4Interface(written)
    known = machine.networks()
    if not broadcasts:
        from edge.cli.probe_bacnet import _own_address

        own = IPv4Address(_own_address(f"{towards}:47808"))
        return next((each for each in known if each.ip == own), IPv4Interface(own))
    if len(known) != 1:
        raise ValueError(text("discover.interfaces", lang, known=", ".join(map(str, known)) or "-"))
    return known[0]


def _shown(asked: "Asked", found: "Found", *, as_json: bool, lang: str) -> int:
    """Print what was found; return the exit code."""
    problems, rows = _problems(asked, found, lang), _rows(found)
    if as_json:
        click.echo(
            envelope("discover.bacnet", {"network": str(asked.own), "found": rows, "yaml": found.yaml}, problems)
        )
    else:
        _print(rows, found.yaml, lang)
        complain(problems, lang)
    if not (rows or found.nameless):
        return UNREACHABLE
    return 1 if problems else 0


def _problems(asked: "Asked", found: "Found", lang: str) -> list[Problem]:
    said = [
        Problem("duplicate-instance",
                text("discover.twice", lang, instance=one, count=len(places), addresses=", ".join(places)), "")
        for one, places in found.twice.items()
    ]  # fmt: skip
    for address in found.nameless:
        hint = text("discover.hint.nameless", lang, address=address)
        said.append(Problem("nameless", text("discover.nameless", lang, address=address), hint))
    if found.cut:
        said.append(Problem("incomplete", text("discover.cut", lang, cut=found.cut), ""))
    if found.late:
        said.append(Problem("incomplete", text("discover.late", lang), ""))
    if found.error is not None:
        said.append(_failed(asked, found.error, lang))
    elif not (found.heard or found.nameless):
        said.append(Problem("silent", f"nobody answered on {asked.own}", text("discover.hint.silent", lang)))
    return said


def _failed(asked: "Asked", error: FieldError, lang: str) -> Problem:
    if isinstance(error, LinkDown):
        holder = machine.holder_of_port(asked.port) if "in use" in error.what else ""
        return Problem("unreachable", f"{error}{holder and ': ' + holder}", text("discover.hint.unreachable", lang))
    if isinstance(error, DeviceRefused):
        return Problem("refused", str(error), text("discover.hint.refused", lang))
    return Problem("silent", str(error), text("discover.hint.bbmd", lang))


def _rows(found: "Found") -> list[dict[str, Any]]:
    from edge.probe.bacnet import KNOWN

    reports = {(each.instance, each.endpoint): each for each in found.devices}
    rows = []
    for heard in found.heard:
        report = reports.get((heard.instance, heard.address))
        row = {"device": heard.instance, "address": heard.address, "duplicate": heard.instance in found.twice}
        row |= {"identity": _identity(heard, report), "objects": None, "profile": None, "error": ""}
        if report is not None:
            listed = {"count": report.count, "read": report.listed, "instances": report.kinds, "ways": report.ways}
            failed = report.error is not None
            row |= {"objects": listed, "error": str(report.error) if failed else ""}
            row["profile"] = None if failed else bool(report.kinds.keys() & set(KNOWN))
        rows.append(row)
    return rows


def _identity(heard: "Heard", report: "Report | None") -> dict[str, object]:
    """Return what the device says when it is asked, and of what it did not say there what its introduction does."""
    short = heard.segmentation
    said: dict[str, object] = {"max_apdu": heard.max_apdu, "vendor_id": heard.vendor}
    said["segmentation"] = _SEGMENTATION[short] if short is not None and short < len(_SEGMENTATION) else None
    asked = report.identity if report else {}
    return said | {name: value for name, value in asked.items() if value is not None or name not in said}


def _print(rows: list[dict[str, Any]], yaml: str, lang: str) -> None:
    lines = []
    for row in rows:
        kinds = {kind: len(of) for kind, of in row["objects"]["instances"].items()} if row["objects"] else None
        told = [row["identity"].get(name) for name in _SHOWN]
        lines.append((row["device"], row["address"], *told, kinds, row["error"] or None))
    if lines:
        table(("device", "address", *_SHOWN, "objects", "error"), lines)
    for row in rows:
        if row["profile"] is False:
            _no_profile(row, lang)
    if yaml:
        click.echo(text("discover.paste", lang), err=True)
        click.echo("\n" + yaml, nl=False)


def _no_profile(row: dict[str, Any], lang: str) -> None:
    from edge.discover.profiles import nearest_profile

    near = nearest_profile([str(row["identity"].get(name) or "") for name in ("model", "name", "vendor")], "bacnet")
    kinds = ", ".join(f"{kind} {len(of)}" for kind, of in row["objects"]["instances"].items()) or "-"
    near = near or text("discover.nearest.none", lang)
    click.echo(text("discover.noprofile", lang, instance=row["device"], kinds=kinds, near=near), err=True)
