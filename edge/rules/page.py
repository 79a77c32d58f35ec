"""A page about a pack of shipped rules, in Markdown: what each says and does, why, and what people are to do then."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from edge.rules import packs
from edge.rules.language import parse
from edge.rules.rule import RuleText
from edge.rules.written_back import written_back
from sitekeeper.faults import Faults, Place
from sitekeeper.model.errors import NotFound
from sitekeeper.texts import LANGUAGES, text

OFF_DELAY: Final = "10s"
_FLAGS: Final = {
    "life_safety": "protects life: nobody may shelve it or take it out of service",
    "offline": "says that its device is not heard",
}


def page(pack: str) -> str:
    """Return the page of a shipped pack.

    Raises:
        ConfigError: there is no such pack, or a rule in it cannot be read.
    """
    faults = Faults()
    texts = packs.load([(pack, Place("packs"))], faults)
    faults.stop_if_any()
    files = sorted({rule.document.file for rule in texts})
    told = " and ".join(f"`{file}`" for file in files)
    head = [
        f"# The rules of pack `{pack}`",
        "",
        f"Written by `sk rule page --out docs/packs` from {told} and the words of `config/lang`; not to be edited.",
        "The language is told in [rules.md](../rules.md).",
        "",
        "| Rule | Tells | 繁體 | 简体 | Class | Priority |",
        "|---|---|---|---|---|---|",
        *(_row(rule) for rule in texts),
    ]
    return "\n".join([*head, *(line for rule in texts for line in _rule(rule))]) + "\n"


def _row(rule: RuleText) -> str:
    written = rule.mapping
    names = _part(rule, "name")
    cells = [written["id"], *(names[lang] for lang in LANGUAGES), written["class"], _priority(rule)]
    return f"| {' | '.join(map(str, cells))} |"


def _rule(rule: RuleText) -> Iterator[str]:
    written = rule.mapping
    names = _part(rule, "name")
    yield from ("", f"## {written['id']}: {names['en']}", "")
    yield f"**Condition** {_code(written['when'])}"
    for name, tree in _part(rule, "let").items():
        because = _words(f"rules.because.{written['id']}.{name}", rule)
        yield f"- `{name}`: {_code(tree)}" + (f" — {because}" if because else "")
    yield ""
    for line in _facts(rule):
        yield f"- {line}"
    if steps := _words(f"office.playbook.{written.get('playbook', written['id'])}", rule):
        yield from ("", "**What people do**", "", steps)
    if tests := [str(test["name"]) for test in cast("list[dict[str, Any]]", written.get("tests", []))]:
        yield from ("", "**Shown by tests beside it**", "", *(f"- {name}" for name in tests))


def _facts(rule: RuleText) -> Iterator[str]:
    written = rule.mapping
    yield from _levels(rule)
    if params := _part(rule, "params"):
        yield "may be set: " + ", ".join(f"`{name}` {_plain(value)}" for name, value in params.items())
    if "unless" in written:
        yield f"a note instead of an alarm while {_code(written['unless'])}"
    if "on_delay" in written:
        yield f"after {written['on_delay']}"
    yield f"over when the condition has been false for {written.get('off_delay', OFF_DELAY)}"
    if written.get("latch"):
        reset = f", and only once {_code(written['reset_when'])}" if "reset_when" in written else ""
        yield f"latched: it stays until somebody on site ends it{reset}"
    yield from (words for flag, words in _FLAGS.items() if written.get(flag))
    for key, words in (
        ("audience", "tells nobody but"), ("parent", "bundled under"), ("realarm", "rings again after"),
        ("once", "carried by the first device of each"), ("mode", "mode"),
    ):  # fmt: skip
        if key in written:
            yield f"{words} {_plain(written[key])}"
    for key, words in (("do", "does"), ("forbid", "forbids every write to"), ("suppress", "suppresses")):
        if key in written:
            yield f"{words} {_nested(_part(rule, key))}"
    if show := cast("list[str]", written.get("show", [])):
        yield "shows also " + ", ".join(f"`{name}`" for name in show)


def _levels(rule: RuleText) -> Iterator[str]:
    written = rule.mapping
    if "priority" in written:
        yield str(written["priority"])
    elif "levels" not in written:
        yield "no alarm: it only acts"
    for level in cast("list[dict[str, Any]]", written.get("levels", [])):
        after = f" after {level['after']}" if "after" in level else ""
        when = f" when {_code(level['when'])}" if "when" in level else ""
        yield f"{level['priority']}{after}{when}" + (", shown although suppressed" if level.get("through") else "")


def _priority(rule: RuleText) -> str:
    levels = cast("list[dict[str, Any]]", rule.mapping.get("levels", []))
    found = [str(level["priority"]) for level in levels]
    return str(rule.mapping["priority"]) if "priority" in rule.mapping else ", ".join(dict.fromkeys(found)) or "-"


def _part(rule: RuleText, key: str) -> dict[str, Any]:
    return cast("dict[str, Any]", rule.mapping.get(key) or {})


def _code(written: Any) -> str:
    """Return an expression as it is read, in one line."""
    return f"`{written_back(parse(_plain(written)))}`"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nested(part: Mapping[str, Any]) -> str:
    """Return a section with its keys, as it is written."""

    def spelt(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key}: {spelt(each)}" for key, each in value.items()) + "}"
        return "[" + ", ".join(map(spelt, value)) + "]" if isinstance(value, list) else _plain(value)

    return f"`{spelt(dict(part))[1:-1]}`"


def _words(key: str, rule: RuleText) -> str:
    """Return a text of the catalogue with the rule's own parameters in it; empty where there is none."""
    params = {name: _plain(value) for name, value in _part(rule, "params").items()}
    try:
        return text(key, "en", **params).strip()
    except NotFound:
        return ""
