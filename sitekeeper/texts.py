"""Words for people, in three languages, from `config/lang/<language>/<room>.yaml` and `<room>-*.yaml`.

A text is called `<room>.<key in one of the room's files>`; a file may write the room before its keys or not. It may
hold `{field}` placeholders; a test sees to it that every language has the same keys with the same fields, and that no
two files of a room have the same key. A room's files are read when its first text is asked for.
"""

from functools import cache
from typing import Final, Literal, get_args

import yaml

from sitekeeper.data import data_path
from sitekeeper.model.errors import NotFound

Language = Literal["en", "zh-Hant", "zh-Hans"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


def text(key: str, lang: str = "en", **fields: object) -> str:
    """Return the text called `key`, with its fields filled in; English where the language is not one of ours.

    Raises:
        NotFound: no room has such a text, or a field that the text needs is not given.
    """
    room, _, name = key.partition(".")
    known = _texts(room, lang) if lang in LANGUAGES else {}
    template = known.get(name) or _texts(room, "en").get(name)
    if template is None:
        msg = f"no text {key!r}"
        raise NotFound(msg)
    try:
        return template.format_map(fields)
    except KeyError as error:
        msg = f"text {key!r} needs the field {error}"
        raise NotFound(msg) from None


def pick(names: dict[str, str], lang: str, default: str = "") -> str:
    """Return one of a thing's names: in `lang`, else in English, else in any language, else `default`."""
    return names.get(lang) or names.get("en") or next(iter(names.values()), default)


@cache
def _texts(room: str, lang: str) -> dict[str, str]:
    folder = data_path("lang", lang)
    found: dict[str, str] = {}
    for file in (folder / f"{room}.yaml", *sorted(folder.glob(f"{room}-*.yaml"))):
        if file.is_file():
            # Every scalar is text here, `on` and `no` too: this loader knows strings, lists and mappings only.
            texts: dict[str, str] = yaml.load(file.read_bytes(), Loader=_Loader) or {}  # noqa: S506 - makes no objects
            found |= {key.removeprefix(f"{room}."): template for key, template in texts.items()}
    return found


_Loader: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
