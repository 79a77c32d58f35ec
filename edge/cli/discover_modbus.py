"""`sk discover modbus-tcp` and `modbus-rtu`: which units are there, and what they call themselves."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, Final, get_args

import click
from pydantic import ValidationError

from drivers.modbus.options import RtuLink, TcpLink
from edge.cli.output import envelope, lang_option, table
from edge.cli.searching import announce, complain, count_range, endpoints_of_gateway
from edge.discover import lines, machine, units
from edge.discover.profiles import blanks, exact_profile, nearest_profile, shipped
from edge.discover.steps import Step, total
from edge.probe.place import place
from sitekeeper.control import Problem
from sitekeeper.model.clock import SECOND
from sitekeeper.texts import text

UNREACHABLE: Final = 5
_UNITS: Final = 247


def _options(command: Any) -> Any:
    """Add what both commands take."""
    command = click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")(command)
    command = click.option("--plan", is_flag=True, help="Say what would be sent, and send nothing.")(command)
    return lang_option(command)


@click.command("modbus-tcp")
@click.argument("host", metavar="HOST[:PORT][/BITS]")
@click.option(
    "--units", "units_", metavar="LOW-HIGH", help="1-247; with /BITS 1 at each address that takes connections."
)
@click.option("--table", "table_", type=click.Choice(get_args(units.Table)), default="holding", show_default=True,
              help="Of which the first address is read, of each unit.")  # fmt: skip
@click.option("--timeout", default="500ms", show_default=True, help="For connecting and for each answer.")
@click.option("--even-so", is_flag=True, help="Also where the running gateway is connected: it may lose its place.")
@click.option("--socket", "socket_", help="The running gateway's control socket, to ask what it has open.")
@click.option("--no-identification", is_flag=True, help="Do not ask for 43/14, which jams some servers.")
@_options
def tcp(*, host: str, units_: str | None, table_: units.Table, timeout: str, even_so: bool, socket_: str | None,
        no_identification: bool, plan: bool, as_json: bool, lang: str) -> None:  # fmt: skip
    """Find the units of a Modbus TCP server, or the servers of a network: one harmless read each, never a write.

    Where the gateway of this machine is connected nothing is sent without --even-so: many servers take one connection.
    Exit codes: 0 a unit answered, 1 not in full, or a server that answers for every unit, 5 nobody.
    """
    try:
        hosts, port, several = _hosts(host)
        low, high = count_range(units_ or ("1" if several else "1-247"), 255)
        links = [TcpLink.model_validate({"host": each, "port": port, "timeout": timeout}) for each in hosts]
    except ValidationError as error:
        raise click.UsageError("; ".join(fault["msg"] for fault in error.errors())) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    asked = [unit for unit in range(low, high + 1) if unit <= _UNITS or unit == 255]
    every = units.tcp_steps(links[0], asked, table_)
    sent = every[:-1] if no_identification else every
    announce(_for_all(host, links, len(asked), total(sent)) if several else sent, lang)
    if plan:
        click.echo(text("discover.planned", lang), err=True)
        return
    if not even_so:
        links = _spared(links, endpoints_of_gateway(socket_), as_json=as_json, lang=lang)
    found = asyncio.run(
        _search(links, asked, table_, several=several, identify=not no_identification, most=total(sent))
    )
    sys.exit(_shown("discover.modbus-tcp", found, as_json=as_json, lang=lang))


def _spared(links: Sequence[TcpLink], taken: Mapping[str, str], *, as_json: bool, lang: str) -> list[TcpLink]:
    """Return the servers at which the running gateway is not connected, say which are spared; end if none is left."""
    held = {place: taken[place] for link in links if (place := f"{link.host}:{link.port_number}") in taken}
    problems = [
        Problem("gateway-connected", f"{place}: link {link}", text("discover.hint.connected", lang))
        for place, link in held.items()
    ]
    left = [link for link in links if f"{link.host}:{link.port_number}" not in held]
    if problems and not as_json:
        complain(problems, lang)
    if not left:
        if as_json:
            click.echo(envelope("discover.modbus-tcp", {"found": [], "yaml": ""}, problems))
        sys.exit(1)
    return left


def _hosts(written: str) -> tuple[list[str], int, bool]:
    """Return addresses, port, and whether a network was meant; raises ValueError."""
    head, slash, bits = written.partition("/")
    name, port = place(head, 502)
    if not slash:
        return [name], port, False
    network = IPv4Network(f"{name}/{bits}", strict=False)
    if network.prefixlen < 23:
        raise ValueError(f"{written}: {network.num_addresses} addresses; a network of 23 bits or more, 510 of them")
    return [str(each) for each in network.hosts()] or [name], port, True


def _for_all(host: str, links: Sequence[TcpLink], units_: int, seconds: float) -> list[Step]:
    """Return the steps of a search of a network, in which so many servers as are usual have `seconds` each."""
    wait, servers = links[0].timeout / SECOND, min(len(links), lines.SERVERS)
    told: dict[str, object] = {"count": len(links), "range": host, "most": lines.AT_ONCE}
    return [
        Step("connect", lines.knocking(len(links), wait), told),
        Step("servers", seconds * servers, {"servers": servers, "units": units_}),
    ]


async def _search(
    links: Sequence[TcpLink], asked: Sequence[int], table_: units.Table, *, several: bool, identify: bool, most: float
) -> list[lines.Found]:
    """Ask each server that takes connections; each has `most` seconds."""
    there = await lines.answering(links) if several else links
    every = there[: lines.SERVERS] if several else there
    found = [await lines.search_tcp(each, asked, table_, identify=identify, most=most + 5) for each in every]
    return found + [lines.Found(link=each, late=True) for each in there[len(every) :]]


@click.command("modbus-rtu")
@click.argument("port", metavar="DEVICE")
@click.option("--units", "units_", metavar="LOW-HIGH", default="1-32", show_default=True, help="Units to ask.")
@click.option("--baud", type=int, help="One rate only; otherwise the usual ones.")
@click.option("--framing", help="One framing only, such as 8E1.")
@click.option("--timeout", default="200ms", show_default=True, help="For each answer.")
@_options
def rtu(*, port: str, units_: str, baud: int | None, framing: str | None, timeout: str, plan: bool, as_json: bool,
        lang: str) -> None:  # fmt: skip
    """Find the units on a serial line, in each usual rate and framing until one answers: one read each, never a write.

    The line must have no other master meanwhile: while the gateway has it open, this says so and sends nothing.
    Exit codes: 0 a unit answered, 1 not in full, 5 nobody, or the port cannot be opened.
    """
    try:
        low, high = count_range(units_, _UNITS)
        asked = list(range(max(1, low), high + 1))
        links = [units.rtu_link(port, way, timeout) for way in units.ways(baud, framing)]
    except ValidationError as error:
        raise click.UsageError("; ".join(fault["msg"] for fault in error.errors())) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    announce(units.serial_steps(links, asked), lang)
    if plan:
        click.echo(text("discover.planned", lang), err=True)
        return
    found = asyncio.run(lines.search_rtu(links, asked, _trying))
    sys.exit(_shown("discover.modbus-rtu", [found], as_json=as_json, lang=lang))


def _trying(link: RtuLink) -> None:
    click.echo(f"  {link.baudrate} {link.framing} ...", err=True)


# --- what was found


def _shown(name: str, found: Sequence[lines.Found], *, as_json: bool, lang: str) -> int:
    """Print what was found; return the exit code."""
    problems = [problem for each in found for problem in _problems(each, lang)]
    there = [(each, unit) for each in found for unit in each.verdict.there]
    if not there and not problems:
        problems = [Problem("silent", "nobody answered", text(f"discover.hint.{_hint(name)}", lang))]
    rows = [_row(each, unit) for each, unit in there]
    yaml = _yaml(there, [row["profile"] for row in rows])
    if as_json:
        click.echo(envelope(name, {"found": rows, "yaml": yaml}, problems))
    else:
        columns = ("endpoint", "unit", "state", "raw", "exception", "vendor", "product", "revision", "profile")
        if rows:
            table(columns, ([row[column] for column in columns] for row in rows))
        for row in rows:
            _remark(row, lang)
        if yaml:
            click.echo(text("discover.paste", lang), err=True)
            click.echo("\n" + yaml, nl=False)
        complain(problems, lang)
    if not there:
        return UNREACHABLE
    return 1 if problems else 0


def _hint(name: str) -> str:
    return "serial" if name.endswith("rtu") else "units"


def _problems(found: lines.Found, lang: str) -> list[Problem]:
    verdict, endpoint = found.verdict, found.link.endpoint if found.link else ""
    strangers, said = ", ".join(map(str, units.STRANGERS)), list[Problem]()
    if verdict.any_unit:
        what = text("discover.any", lang, endpoint=endpoint, units=strangers, unit=verdict.there[0].unit)
        said.append(Problem("any-unit", what, ""))
    for unit in verdict.there:
        said += [Problem("jammed", text("discover.jammed", lang, unit=unit.unit), "")] if unit.jammed else []
    if found.late:
        said.append(Problem("incomplete", text("discover.late", lang), ""))
    if found.error is not None:
        said.append(_failed(found, lang))
    return said


def _failed(found: lines.Found, lang: str) -> Problem:
    error = found.error
    assert error is not None
    port = error.endpoint.partition(" ")[2].partition(" ")[0]
    if "another program" in error.what:
        holder = machine.holder_of_file(port) or text("discover.held.unknown", lang)
        held = text("discover.held", lang, port=port, holder=holder)
        return Problem("held", held, text("discover.hint.held", lang))
    hint = "port" if error.endpoint.startswith("serial") else "units"
    return Problem("unreachable", str(error), text(f"discover.hint.{hint}", lang))


def _row(found: lines.Found, unit: units.Unit) -> dict[str, Any]:
    said = [words for words in unit.identity.values() if words]
    code = unit.exception
    row: dict[str, Any] = {"endpoint": found.link.endpoint if found.link else "", "unit": unit.unit}
    row |= {"state": unit.state, "raw": unit.data.hex().upper() or None}
    row |= {"exception": None if code is None else f"{code}, {units.meaning(code)}"}
    row |= {name: unit.identity.get(name) for name in ("vendor", "product", "revision")}
    if isinstance(found.link, RtuLink):
        row |= {"baudrate": found.link.baudrate, "framing": found.link.framing}
    exact = exact_profile([unit.identity.get("product") or ""], unit.identity.get("vendor") or "", "modbus")
    return row | {"profile": exact or None, "nearest": exact or nearest_profile(said, "modbus") or None}


def _remark(row: dict[str, Any], lang: str) -> None:
    """Say what to look at: a name is no proof, and the label knows more than its answers."""
    if row["profile"]:
        click.echo(text("discover.profile.unit", lang, unit=row["unit"], profile=row["profile"]), err=True)
    elif row["vendor"] or row["product"]:
        identity = " ".join(filter(None, (row["vendor"], row["product"])))
        near = row["nearest"] or text("discover.nearest.none", lang)
        click.echo(text("discover.noprofile.unit", lang, unit=row["unit"], identity=identity, near=near), err=True)
    else:
        known = ", ".join(shipped("modbus"))
        click.echo(text("discover.unidentified", lang, unit=row["unit"], known=known), err=True)


def _yaml(there: Sequence[tuple[lines.Found, units.Unit]], profiles: Sequence[str | None]) -> str:
    """Return the links and devices; which profile is for people to write, where a device does not name its own."""
    names: dict[str, str] = {}
    heads, rows = list[str](), list[str]()
    for (found, unit), profile in zip(there, profiles, strict=True):
        link = found.link
        if link is None:
            continue
        name = names.setdefault(link.endpoint, f"line-{len(names) + 1}")
        head = f"  {name}: {{driver: {_driver(link)}}}"
        heads += [] if head in heads else [head]
        takes = profile or "PROFILE"
        open_ = blanks(profile) if profile else {}
        rows += [f"  # {blank.upper()}: {what}; a device for each" for blank, what in open_.items()]
        told = f", with: {{{', '.join(f'{blank}: {blank.upper()}' for blank in open_)}}}" if open_ else ""
        rows.append(f"  - {{id: {name}-unit-{unit.unit}, profile: {takes}, link: {name}, unit: {unit.unit}{told}}}")
    return "\n".join(["links:", *heads, "devices:", *rows, ""]) if rows else ""


def _driver(link: Any) -> str:
    if isinstance(link, RtuLink):
        return f'modbus-rtu, port: {link.port}, baudrate: {link.baudrate}, framing: "{link.framing}"'
    return f"modbus-tcp, host: {link.host}, port: {link.port_number}"
