"""The rule language said again, slowly: every value is worked out from the whole history, and nothing is remembered.

Shares the parser with the product and nothing else. A history is a list of moments; between two moments every input
stays as it was. There is a moment at every tick, because something may become true by waiting, and one more where
inputs change. A restart is a moment at which every input is unknown.
"""

from dataclasses import dataclass
from typing import Any

from edge.rules.language import parse
from edge.rules.syntax import Binary, Call, Choice, Constant, Junction, Name, Unary
from sitekeeper.durations import parse_duration

SEVERITY = ("P1", "P2", "P3", "P4")


@dataclass(frozen=True)
class Change:
    """At `at` the inputs in `values` become that; None is a bad sample. `restart`: all inputs become unknown."""

    at: int
    values: dict[str, Any]
    restart: bool = False


def moments(changes: list[Change], tick: int, end: int) -> list[tuple[int, dict[str, Any]]]:
    """Return (time, known inputs) for the start, every tick, and every change, in order; at one time the tick first."""
    found: list[tuple[int, dict[str, Any]]] = [(0, {})]
    for at in range(tick, end + 1, tick):
        found.append((at, found[-1][1]))
        for change in changes:
            if change.at == at:
                before = {} if change.restart else found[-1][1]
                found.append((at, {**before, **change.values}))
    return found


class Reference:
    """One rule on one device. `points`: the points that the device has; `kinds`: of those that have one."""

    def __init__(
        self, rule: dict[str, Any], points: set[str], kinds: dict[str, str], params: dict[str, Any] | None = None
    ):
        self.rule = rule
        self.points = points
        self.kinds = kinds
        self.params = {**rule.get("params", {}), **(params or {})}
        self.lets = {name: parse(str(text)) for name, text in rule.get("let", {}).items()}

    def verdicts(self, history: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, str, str]]:
        """Return (time, kind, priority) of everything decided in `history`."""
        self.times = [at for at, _ in history]
        self.inputs = [known for _, known in history]
        self.cache: dict[Any, Any] = {}
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

        def held_for(name: Any, value: Any, i: int) -> int:
            """How long, in known time, `value` has been true since it was last false."""
            passed = self.times[i] - self.times[i - 1] if i else 0
            waited[name] = waited.get(name, 0) + (passed if before.get(name) is True else 0)
            if value is False:
                waited[name] = 0
            before[name] = value
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
                if name in self.lets:
                    return self.lacks(self.lets[name])
                return name != "device" and name not in self.params and name.removesuffix(".kind") not in self.points
            case Call(name="default"):
                return self.lacks(arguments(tree)["v"])
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
        key = (id(tree), i)
        if key not in self.cache:
            self.cache[key] = (tree, self._value(tree, i))  # the tree too, so that its id is not used again
        return self.cache[key][1]

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
            case Binary():
                return calculate(tree.operator, self.value(tree.left, i), self.value(tree.right, i))
            case Call():
                return getattr(self, f"_{tree.name}")(arguments(tree), i)
        raise AssertionError(tree)

    def _name(self, name: str, i: int) -> Any:
        if name == "device":
            return self.inputs[i].get("online")
        if name in self.params:
            value = self.params[name]
            return parse_duration(value) if isinstance(value, str) and value[0].isdigit() else value
        if name in self.lets:
            return self.value(self.lets[name], i)
        if name.endswith(".kind"):
            return self.kinds.get(name.removesuffix(".kind"), "")
        return self.inputs[i].get(name)

    def _known_before(self, tree: Any, i: int) -> Any:
        return next((v for j in range(i - 1, -1, -1) if (v := self.value(tree, j)) is not None), None)

    def _passed(self, j: int) -> int:
        return self.times[j] - self.times[j - 1]

    def _held(self, of: dict[str, Any], i: int) -> Any:
        x = [self.value(of["x"], j) for j in range(i + 1)]
        if not x[i]:
            return x[i]
        elapsed = 0
        for j in range(i, 0, -1):
            if x[j - 1] is False:
                break
            elapsed += self._passed(j) if x[j - 1] else 0
        return elapsed >= self.value(of["d"], i)

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
        count, known = 0, 0
        for j in range(i, -1, -1):  # back from now: j is a moment, `known` the known time since it
            if reset(j):
                break
            count += event(j) is True and reset(j) is False and known < self.value(of["d"], i)
            if j and event(j - 1) is not None and reset(j - 1) is not None:
                known += self._passed(j)
        return count

    def _within(self, of: dict[str, Any], i: int) -> Any:
        count = self._count(of, i)
        return None if count is None else count > 0

    def _latch(self, of: dict[str, Any], i: int) -> Any:
        on, value = False, None
        for j in range(i + 1):
            value = both(negate(self.value(of["reset"], j)), either(self.value(of["set"], j), on))
            on = on if value is None else value
        return value

    def _last(self, of: dict[str, Any], i: int) -> Any:
        x = self.value(of["x"], i)
        return self._known_before(of["x"], i) if x is None else x

    def _default(self, of: dict[str, Any], i: int) -> Any:
        x = None if self.lacks(of["x"]) else self.value(of["x"], i)
        return self.value(of["v"], i) if x is None else x

    def _stale(self, of: dict[str, Any], i: int) -> Any:
        return negate(self.value(of["device"], i))


NAMES = {
    "held": ("x", "d"), "rose": ("x",), "changed": ("x",), "count": ("e", "d", "reset"), "within": ("e", "d"),
    "latch": ("set", "reset"), "last": ("x",), "default": ("x", "v"), "stale": ("device",),
}  # fmt: skip


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    return {**dict(zip(NAMES[call.name], call.arguments, strict=False)), **dict(call.named)}


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
