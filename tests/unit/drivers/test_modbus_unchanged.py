"""Only what changed is decoded, and nothing that changed is missed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import DeviceRead, PointRead, ReadGroup
from drivers.modbus import TCP
from drivers.modbus.blocks import note_answer, prepare
from sitekeeper.model.clock import SECOND

WRITTEN = [
    ({"holding": 0, "type": "uint32"}, "int"),
    ({"holding": 1, "type": "uint16"}, "int"),  # the low word of the first
    ({"holding": 1, "bit": 3}, "bool"),
    ({"holding": 2, "byte": "high"}, "int"),
    ({"holding": 2, "byte": "low"}, "int"),
    ({"holding": 3, "type": "int16", "scale": 0.1}, "float"),
    ({"holding": 3, "bit": 15}, "bool"),
]


def prepared():
    points = []
    for at, (written, kind) in enumerate(WRITTEN):
        address = TCP.bind(TCP.point_model.model_validate(written), point_type=kind, members=(), parameters={})
        points.append(PointRead(handle=at, name=f"p{at}", type=kind, address=address))
    group = ReadGroup(id="g", device="d", period=SECOND, points=tuple(points))
    (made,) = prepare(
        DeviceRead(id="d", options=TCP.device_model.model_validate({"unit": 1}), groups=(group,)), numbered=True
    )
    return made


def answered(group, data):
    (block,) = group.blocks
    group.memory.begin(0)
    note_answer(group.memory, block, data, 0)
    return {outcome.index: outcome.value for outcome in group.memory.finish(0, answered=True).outcomes}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=6))
def test_changes_add_up_to_the_whole_answer(answers):
    """After every answer, what was listed so far is what a fresh reading gives, and nothing is repeated."""
    group, known = prepared(), {}
    for data in answers:
        news = answered(group, data)
        assert all(at not in known or known[at] != value for at, value in news.items())
        known |= news
        assert known == answered(prepared(), data)


def test_points_of_the_same_meaning_share_a_decoder():
    """A second device of the same profile costs no second set of decoders."""
    one, other = (prepared().blocks[0].cells for _ in range(2))
    assert [a.decode is b.decode for a, b in zip(one, other, strict=True)] == [True] * len(WRITTEN)
