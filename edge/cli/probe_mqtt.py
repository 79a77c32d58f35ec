"""`sk probe mqtt`: at which step a connection to a broker fails, and what is published there."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import click

from edge.cli.output import envelope, lang_option, table
from edge.probe import mqtt as mqtt_
from edge.probe.mqtt_steps import Asked, Report, examine
from edge.probe.place import place
from sitekeeper.control import Problem
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.texts import text

UNREACHABLE: Final = 5
SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"


@click.command()
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--tls", is_flag=True, help="Encrypted, checked against the system's authorities.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Encrypted; the authority of its certificate.")
@click.option("--cert", type=click.Path(exists=True, dir_okay=False), help="Our own certificate; with --key.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="The key of our own certificate.")
@click.option("--user", help="User name.")
@click.option("--password-file", type=click.File(), help="- reads stdin.")
@click.option("--topic", default="#", show_default=True, help="What to subscribe to.")
@click.option("--for", "listen", default="5s", show_default=True, help="How long to listen.")
@click.option("--timeout", default="3s", show_default=True, help="For each step of connecting.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of tables.")
@lang_option
def mqtt(*, as_json: bool, lang: str, **given: Any) -> None:
    """Connect to an MQTT broker step by step and list what is published; prints the YAML for doors of our canon.

    Nothing is left behind on the broker, and no content of a message is shown.

    Exit codes: 0 connected, 1 the broker refused something, 5 it cannot be reached.
    """
    try:
        asked = _asked(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    report = asyncio.run(examine(asked))
    sys.exit(_shown(report, as_json=as_json, lang=lang))


def _asked(*, host: str, tls: bool, ca: str | None, cert: str | None, key: str | None, user: str | None,
           password_file: TextIO | None, topic: str, listen: str, timeout: str) -> Asked:  # fmt: skip
    if (cert is None) != (key is None):
        raise ValueError("--cert and --key belong together")
    tls = tls or bool(ca) or bool(cert)
    password = None
    if password_file is not None:
        if user is None:
            raise ValueError("--password-file needs --user")
        password = password_file.read().strip()
    name, port = place(host, 8883 if tls else 1883)
    if not name or not topic:
        raise ValueError("HOST and --topic may not be empty")
    return Asked(
        host=name, port=port, tls=tls, ca=ca, certificate=cert, key=key, user=user, password=password, topic=topic,
        listen=parse_duration(listen) / SECOND, timeout=parse_duration(timeout) / SECOND,
    )  # fmt: skip


def _shown(report: Report, *, as_json: bool, lang: str) -> int:
    """Print the report; return the exit code."""
    failed, problems = report.failed, list[Problem]()
    if failed is not None:
        where = f"mqtt {report.asked.host}:{report.asked.port}"
        problems = [Problem(failed.code, f"{where}: {failed.what}", text(f"probe.mqtt.{failed.code}", lang))]
    described = _described(report)
    if as_json:
        click.echo(envelope("probe.mqtt", described, problems))
    else:
        _print(described, problems, lang)
    if failed is None:
        return 0
    return UNREACHABLE if failed.code in ("dns", "tcp") else 1


def _described(report: Report) -> dict[str, Any]:
    asked, heard = report.asked, report.heard
    topics = [
        {"topic": mqtt_.mask(name), "messages": each.messages, "retained": each.retained, "smallest": each.smallest,
         "largest": each.largest, "json": each.json, "members": each.members}
        for name, each in sorted(heard.topics.items())
    ]  # fmt: skip
    controllers = [
        {"site": each.site, "controller": each.name, "doors": sorted(each.doors), "online": each.online,
         "events": each.events}
        for _, each in sorted(heard.controllers.items())
    ]  # fmt: skip
    yaml = mqtt_.site_yaml(link_of(asked), heard.controllers.values())
    data = {"endpoint": f"mqtt {asked.host}:{asked.port}", "steps": report.steps, "topics": topics}
    points = mqtt_.points_yaml(heard.topics)
    return data | {"beyond": heard.beyond, "controllers": controllers, "yaml": yaml, "points": points}


def link_of(asked: Asked) -> dict[str, object]:
    """Return the keys of the link by which a gateway would connect in the same way."""
    link: dict[str, object] = {"driver": "mqtt", "host": asked.host, "port": asked.port}
    if asked.user is not None:
        link |= {"username": asked.user, "password": "${secret:broker}"}
    if asked.tls:
        files = {"ca": asked.ca or SYSTEM_CA, "certificate": asked.certificate, "key": asked.key}
        link["tls"] = {name: str(Path(file).resolve()) for name, file in files.items() if file is not None}
    return link


def _print(described: dict[str, Any], problems: Sequence[Problem], lang: str) -> None:
    rows = [(step, "ok", detail) for step, detail in described["steps"].items()]
    table(("step", "result", "detail"), [*rows, *((each.code, "failed", each.message) for each in problems)])
    for problem in problems:
        click.echo(f"  {text('cli.word.try', lang)} {problem.hint}", err=True)
    if described["topics"]:
        click.echo()
        columns = ("topic", "messages", "retained", "smallest", "largest", "json", "members")
        table(columns, ([_joined(row[column]) for column in columns] for row in described["topics"]))
    if described["controllers"]:
        click.echo()
        parts = ("site", "controller", "doors", "online", "events")
        table(parts, ([_joined(row[part]) for part in parts] for row in described["controllers"]))
    if described["yaml"]:
        click.echo(text("probe.paste", lang), err=True)
        click.echo("\n" + described["yaml"], nl=False)
    if described["points"]:
        click.echo(text("probe.mqtt.points", lang), err=True)
        click.echo("\n" + described["points"], nl=False)


def _joined(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
