"""The formats on disk and on the wire stay what they are."""

import pytest

from sitekeeper import block, catalogue
from tests.golden import ALARMS, CATALOGUE, EARLIER, EVENTS, FOLDER, HELD, LIFE_SAFETY, SAMPLES, SECRETS, golden


@pytest.mark.parametrize("name", sorted(golden()))
def test_the_same_values_give_the_bytes_of_the_golden_file(name: str) -> None:
    """Identical input gives identical bytes, from version to version."""
    assert golden()[name] == (FOLDER / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block-v1-samples.bin", SAMPLES),
        ("block-v1-events.bin", EVENTS),
        ("block-v1-alarms.bin", ALARMS),
        ("block-v1-alarms-held.bin", HELD),
    ],
)
def test_a_golden_block_reads_as_the_values_it_was_made_from(name: str, expected: block.Block) -> None:
    """A block of version 1 stays readable."""
    assert block.decode((FOLDER / name).read_bytes()) == expected


def test_the_golden_catalogue_reads_as_the_values_it_was_made_from() -> None:
    """A catalogue of version 1 stays readable, and keeps its name."""
    data = (FOLDER / "catalogue-v1.bin").read_bytes()
    assert catalogue.decode(data) == CATALOGUE
    assert catalogue.catalogue_hash(data) == "65ff187bbc8a7f966e6485693db910ed"
    assert catalogue.decode((FOLDER / "catalogue-v1-flags.bin").read_bytes()) == LIFE_SAFETY
    assert catalogue.decode((FOLDER / "catalogue-v1-secrets.bin").read_bytes()) == SECRETS


def test_no_golden_file_is_left_over() -> None:
    """Each file of the folder is made, and so tested, by `tests.golden`, or is one that earlier versions made."""
    assert {file.name for file in FOLDER.iterdir()} == {*golden(), *EARLIER}
