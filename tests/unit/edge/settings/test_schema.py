"""The JSON Schemas for editors are current, accept what is shipped and mark a slip."""

import copy
import json

import jsonschema
import pytest

from edge.settings.schema import schemas, written
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import read_document

FOLDERS = {"class": "classes", "profile": "profiles", "devices": "sites/estate/devices"}
SHIPPED = [("site", "sites/one-lift/site.yaml"), ("site", "sites/estate/site.yaml")] + [
    (name, f"{folder}/{path.name}")
    for name, folder in FOLDERS.items()
    for path in sorted(data_path(*folder.split("/")).glob("*.yaml"))
]


def as_json(path: str) -> object:
    """Return the file as an editor's JSON model sees it: keys are texts."""
    document = read_document(data_path(*path.split("/")), path, Faults())
    assert document is not None
    return json.loads(json.dumps(document.data))


@pytest.mark.parametrize("name", sorted(written()))
def test_the_written_schemas_are_current(name: str) -> None:
    """`config/schema/` holds what the models say now; `make schema` writes it."""
    assert data_path("schema", name).read_text(encoding="utf-8") == written()[name]


@pytest.mark.parametrize("name", ["site", "devices", "profile", "class"])
def test_each_schema_is_draft_7(name: str) -> None:
    """Editors that know draft 7 only can use them."""
    jsonschema.Draft7Validator.check_schema(schemas()[name])
    assert "$defs" not in json.dumps(schemas()[name])


@pytest.mark.parametrize(("name", "path"), SHIPPED)
def test_shipped_files_fit_their_schema(name: str, path: str) -> None:
    """No shipped file is underlined in an editor."""
    jsonschema.validate(as_json(path), schemas()[name], cls=jsonschema.Draft7Validator)


def test_a_slip_is_marked() -> None:
    """Unknown keys of the site, of a driver's link and of a device are errors for the editor too."""
    good = as_json("sites/one-lift/site.yaml")
    validator = jsonschema.Draft7Validator(schemas()["site"])
    for change in (
        lambda site: site.update(sitee={}),
        lambda site: site["links"]["lift-a1"].update(hosst="x"),
        lambda site: site["devices"][0].update(unitt=1),
        lambda site: site["outbox"].update(history=14),
    ):
        bad = copy.deepcopy(good)
        change(bad)
        assert not validator.is_valid(bad)


def test_a_slip_inside_what_a_driver_describes_is_marked() -> None:
    """Models inside a driver's keys are written out, so that an editor knows their keys too."""
    good = as_json("profiles/mqtt-door.yaml")
    validator = jsonschema.Draft7Validator(schemas()["profile"])
    assert validator.is_valid(good)
    for change in (
        lambda profile: profile["points"]["mode"]["write"].update(topik="x"),
        lambda profile: profile["events"]["read.event"]["request"].pop("topic"),
        lambda profile: profile["events"]["read.event"].update(sequenz="seq"),
    ):
        bad = copy.deepcopy(good)
        change(bad)
        assert not validator.is_valid(bad)
