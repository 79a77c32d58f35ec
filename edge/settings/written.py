"""From what pydantic finds wrong to faults with a place, in the catalogue's words, with what was probably meant."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, Plain, Scalar, Trail

M = TypeVar("M", bound=BaseModel)

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "a-text", "int_type": "a-whole-number", "int_parsing": "a-whole-number",
    "int_from_float": "a-whole-number", "float_type": "a-number", "float_parsing": "a-number",
    "finite_number": "a-number", "bool_type": "true-or-false", "bool_parsing": "true-or-false",
    "list_type": "a-list", "tuple_type": "a-list", "dict_type": "a-mapping", "model_type": "a-mapping",
    "model_attributes_type": "a-mapping", "scalar": "a-single-value",
}  # fmt: skip
_FORMS: Final[Mapping[str, str]] = {
    "bad-duration": "duration-form",
    "bad-size": "size-form",
    "unknown-timezone": "timezone-form",
    "bad-broker": "broker-form",
    "bad-url": "url-form",
    "no-limit": "limit-form",
    "reserved-device": "other-device-name",
    "evidence-source": "evidence-form",
    "evidence-against": "evidence-form",
}
"""The remedy for some codes, where nothing near was found."""
_SCALARS: Final = frozenset({"bool", "int", "float", "str"})
"""What pydantic adds to the trail where a value may be of several types."""
_TRUTHS: Final = frozenset({"yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the keys of some data stand: the mapping at `root` of a document, then others that it falls back to."""

    layers: tuple[tuple[Document, Trail], ...]

    def within(self, *trail: Scalar) -> "Origin":
        """Return the origin of the value at `trail`."""
        return Origin(tuple((document, (*root, *trail)) for document, root in self.layers))

    def place(self, trail: Trail = (), *, key: bool = False) -> Place:
        """Return the place in the first document that has `trail`, else the nearest one in the last."""
        document, full = self._document(trail)
        return document.place(full, key=key)

    def text(self, trail: Trail) -> str:
        """Return what was written at `trail`, secrets still as references; for a collection, what it is."""
        document, full = self._document(trail)
        value: Plain = document.data if document.written is None else document.written
        try:
            for step in full:
                value = value[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return ""
        if isinstance(value, list | dict):
            return "[...]" if isinstance(value, list) else "{...}"
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def has(self, trail: Trail) -> bool:
        """Tell whether something was written at `trail`."""
        document, full = self._document(trail)
        return full in document.marks

    def document(self, trail: Trail = ()) -> Document:
        """Return the document that has what stands at `trail`."""
        return self._document(trail)[0]

    def _document(self, trail: Trail) -> tuple[Document, Trail]:
        for document, root in self.layers:
            if (*root, *trail) in document.marks:
                return document, (*root, *trail)
        document, root = self.layers[-1]
        return document, (*root, *trail)


def origin(document: Document, *root: Scalar) -> Origin:
    """Return the origin of what stands at `root` of `document`."""
    return Origin(((document, root),))


def check(model: type[M], data: object, where: Origin, faults: Faults, *, also: Sequence[str] = ()) -> M | None:
    """Return `data` as an instance of `model`; None if it is not one, with every reason in `faults`.

    Args:
        also: further keys that may stand beside the model's own, for suggestions.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for detail in _once(error, where):
            _add(model, detail, where, faults, also)
        return None


def _once(error: ValidationError, where: Origin) -> Iterator[ErrorDetails]:
    """Yield the findings; where a value may be of several types, one for all of them."""
    seen: set[Place] = set()
    for detail in error.errors(include_url=False, include_input=False):
        trail = detail["loc"]
        if trail and trail[-1] in _SCALARS and not where.has(trail):
            place = where.place(trail[:-1])
            if place in seen:
                continue
            seen.add(place)
            yield ErrorDetails(type="scalar", loc=trail[:-1], msg=detail["msg"], input=None)
        else:
            yield detail


def fields_of(model: type[BaseModel]) -> list[str]:
    """Return the keys that people may write for `model`."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _add(model: type[BaseModel], detail: ErrorDetails, where: Origin, faults: Faults, also: Sequence[str]) -> None:
    trail: Trail = detail["loc"]
    kind, context = detail["type"], detail.get("ctx", {})
    on_key = trail[-1:] == ("[key]",)
    if on_key:
        trail = trail[:-1]
    place, text = where.place(trail, key=on_key), str(trail[-1]) if on_key else where.text(trail)
    match kind:
        case "missing":
            faults.add(where.place(trail[:-1]), "missing-key", name=str(trail[-1]))
        case "extra_forbidden":
            _unknown(model, trail, where, faults, also)
        case "literal_error":
            choices = _choices(str(context.get("expected", "")))
            faults.add(place, "not-one-of", near=nearest(text, choices), text=text, choices=", ".join(choices))
        case "string_pattern_mismatch":
            faults.add(place, "bad-name", hint="name-form", text=text, pattern=str(context.get("pattern", "")))
        case "string_too_long" | "too_long" | "list_too_long" | "dict_too_long":
            limit = context.get("max_length", 0)
            faults.add(place, "too-long", text=text, limit=limit)
        case "string_too_short" | "too_short":
            faults.add(place, "too-short", text=text)
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            word, limit = next(iter(context.items()))
            faults.add(
                place, "out-of-range", text=text, bound={"ge": ">=", "le": "<="}.get(word, word), limit=str(limit)
            )
        case _ if kind in _EXPECTED:
            hint = "truths" if kind.startswith("bool") and text.lower() in _TRUTHS else ""
            faults.add(place, "wrong-type", hint=hint, text=text, expected=faults.word(_EXPECTED[kind]))
        case _:
            _own(kind, detail["msg"], context, place, text, faults)


def _own(kind: str, message: str, context: Mapping[str, Any], place: Place, text: str, faults: Faults) -> None:
    """Errors that a model of ours or of a driver raises itself: the code is the model's, or `invalid-value`."""
    reason = str(context.get("reason") or context.get("error") or message)
    if "${" in text:
        reason = ""  # it may tell the secret
    reason, _, remedy = reason.partition("; did you mean ")
    code = kind if "-" in kind or kind == "members" else "invalid-value"
    faults.add(place, code, near=remedy.rstrip("?"), hint=_FORMS.get(code, ""), text=text, reason=reason)


def _unknown(model: type[BaseModel], trail: Trail, where: Origin, faults: Faults, also: Sequence[str]) -> None:
    key = str(trail[-1])
    owner = _model_at(model, trail[:-1])
    choices = [*(fields_of(owner) if owner else ()), *also]
    near = nearest(key, choices)
    faults.add(
        where.place(trail, key=True),
        "unknown-key",
        near=near,
        hint="known-keys",
        name=key,
        keys=", ".join(sorted(choices)),
    )


def _model_at(model: type[BaseModel], trail: Trail) -> type[BaseModel] | None:
    """Return the model that describes the mapping at `trail`."""
    here: Any = model
    for step in trail:
        if isinstance(here, type) and issubclass(here, BaseModel):
            found = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = _bare(found.get(str(step)))
        elif get_origin(here) in {list, dict, tuple}:
            here = _bare(get_args(here)[-1])
        else:
            return None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Strip `Annotated` and `| None`."""
    while get_origin(annotation) in {Annotated, Union, types.UnionType}:
        annotation = next((part for part in get_args(annotation) if part is not types.NoneType), None)
    return annotation


def _choices(expected: str) -> list[str]:
    """Take apart pydantic's words for a Literal: `'a', 'b' or 'c'`."""
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(", ") if part.strip("' ")]
