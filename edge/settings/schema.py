"""JSON Schema, draft 7, of what people write: for editors. The loader itself does not use it, and is stricter.

Generated into `config/schema/`; a test fails when that is out of date (`sk config schema --write`).
"""

import json
from typing import Any, Final

from pydantic import BaseModel, BeforeValidator

from drivers import registry
from drivers.base import DriverKind
from edge.settings.models import DeviceSection, DevicesFile, LinkSection, SiteFile
from sitekeeper.profile import ClassFile, ProfileEvent, ProfileFile, ProfilePoint

Schema = dict[str, Any]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_REFERENCE: Final[Schema] = {"type": "string", "pattern": r"\$\{secret:[a-z][a-z0-9_]*\}"}
_PLACEHOLDER: Final[Schema] = {"type": "string", "pattern": r"\{[a-z][a-z0-9_]*(:0[1-9])?\}"}


def schemas() -> dict[str, Schema]:
    """Return the schema of each kind of file, by its name: site, devices, profile, class."""
    kinds = [registry.kind(name) for name in registry.names()]
    device, link, point = _device(kinds), _link(kinds), _point(kinds)
    site = _of(SiteFile)
    site["definitions"] |= {"Device": device, "LinkSection": link}
    site["properties"]["devices"]["items"] = {"$ref": "#/definitions/Device"}
    devices = _of(DevicesFile)
    devices.setdefault("definitions", {}).update(site["definitions"])
    devices["properties"]["devices"]["items"] = {"$ref": "#/definitions/Device"}
    profile = _of(ProfileFile)
    profile["definitions"] |= {"ProfilePoint": point, "ProfileEvent": _event(kinds)}
    every = {"site": site, "devices": devices, "profile": profile, "class": _of(ClassFile)}
    return {name: {"$schema": DRAFT, **schema} for name, schema in every.items()}


def written() -> dict[str, str]:
    """Return the contents of the files in `config/schema/`, by name."""
    return {
        f"{name}.json": json.dumps(schema, ensure_ascii=False, indent=2) + "\n" for name, schema in schemas().items()
    }


def _of(model: type[BaseModel]) -> Schema:
    """Return pydantic's schema of `model`, which is of draft 2020-12, in the words of draft 7."""
    text = json.dumps(model.model_json_schema(by_alias=True)).replace("#/$defs/", "#/definitions/")
    schema: Schema = json.loads(text, object_hook=_without_default)
    if "$defs" in schema:
        schema["definitions"] = schema.pop("$defs")
    return schema


def _without_default(part: Schema) -> Schema:
    """Leave out defaults that people would write otherwise: times and sizes, numbers inside, and whole sections."""
    if isinstance(part.get("default"), dict | list) or "pattern" in part:
        part.pop("default", None)
    return part


def _link(kinds: list[DriverKind]) -> Schema:
    """One form for each driver, so that an editor offers the keys of the one named."""
    forms = []
    for kind in kinds:
        schema = _joined(LinkSection, [kind.link_model])
        schema["properties"] = {name: _or(part, _REFERENCE) for name, part in schema["properties"].items()}
        schema["properties"]["driver"] = {"const": kind.name}
        schema["required"] = ["driver", *kind.link_model.model_json_schema().get("required", [])]
        forms.append(schema)
    return {"oneOf": forms} if len(forms) > 1 else forms[0]


def _device(kinds: list[DriverKind]) -> Schema:
    schema = _joined(DeviceSection, [kind.device_model for kind in kinds])
    schema["properties"] = {name: _or(part, _PLACEHOLDER) for name, part in schema["properties"].items()}
    ranges = {"anyOf": [{"type": "string", "pattern": r"^[0-9 .,]+$"}, {"type": "integer"}]}
    schema["properties"]["for"] = {"type": "object", "additionalProperties": ranges, "minProperties": 1}
    return schema


def _point(kinds: list[DriverKind]) -> Schema:
    return _joined(ProfilePoint, [kind.point_model for kind in kinds])


def _event(kinds: list[DriverKind]) -> Schema:
    """A field of an event may be written as its path alone, which the drivers' models turn into a mapping."""
    schema = _joined(ProfileEvent, [kind.event_model for kind in kinds if kind.event_model is not None])
    fields = schema["properties"].get("fields", {}).get("patternProperties", {})
    fields.update({name: {"anyOf": [part, {"type": "string"}]} for name, part in fields.items()})
    return schema


def _joined(generic: type[BaseModel], special: list[type[BaseModel]]) -> Schema:
    """Join our keys with those of drivers into one flat object that allows no others; nothing of theirs is required."""
    schema = _inlined(generic)
    for model in special:
        for name, part in _inlined(model)["properties"].items():
            said = schema["properties"].get(name)
            schema["properties"][name] = _either(said, _loosened(model, name, part))
    schema["additionalProperties"] = False
    return schema


def _inlined(model: type[BaseModel]) -> Schema:
    """Return the schema of `model` with the models inside it written out in place."""
    schema = _of(model)
    definitions = schema.pop("definitions", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(each) for each in part]
        if not isinstance(part, dict):
            return part
        inside = {key: inline(value) for key, value in part.items() if key != "$ref"}
        name = str(part.get("$ref", "")).removeprefix("#/definitions/")
        return {**inline(definitions[name]), **inside} if name else inside

    result: Schema = inline(schema)
    return result


def _loosened(model: type[BaseModel], name: str, part: Schema) -> Schema:
    """A number that a validator of the driver makes from text (a duration) may be written as text."""
    fields = {field.alias or own: field for own, field in model.model_fields.items()}
    converted = any(isinstance(each, BeforeValidator) for each in fields[name].metadata)
    if converted and part.get("type") == "integer":
        return {"type": "string", "title": part.get("title", name)}
    return part


def _either(one: Schema | None, other: Schema) -> Schema:
    """Two drivers may understand one key differently; which of them is meant, the schema cannot know."""
    return other if one is None or one == other else {"anyOf": [one, other]}


def _or(part: Schema, other: Schema) -> Schema:
    """Allow a reference or placeholder where a number or a patterned text is expected."""
    return {"anyOf": [part, other]} if part.get("type") in {"integer", "number"} or "pattern" in part else part
