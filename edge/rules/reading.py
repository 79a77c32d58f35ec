"""A rule's text to a `Rule`, with every fault in it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, cast

import msgspec

from edge.rules.checking import check, constant
from edge.rules.language import RESERVED, parse
from edge.rules.linkage import Linkages, read_duration
from edge.rules.places import note, note_error
from edge.rules.rule import PRIORITIES, LevelRule, Mode, ParameterValue, Rule, RuleText, parameter_value
from edge.rules.scope import Far, Scope
from edge.rules.sets import SCOPES
from edge.rules.syntax import Expression, ExpressionError
from edge.rules.types import BOOL, BUILT_IN, DURATION, Fields, Type
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Plain
from sitekeeper.model.alarm import Priority
from sitekeeper.model.point import Names

KEYS: Final = ("id", "class", "name", "params", "let", "when", "unless", "on_delay", "off_delay", "priority", "levels",
               "latch", "reset_when", "playbook", "mode", "show", "do", "once", "life_safety", "audience", "offline",
               "parent", "realarm", "suppress", "forbid", "tests")  # fmt: skip
LANGUAGES: Final = ("en", "zh-Hant", "zh-Hans")
OFF_DELAY: Final = "10s"
ALARMLESS: Final = "P4"
"""The priority of a rule that has none, because all it does is to write. It moves no alarm."""
MODES: Final[Mapping[str, Mode]] = {"live": "", "watch": "watch", "off": "off"}
AUDIENCES: Final = ("", "security")

_ID: Final = re.compile(r"[A-Z][A-Z0-9-]{0,31}")
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DECIDING: Final = (
    "id",
    "class",
    "params",
    "let",
    "when",
    "unless",
    "on_delay",
    "off_delay",
    "priority",
    "levels",
    "latch",
    "do",
    "once",
)


def read_rule(
    text: RuleText,
    classes: Mapping[str, Mapping[str, Type]],
    faults: Faults,
    *,
    events: Mapping[str, Mapping[str, Fields]] = {},
    groups: Collection[str] | None = None,
    far: Far | None = None,
) -> Rule | None:
    """Return the rule that `text` says; None if it has a fault, which is then among `faults`.

    Args:
        text: the rule.
        classes: types of the points of every class, by class and point name.
        faults: where mistakes are noted.
        events: types of the fields of events, by class, event and field.
        groups: the names of the site's groups; None if they are not known here.
        far: the points of other devices; None if they are not known here.
    """
    before = len(faults.found) + faults.left_out
    scopes = {
        name: Scope(points=points, events={**BUILT_IN, **events.get(name, {})}, far=far)
        for name, points in classes.items()
    }
    rule = _Reader(text, scopes, groups, faults).rule()
    return rule if len(faults.found) + faults.left_out == before else None


class _Reader:
    def __init__(
        self, text: RuleText, scopes: Mapping[str, Scope], groups: Collection[str] | None, faults: Faults
    ) -> None:
        self._text = text
        self._mapping = text.mapping
        self._scopes = scopes
        self._groups = groups
        self._faults = faults
        self._named: dict[str, Expression] = {}
        self._types: dict[str, Type] = {}

    def rule(self) -> Rule | None:
        if not self._frame():
            return None
        self._scope = self._scopes[str(self._mapping["class"])]
        parameters = self._parameters()
        self._scope = replace(
            self._scopes[str(self._mapping["class"])],
            parameters={name: value.type for name, value in parameters.items()},
            named=self._types,
            classes=self._scopes,
            groups=self._groups,
        )
        self._read_named()
        when = self._expression("when", wanted=BOOL)
        points = {name: scope.points for name, scope in self._scopes.items()}
        linkages = Linkages(self._text, points, self._groups, self._faults)
        do, suppress, forbid = linkages.do(), linkages.suppress(), linkages.forbid()
        if do is not None and suppress is not None and do.until != suppress.until:
            note(self._faults, self._text.place("suppress", "until"), "two-untils")
        levels = self._levels()
        off_delay = self._expression("off_delay", wanted=DURATION, default=OFF_DELAY)
        unless = self._optional("unless")
        reset_when = self._optional("reset_when")
        if when is None or off_delay is None or not levels:
            return None
        return Rule(
            id=str(self._mapping["id"]),
            cls=str(self._mapping["class"]),
            names=self._names(),
            when=when,
            levels=levels,
            off_delay=off_delay,
            named=self._named,
            parameters=parameters,
            unless=unless,
            reset_when=reset_when,
            latch=self._flag("latch"),
            mode=MODES.get(self._word("mode", tuple(MODES), "live"), ""),
            playbook=str(self._mapping.get("playbook", "")),
            show=self._show(),
            do=do,
            alarm=not self._only_writes,
            once=self._word("once", ("", *SCOPES), ""),
            life_safety=self._flag("life_safety"),
            audience=self._word("audience", AUDIENCES, ""),
            offline=self._flag("offline"),
            parent=self._rule_id("parent"),
            realarm=read_duration(self._text, self._mapping.get("realarm"), self._faults, "realarm"),
            suppress=suppress,
            forbid=forbid,
            canonical=msgspec.json.encode({key: self._mapping.get(key) for key in _DECIDING}, order="sorted"),
        )

    def _frame(self) -> bool:
        """Check keys, id and class; without those nothing else can be judged."""
        mapping, text = self._mapping, self._text
        for key in mapping:
            if key not in KEYS:
                note(self._faults, text.place(key, key=True), "unknown-key", near=nearest(key, KEYS), what=key)
        for key in ("id", "class", "name", "when"):
            if key not in mapping:
                note(self._faults, text.place(), "key-missing", what=key)
        if "id" in mapping and not _ID.fullmatch(str(mapping["id"])):
            note(self._faults, text.place("id"), "bad-id", id=mapping["id"])
        cls = str(mapping.get("class", ""))
        if cls and cls not in self._scopes:
            note(self._faults, text.place("class"), "unknown-class", near=nearest(cls, self._scopes), name=cls)
        return "id" in mapping and cls in self._scopes

    def _parameters(self) -> dict[str, ParameterValue]:
        found: dict[str, ParameterValue] = {}
        for name, value in self._section("params").items():
            parameter = parameter_value(value)
            if parameter is None:
                note(self._faults, self._text.place("params", name), "bad-parameter", name=name)
            elif self._free(name, "params", found):
                found[name] = parameter
        return found

    def _read_named(self) -> None:
        for name in self._section("let"):
            if not self._free(name, "let", {**self._scope.parameters, **self._types}):
                continue
            tree = self._expression("let", name, wanted=None)
            found = None if tree is None else check(tree, self._scope)[0]
            if tree is not None and found is not None:
                self._named[name], self._types[name] = tree, found

    def _free(self, name: str, section: str, taken: Mapping[str, object]) -> bool:
        """Tell whether `name` may name something here; note why not."""
        if not _WORD.fullmatch(name) or name in RESERVED:
            note(self._faults, self._text.place(section, name, key=True), "bad-name", name=name)
            return False
        if name in taken or name in self._scope.points:
            note(self._faults, self._text.place(section, name, key=True), "name-taken", name=name)
            return False
        return True

    def _levels(self) -> tuple[LevelRule, ...]:
        if "levels" not in self._mapping:
            after = self._expression("on_delay", wanted=DURATION, default="0s")
            priority = ALARMLESS if self._only_writes else self._priority("priority")
            return () if after is None or priority is None else (LevelRule(priority=priority, after=after),)
        for key in ("priority", "on_delay"):
            if key in self._mapping:
                note(self._faults, self._text.place(key, key=True), "beside-levels", what=key)
        items = self._mapping["levels"]
        if not isinstance(items, list) or not items:
            note(self._faults, self._text.place("levels"), "bad-section", what="levels")
            return ()
        found = [self._level(place, item) for place, item in enumerate(items)]
        return tuple(level for level in found if level is not None)

    @property
    def _only_writes(self) -> bool:
        return bool(self._mapping.keys() & {"do", "forbid"}) and not self._mapping.keys() & {"priority", "levels"}

    def _level(self, place: int, item: Plain) -> LevelRule | None:
        if not isinstance(item, dict):
            note(self._faults, self._text.place("levels", place), "bad-section", what="levels")
            return None
        keys = ("priority", "when", "after", "through")
        for key in item:
            if key not in keys:
                where = self._text.place("levels", place, str(key), key=True)
                note(self._faults, where, "unknown-key", near=nearest(str(key), keys), what=key)
        after = self._expression("levels", place, "after", wanted=DURATION, default="0s")
        when = self._expression("levels", place, "when", wanted=BOOL) if "when" in item else None
        priority = self._priority("levels", place, "priority")
        if not isinstance(item.get("through", False), bool):
            note(self._faults, self._text.place("levels", place, "through"), "bad-flag", what="through")
        if after is None or priority is None:
            return None
        return LevelRule(priority=priority, after=after, when=when, through=item.get("through") is True)

    def _rule_id(self, key: str) -> str:
        found = str(self._mapping.get(key, ""))
        if found and not _ID.fullmatch(found):
            note(self._faults, self._text.place(key), "bad-id", id=found)
        return found

    def _priority(self, *path: str | int) -> Priority | None:
        found = self._value(path)
        if found in PRIORITIES:
            return cast("Priority", found)
        note(self._faults, self._text.place(*path), "bad-priority", found=found)
        return None

    def _optional(self, key: str) -> Expression | None:
        return self._expression(key, wanted=BOOL) if key in self._mapping else None

    def _expression(self, *path: str | int, wanted: Type | None, default: str = "") -> Expression | None:
        """Parse and check the expression at `path`; a wanted duration must be constant."""
        value = self._value(path)
        if value is None and not default:
            if path != ("when",):  # that it is missing was noted with the other keys
                note(self._faults, self._text.place(*path), "no-expression")
            return None
        source = default if value is None else _as_text(value)
        written = self._text.written(source, *path)
        try:
            tree = parse(source)
        except ExpressionError as error:
            note_error(self._faults, written, error)
            return None
        mistakes = check(tree, self._scope, wanted)[1]
        if not mistakes and wanted == DURATION and not constant(tree, self._scope):
            mistakes = [ExpressionError(tree.at, "not-constant", operator=str(path[-1]), argument="d")]
        for mistake in mistakes:
            note_error(self._faults, written, mistake)
        return None if mistakes else tree

    def _value(self, path: tuple[str | int, ...]) -> Plain:
        found: Plain = cast("Plain", self._mapping)
        for step in path:
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int):
                found = found[step]
        return found

    def _section(self, key: str) -> dict[str, Plain]:
        section = self._mapping.get(key, {})
        if isinstance(section, dict):
            return {str(name): value for name, value in section.items()}
        note(self._faults, self._text.place(key), "bad-section", what=key)
        return {}

    def _names(self) -> Names:
        names = {key: str(value) for key, value in self._section("name").items()}
        for language in LANGUAGES:
            if not names.get(language):
                note(self._faults, self._text.place("name"), "name-missing", language=language)
        return names

    def _flag(self, key: str) -> bool:
        value = self._mapping.get(key, False)
        if not isinstance(value, bool):
            note(self._faults, self._text.place(key), "bad-flag", what=key)
        return value is True

    def _word(self, key: str, words: tuple[str, ...], default: str) -> str:
        found = str(self._mapping.get(key, default))
        if found not in words:
            note(self._faults, self._text.place(key), "bad-word", near=nearest(found, words), found=found, what=key)
        return found

    def _show(self) -> tuple[str, ...]:
        value = self._mapping.get("show", [])
        if not isinstance(value, list):
            note(self._faults, self._text.place("show"), "bad-section", what="show")
            return ()
        for place, name in enumerate(value):
            if str(name) not in self._scope.points:
                near = nearest(str(name), self._scope.points)
                note(self._faults, self._text.place("show", place), "unknown-name", near=near, name=name)
        return tuple(str(name) for name in value)


def _as_text(value: Plain) -> str:
    """Return what was written where YAML saw a bool or a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
