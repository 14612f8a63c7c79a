"""Every option of the config as Markdown: its default, its possible values, and its description in ``vqa_rnn/config/``."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from vqa_rnn.config import Config, Section
from vqa_rnn.config.files import kinds_of, meaning, one_line

LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
TYPES = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`", "boolean": "`true` or `false`"}


def options_page() -> str:
    """Return all sections of the config.

    Returns:
        Markdown with definition lists; a heading for each section and for each of its kinds, if there are several.
    """
    return "\n".join(_section("", Config, 1))


def _section(prefix: str, section: type[Section], level: int) -> Iterator[str]:
    """Yield a section's own options, then the sections in it."""
    yield from _options(prefix, section, _own_options(section))
    for key, info in section.model_fields.items():
        if not isinstance(info.default, Section):
            continue
        path = f"{prefix}{key}"
        yield f"{'#' * (level + 1)} `{path}` {{ #{path} }}\n\n{meaning(info)}\n"
        kinds = kinds_of(info.annotation)
        if kinds:
            yield from _kinds(path, kinds, info.default.name, level + 2)  # type: ignore[attr-defined]
        else:
            yield from _section(f"{path}.", type(info.default), level + 1)


def _kinds(path: str, kinds: Mapping[str, type[Section]], default: str, level: int) -> Iterator[str]:
    """Yield a section that has several kinds: the options that all kinds share, then each kind."""
    yield f"`{path}.name` is one of {_listed(kinds)}. The default is `{default}`.\n"
    options = {name: _own_options(kind) for name, kind in kinds.items() if _own_options(kind)}
    first = next(iter(options.values()))
    shared = {key: schema for key, schema in first.items() if all(other.get(key) == schema for other in options.values())}
    if shared:
        without = _listed(name for name in kinds if name not in options)
        yield f"All of them{f' but {without}' if without else ''} have these options:\n"
        yield from _options(f"{path}.", kinds[next(iter(options))], shared)
    for name, kind in kinds.items():
        heading = f"`{path}.name={name}` {{ #{path}.{name} data-toc-label='{name}' }}"
        yield f"{'#' * level} {heading}\n\n{' '.join((kind.__doc__ or '').split())}\n"
        yield from _options(f"{path}.", kind, [key for key in _own_options(kind) if key not in shared])


def _own_options(section: type[Section]) -> dict[str, Any]:
    """Return the JSON schemas of a section's plain options, without nested sections and the name of its kind."""
    schemas = _schemas(section)
    fields = section.model_fields.items()
    return {key: schemas[key] for key, info in fields if "const" not in schemas[key] and not isinstance(info.default, Section)}


def _options(prefix: str, section: type[Section], keys: Iterable[str]) -> Iterator[str]:
    """Yield options as a definition list: ``key=default``, the possible values, and the description."""
    schemas, defaults = _schemas(section), section().model_dump(mode="json")
    for key in keys:
        does = meaning(section.model_fields[key])
        yield f"`{prefix}{key}={one_line(defaults[key])}` <small>{values(schemas[key])}</small>\n:   {does}\n"


@cache
def _schemas(section: type[Section]) -> dict[str, Any]:
    """Return the JSON schema of each option of a section."""
    return section.model_json_schema()["properties"]


def values(schema: Mapping[str, Any]) -> str:
    """Describe the possible values of an option.

    Args:
        schema: The JSON schema of the option.

    Returns:
        A short text, such as "whole number, at least 1".
    """
    if "anyOf" in schema:
        return " or ".join(values(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return _listed(schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {values(schema['prefixItems'][0])}"
    if schema["type"] == "array":
        return f"list: {values(schema['items'])}"
    if schema.get("format") == "path":
        return "path"
    limits = [f"{words} {schema[limit]}" for limit, words in LIMITS.items() if limit in schema]
    return ", ".join([TYPES[schema["type"]], *limits])


def _listed(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
