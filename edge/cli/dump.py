"""`sk device dump`: of a running gateway what a device said last, without one what it says now; written to a file."""

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, report
from sitekeeper.control import ControlError, Problem, problem_of
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import ConfigError, FieldError, NotFound, Refused, SitekeeperError
from sitekeeper.texts import text


def dumped(
    device: str,
    out: Path | None,
    site: Path | None,
    *,
    masked: bool,
    show: Sequence[str],
    socket_: str | None,
    as_json: bool,
    lang: str,
) -> int:
    """Get the dump, write it, and say what is to be done with it; return the exit code."""
    try:
        if site is None:
            found = one(socket_path(socket_), "device.dump", {"id": device, "masked": masked, "show": [*show]})
        else:
            found = _now(site, device, masked=masked, show=show)
        content = json.dumps(found, ensure_ascii=False, indent=2) + "\n"
        if out is not None:
            out.write_text(content, encoding="utf-8")
    except ControlError as error:
        return report(error, "device.dump", as_json=as_json, lang=lang)
    except OSError as error:
        failed = ControlError([Problem("failed", f"{out}: {error.strerror or error}")])
        return report(failed, "device.dump", as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope("device.dump", found))
        return 0
    if out is None:
        click.echo(content, nl=False)
    _tell(found, lang)
    return 0


def _tell(found: dict[str, Any], lang: str) -> None:
    from edge.dump import evidence

    for said in ("masked", "missing"):
        if found[said]:
            click.echo(text(f"cli.dump.{said}", lang, points=", ".join(found[said])), err=True)
    click.echo(f"{text('cli.dump.evidence', lang)}\n{evidence(found)}", err=True)


def _now(folder: Path, wanted: str, *, masked: bool, show: Sequence[str]) -> dict[str, Any]:
    """Read the device once, with the driver of the gateway.

    Raises:
        ControlError: there is no such device, it does not answer, or its kind cannot be dumped.
    """
    from edge.settings import load

    try:
        site = load(folder)
        if wanted not in site.devices:
            raise NotFound(f"no device {wanted!r} here", near=tuple(site.devices)[:3])
        return asyncio.run(_read(site, wanted, masked=masked, show=show))
    except ConfigError as error:
        raise ControlError([Problem("config", str(error))]) from None
    except FieldError as error:
        raise ControlError([Problem("unreachable", str(error), text("probe.hint.unreachable"))]) from None
    except SitekeeperError as error:
        raise ControlError([problem_of(error)]) from None


async def _read(site: Any, wanted: str, *, masked: bool, show: Sequence[str]) -> dict[str, Any]:
    from drivers import registry
    from drivers.base import Services
    from drivers.captured import Captured, Identified
    from edge.dump import document

    device, clock = site.devices[wanted], SystemClock()
    link = site.links[device.link]
    options, services = link.options, Services()
    if link.kind == "mqtt":
        from edge.brokers import real_brokers

        services = Services(brokers=real_brokers, salt=secrets.token_bytes(32))
        options = options.model_copy(update={"client_id": None})  # by its name it would take the gateway's place
    only_read = replace(device.read, events=())  # an event is the gateway's to acknowledge
    driver = registry.kind(link.kind).create(link.id, options, [only_read], clock, services)
    if not isinstance(driver, Captured):
        reason = "no-dump"
        raise Refused(reason, f"{wanted} is on {link.kind}")
    try:
        await driver.open()
        scans = [await driver.read(group.id) for group in device.read.groups]
        said = await driver.captured(wanted)
        errors = [error for scan in scans for error in scan.errors]
        if not said and errors:
            raise errors[-1]
        identity = await driver.identity(wanted) if isinstance(driver, Identified) else {}
    finally:
        await driver.close()
    from edge.operations.gateway import rfc3339

    return document(site, device, said, identity, day=rfc3339(clock.wall())[:10], masked=masked, show=show)
