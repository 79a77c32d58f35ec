"""Rule texts and devices to the rules of one site: which apply where, with which parameters, and which cannot."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from edge.rules.blueprint import Uses
from edge.rules.building import Builder, names_in
from edge.rules.far import with_far
from edge.rules.instance import Plan, Sets
from edge.rules.linkage import SELF, check_writable, never, wanted
from edge.rules.places import note
from edge.rules.reading import MODES, read_rule
from edge.rules.rule import (
    PRIORITIES,
    DeviceSpec,
    Mode,
    ParameterValue,
    Reach,
    Rule,
    RuleText,
    Setting,
    Settings,
    parameter_value,
)
from edge.rules.scope import Far
from edge.rules.sets import SETS, Around, MemberSpec, reach_of
from edge.rules.suppression import check_suppressed, with_veils
from edge.rules.syntax import Call, Expression, parts
from edge.rules.types import DURATION, Type
from sitekeeper.faults import Faults, nearest
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Write

_OWN: Final = ("on_delay", "off_delay", "mode", "priority")
"""What may be set for any rule besides its own parameters."""


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """A rule that says nothing about a device, because the device lacks a point: `needs`.

    Of another class than the rule's: it is left out of a set, or nothing is written to it.
    """

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
    *,
    events: Mapping[str, Mapping[str, Mapping[str, Type]]] = {},
    groups: Mapping[str, Collection[str]] = {},
    elsewhere: Mapping[str, str] = {},
) -> Rules:
    """Compile rules for a site; what cannot be used is noted in `faults` and left out.

    Args:
        texts: rules of the chosen packs and the site's own.
        classes: types of points by class and name, from the class files (`edge.rules.types.type_of`).
        devices: the site's devices.
        overrides: what the site file sets, by rule. It wins over a profile's settings; a device's own win over both.
        faults: where mistakes are noted.
        events: types of the fields of events, by class, event and field, from the class files.
        groups: ids of the devices of the site's groups, by the group's name.
        elsewhere: the class by id of devices that rules may name (`point`) although they are not among `devices`.
    """
    far = Far(classes, {**elsewhere, **{device.id: device.cls for device in devices}})
    rules: dict[str, Rule] = {}
    sources: dict[str, RuleText] = {}
    known: set[str] = set()
    for text in texts:
        name = str(text.mapping.get("id", ""))
        if name in known:
            note(faults, text.place("id"), "twice", id=name)
        elif (rule := read_rule(text, classes, faults, events=events, groups=groups, far=far)) is not None:
            rules[name], sources[name] = rule, text
        known.add(name)
    for settings in [overrides, *(spec for device in devices for spec in (device.profile_settings, device.settings))]:
        _check_ids(settings, known, faults)
    for rule in rules.values():
        if rule.do is not None:
            able = [device for device in devices if device.cls == rule.do.reach.cls]
            if rule.do.reach.scope == SELF:  # what the tags rule out is never written
                able = [device for device in able if not never(rule.when, device.tags)]
            check_writable(rule.do, able, sources[rule.id], faults)
    check_suppressed(rules, sources, faults)
    reached = with_far(devices, rules.values())
    return _Compiler(rules, overrides, Around(reached, groups), faults).compile(reached)


def _check_ids(settings: Settings, known: set[str], faults: Faults) -> None:
    for rule, values in settings.items():
        if rule not in known:
            for setting in values.values():
                note(faults, setting.place, "unknown-rule", near=nearest(rule, known), id=rule)


class _Compiler:
    def __init__(self, rules: Mapping[str, Rule], overrides: Settings, around: Around, faults: Faults) -> None:
        self._rules = rules
        self._overrides = overrides
        self._around = around
        self._faults = faults
        self._sets: dict[object, tuple[MemberSpec, ...]] = {}
        self._without: dict[NotApplicable, None] = {}
        self._uses = {id_: Uses([*rule.trees(), *rule.named.values()]) for id_, rule in rules.items()}
        self._calls = {id_: _set_calls(rule) for id_, rule in rules.items()}
        self._needs: dict[tuple[object, ...], str] = {}
        self._levels: dict[tuple[tuple[Priority, Micros], ...], tuple[tuple[Priority, Micros], ...]] = {}

    def compile(self, devices: Sequence[DeviceSpec]) -> Rules:
        for rule in self._rules.values():  # also where no device has the class
            self._settings(rule, self._overrides.get(rule.id, {}))
        plans: list[Plan] = []
        for device in sorted(devices, key=lambda device: device.id):
            for rule in sorted(self._rules.values(), key=lambda rule: rule.id):
                if rule.cls != device.cls or not self._carries(rule, device):
                    continue
                if needs := self._missing(rule, device):
                    self._without[NotApplicable(rule.id, device.id, needs)] = None
                else:
                    plans.append(self._plan(rule, device))
        without = sorted(self._without, key=lambda one: (one.device, one.rule, one.needs))
        veiled = with_veils(plans, self._around)
        return Rules(rules=tuple(self._rules.values()), plans=tuple(veiled), not_applicable=tuple(without))

    def _missing(self, rule: Rule, device: DeviceSpec) -> str:
        """Return what the rule needs and the device lacks; looked up once for all devices that look the same to it."""
        key = (rule.id, *self._uses[rule.id].key(device, rule.parameters))
        if key not in self._needs:
            self._needs[key] = _missing(rule, device)
        return self._needs[key]

    def _carries(self, rule: Rule, device: DeviceSpec) -> bool:
        """Tell whether a rule that applies once per zone, link or site applies to this device."""
        return not rule.once or self._around.chosen(Reach(rule.once, rule.cls), device)[:1] == (device,)

    def _members(self, rule: Rule, device: DeviceSpec, parameters: Mapping[str, ParameterValue]) -> Sets:
        """Return the devices of every set that the rule asks about, seen from this device."""
        found: dict[Call, tuple[MemberSpec, ...]] = {}
        for call in self._calls[rule.id]:
            reach, tree = reach_of(call)
            chosen = self._around.chosen(reach, device)
            used = {name: value for name, value in parameters.items() if name in names_in(tree)}
            key = (rule.id, tree, reach, id(chosen), str(used))  # `around` keeps what it chose: one id, one choice
            if key not in self._sets:
                able = [(other, _lacks(other, tree, used)) for other in chosen]
                self._sets[key] = tuple(MemberSpec(other, tree, used) for other, needs in able if not needs)
                self._without.update({NotApplicable(rule.id, other.id, needs): None for other, needs in able if needs})
            found[call] = self._sets[key]
        return found

    def _writes(self, rule: Rule, device: DeviceSpec) -> tuple[Write, ...]:
        if rule.do is None:
            return ()
        writes, without = wanted(rule.do, self._around.chosen(rule.do.reach, device))
        self._without.update({NotApplicable(rule.id, other, needs): None for other, needs in without})
        return writes

    def _forbids(self, rule: Rule, device: DeviceSpec) -> tuple[str, ...]:
        return () if rule.forbid is None else tuple(other.id for other in self._around.chosen(rule.forbid, device))

    def _plan(self, rule: Rule, device: DeviceSpec) -> Plan:
        chosen: dict[str, ParameterValue] = {}
        for settings in (device.profile_settings, self._overrides, device.settings):
            chosen.update(self._settings(rule, settings.get(rule.id, {})))
        own = {name: chosen.pop(name) for name in _OWN if name in chosen}
        parameters = {**rule.parameters, **chosen} if chosen else rule.parameters
        builder = Builder({}, parameters)
        levels = [(level.priority, _micros(builder, level.after)) for level in rule.levels]
        if "priority" in own:
            levels = [(cast("Priority", own["priority"].value), after) for _, after in levels]
        if "on_delay" in own:
            levels = [(priority, cast("Micros", own["on_delay"].value)) for priority, _ in levels]
        if "priority" in own:
            rule = replace(rule, levels=(replace(rule.levels[0], priority=levels[0][0]),))
        off_delay = own.get("off_delay")
        ordered = tuple(levels)
        return Plan(
            rule=rule,
            device=device,
            parameters=parameters,
            levels=self._levels.setdefault(ordered, ordered),  # thousands of plans have the same few
            off_delay=_micros(builder, rule.off_delay) if off_delay is None else cast("Micros", off_delay.value),
            mode=MODES[str(own["mode"].value)] if "mode" in own else rule.mode,
            sets=self._members(rule, device, parameters),
            writes=self._writes(rule, device),
            forbids=self._forbids(rule, device),
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
        return value.value in PRIORITIES and len(rule.levels) == 1 and rule.alarm
    return value.type == DURATION and (name != "on_delay" or len(rule.levels) == 1)


def _missing(rule: Rule, device: DeviceSpec) -> str:
    builder = Builder.of(device, rule.parameters, rule.named)
    return next((needs for tree in rule.trees() if (needs := builder.missing(tree))), "")


def _lacks(device: DeviceSpec, tree: Expression, parameters: Mapping[str, ParameterValue]) -> str:
    return Builder.of(device, parameters).missing(tree)


def _set_calls(rule: Rule) -> list[Call]:
    inside = [*rule.trees(), *rule.named.values()]
    for part in inside:  # grows while it is walked
        inside.extend(parts(part))
    return [part for part in inside if isinstance(part, Call) and part.name in SETS]


def _micros(builder: Builder, tree: Expression) -> Micros:
    value = builder.constant(tree)
    return value if isinstance(value, int) else 0 if value is None else round(float(value))


__all__ = ["DeviceSpec", "Mode", "NotApplicable", "Rules", "compile_rules"]
