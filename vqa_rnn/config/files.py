"""Loading, checking, printing and comparing configs.

A config file is YAML and contains only what differs from the defaults. ``base:`` names the config that it starts from.
Overrides of the form ``section.key=value`` on the command line are applied last. Some sections have several kinds
(``dataset``, ``model.fusion``, …), chosen by ``name``; a changed ``name`` replaces the whole section.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from vqa_rnn.config import Config, Section, TrainableConfig
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name

ConfigT = TypeVar("ConfigT", bound=Section)


def load_config(source: str, overrides: Sequence[str] = ()) -> Config:
    """Load a config from a file or a shipped recipe and apply command-line overrides.

    Args:
        source: Path of a YAML file, or the name of a recipe in ``configs/`` such as ``easy_vqa`` or ``daquar/top_down``.
        overrides: Overrides of the form ``section.key=value``; values are read as YAML.

    Returns:
        The validated config. ``run.name`` defaults to a name made from ``source``.

    Raises:
        UserError: The file is missing or not YAML, a key or name is unknown, or a value is out of range.
    """
    path = _find_config(source)
    merged = _merge(Config().model_dump(mode="json"), _load_with_bases(path), str(path))
    config = validate_config(merged, str(path), Config)
    if overrides:
        for override in overrides:
            merged = _merge(merged, _parse_override(override), override)
        config = validate_config(merged, "command line", Config)
    if config.run.name is None:
        name = source if not Path(source).suffix else path.stem
        named = config.run.model_copy(update={"name": name.replace("/", "-")})
        config = config.model_copy(update={"run": named})
    return config


def validate_config(values: Mapping[str, Any], where: str, schema: type[ConfigT]) -> ConfigT:
    """Check a nested mapping of options.

    Args:
        values: Sections and their options; missing ones take their defaults.
        where: Where the values come from, for the error message.
        schema: The kind of config, such as ``Config``.

    Returns:
        The config.

    Raises:
        UserError: A key or name is unknown, or a value is out of range. The message is one line about the first error.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error, schema)}") from None


def override_config(config: ConfigT, overrides: Sequence[str]) -> ConfigT:
    """Apply command-line overrides to a config.

    Args:
        config: The config.
        overrides: Overrides of the form ``section.key=value``; values are read as YAML.

    Returns:
        The changed config.

    Raises:
        UserError: An override is not of this form, a key or name is unknown, or a value is out of range.
    """
    values: dict[str, Any] = config.model_dump(mode="json")
    for override in overrides:
        values = _merge(values, _parse_override(override), override)
    return validate_config(values, "command line", type(config))


def change_config(config: ConfigT, overrides: Sequence[str], may_change: Sequence[str], what: str) -> ConfigT:
    """Override some options of a config that was used before.

    Args:
        config: The config.
        overrides: Overrides of the form ``section.key=value``.
        may_change: Dotted keys that may change; a key that ends in a dot stands for its whole section.
        what: What was trained with the config, for the error message.

    Returns:
        The changed config.

    Raises:
        UserError: An override is invalid, or changes an option that may not change.
    """
    changed = override_config(config, overrides)
    check_changes(config, changed, may_change, what, "this command")
    return changed


def check_changes(old: Section, new: Section, may_change: Sequence[str], what: str, who: str) -> None:
    """Refuse changes to a config that was used before.

    Args:
        old: The earlier config.
        new: The config as it is given now.
        may_change: Dotted keys that may differ; a key that ends in a dot stands for its whole section.
        what: What was trained with the config, for the error message.
        who: What uses the config now, for the error message.

    Raises:
        UserError: Another option differs.
    """
    for key, (before, after) in config_changes(old, new).items():
        if not key.startswith(tuple(may_change)):
            known = flat_config(new)
            may_change = [name for name in may_change if not name.startswith("dataset.") or name in known]
            names = ", ".join(name + "*" if name.endswith(".") else name for name in may_change)
            raise UserError(f"{what} was trained with {key}={before}, not {after}: {who} may only change {names}")


def config_yaml(config: Section, *, comments: bool = False) -> str:
    """Return the whole config as YAML.

    Args:
        config: The config.
        comments: Add the help text of each option as a comment.

    Returns:
        YAML from which ``load_config`` loads an equal config.
    """
    if comments:
        return "\n".join(_commented(config, 0)) + "\n"
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def _find_config(source: str) -> Path:
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UserError(f"no config file at {path}")
    if path.name.lower().removesuffix(".gz").endswith((".jsonl", ".json", ".csv", ".tsv")):
        raise UserError(f"{source} holds questions, not options: give it as jsonl dataset.path={source}")
    folder = recipes_folder()
    for candidate in (folder / f"{source}.yaml", folder / source / "default.yaml"):
        if candidate.is_file():
            return candidate
    raise UserError(f"{unknown_name('config', source, list_recipes())}; or give the path of a .yaml file")


def recipes_folder() -> Path:
    """Return the folder of the shipped configs: inside the installed package, or next to it in a source checkout.

    Returns:
        Its path.
    """
    package = Path(__file__).parents[1]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def list_recipes() -> list[str]:
    """List the shipped configs.

    Returns:
        Sorted names that ``load_config`` accepts. A folder's ``default.yaml`` has the name of the folder.
    """
    folder = recipes_folder()
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    return sorted(name.removesuffix("/default") for name in names)


def _load_with_bases(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise UserError(f"{path}: its base files form a cycle")
    try:
        loaded = OmegaConf.load(path)
        values = OmegaConf.to_container(loaded, resolve=True) if len(loaded) else {}
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config holds sections such as 'dataset:', not {type(values).__name__}")
    base = values.pop("base", None)
    if base is None:
        return values  # type: ignore[return-value]
    beside = path.parent / str(base)
    try:
        base_path = beside if beside.is_file() else _find_config(str(base))
    except UserError as error:
        raise UserError(f"{path}: base: {error}") from None
    return _merge(_load_with_bases(base_path, (*seen, path.resolve())), values, str(path))


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, _ = override.partition("=")
    if not separator or not key or key.startswith("-"):
        raise UserError(f"'{override}' is not an override: write section.key=value, such as training.max_epochs=5")
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=True)  # type: ignore[return-value]
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"cannot read the value in '{override}': {' '.join(str(error).split())}") from error


def _merge(base: Mapping[Any, Any], over: Mapping[Any, Any], where: str) -> dict[str, Any]:
    kept = _drop_renamed(base, over)
    try:
        merged = OmegaConf.merge(OmegaConf.create(kept), OmegaConf.create(dict(over)))
    except (TypeError, OmegaConfBaseException) as error:
        raise UserError(f"{where}: a section, a list and a plain value cannot replace each other: {error}") from error
    return OmegaConf.to_container(merged)  # type: ignore[return-value]


def _drop_renamed(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Remove the options of each section in ``base`` whose ``name`` is changed by ``over``: they belong to another kind.

    ``run.name`` is not the name of a kind, so the section ``run`` is kept.
    """
    kept: dict[Any, Any] = {}
    for key, value in base.items():
        new = over.get(key)
        if isinstance(value, Mapping) and isinstance(new, Mapping):
            renamed = key != "run" and "name" in new and new["name"] != value.get("name")
            kept[key] = {} if renamed else _drop_renamed(value, new)
        elif isinstance(value, Mapping) and key in over:
            kept[key] = {}  # the new value is not a section: validation reports it
        else:
            kept[key] = value
    return kept


def _explain(error: ValidationError, schema: type[Section]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in _without_tags(first["loc"], schema))
    if first["type"] == "extra_forbidden":
        within = _section_at(first["loc"][:-1], schema)
        parent = ".".join(str(part) for part in _without_tags(first["loc"][:-1], schema))
        what, given = f"key in {parent}" if parent else "section", str(first["loc"][-1])
        meant = "" if parent else _meant_section(given, schema)
        return meant or unknown_name(what, given, within.model_fields)
    if first["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in first["ctx"]["expected_tags"].split(",")]
        return unknown_name(key.removeprefix("model."), str(first["ctx"]["tag"]), tags)
    if first["type"] == "literal_error":
        in_list = isinstance(first["loc"][-1], int)
        *section, name = first["loc"][:-1] if in_list else first["loc"]
        literal = _section_at(section, schema).model_fields[str(name)].annotation
        members = get_args(literal)[:1] if in_list else get_args(literal)  # the values, or for a union with None its members
        values = [value for member in members for value in (get_args(member) or (member,)) if value is not type(None)]
        option = key.removesuffix(f".{first['loc'][-1]}") if in_list else key
        return unknown_name(f"value for {option}", str(first["input"]), map(str, values))
    if first["type"] in ("tuple_type", "missing", "too_long") and (length := _list_length(first["loc"], schema)) is not None:
        name = key.removesuffix(f".{first['loc'][-1]}") if isinstance(first["loc"][-1], int) else key
        kind = f"a list of {length}" if length else "a list"
        return f"{name}: {kind} is needed, as in {name}=[{','.join('…' * max(1, length))}], not {first['input']!r}"
    if first["type"] == "union_tag_not_found":
        return f"{key}: a section with a name is needed, not {first['input']!r}"
    if first["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: a section with options is needed, not {first['input']!r}{_meant_name(key, first)}"
    message = first["msg"].removeprefix("Value error, ")
    is_told = "given" in message or isinstance(first["input"], Mapping)
    where = f"{key}: " if key else ""  # an error that concerns several sections has no key
    return f"{where}{message}" if is_told else f"{where}{message} (given: {first['input']!r})"


def _meant_section(name: str, schema: type[Section]) -> str:
    """Return the message for an option that was given without its section; empty if no section has it."""
    for section, info in schema.model_fields.items():
        if name in getattr(type(info.default), "model_fields", {}):
            return f"unknown section '{name}': did you mean {section}.{name}?"
    return ""


def _list_length(loc: Sequence[str | int], schema: type[Section]) -> int | None:
    """Return the length of the list that an option takes: 0 for any length, None if it takes no list."""
    *section, name = loc[:-1] if isinstance(loc[-1], int) else loc
    option = _section_at(section, schema).model_fields.get(str(name))
    kinds = [] if option is None else [option.annotation, *get_args(option.annotation)]
    kinds += [get_args(kind)[0] for kind in kinds if get_origin(kind) is Annotated]
    items = next((get_args(kind) for kind in kinds if get_origin(kind) is tuple), None)
    if items is None:
        return None
    return 0 if Ellipsis in items else len(items)


def _meant_name(key: str, error: Mapping[str, Any]) -> str:
    given = error["input"]
    return f": did you mean {key}.name={given}?" if isinstance(given, str) and given.isidentifier() else ""


def _walk(loc: Sequence[str | int], schema: type[Section]) -> Iterator[tuple[str | int, bool, type[Section]]]:
    """Follow the location of an error: yield each part, whether it is the tag of a kind, and the section it leads to."""
    section = schema
    kinds: dict[str, type[Section]] = {}
    for part in loc:
        if part in kinds:
            section, kinds = kinds[str(part)], {}
            yield part, True, section
            continue
        info = section.model_fields.get(str(part))
        annotation = info.annotation if info else None
        if isinstance(annotation, type) and issubclass(annotation, Section):
            section = annotation
        elif get_origin(annotation) is not None:
            kinds = kinds_of(annotation)
        yield part, False, section


def kinds_of(annotation: Any) -> dict[str, type[Section]]:
    """Return the kinds of a section that has several, such as ``model.fusion``.

    Args:
        annotation: The type of the field that holds the section.

    Returns:
        The class of each kind by name; empty for a field of another type.
    """
    sections = [arg for arg in get_args(annotation) if isinstance(arg, type) and issubclass(arg, Section)]
    return {str(kind.model_fields["name"].default): kind for kind in sections}


def _without_tags(loc: Sequence[str | int], schema: type[Section]) -> list[str | int]:
    return [part for part, is_tag, _ in _walk(loc, schema) if not is_tag]


def _section_at(loc: Sequence[str | int], schema: type[Section]) -> type[Section]:
    return [section for _, _, section in _walk(loc, schema)][-1] if loc else schema


def _commented(section: Section, depth: int) -> Iterator[str]:
    indent = "  " * depth
    values = section.model_dump(mode="json")
    for key, info in type(section).model_fields.items():
        value = getattr(section, key)
        note = f"  # {meaning(info)}" if info.description else ""
        kinds = kinds_of(info.annotation)
        if kinds:
            note += f" By name: {', '.join(kinds)}."
        if isinstance(value, Section):
            if depth == 0:
                yield ""
            yield f"{indent}{key}:{note}"
            yield from _commented(value, depth + 1)
        else:
            yield f"{indent}{key}: {one_line(values[key])}{note}"


def meaning(option: FieldInfo) -> str:
    """Return the help text of an option.

    Args:
        option: The field of a section.

    Returns:
        The string below the field, on one line; empty if there is none.
    """
    return " ".join((option.description or "").split())


def one_line(value: Any) -> str:
    """Format a value as YAML on one line, so that a comment can follow it.

    Args:
        value: The value of an option, from ``model_dump(mode="json")``.

    Returns:
        The YAML, without a newline.
    """
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def config_changes(old: Section, new: Section) -> dict[str, tuple[Any, Any]]:
    """Return the options that differ between two configs.

    Args:
        old: One config.
        new: The other.

    Returns:
        Old and new value by dotted key; None for an option that one of them does not have.
    """
    before, after = flat_config(old), flat_config(new)
    keys = dict.fromkeys([*before, *after])
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def with_name(config: ConfigT, name: str) -> ConfigT:
    """Return a config whose run has a name.

    Args:
        config: A config with the section ``run``.
        name: The name, if it has none yet.

    Returns:
        The config.
    """
    run = config.run  # type: ignore[attr-defined]
    return config if run.name is not None else config.model_copy(update={"run": run.model_copy(update={"name": name})})


def flat_config(config: Section | TrainableConfig) -> dict[str, Any]:
    """Return every option of a config by dotted key.

    Args:
        config: The config.

    Returns:
        Plain values, and lists of plain values, by key.
    """
    return _flat(config.model_dump(mode="json"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
