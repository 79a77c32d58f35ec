"""What a class may say of a write: its keys, and what a device's tags leave of it."""

import pytest
from pydantic import ValidationError

from sitekeeper.model.clock import SECOND
from sitekeeper.profile import Confirm, Writable, value_text


def writable(**given: object) -> Writable:
    return Writable.model_validate({"by": ["operator"], **given})


def test_the_usual_write() -> None:
    """Nothing but the roles must be said: any value of the type, seen at the point itself within ten seconds."""
    found = writable()
    assert (found.values, found.range, found.interlock, found.confirm, found.rest) == ([], None, None, None, None)
    assert (found.within, found.pulse) == (10 * SECOND, False)


@pytest.mark.parametrize(
    ("written", "text"), [(True, "true"), (False, "false"), ("free", "free"), (20, "20"), (0.5, "0.5")]
)
def test_values_written_are_told_as_text(written: object, text: str) -> None:
    """A key of `values:` may be written as the value is, and is found by the value's text."""
    confirm = Confirm.model_validate({"point": "lane.state", "values": {written: ["open"]}})
    assert confirm.values == {text: ["open"]}
    assert value_text(written) == text


def test_a_value_without_readings_confirms_nothing() -> None:
    """A list of no readings would leave every write unconfirmed."""
    with pytest.raises(ValidationError):
        Confirm.model_validate({"point": "lane.state", "values": {"free": []}})


@pytest.mark.parametrize(
    ("given", "tags", "left"),
    [
        ({"range": [0, 100]}, [], ([], [0, 100])),
        ({"range": [0, 100], "tagged": {"escape": {"range": [100, 100]}}}, ["other"], ([], [0, 100])),
        ({"range": [0, 100], "tagged": {"escape": {"range": [100, 100]}}}, ["escape"], ([], [100, 100])),
        ({"tagged": {"escape": {"range": [50, 100]}}}, ["escape"], ([], [50, 100])),
        ({"values": [0, 50, 100], "tagged": {"a": {"values": [50, 100]}}}, ["a"], ([50, 100], None)),
        ({"values": [0, 50], "tagged": {"a": {"range": [10, 60]}}}, ["a"], ([0, 50], [10, 60])),
        ({"tagged": {"a": {"values": ["x", "y"]}, "b": {"values": ["y", "z"]}}}, ["a", "b"], (["y"], None)),
        ({"range": [0, 9], "tagged": {"a": {"range": [0, 5]}, "b": {"range": [3, 9]}}}, ["a", "b"], ([], [3, 5])),
    ],
)
def test_tags_leave_what_all_of_them_allow(given: dict, tags: list[str], left: tuple) -> None:
    """A device's tags narrow a write; several together allow only what each of them does."""
    found = writable(**given).narrowed(tags)
    assert found is not None
    assert (found.values, found.range) == left


@pytest.mark.parametrize(("tags", "limited"), [([], False), (["other"], False), (["other", "stair"], True)])
def test_a_limit_of_being_off_is_for_devices_with_its_tags(tags: list[str], limited: bool) -> None:
    """Lamps that light no way out may be off as long as anything else."""
    found = writable(off_most={"tags": ["stair", "exit"], "for": "15min"}).narrowed(tags)
    assert found is not None
    assert (found.off_most is not None) is limited


@pytest.mark.parametrize(
    "given",
    [
        {"tagged": {"a": {"values": [1]}, "b": {"values": [2]}}},
        {"range": [0, 9], "tagged": {"a": {"range": [0, 3]}, "b": {"range": [5, 9]}}},
    ],
)
def test_tags_that_have_nothing_in_common_leave_nothing(given: dict) -> None:
    """Where two tags allow no value together, nothing may be written; it is not that anything may."""
    assert writable(**given).narrowed(["a", "b"]) is None
