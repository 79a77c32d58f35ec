"""The rule language said again, slowly: every value is worked out from the whole history, and nothing is remembered.

Shares the parser with the product and nothing else. A history is a list of moments; between two moments every input
stays as it was. There is a moment at every tick, because something may become true by waiting, one more where inputs
change, and one for every event. A restart is a moment at which every input is unknown. Points and events of other
devices are called `device/name`.
"""

from dataclasses import dataclass, field
from typing import Any

from edge.rules.language import parse
from edge.rules.syntax import Binary, Call, Choice, Constant, Junction, Name, Unary
from sitekeeper.durations import parse_duration
from tests.reference_windows import Windows

SEVERITY = ("P1", "P2", "P3", "P4")


@dataclass(frozen=True)
class Told:
    """An event: its name, what it says, and whether it came late."""

    name: str
    fields: dict[str, Any]
    late: bool = False


@dataclass(frozen=True)
class Change:
    """At `at` the inputs in `values` become that, None is a bad sample; then `events` are told, each by itself.

    `restart`: all inputs become unknown.
    """

    at: int
    values: dict[str, Any]
    restart: bool = False
    events: tuple[Told, ...] = ()


@dataclass(frozen=True)
class Moment:
    """One moment: the known inputs, and the event that it is, if it is one."""

    at: int
    known: dict[str, Any] = field(default_factory=dict)
    event: Told | None = None


def moments(changes: list[Change], tick: int, end: int) -> list[Moment]:
    """Return the start, every tick, every change and every event, in order; at one time the tick first."""
    found = [Moment(0)]
    for at in range(tick, end + 1, tick):
        found.append(Moment(at, found[-1].known))
        for change in changes:
            if change.at == at:
                before = {} if change.restart else found[-1].known
                found.append(Moment(at, {**before, **change.values}))
                found += [Moment(at, found[-1].known, event) for event in change.events]
    return found


@dataclass(frozen=True)
class Member:
    """Another device: its points and events by name, and where it is."""

    points: set[str]
    events: set[str]
    zone: str = ""
    link: str = ""
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    via: str = ""


class Reference(Windows):
    """One rule on one device.

    `points`, `events`: those that the device has; `kinds`: of those that have one; `site`: all devices of the class by
    id, in which the device itself is called `own`.
    """

    def __init__(
        self,
        rule: dict[str, Any],
        points: set[str],
        kinds: dict[str, str],
        params: dict[str, Any] | None = None,
        events: set[str] = frozenset(),  # type: ignore[assignment]
        site: dict[str, Member] | None = None,
        own: str = "",
        asset: dict[str, float] | None = None,
    ):
        self.asset = asset or {}
        self.events = events
        self.site = site or {}
        self.own = own
        self.spoken_of: Told | None = None
        self.rule = rule
        self.points = points
        self.kinds = kinds
        self.params = {**rule.get("params", {}), **(params or {})}
        self.lets = {name: parse(str(text)) for name, text in rule.get("let", {}).items()}

    def live(self, history: list[Moment]) -> None:
        """Take a history."""
        self.history = history
        self.times = [moment.at for moment in history]
        self.inputs = [moment.known for moment in history]
        self.late = [moment.event is not None and moment.event.late for moment in history]
        self.cache: dict[Any, Any] = {}

    def verdicts(self, history: list[Moment]) -> list[tuple[int, str, str]]:
        """Return (time, kind, priority) of everything decided in `history`."""
        self.live(history)
        when = self._series(self.rule["when"])
        unless = self._series(self.rule.get("unless", "false"))
        levels = self.rule.get("levels") or [
            {"priority": self.rule["priority"], "after": self.rule.get("on_delay", "0s")}
        ]
        levels = sorted(levels, key=lambda level: SEVERITY.index(level["priority"]))
        afters = [self._constant(level.get("after", "0s")) for level in levels]
        narrowed = [self._series(str(level.get("when", "true"))) for level in levels]
        off_delay = self._constant(self.rule.get("off_delay", "10s"))

        out: list[tuple[int, str, str]] = []
        active, priority, noted = False, "", False
        reached = [False] * len(levels)
        waited: dict[Any, int] = {}
        before: dict[Any, Any] = {}
        barred: dict[Any, bool] = {}

        def held_for(name: Any, value: Any, i: int) -> int:
            """How long, in known time, `value` has been true since it was last false.

            Not at all if it became true by a late event.
            """
            passed = self.times[i] - self.times[i - 1] if i else 0
            waited[name] = waited.get(name, 0) + (passed if before.get(name) is True else 0)
            if value is False:
                waited[name], barred[name] = 0, False
            if value is True and self.late[i] and name != "off" and not waited[name] and before.get(name) is not True:
                barred[name] = True
            before[name] = None if barred.get(name) else value
            return waited[name]

        for i, at in enumerate(self.times):
            gate = True if active else negate(unless[i])
            for place, after in enumerate(afters):
                holds = both(both(when[i], gate), narrowed[place][i])
                long = held_for(place, holds, i)
                if holds is not None:
                    reached[place] = holds and long >= after
            top = next((level["priority"] for level, is_on in zip(levels, reached, strict=True) if is_on), None)
            if top is not None:
                if not active:
                    out.append((at, "raise", top))
                elif top != priority:
                    out.append((at, "level", top))
                active, priority = True, top
            off_for = held_for("off", negate(when[i]) if active else False, i)
            if active and when[i] is False and off_for >= off_delay:
                out.append((at, "clear", priority))
                active = False
                waited["off"], before["off"] = 0, False
            quiet = both(when[i], unless[i]) if not active else False
            quiet_for = held_for("note", quiet, i)
            if quiet is False:
                noted = False
            elif quiet and not noted and quiet_for >= min(afters):
                noted = True
                out.append((at, "note", levels[0]["priority"]))
        return out

    def _series(self, text: Any) -> list[Any]:
        tree = parse(str(text).lower() if isinstance(text, bool) else str(text))
        return [self.value(tree, i) for i in range(len(self.times))]

    def _constant(self, text: Any) -> Any:
        return self.value(parse(str(text)), 0)

    def lacks(self, tree: Any) -> bool:
        """Tell whether the expression needs a point that the device does not have."""
        match tree:
            case Name(name=name):
                if self.spoken_of is not None and name in self.spoken_of.fields:
                    return False
                if name in self.lets:
                    return self.lacks(self.lets[name])
                return name != "device" and name not in self.params and name.removesuffix(".kind") not in self.points
            case Call(name="default"):
                return self.lacks(arguments(tree)["v"])
            case Call(name="optional"):
                return self.lacks(arguments(tree)["x"]) and self.lacks(arguments(tree)["v"])
            case Call(name="on"):
                return tree.arguments[0].name not in self.events
            case Call(name="cmd"):
                return self.lacks(tree.arguments[0])
            case Call(name="any_of" | "all_of" | "count_of" | "tagged"):
                return False
            case Call(name="asset"):
                return tree.arguments[0].value not in self.asset
            case Call(name="median"):
                return self.lacks(tree.arguments[0])
            case Call(name="point" | "schedule" | "sun" | "holiday"):
                return self.far(tree) not in self.points
            case Call():
                return any(self.lacks(value) for value in arguments(tree).values())
            case Unary():
                return self.lacks(tree.operand)
            case Junction():
                return any(self.lacks(term) for term in tree.terms)
            case Binary(operator="in"):
                return self.lacks(tree.left)
            case Binary():
                return self.lacks(tree.left) or self.lacks(tree.right)
            case Choice():
                return self.lacks(tree.then) or self.lacks(tree.condition) or self.lacks(tree.otherwise)
        return False

    def value(self, tree: Any, i: int) -> Any:
        """Return the value at moment `i`: true, false, a number, a text, or None for unknown."""
        if self.spoken_of is not None:
            return self._value(tree, i)
        key = (id(tree), i)
        known = self.cache.get(key)
        if known is None:
            known = self.cache[key] = (tree, self._value(tree, i))  # the tree too, so that its id is not used again
        return known[1]

    def _value(self, tree: Any, i: int) -> Any:
        match tree:
            case Constant():
                return tree.value
            case Name():
                return self._name(tree.name, i)
            case Unary(operator="not"):
                return negate(self.value(tree.operand, i))
            case Unary():
                value = self.value(tree.operand, i)
                return None if value is None else -value
            case Junction():
                values = [self.value(term, i) for term in tree.terms]
                decisive = tree.operator == "or"
                return decisive if decisive in values else None if None in values else not decisive
            case Choice():
                condition = self.value(tree.condition, i)
                return None if condition is None else self.value(tree.then if condition else tree.otherwise, i)
            case Binary(operator="in"):
                left = self.value(tree.left, i)
                return None if left is None else left in [self.value(item, i) for item in tree.right.items]
            case Binary(left=Call(name="count_of")):
                other = self.value(tree.right, i)
                answers = {calculate(tree.operator, count, other) for count in self._counts(tree.left, i)}
                return answers.pop() if len(answers) == 1 else None
            case Binary(right=Call(name="count_of")):
                other = self.value(tree.left, i)
                answers = {calculate(tree.operator, other, count) for count in self._counts(tree.right, i)}
                return answers.pop() if len(answers) == 1 else None
            case Binary():
                return calculate(tree.operator, self.value(tree.left, i), self.value(tree.right, i))
            case Call(name="asset"):
                return self.asset[tree.arguments[0].value]
            case Call(name="point" | "schedule" | "sun" | "holiday"):
                return self.inputs[i].get(self.far(tree))
            case Call(name="on" | "cmd" | "tagged" | "any_of" | "all_of" | "count_of" | "median"):
                return getattr(self, f"_{tree.name}")(tree, i)
            case Call():
                return getattr(self, f"_{tree.name}")(arguments(tree), i)
        raise AssertionError(tree)

    def _name(self, name: str, i: int) -> Any:
        if self.spoken_of is not None and name in self.spoken_of.fields:
            return self.spoken_of.fields[name]
        if name == "device":
            return self.inputs[i].get("online")
        if name in self.params:
            value = self.params[name]
            return parse_duration(value) if isinstance(value, str) and value[0].isdigit() else value
        if name in self.lets:
            told, self.spoken_of = self.spoken_of, None
            value = self.value(self.lets[name], i)
            self.spoken_of = told
            return value
        if name.endswith(".kind"):
            return self.kinds.get(name.removesuffix(".kind"), "")
        return self.inputs[i].get(name)

    def far(self, tree: Call) -> str:
        """Return the name of the point of another device."""
        word = tree.arguments[0] if tree.arguments else Constant(0, "", "text")
        name = self.params[word.name] if isinstance(word, Name) else word.value
        own = {"schedule": f"schedule.{name}", "sun": f"sun.{name}", "holiday": "holiday"}
        return f"gateway/{own[tree.name]}" if tree.name in own else name

    def _known_before(self, tree: Any, i: int) -> Any:
        return next((v for j in range(i - 1, -1, -1) if (v := self.value(tree, j)) is not None), None)

    def _passed(self, j: int) -> int:
        return self.times[j] - self.times[j - 1]

    def _held(self, of: dict[str, Any], i: int) -> Any:
        """Walk through all of it: time runs while x is true, but not after a start by a late event."""
        elapsed, running, barred = 0, False, False
        for j in range(i + 1):
            x = self.value(of["x"], j)
            elapsed += self._passed(j) if j and running else 0
            if x is False:
                elapsed, running, barred = 0, False, False
            elif x is None:
                running = False
            elif not running and not barred:
                barred = self.late[j] and elapsed == 0
                running = not barred
        x, d = self.value(of["x"], i), self.value(of["d"], i)
        if isinstance(of["d"], Name) and of["d"].name in self.points:  # a number of seconds
            d = None if d is None else round(d * 1_000_000)
        return x if not x else None if d is None else elapsed >= d

    def _rose(self, of: dict[str, Any], i: int) -> Any:
        x = self.value(of["x"], i)
        return None if x is None else x is True and self._known_before(of["x"], i) is False

    def _changed(self, of: dict[str, Any], i: int) -> Any:
        x, before = self.value(of["x"], i), self._known_before(of["x"], i)
        return None if x is None else before is not None and before != x

    def _count(self, of: dict[str, Any], i: int) -> Any:
        def event(j: int) -> Any:
            return self.value(of["e"], j)

        def reset(j: int) -> Any:
            return self.value(of["reset"], j) if "reset" in of else False

        if reset(i):
            return 0
        if reset(i) is None or event(i) is None:
            return None
        count, known, span = 0, 0, self.value(of["d"], i)
        for j in range(i, -1, -1):  # back from now: j is a moment, `known` the known time since it
            if reset(j) or known >= span:
                break
            count += event(j) in (True, "late") and reset(j) is False
            if j and event(j - 1) is not None and reset(j - 1) is not None:
                known += self._passed(j)
        return count

    def _within(self, of: dict[str, Any], i: int) -> Any:
        count = self._count(of, i)
        return None if count is None else count > 0

    def _latch(self, of: dict[str, Any], i: int) -> Any:
        on, value = False, None
        for j in range(i + 1):
            up, down = (False if x == "late" else x for x in (self.value(of["set"], j), self.value(of["reset"], j)))
            value = both(negate(down), either(up, on))
            on = (on or (up is True and _is_event(of["set"]))) if value is None else value
        return value

    def _last(self, of: dict[str, Any], i: int) -> Any:
        x = self.value(of["x"], i)
        return self._known_before(of["x"], i) if x is None else x

    def _default(self, of: dict[str, Any], i: int) -> Any:
        x = None if self.lacks(of["x"]) else self.value(of["x"], i)
        return self.value(of["v"], i) if x is None else x

    def _optional(self, of: dict[str, Any], i: int) -> Any:
        return self.value(of["v" if self.lacks(of["x"]) else "x"], i)

    def _tagged(self, tree: Call, _i: int) -> Any:
        return tree.arguments[0].value in self.site[self.own].tags  # type: ignore[union-attr]

    def _told(self, name: str, condition: Any, i: int) -> Any:
        event = self.history[i].event
        if event is None or event.name != name:
            return False
        fields = {**dict.fromkeys(("f", "g")), **event.fields, "late": event.late}
        outside, self.spoken_of = self.spoken_of, Told(name, fields, event.late)
        true = condition is None or self.value(condition, i) is True
        self.spoken_of = outside
        return ("late" if event.late else True) if true else False

    def _on(self, tree: Call, i: int) -> Any:
        return self._told(tree.arguments[0].name, tree.arguments[1] if len(tree.arguments) > 1 else None, i)

    def _cmd(self, tree: Call, i: int) -> Any:
        event = self.history[i].event
        if event is None or event.name != "command":
            return False
        said = (event.fields.get("point"), event.fields.get("outcome"))
        return (said == (tree.arguments[0].name, "accepted")) and ("late" if event.late else True)

    def _answers(self, tree: Call, i: int) -> list[Any]:
        """What every device of the set says at moment `i`."""
        scope, _, condition = tree.arguments
        tag = dict(tree.named).get("tag")
        me = self.site[self.own]
        found = []
        for name, member in self.site.items():
            inside = {
                "site": True,
                "zone": bool(me.zone) and member.zone == me.zone,
                "link": bool(me.link) and member.link == me.link,
                "via": bool(me.via) and member.via == me.via,
                "group": isinstance(scope, Call) and scope.arguments[0].value in member.groups,
            }[scope.name]
            if inside and (tag is None or tag.value in member.tags):
                found += self._answer(name, member, condition, i)
        return found

    def _answer(self, name: str, member: Member, condition: Any, i: int) -> list[Any]:
        """What one device says, in a list; empty if it lacks what it is asked for."""
        key = ("asked", name, id(condition))
        if key not in self.cache:
            seen = [self._as_seen_by(name, moment) for moment in self.history]
            asked = Reference({}, member.points, {}, self.params, member.events, self.site, name)
            asked.live(seen)
            self.cache[key] = asked
        asked = self.cache[key]
        return [] if asked.lacks(condition) else [asked.value(condition, i)]

    def _as_seen_by(self, name: str, moment: Moment) -> Moment:
        """The same moment with the names as another device uses them."""

        def own(full: str) -> str:
            device, _, inside = full.rpartition("/")
            return inside if (device or self.own) == name else f"{device or self.own}/{inside}"

        event = moment.event
        told = None if event is None else Told(own(event.name), event.fields, event.late)
        return Moment(moment.at, {own(full): value for full, value in moment.known.items()}, told)

    def _any_of(self, tree: Call, i: int) -> Any:
        answers = self._answers(tree, i)
        return True if True in answers else None if None in answers else False

    def _all_of(self, tree: Call, i: int) -> Any:
        answers = self._answers(tree, i)
        return False if False in answers else None if None in answers else True

    def _counts(self, tree: Call, i: int) -> range:
        """Return every number that the count may be."""
        answers = self._answers(tree, i)
        return range(answers.count(True), answers.count(True) + answers.count(None) + 1)

    def _count_of(self, tree: Call, i: int) -> Any:
        counts = self._counts(tree, i)
        return counts[0] if len(counts) == 1 else None

    def _stale(self, of: dict[str, Any], i: int) -> Any:
        return negate(self.value(of["device"], i))


NAMES = {
    "held": ("x", "d"), "rose": ("x",), "changed": ("x",), "count": ("e", "d", "reset"), "within": ("e", "d"),
    "latch": ("set", "reset"), "last": ("x",), "default": ("x", "v"), "stale": ("device",),
    "optional": ("x", "v"), "mean": ("x", "d"), "rate": ("x", "d"),
    "sequence": ("e1", "e2", "e3", "e4", "e5", "e6", "within", "reset"),
    "baseline": ("x", "by", "step", "learn", "settle", "least"),
}  # fmt: skip


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    return {**dict(zip(NAMES[call.name], call.arguments, strict=False)), **dict(call.named)}


def _is_event(tree: Any) -> bool:
    return isinstance(tree, Call) and tree.name in {"rose", "changed", "on", "cmd", "sequence"}


def negate(x: Any) -> Any:
    return None if x is None else not x


def both(x: Any, y: Any) -> Any:
    return False if x is False or y is False else None if x is None or y is None else True


def either(x: Any, y: Any) -> Any:
    return negate(both(negate(x), negate(y)))


def calculate(sign: str, x: Any, y: Any) -> Any:
    if x is None or y is None or (sign == "/" and y == 0):
        return None
    return {
        "==": lambda: x == y, "!=": lambda: x != y, "<": lambda: x < y, "<=": lambda: x <= y, ">": lambda: x > y,
        ">=": lambda: x >= y, "+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y, "/": lambda: x / y,
    }[sign]()  # fmt: skip
