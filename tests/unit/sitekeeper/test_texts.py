"""Every word exists in three languages, with the same fields, in its own script."""

import string
from enum import Enum
from typing import get_args

import pytest
import yaml

from sitekeeper import texts
from sitekeeper.block import STREAMS, GapCause
from sitekeeper.data import data_path
from sitekeeper.model.alarm import AlarmState, Cause, Priority
from sitekeeper.model.errors import NotFound
from sitekeeper.model.quality import Quality, Reason
from sitekeeper.texts import LANGUAGES, pick, text

ROOMS = sorted({file.name for lang in LANGUAGES for file in data_path("lang", lang).glob("*.yaml")})
"""The names of all files; `office-lift.yaml` is a part of the room `office`."""
TRADITIONAL = set(
    "訊號關門開電層備裝際間閘斷復確認設級別動時報況無應連線維數讀鐘標圍觸發總處過還進"
    "來車庫區單擊對錯誤選檔盤壓載輸運轎廂異樓條個從裡會資錄記節點質該說請於與為據樣參"
    "經給"
)
"""Characters that the simplified script does not use."""
SIMPLIFIED = set(
    "讯号关门开电层备装际间闸断复确认设级别动时报况无应连线维数读钟标围触发总处过还进"
    "来车库区单击对错误选档盘压载输运轿厢异楼条个从会资录记节点质该说请与为据样参经给"
)
"""Characters that the traditional script does not use."""


def read(lang: str, room: str) -> dict[str, str]:
    """Return a room's texts as they stand in the file."""
    found = yaml.load(data_path("lang", lang, room).read_bytes(), Loader=yaml.BaseLoader)
    assert isinstance(found, dict)
    return found


def _room(file: str) -> str:
    return file.removesuffix(".yaml").partition("-")[0]


def fields(template: str) -> set[str]:
    """Return the placeholders of a text; how often a language uses one is its own affair."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_the_same_in_every_language(room: str) -> None:
    """Keys and placeholders are equal in en, zh-Hant and zh-Hans, and no text is empty."""
    english = read("en", room)
    for lang in LANGUAGES:
        found = read(lang, room)
        assert sorted(found) == sorted(english), lang
        for key, template in found.items():
            assert isinstance(template, str), f"{lang} {key}"
            assert template.strip(), f"{lang} {key}"
            assert fields(template) == fields(english[key]), f"{lang} {key}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_key_stands_twice_in_a_file(room: str) -> None:
    """A key written twice would silently hide one of its texts."""
    for lang in LANGUAGES:
        node = yaml.compose(data_path("lang", lang, room).read_text("utf-8"), Loader=yaml.BaseLoader)
        assert isinstance(node, yaml.MappingNode)
        keys = [key.value.removeprefix(f"{_room(room)}.") for key, _ in node.value]
        assert len(keys) == len(set(keys)), lang


def test_no_key_stands_in_two_files_of_a_room() -> None:
    """The later file would silently hide the text of the earlier one."""
    for room in {_room(file) for file in ROOMS}:
        files = [file for file in ROOMS if _room(file) == room]
        keys = [key.removeprefix(f"{room}.") for file in files for key in read("en", file)]
        assert sorted(keys) == sorted(set(keys)), room


@pytest.mark.parametrize("room", ROOMS)
def test_the_two_chinese_scripts_do_not_mix(room: str) -> None:
    """Characters that belong to one script alone do not stand in the other's file."""
    for lang, foreign in (("zh-Hant", SIMPLIFIED), ("zh-Hans", TRADITIONAL)):
        for key, template in read(lang, room).items():
            assert not foreign & set(template), f"{lang} {key}: {foreign & set(template)}"


def _words() -> list[str]:
    enums: list[tuple[str, type[Enum]]] = [("quality", Quality), ("reason", Reason)]
    keys = [f"{kind}.{each.name.lower()}" for kind, enum in enums for each in enum if each is not Reason.NONE]
    keys += [f"state.{each}" for each in AlarmState] + [f"cause.{each}" for each in Cause]
    keys += [f"gap.{each}" for each in GapCause] + [f"stream.{each}" for each in STREAMS]
    return keys + [f"priority.{each}" for each in get_args(Priority)]


def test_every_word_of_the_model_has_its_text_and_no_text_is_left_over() -> None:
    """Qualities, reasons, states, causes, gaps, streams and priorities can be told in words."""
    assert sorted(read("en", "model.yaml")) == sorted(_words())


def test_a_key_may_be_written_with_its_room_or_without() -> None:
    """Both ways of writing a room's file give the same name of the text."""
    for name in {_room(file) for file in ROOMS}:
        keys = [key for file in ROOMS if _room(file) == name for key in read("en", file)]
        assert set(texts._texts(name, "en")) == {key.removeprefix(f"{name}.") for key in keys}


def test_a_room_may_be_several_files(tmp_path, monkeypatch) -> None:
    """`shop.yaml` and `shop-bread.yaml` are one room; `shopping.yaml` is another."""
    folder = tmp_path / "en"
    folder.mkdir()
    for name, key in (("shop", "open"), ("shop-bread", "shop.price"), ("shopping", "list")):
        (folder / f"{name}.yaml").write_text(f"{key}: {name}", encoding="utf-8")
    monkeypatch.setattr(texts, "data_path", lambda _, lang: tmp_path / lang)
    assert texts._texts.__wrapped__("shop", "en") == {"open": "shop", "price": "shop-bread"}


def test_a_text_is_found_in_its_language_and_else_in_english() -> None:
    """An unknown language falls back to English."""
    assert text("model.gap.silent", "zh-Hant") == "裝置無回應"
    assert text("model.gap.silent", "fr") == text("model.gap.silent", "en") == "device silent"


@pytest.mark.parametrize("key", ["model.nothing", "nowhere.at.all", "model", "", "../en/model.gap.silent"])
def test_a_text_that_does_not_exist_is_an_error(key: str) -> None:
    """A missing text is never shown as its key."""
    with pytest.raises(NotFound):
        text(key)


def test_names_are_picked_in_the_wanted_language_else_english_else_any() -> None:
    """A thing without a name in the language is still named."""
    assert pick({"en": "Lift", "zh-Hant": "升降機"}, "zh-Hant") == "升降機"
    assert pick({"en": "Lift"}, "zh-Hans") == "Lift"
    assert pick({"zh-Hant": "升降機"}, "en") == "升降機"
    assert pick({}, "en", "lift-a1") == "lift-a1"


def test_the_data_lies_where_the_accessor_says() -> None:
    """Classes and texts are found from a checkout."""
    assert data_path("lang", "en", "model.yaml").is_file()
