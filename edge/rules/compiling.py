"""Rule texts and devices to the rules of one site: which apply where, with which parameters, and which cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from edge.rules.building import Builder
from edge.rules.instance import Plan
from edge.rules.places import note
from edge.rules.reading import MODES, read_rule
from edge.rules.rule import (
    PRIORITIES,
    DeviceSpec,
    Mode,
    ParameterValue,
    Rule,
    RuleText,
    Setting,
    Settings,
    parameter_value,
)
from edge.rules.syntax import Expression
from edge.rules.types import DURATION, Type
from sitekeeper.faults import Faults, nearest
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros

_OWN: Final = ("on_delay", "off_delay", "mode", "priority")
"""What may be set for any rule besides its own parameters."""


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """A rule that says nothing about a device of its class, because the device lacks a point: `needs`."""

    rule: str
    device: str
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules compiled for one site. `plans` and `not_applicable` are sorted by device and rule."""

    rules: tuple[Rule, ...] = ()
    plans: tuple[Plan, ...] = ()
    not_applicable: tuple[NotApplicable, ...] = ()


def compile_rules(
    texts: Sequence[RuleText],
    classes: Mapping[str, Mapping[str, Type]],
    devices: Sequence[DeviceSpec],
    overrides: Settings,
    faults: Faults,
) -> Rules:
    """Compile rules for a site; what cannot be used is noted in `faults` and left out.

    Args:
        texts: rules of the chosen packs and the site's own.
        classes: types of points by class and name, from the class files (`edge.rules.types.type_of`).
        devices: the site's devices.
        overrides: what the site file sets, by rule. It wins over a profile's settings; a device's own win over both.
        faults: where mistakes are noted.
    """
    rules: dict[str, Rule] = {}
    known: set[str] = set()
    for text in texts:
        name = str(text.mapping.get("id", ""))
        if name in known:
            note(faults, text.place("id"), "twice", id=name)
        elif (rule := read_rule(text, classes, faults)) is not None:
            rules[name] = rule
        known.add(name)
    for settings in [overrides, *(spec for device in devices for spec in (device.profile_settings, device.settings))]:
        _check_ids(settings, known, faults)
    compiler = _Compiler(rules, overrides, faults)
    return compiler.compile(devices)


def _check_ids(settings: Settings, known: set[str], faults: Faults) -> None:
    for rule, values in settings.items():
        if rule not in known:
            for setting in values.values():
                note(faults, setting.place, "unknown-rule", near=nearest(rule, known), id=rule)


class _Compiler:
    def __init__(self, rules: Mapping[str, Rule], overrides: Settings, faults: Faults) -> None:
        self._rules = rules
        self._overrides = overrides
        self._faults = faults

    def compile(self, devices: Sequence[DeviceSpec]) -> Rules:
        for rule in self._rules.values():  # also where no device has the class
            self._settings(rule, self._overrides.get(rule.id, {}))
        plans: list[Plan] = []
        without: list[NotApplicable] = []
        for device in sorted(devices, key=lambda device: device.id):
            for rule in sorted(self._rules.values(), key=lambda rule: rule.id):
                if rule.cls != device.cls:
                    continue
                if needs := _missing(rule, device):
                    without.append(NotApplicable(rule.id, device.id, needs))
                else:
                    plans.append(self._plan(rule, device))
        return Rules(rules=tuple(self._rules.values()), plans=tuple(plans), not_applicable=tuple(without))

    def _plan(self, rule: Rule, device: DeviceSpec) -> Plan:
        chosen: dict[str, ParameterValue] = {}
        for settings in (device.profile_settings, self._overrides, device.settings):
            chosen.update(self._settings(rule, settings.get(rule.id, {})))
        own = {name: chosen.pop(name) for name in _OWN if name in chosen}
        parameters = {**rule.parameters, **chosen}
        builder = Builder({}, parameters)
        levels = [(level.priority, _micros(builder, level.after)) for level in rule.levels]
        if "priority" in own:
            levels = [(cast("Priority", own["priority"].value), after) for _, after in levels]
        if "on_delay" in own:
            levels = [(priority, cast("Micros", own["on_delay"].value)) for priority, _ in levels]
        ordered = replace(
            rule, levels=tuple(replace(spec, priority=p) for spec, (p, _) in zip(rule.levels, levels, strict=True))
        )
        off_delay = own.get("off_delay")
        return Plan(
            rule=ordered,
            device=device,
            parameters=parameters,
            levels=tuple(levels),
            off_delay=_micros(builder, rule.off_delay) if off_delay is None else cast("Micros", off_delay.value),
            mode=MODES[str(own["mode"].value)] if "mode" in own else rule.mode,
        )

    def _settings(self, rule: Rule, settings: Mapping[str, Setting]) -> dict[str, ParameterValue]:
        """Return the values that may be used; note the others."""
        found: dict[str, ParameterValue] = {}
        for name, setting in settings.items():
            value = parameter_value(setting.value)
            known = [*rule.parameters, *_OWN]
            if name not in known:
                note(self._faults, setting.place, "unknown-setting", near=nearest(name, known), name=name, id=rule.id)
            elif value is None or not _fits(rule, name, value):
                note(self._faults, setting.place, "bad-setting", name=name, value=setting.value, id=rule.id)
            else:
                found[name] = value
        return found


def _fits(rule: Rule, name: str, value: ParameterValue) -> bool:
    if name in rule.parameters:
        return rule.parameters[name].type.base == value.type.base
    if name == "mode":
        return str(value.value) in MODES
    if name == "priority":
        return value.value in PRIORITIES and len(rule.levels) == 1
    return value.type == DURATION and (name != "on_delay" or len(rule.levels) == 1)


def _missing(rule: Rule, device: DeviceSpec) -> str:
    builder = Builder(device.points, rule.parameters, rule.named)
    trees: list[Expression | None] = [rule.when, rule.unless, rule.reset_when, *(level.when for level in rule.levels)]
    return next((needs for tree in trees if tree is not None and (needs := builder.missing(tree))), "")


def _micros(builder: Builder, tree: Expression) -> Micros:
    value = builder.constant(tree)
    return value if isinstance(value, int) else 0 if value is None else round(float(value))


__all__ = ["DeviceSpec", "Mode", "NotApplicable", "Rules", "compile_rules"]
