"""Calls of which not every argument is a value: events, tags, the equipment record, other devices and the gateway.

    on(event, expr)   cmd(point)   tagged('t')   asset('rated_speed')   median(on(event), field, n)
    any_of | all_of | count_of(scope, class, expr, tag='t')
    point('device/point')   schedule('name')   sun('up' | 'light')   holiday()

The last four are points of another device. What a rule must know from outside the field is recorded as points of the
device `gateway` (`gateway/schedule.night`), so that a replay knows it too.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from edge.rules.happenings import LATE
from edge.rules.scope import GATEWAY, Scope
from edge.rules.sets import GROUP, SCOPES, SETS
from edge.rules.syntax import Call, Constant, Expression, Name
from edge.rules.types import BOOL, COUNT, EVENT, Type
from edge.rules.written_back import written_back
from sitekeeper.faults import nearest
from sitekeeper.model.sample import Value

FORMS: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "on": (("event", "expr"), 1),
    "cmd": (("point",), 1),
    "tagged": (("tag",), 1),
    "asset": (("name",), 1),
    "median": (("e", "field", "n"), 3),
    "point": (("id",), 1),
    "schedule": (("name",), 1),
    "sun": (("state",), 1),
    "holiday": ((), 0),
    **dict.fromkeys(SETS, (("scope", "class", "expr"), 3)),
}
"""Names of the arguments, and how many it takes at least."""
FAR: Final = ("point", "schedule", "sun", "holiday")
"""The forms that are a point of another device."""
ASSETS: Final[Mapping[str, Type]] = {
    "rated_speed": Type("number", "m/s"),
    "rated_load": Type("number", "kg"),
    "floors": COUNT,
}
"""The numbers of an equipment record."""
SUNS: Final = ("up", "light")
LEAST_OF_MEDIAN: Final = 3
MOST_OF_MEDIAN: Final = 200
_SCHEDULE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def far_point(tree: Call, parameters: Mapping[str, Value]) -> str:
    """Return the id of the point that a checked form of `FAR` means."""
    word: Value = ""
    for argument in tree.arguments:
        word = argument.value if isinstance(argument, Constant) else ""
        if isinstance(argument, Name):
            word = parameters.get(argument.name)
    return {
        "point": str(word),
        "schedule": f"{GATEWAY}/schedule.{word}",
        "sun": f"{GATEWAY}/sun.{word}",
        "holiday": f"{GATEWAY}/holiday",
    }[tree.name]


class FormChecker:
    """Types the forms; the base of the checker of expressions."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @abstractmethod
    def inside(self, tree: Expression, scope: Scope) -> None:
        """Check a condition in the names of an event or of another class."""

    @abstractmethod
    def fault(self, tree: Expression, code: str, *, near: str = "", **fields: object) -> None:
        """Note a mistake."""

    def form(self, tree: Call) -> Type | None:
        """Return the type of a form."""
        wanted, least = FORMS[tree.name]
        for name, value in tree.named:
            if tree.name not in SETS or name != "tag":
                self.fault(value, "argument-unknown", operator=tree.name, argument=name)
        for extra in tree.arguments[len(wanted) :]:
            self.fault(extra, "argument-extra", operator=tree.name, count=len(wanted))
        if len(tree.arguments) < least:
            self.fault(tree, "argument-missing", operator=tree.name, argument=wanted[len(tree.arguments)])
            return None
        match tree.name:
            case "on":
                return self._on(tree)
            case "cmd":
                return self._cmd(tree.arguments[0])
            case "tagged":
                self._text(tree.arguments[0], "tagged")
                return BOOL
            case "asset":
                return self._asset(tree.arguments[0])
            case "median":
                return self._median(tree)
        return self._far(tree) if tree.name in FAR else self._set(tree)

    def _on(self, tree: Call) -> Type | None:
        event = tree.arguments[0]
        name = event.name if isinstance(event, Name) else ""
        if name not in self._scope.events:
            self.fault(event, "unknown-event", near=nearest(name, self._scope.events), name=name)
            return None
        for condition in tree.arguments[1:2]:
            self.inside(condition, replace(self._scope, fields={**self._scope.events[name], LATE: BOOL}))
        return EVENT

    def _cmd(self, point: Expression) -> Type | None:
        name = point.name if isinstance(point, Name) else ""
        if name not in self._scope.points or "command" not in self._scope.events:
            self.fault(point, "unknown-name", near=nearest(name, self._scope.points), name=name)
            return None
        return EVENT

    def _asset(self, argument: Expression) -> Type | None:
        name = self._text(argument, "asset")
        if name and name not in ASSETS:
            self.fault(argument, "bad-asset", near=nearest(name, ASSETS), name=name, known=", ".join(ASSETS))
        return ASSETS.get(name)

    def _median(self, tree: Call) -> Type | None:
        event, field, count = tree.arguments[:3]
        if not (isinstance(event, Call) and event.name == "on"):
            self.fault(event, "wrong-type", sign="median", wanted="on(event)", found=written_back(event))
            return None
        if self.form(event) is None:
            return None
        spoken = event.arguments[0]
        fields = self._scope.events[spoken.name] if isinstance(spoken, Name) else {}
        name = field.name if isinstance(field, Name) else ""
        if name not in fields or fields[name].base != "number":
            numbers = [each for each, type_ in fields.items() if type_.base == "number"]
            self.fault(field, "unknown-name", near=nearest(name, numbers), name=name)
            return None
        least, most = LEAST_OF_MEDIAN, MOST_OF_MEDIAN
        if not (isinstance(count, Constant) and isinstance(count.value, int) and least <= count.value <= most):
            self.fault(count, "window-too-long", operator="median", argument="n", least=least, most=most)
        return fields[name]

    def _far(self, tree: Call) -> Type | None:
        if self._scope.far is None:
            self.fault(tree, "set-here", operator=tree.name)
            return None
        if tree.name == "schedule":
            return self._schedule(tree.arguments[0])
        word = self._text(tree.arguments[0], tree.name) if tree.arguments else ""
        if tree.name == "holiday" or not word:
            return BOOL if tree.name != "point" else None
        if tree.name == "sun":
            if word not in SUNS:
                self.fault(tree.arguments[0], "unknown-member", near=nearest(word, SUNS), word=word,
                           members=", ".join(SUNS))  # fmt: skip
            return BOOL
        found = self._scope.far.type(word)
        if found is None:
            self.fault(tree.arguments[0], "unknown-point", name=word)
        return found

    def _schedule(self, name: Expression) -> Type:
        parameter = isinstance(name, Name) and self._scope.parameters.get(name.name)
        if parameter and parameter.base == "text":
            return BOOL
        word = self._text(name, "schedule")
        if word and not _SCHEDULE.fullmatch(word):
            self.fault(name, "unknown-schedule", name=word)
        return BOOL

    def _set(self, tree: Call) -> Type | None:
        scope, cls, condition = tree.arguments[:3]
        if self._scope.classes is None:
            self.fault(tree, "set-here", operator=tree.name)
            return None
        self._set_scope(scope)
        for _, tag in tree.named:
            self._text(tag, tree.name)
        name = cls.name if isinstance(cls, Name) else ""
        if name not in self._scope.classes:
            self.fault(cls, "unknown-class", near=nearest(name, self._scope.classes), name=name)
            return None
        own = self._scope
        self.inside(condition, replace(own.classes[name], parameters=own.parameters, far=own.far))  # type: ignore[index]
        return COUNT if tree.name == "count_of" else BOOL

    def _set_scope(self, scope: Expression) -> None:
        if isinstance(scope, Call) and scope.name == GROUP and len(scope.arguments) == 1 and not scope.named:
            name = self._text(scope.arguments[0], GROUP)
            if name and self._scope.groups is not None and name not in self._scope.groups:
                near = nearest(name, self._scope.groups)
                self.fault(scope.arguments[0], "unknown-group", near=near, name=name)
        elif not isinstance(scope, Name) or scope.name not in SCOPES:
            near = nearest(scope.name, (*SCOPES, GROUP)) if isinstance(scope, Name | Call) else ""
            self.fault(scope, "unknown-scope", near=near, known=", ".join((*SCOPES, f"{GROUP}('name')")))

    def _text(self, tree: Expression, sign: str) -> str:
        if isinstance(tree, Constant) and isinstance(tree.value, str):
            return tree.value
        self.fault(tree, "text-wanted", sign=sign)
        return ""
