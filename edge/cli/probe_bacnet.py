"""`sk probe bacnet`: who a BACnet/IP device is, what it has, and which profile reads it."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic import ValidationError

from edge.cli.output import envelope, lang_option, table
from sitekeeper.control import Problem
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import LinkDown
from sitekeeper.texts import text

if TYPE_CHECKING:
    from drivers.bacnet.options import IpLink
    from edge.probe.bacnet import Examined
    from edge.probe.bacnet_talk import Report

UNREACHABLE: Final = 5
OWN_INSTANCE: Final = 4_194_301
"""The instance of the probe itself, which nobody asks for."""
DEFAULT_PORT: Final = 47808


@click.command()
@click.argument("host", metavar="HOST[:PORT]", required=False)
@click.option(
    "--device", type=click.IntRange(0, 4_194_302), help="The device instance meant; otherwise whoever answers."
)
@click.option(
    "--discover", metavar="ADDRESS/BITS", help="Ask everybody instead: our address and network, 10.1.3.10/24."
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="With --discover.")
@click.option("--timeout", default="1s", show_default=True, help="For each answer; with --discover, for all of them.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of tables.")
@lang_option
def bacnet(
    *, host: str | None, device: int | None, discover: str | None, port: int, timeout: str, as_json: bool, lang: str
) -> None:
    """Ask a BACnet/IP device who it is, what it has and which profile reads it; prints the YAML for a site.

    Exit codes: 0 it answered, 1 another device or only a part of it answered, 5 unreachable or silent.
    """
    from edge.probe.bacnet_talk import Report, examine

    if bool(host) == bool(discover):
        raise click.UsageError("HOST or --discover, one of them")
    try:
        wait = parse_duration(timeout)
        if discover:
            sys.exit(_discovered(_link(discover, port, timeout), wait / SECOND, as_json=as_json, lang=lang))
        endpoint = _endpoint(str(host))
        own = _own_address(endpoint)
        report = asyncio.run(examine(_link(f"{own}/32", 0, timeout), endpoint, own, device))
    except ValidationError as error:
        raise click.UsageError("; ".join(fault["msg"] for fault in error.errors())) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        report = Report(f"bacnet-ip {host}", "", error=LinkDown(_why(error), endpoint=f"bacnet-ip {host}"))
    sys.exit(_shown(report, as_json=as_json, lang=lang))


def _link(address: str, port: int, timeout: str) -> "IpLink":
    from drivers.bacnet.options import IpLink

    return IpLink.model_validate({"address": address, "port": port, "instance": OWN_INSTANCE, "timeout": timeout})


def _endpoint(written: str) -> str:
    """Return numeric address and port; raises OSError if the name is not known."""
    from edge.probe.place import place

    name, port = place(written, DEFAULT_PORT)
    found = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_DGRAM)
    return "{}:{}".format(*found[0][4][:2])


def _own_address(endpoint: str) -> str:
    """Return the address from which this machine reaches `endpoint`; nothing is sent."""
    host, _, port = endpoint.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))
        return str(probe.getsockname()[0])


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _discovered(link: "IpLink", wait: float, *, as_json: bool, lang: str) -> int:
    """Print who answered a Who-Is to everybody; return the exit code."""
    problems, rows = list[Problem](), list[dict[str, object]]()
    try:
        rows = [{"device": each.instance, "address": each.address} for each in asyncio.run(_broadcast(link, wait))]
        if not rows:
            problems.append(Problem("silent", f"nobody answered on {link.address}", text("probe.bacnet.nobody", lang)))
    except LinkDown as error:
        problems.append(Problem("unreachable", str(error), text("probe.bacnet.port", lang)))
    if as_json:
        click.echo(envelope("probe.bacnet", {"network": link.address, "found": rows}, problems))
    else:
        table(("device", "address"), ([row["device"], row["address"]] for row in rows))
        _complain(problems, lang)
    return UNREACHABLE if problems else 0


async def _broadcast(link: "IpLink", wait: float) -> Sequence[Any]:
    from drivers.bacnet.stack import Stack

    stack = Stack(link)
    try:
        await stack.open()
        return await stack.who_is(None, wait)
    finally:
        await stack.close()


def _shown(report: "Report", *, as_json: bool, lang: str) -> int:
    """Print the report; return the exit code."""
    problems = []
    if report.error is not None:
        problems = [Problem(report.state, str(report.error), text(f"probe.bacnet.{report.state}", lang))]
    if as_json:
        click.echo(envelope("probe.bacnet", _described(report), problems))
    else:
        _print(report, lang)
        _complain(problems, lang)
    return {"answers": 0, "silent": UNREACHABLE, "unreachable": UNREACHABLE}.get(report.state, 1)


def _described(report: "Report") -> dict[str, Any]:
    examined = [
        {
            "object": each.candidate.object,
            "instance": each.instance,
            "profile": each.candidate.profile,
            "fits": each.fits,
            "required_missing": [w.name for w in each.candidate.wanted if w.required and w.name in each.missing],
            "values": each.values,
            "meaningless": each.meaningless,
            "missing": each.missing,
        }
        for each in report.examined
    ]
    data = {"endpoint": report.endpoint, "device": report.instance, "identity": report.identity}
    listed = {"count": report.count, "read": report.listed, "instances": report.kinds, "ways": report.ways}
    return data | {"objects": listed, "examined": examined, "yaml": report.yaml}


def _print(report: "Report", lang: str) -> None:
    if report.instance is None:
        return
    rows: list[tuple[str, object]] = [("device", report.instance), ("address", report.endpoint)]
    rows += [(k, ", ".join(v) if isinstance(v, list) else v) for k, v in report.identity.items()]
    table(("what", "value"), [*rows, ("objects", f"{report.count} ({report.listed})")])
    click.echo()
    found = {each.candidate.object: each for each in report.examined}
    lines = []
    for kind, instances in report.kinds.items():
        each = found.get(kind)
        fit = ("-", "-", "-") if each is None else (
            each.candidate.profile, each.fits, f"{len(each.values)}/{len(each.candidate.wanted)}"
        )  # fmt: skip
        lines.append((kind, len(instances), *fit, report.ways.get(kind)))
    table(("objects", "count", "profile", "fits", "answers", "read by"), lines)
    for each in report.examined:
        for name, why in each.missing.items():
            needed = text("probe.bacnet.required", lang) if _is_required(each, name) else ""
            click.echo(f"  {each.candidate.profile} {name}: {why} {needed}".rstrip(), err=True)
    if report.yaml:
        click.echo(text("probe.paste", lang), err=True)
        click.echo("\n" + report.yaml, nl=False)


def _is_required(each: "Examined", name: str) -> bool:
    return any(wanted.required for wanted in each.candidate.wanted if wanted.name == name)


def _complain(problems: Sequence[Problem], lang: str) -> None:
    for problem in problems:
        click.echo(f"{problem.code}: {problem.message}\n  {text('cli.word.try', lang)} {problem.hint}", err=True)
