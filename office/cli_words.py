"""What `sk office` says when something is refused: what, where, and what to do about it, in the caller's language."""

import os
import re
from collections.abc import Iterable, Mapping

import click

from sitekeeper.control import Problem, problem_of
from sitekeeper.model.errors import NotFound, SitekeeperError, StorageError
from sitekeeper.texts import Language, text

EXIT_FAILED = 1
_TRADITIONAL = frozenset({"TW", "HK", "MO", "Hant"})


def language(environment: Mapping[str, str] = os.environ) -> Language:
    """Return the language of messages by LC_ALL, LC_MESSAGES or LANG, else English."""
    found = next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    parts = re.split("[_.@-]", found)
    if parts[0] != "zh":
        return "en"
    return "zh-Hant" if _TRADITIONAL & {*parts} else "zh-Hans"


def complain(problems: Iterable[Problem], lang: Language | None = None) -> None:
    """Print problems on stderr; codes and what the office itself said are never translated."""
    lang = lang or language()
    for problem in problems:
        said, hint = _words("problem", problem.code, lang), problem.hint or _words("remedy", problem.code, lang)
        click.echo(f"{problem.code}: " + (f"{said}\n  " if said else "") + problem.message, err=True)
        if hint:
            click.echo(f"  {text('cli.word.try', lang)} {hint}", err=True)


def told(error: SitekeeperError) -> Problem:
    """Return an error of this process as a problem; what the store said has a code of its own."""
    return Problem("store", str(error)) if isinstance(error, StorageError) else problem_of(error)


def _words(kind: str, code: str, lang: Language) -> str:
    try:
        return text(f"cli.{kind}.{code}", lang)
    except NotFound:
        return ""
