"""A pack may be several files."""

from edge.rules import packs
from sitekeeper.faults import Faults, Place
from tests.unit.edge.rules.worlds import rule


def test_a_pack_is_its_file_and_those_beside_it(tmp_path, monkeypatch):
    """`car.yaml` and `car-doors.yaml` are one pack, in that order; `cart.yaml` is another."""
    for name, id_ in (("car", "R1"), ("car-doors", "R2"), ("cart", "R3")):
        (tmp_path / f"{name}.yaml").write_text(rule("a").replace("R1", id_), encoding="utf-8")
    monkeypatch.setattr(packs, "data_path", lambda _: tmp_path)
    faults = Faults()
    found = packs.load([("car", Place("site.yaml"))], faults)
    assert packs.shipped() == ["car", "cart"]
    assert [(text.mapping["id"], text.place().file) for text in found] == [
        ("R1", "config/rules/car.yaml"),
        ("R2", "config/rules/car-doors.yaml"),
    ]
    assert faults.found == []


def test_shipped_rules_speak_of_shipped_rules():
    """A parent or a suppressed rule that does not exist would be a mistake that nobody notices."""
    texts = packs.load([(pack, Place("test")) for pack in packs.shipped()], Faults())
    known = {text.mapping["id"] for text in texts}
    named = {text.mapping["parent"] for text in texts if "parent" in text.mapping}
    for text in texts:
        suppress = text.mapping.get("suppress")
        named |= set(suppress.get("rules", [])) if isinstance(suppress, dict) else set()
    assert named - known == set()
