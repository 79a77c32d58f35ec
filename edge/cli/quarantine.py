"""`sk sync quarantine`: what the office could not use, and using it after all."""

import sys

import click

from edge.cli.output import facts, lang_option, listing

_office = click.option("--office", metavar="SOCKET", required=True, help="The office's local socket.")
_json = click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")


@click.group()
def quarantine() -> None:
    """Messages that the office could not use: list, show, replay."""


@quarantine.command("list")
@_office
@click.option("--site", "site_id", default="", help="Of this site only.")
@_json
@lang_option
def list_(*, office: str, site_id: str, as_json: bool, lang: str) -> None:
    """The newest first; the reason `overflow` counts what there was no room for."""
    columns = ("id", "site", "kind", "sequence", "reason", "size", "times", "seen", "replayed", "detail")
    args = {"site": site_id}
    sys.exit(listing("sync.quarantine", "sync.quarantine", args, columns, socket_=office, as_json=as_json, lang=lang))


@quarantine.command()
@click.argument("number", type=int)
@_office
@_json
@lang_option
def show(*, number: int, office: str, as_json: bool, lang: str) -> None:
    """One message: its first bytes in hex, and what it says of itself as far as that can be read."""
    args = {"id": number}
    sys.exit(facts("sync.quarantine.show", "sync.quarantine.show", args, socket_=office, as_json=as_json, lang=lang))


@quarantine.command()
@click.argument("number", type=int)
@_office
@_json
@lang_option
def replay(*, number: int, office: str, as_json: bool, lang: str) -> None:
    """Read one message again, after an upgrade say, and apply it if it can be used now."""
    args = {"id": number}
    sys.exit(
        facts("sync.quarantine.replay", "sync.quarantine.replay", args, socket_=office, as_json=as_json, lang=lang)
    )
