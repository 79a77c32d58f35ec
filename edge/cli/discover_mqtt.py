"""`sk discover mqtt`: what is published at a broker, and which profiles it looks like."""

import asyncio
import sys
from typing import Any, Final, TextIO

import click

from edge.cli.output import envelope, lang_option, table
from edge.cli.probe_mqtt import link_of
from edge.cli.searching import announce, complain
from edge.discover import topics
from edge.probe.mqtt import mask
from edge.probe.mqtt_steps import Asked, Report, examine
from edge.probe.place import place
from sitekeeper.control import Problem
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.texts import text

UNREACHABLE: Final = 5
_LONGEST: Final = 600


@click.command()
@click.argument("broker", metavar="HOST[:PORT]")
@click.option("--topic", default="#", show_default=True, help="What to subscribe to.")
@click.option("--for", "listen", default="10s", show_default=True, help="How long to listen; 10min at most.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Encrypted; the authority of its certificate.")
@click.option("--cert", type=click.Path(exists=True, dir_okay=False), help="Our own certificate; with --key.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="The key of our own certificate.")
@click.option("--tls", is_flag=True, help="Encrypted, checked against the system's authorities.")
@click.option("--user", help="User name.")
@click.option("--password-file", type=click.File(), help="- reads stdin.")
@click.option("--timeout", default="3s", show_default=True, help="For each step of connecting.")
@click.option("--plan", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def mqtt(*, plan: bool, as_json: bool, lang: str, **given: Any) -> None:
    """Listen at a broker for a while: topics, retained ones, and the profiles that they look like. Publishes nothing.

    Exit codes: 0 something was heard, 1 the broker refused something, 5 nothing was heard, or it cannot be reached.
    """
    try:
        asked = _asked(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    announce(topics.steps(f"{asked.host}:{asked.port}", asked.topic, asked.listen, asked.timeout), lang)
    if plan:
        click.echo(text("discover.planned", lang), err=True)
        return
    sys.exit(_shown(asyncio.run(examine(asked)), as_json=as_json, lang=lang))


def _asked(*, broker: str, topic: str, listen: str, ca: str | None, cert: str | None, key: str | None, tls: bool,
           user: str | None, password_file: TextIO | None, timeout: str) -> Asked:  # fmt: skip
    if (cert is None) != (key is None):
        raise ValueError("--cert and --key belong together")
    if password_file is not None and user is None:
        raise ValueError("--password-file needs --user")
    encrypted = tls or bool(ca) or bool(cert)
    host, port = place(broker, 8883 if encrypted else 1883)
    seconds = parse_duration(listen) / SECOND
    if not host or not topic or not 0 < seconds <= _LONGEST:
        raise ValueError("BROKER and --topic may not be empty, and --for is 10min at most")
    password = password_file.read().strip() if password_file is not None else None
    return Asked(
        host=host, port=port, tls=encrypted, ca=ca, certificate=cert, key=key, user=user, password=password,
        topic=topic, listen=seconds, timeout=parse_duration(timeout) / SECOND,
    )  # fmt: skip


def _shown(report: Report, *, as_json: bool, lang: str) -> int:
    """Print what was heard; return the exit code."""
    heard, failed = report.heard, report.failed
    found, strange = topics.guesses(heard.topics, topics.patterns())
    problems = []
    if failed is not None:
        where = f"mqtt {report.asked.host}:{report.asked.port}"
        problems = [Problem(failed.code, f"{where}: {failed.what}", text(f"probe.mqtt.{failed.code}", lang))]
    elif not heard.topics:
        problems = [Problem("silent", "nothing was published", text("discover.hint.topics", lang))]
    alike = {topic: each.profile for each in found for topic in each.topics}
    rows = [
        {"topic": mask(name), "messages": each.messages, "retained": each.retained > 0, "json": each.json,
         "profile": alike.get(name)}
        for name, each in sorted(heard.topics.items())
    ]  # fmt: skip
    yaml = topics.site_yaml(link_of(report.asked), found)
    if as_json:
        data = {"topics": rows, "beyond": heard.beyond, "unknown": len(strange), "yaml": yaml}
        click.echo(envelope("discover.mqtt", data, problems))
    else:
        _print(rows, yaml, lang)
        complain(problems, lang)
    if heard.topics:
        return 1 if problems else 0
    return UNREACHABLE if failed is None or failed.code in ("dns", "tcp") else 1


def _print(rows: list[dict[str, Any]], yaml: str, lang: str) -> None:
    columns = ("topic", "messages", "retained", "json", "profile")
    if rows:
        table(columns, ([row[column] for column in columns] for row in rows))
    if yaml:
        click.echo(text("discover.guessed", lang), err=True)
        click.echo(text("discover.paste", lang), err=True)
        click.echo("\n" + yaml, nl=False)
