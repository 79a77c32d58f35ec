"""What holds for every page: the commands and options that it names exist."""

import re
from pathlib import Path

import click
import pytest

from sitekeeper.commands import TABLE, cli
from tests.docs.pages import DOCS, ROOT

PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / f"{name}.md" for name in ("SAFETY", "SECURITY", "CHANGELOG", "README"))]
CODE = re.compile(r"^```\w*[^\n]*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:^|[\s;(/$])sk ([a-z]+(?:[ -][a-z]+)*)((?:(?!\bsk\b)[^\n;|`,])*)")


def named(page: Path) -> list[tuple[list[str], list[str]]]:
    """Return the commands in a page's code, each with the options that follow it."""
    code = "\n".join(block or inline for block, inline in CODE.findall(page.read_text(encoding="utf-8")))
    return [(words.split(), re.findall(r"(?<!\S)--[a-z-]+", rest)) for words, rest in NAMED.findall(code)]


def find(words: list[str]) -> click.Command:
    """Return the command that the words lead to; what stands behind it are its arguments."""
    found: click.Command = cli
    context = click.Context(cli)
    for word in words:
        if not isinstance(found, click.Group):
            break
        following = found.get_command(context, word)
        assert following is not None, f"no command {' '.join(words)!r}"
        found = following
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    """`sk NOUN VERB --option` of any page can be typed."""
    for words, options in named(page):
        command = find(words)
        if isinstance(command, click.Group):
            continue  # a family of commands, `sk alarm ...`, with an option that they share
        every = (option for each in command.params for option in (*each.opts, *each.secondary_opts))
        known = {*every, "--help", "--version"}
        assert set(options) <= known, f"{' '.join(words)}: {sorted(set(options) - known)}"


def test_the_pages_name_most_commands() -> None:
    """So that the test above cannot pass by finding nothing."""
    found = {words[0] for page in PAGES for words, _ in named(page)}
    assert found >= set(TABLE) - {"version"}
