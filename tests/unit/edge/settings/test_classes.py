"""What a class file may say of writes and events, and every way in which that can be wrong."""

from pathlib import Path

import pytest

from edge.settings.classes import read_class
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.profile import ClassFile

CLASS = """\
class: pump
points:
  state: {type: enum, members: [stopped, running, failed]}
  speed: {type: float}
  flow: {type: float, unit: l/s}
  dry: {type: bool}
  steps: {type: int}
  label: {type: text}
  run:
    type: bool
    writable: WRITABLE
"""
SHIPPED = sorted(path.stem for path in data_path("classes").glob("*.yaml"))


def class_of(tmp_path: Path, writable: str, point: str = "bool", more: str = "") -> tuple[ClassFile | None, list[str]]:
    """Return the class and its faults as `code remedy`, with `writable` at its last point.

    A caret in the text shows where the fault must be, and is not part of it.
    """
    text = CLASS.replace("WRITABLE", writable).replace("    type: bool\n", f"    type: {point}\n") + more
    before, _, _ = text.partition("^")
    (tmp_path / "pump.yaml").write_text(text.replace("^", ""))
    faults = Faults()
    cls = read_class(tmp_path / "pump.yaml", "pump.yaml", faults)
    for fault in faults.found:
        assert (fault.line, fault.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
    return cls, [f"{f.code} {f.hint}".strip() for f in faults.found]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_classes_are_sound_and_named_in_three_languages(name: str) -> None:
    """No shipped class has a fault; it, its points, its events and their fields have a name in every language."""
    faults = Faults()
    cls = read_class(data_path("classes", f"{name}.yaml"), name, faults)
    assert not faults.found
    assert cls is not None
    named = [cls.name, *(point.name for point in cls.points.values())]
    for event in cls.events.values():
        named += [event.name, *(field.name for field in event.fields.values())]
    assert all(names.keys() == {"en", "zh-Hant", "zh-Hans"} for names in named)


@pytest.mark.parametrize(
    ("point", "writable"),
    [
        ("bool", "{by: [operator]}"),
        ("bool", "{by: [operator], interlock: dry, confirm: {point: state, values: {true: [running]}}, rest: false}"),
        ("float", "{by: [linkage], range: [0, 100], confirm: {point: speed}, rest: 20}"),
        ("float", "{by: [linkage], values: [0, 50.5], tagged: {quiet: {values: [50.5]}}}"),
        ("float", "{by: [linkage], range: [0, 100], tagged: {quiet: {range: [0, 30]}}}"),
        ("int", "{by: [linkage], values: [20, 40], confirm: {point: dry, values: {20: [true]}}}"),
        ("text", "{by: [engineer]}"),
    ],
)
def test_sound_writes(tmp_path: Path, point: str, writable: str) -> None:
    """Whatever names points and values that are there is taken, and the keys of `values:` become texts."""
    cls, faults = class_of(tmp_path, writable, point)
    assert not faults
    assert cls is not None
    allowed = cls.points["run"].writable
    assert allowed is not None
    assert allowed.confirm is None or all(isinstance(key, str) for key in allowed.confirm.values)


@pytest.mark.parametrize(
    ("point", "writable", "fault"),
    [
        ("bool", "{by: [operator], interlock: ^dri}", 'unknown-class-point did you mean "dry"?'),
        ("bool", "{by: [operator], interlock: ^speed}", "interlock-type name a point of type bool"),
        ("bool", "{by: [operator], confirm: {point: ^stat}}", 'unknown-class-point did you mean "state"?'),
        ("bool", "{by: [operator], confirm: {point: ^xyzzy}}", "unknown-class-point declare it among"),
        ("bool", "{by: [operator], confirm: {point: ^state}}", "confirm-values say which of its readings"),
        ("float", "{by: [operator], confirm: {point: ^flow}}", "confirm-values say which of its readings"),
        (
            "bool",
            "{by: [operator], pulse: true, confirm: {point: state, readings: [^runing]}}",
            'unknown-member did you mean "running"?',
        ),
        (
            "bool",
            "{by: [operator], confirm: {point: state, values: {true: [^runing]}}}",
            'unknown-member did you mean "running"?',
        ),
        (
            "bool",
            "{by: [operator], confirm: {point: dry, values: {true: [^yes]}}}",
            "value-type it is of type bool",
        ),
        (
            "bool",
            "{by: [operator], confirm: {point: dry, values: {^ture: [true]}}}",
            'not-allowed did you mean "true"?',
        ),
        (
            "bool",
            "{by: [operator], values: [true], confirm: {point: dry, values: {^false: [false]}}}",
            "not-allowed allowed: true",
        ),
        ("enum\n    members: [on_, off_]", "{by: [operator], values: [^on]}", 'unknown-member did you mean "on_"?'),
        ("bool", "{by: [operator], values: [^1]}", "value-type it is of type bool"),
        ("float", "{by: [operator], values: [^true]}", "value-type it is of type float"),
        ("int", "{by: [operator], values: [^1.5]}", "value-type it is of type int"),
        ("text", "{by: [operator], values: [^1]}", "value-type it is of type text"),
        ("bool", "{by: [operator], ^range: [0, 1]}", "range-type take it away"),
        ("text", "{by: [operator], ^range: [0, 1]}", "range-type take it away"),
        ("float", "{by: [operator], range: ^[100, 0]}", "range-order write [0, 100]"),
        ("float", "{by: [operator], range: ^[0]}", "too-short"),
        ("float", "{by: [operator], range: [0, 10], values: [5, ^11]}", "not-allowed allowed: 0 to 10"),
        ("float", "{by: [operator], range: [0, 10], rest: ^11}", "not-allowed allowed: 0 to 10"),
        ("bool", "{by: [operator], values: [true], rest: ^false}", "not-allowed allowed: true"),
        ("bool", "{by: [operator], rest: ^off}", "value-type it is of type bool"),
        ("bool", "{by: [operator], pulse: true, ^rest: false}", "pulse-held take it away"),
        (
            "float",
            "{by: [operator], range: [0, 10], tagged: {low: {range: ^[0, 20]}}}",
            "not-allowed allowed: 0 to 10",
        ),
        ("float", "{by: [operator], values: [1, 2], tagged: {low: {values: [^3]}}}", "not-allowed allowed: 1, 2"),
        (
            "float",
            "{by: [operator], range: [0, 10], rest: ^0, tagged: {low: {range: [5, 10]}}}",
            "not-allowed allowed: 5 to 10",
        ),
        ("float", "{by: [operator], tagged: {low: ^{}}}", "no-limit give values or a range"),
        ("bool", "{by: [^office]}", "not-one-of"),
        ("bool", "{by: ^[]}", "too-short"),
        ("bool", "{by: [operator], within: ^0s}", "bad-duration a number and one of"),
        ("bool", "^true", "wrong-type"),
    ],
)
def test_a_write_that_names_what_is_not_there(tmp_path: Path, point: str, writable: str, fault: str) -> None:
    """Every slip in a `writable:` is one fault, at its place, with a way out."""
    _, faults = class_of(tmp_path, writable, point)
    assert len(faults) == 1, faults
    assert faults[0].startswith(fault)


@pytest.mark.parametrize("name", ["command", "audit_gap", "note", "speed"])
def test_events_have_names_of_their_own(tmp_path: Path, name: str) -> None:
    """An event cannot be called as a point is, nor as what the gateway itself tells of every device."""
    more = f"events:\n  ^{name}: {{fields: {{reason: {{type: int}}}}}}\n"
    _, faults = class_of(tmp_path, "{by: [operator]}", more=more)
    assert faults == ["event-name-taken give the event another name"]


def test_whoever_is_named_is_named_by_a_text(tmp_path: Path) -> None:
    """A personal field becomes a pseudonym, so a card number that is a number would be kept as it is: refused."""
    more = "events:\n  seen: {fields: {card: {type: int, ^personal: card}, plate: {type: text, personal: plate}}}\n"
    _, faults = class_of(tmp_path, "{by: [operator]}", more=more)
    assert faults == ["personal-type write type: text"]


def test_a_class_with_a_fault_in_its_form_is_none(tmp_path: Path) -> None:
    """What has no form has no meaning either, so only the fault of form is noted."""
    cls, faults = class_of(tmp_path, "{by: [operator], ^interlok: dri}")
    assert cls is None
    assert faults == ['unknown-key did you mean "interlock"?']
