"""`sk bus`: what goes over a link, frame by frame."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import click

from edge.cli.client import ask, socket_path
from edge.cli.output import cell, options, report
from sitekeeper.control import ControlError, Problem

_COLUMNS = ("at", "direction", "unit", "function", "address", "count", "values", "latency_ms", "error")


@click.group()
def bus() -> None:
    """Links: watch."""


@bus.command()
@click.argument("link")
@click.option("--past", is_flag=True, help="Only the frames that are kept (frames: of the link), then end.")
@click.option("--count", type=click.IntRange(1), help="End after so many frames.")
@click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write them there too, for Wireshark.")
@options
def watch(
    *,
    link: str,
    past: bool,
    count: int | None,
    pcap: Path | None,
    socket_: str | None,
    as_json: bool,
    lang: str,
) -> None:
    """Every frame of a link, one line each, until Ctrl-C: time, direction, unit, function, address, count, values,
    how long the answer took, what was wrong with it. Nothing is sent, and nothing is held up.
    """
    frames = ask(socket_path(socket_), "bus.watch", {"link": link, "past": past}, endless=True)
    with contextlib.ExitStack() as opened:
        try:
            write = None if pcap is None else _writer(opened.enter_context(pcap.open("wb")))
            if not as_json:
                click.echo("\t".join(_COLUMNS))
            _follow(frames, count, write, as_json=as_json)
        except ControlError as error:
            sys.exit(report(error, "bus.watch", as_json=as_json, lang=lang))
        except OSError as error:
            problem = ControlError([Problem("usage", f"--pcap {pcap}: {error.strerror or error}")])
            sys.exit(report(problem, "bus.watch", as_json=as_json, lang=lang))


def _follow(
    frames: Iterable[dict[str, Any]],
    count: int | None,
    write: Callable[[dict[str, Any]], None] | None,
    *,
    as_json: bool,
) -> None:
    for number, item in enumerate(frames, start=1):
        click.echo(json.dumps(item, ensure_ascii=False) if as_json else line(item))
        if write is not None:
            write(item)
        if number == count:
            return


def line(item: dict[str, Any]) -> str:
    """Return a frame as one line; what cannot be read is shown as its bytes."""
    shown = dict(item)
    if item["function"] is None and item["raw"]:
        shown["values"] = f"raw {bytes.fromhex(item['raw']).hex(' ')}"
    elif item["values"] is not None:
        shown["values"] = " ".join(map(str, item["values"]))
    return "\t".join(cell(shown[column]) for column in _COLUMNS)


def _writer(file: IO[bytes]) -> Callable[[dict[str, Any]], None]:
    """Return what writes frames to a capture file; each is in the file when it returns."""
    from edge.pcap import Packets, header

    packets: Packets | None = None

    def write(item: dict[str, Any]) -> None:
        nonlocal packets
        if packets is None:
            packets = Packets(item["wire"])
            file.write(header(item["wire"]))
        data = bytes.fromhex(item["raw"])
        if data:  # nothing came: there is no packet of that
            file.write(packets.packet(item["at_us"], data, sent=item["direction"] == "sent"))
        file.flush()

    return write
