"""`sk join`: this box becomes the gateway of a site. Needs no daemon, and no secret but the code, which it uses up."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

REFUSED, UNREACHABLE, INVALID = 1, 5, 6


@click.command()
@click.argument("code", required=False)
@click.option(
    "--site",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with site.yaml; here by default.",
)
@click.option(
    "--trust", metavar="DIR", help="Where key and certificates are kept; `trust` in the site folder by default."
)
def join(*, code: str | None, folder: Path, trust: str | None) -> None:
    """Join the office with the CODE of `sk office site add`; without CODE it is asked for, or read from a pipe.

    A box that replaces another joins with a new code; what the old one had is revoked then.
    """
    from edge.trust import call
    from edge.trust.folder import TrustFolder
    from sitekeeper.enrolment import parse_code
    from sitekeeper.model.clock import SystemClock
    from sitekeeper.model.errors import ConfigError, FormatError, PeerUnreachable, Refused, StorageError

    try:
        parsed = parse_code(code or click.prompt("code", prompt_suffix=": ", err=True))
        written = _site(folder)
        _fits(parsed.site, written)
        place = TrustFolder(folder / (trust or _trust(written)))
        place.prepare()  # before the code is used up: a folder that cannot be written must not cost it
        key, issued = call.join(parsed, SystemClock().wall())
        place.begin(parsed, key, issued)
    except PeerUnreachable as error:
        _end(f"office not reached: {error}", UNREACHABLE)
    except (FormatError, ConfigError) as error:
        _end(str(error), INVALID)
    except (Refused, StorageError) as error:
        _end(f"not joined: {error}", REFUSED)
    click.echo(f"{parsed.site}: joined; key and certificate are in {place.path}; a gateway that runs must be restarted")
    _hint(folder, written, issued.broker, trust)


def _site(folder: Path) -> dict[str, Any]:
    """Return what stands in site.yaml, as far as joining needs it; empty if there is none yet."""
    from sitekeeper.faults import Faults
    from sitekeeper.located_yaml import read_document

    path = folder / "site.yaml"
    if not path.exists():
        return {}
    faults = Faults("en")
    document = read_document(path, path.name, faults)
    faults.stop_if_any()
    data = document.data if document is not None else None
    return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}


def _fits(site: str, written: dict[str, Any]) -> None:
    from sitekeeper.model.errors import Refused

    section = written.get("site")
    known = section.get("id") if isinstance(section, dict) else None
    if known is not None and known != site:
        reason = "wrong-site"
        raise Refused(reason, f"the code is for {site!r}, site.yaml is {known!r}; nothing was done")


def _trust(written: dict[str, Any]) -> str:
    section = written.get("office")
    named = section.get("trust") if isinstance(section, dict) else None
    return named if isinstance(named, str) else "trust"


def _hint(folder: Path, written: dict[str, Any], broker: str, trust: str | None) -> None:
    """Put the office into site.yaml if nothing is said of it there; else, or if that cannot be, say what belongs in."""
    more = f", trust: {trust}" if trust else ""
    line = f'office: {{broker: "{broker}"{more}}}'
    section = written.get("office")
    if isinstance(section, dict):
        if section.get("broker") != broker or (trust and section.get("trust") != trust):
            click.echo(f"site.yaml says something else of the office; there belongs:\n  {line}")
        return
    path = folder / "site.yaml"
    if written and _append(path, line):
        click.echo(f"added to site.yaml:\n  {line}")
    else:
        click.echo(f"add to site.yaml:\n  {line}")


def _append(path: Path, line: str) -> bool:
    """Add a line at the end; tell whether it was done. It is not if the file would mean something else then."""
    import yaml

    from sitekeeper import files
    from sitekeeper.model.errors import StorageError

    try:
        before = path.read_text(encoding="utf-8")
        after = before + ("" if before.endswith("\n") else "\n") + line + "\n"
        fits: bool = yaml.safe_load(after) == yaml.safe_load(before) | yaml.safe_load(line)
        if fits:
            was = path.stat()  # root may run this, and the gateway's user must be able to read the file afterwards
            files.put(path, after.encode(), mode=was.st_mode & 0o777, owner=(was.st_uid, was.st_gid))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, StorageError):
        return False
    return fits


def _end(why: str, code: int) -> NoReturn:
    click.echo(why, err=True)
    sys.exit(code)
