"""Checks that a feature store matches a config."""

from vqa_rnn.config import OWN_OPTIONS, PRESET_OPTIONS, REGION_OPTIONS, FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore
from vqa_rnn.features.weights import weights_file, weights_file_hash

# Options that a store records in its transform under the same names: of backbones, and of detectors.
SETTINGS = ("resize", "output", "grid_size", "intensity", *PRESET_OPTIONS)
_DETECTOR_SETTINGS = ("output", "intensity", "image_size", *REGION_OPTIONS)


def check_store(store: FeatureStore, config: FeaturesConfig) -> None:
    """Check that a store was made with a config's backbone and settings.

    Args:
        store: The store.
        config: The config.

    Raises:
        UserError: They differ; the message names the first difference.
    """
    if store.is_imported and config.library == "imported":
        return
    if store.is_imported or config.library == "imported":
        what = "imported" if store.is_imported else f"made with {store.attributes['backbone']}"
        raise UserError(
            f"{store.path} was {what}, and features.library is {config.library}: set features.library="
            + ("imported" if store.is_imported else store.attributes["backbone"].partition("/")[0])
        )
    transform = store.attributes["transform"]
    made = {"backbone": store.attributes["backbone"], "layers": store.attributes["layer"]}
    settings = _DETECTOR_SETTINGS if config.output == "regions" else SETTINGS
    made |= {name: transform[name] for name in settings if name in transform}
    made |= {"dtype": str(store.dtype)}
    wanted = config.model_dump(mode="json", include={*settings, "layers", "dtype"})
    wanted["backbone"] = config.backbone_name
    if config.output == "boxes":
        made["box_method"], wanted["box_method"] = transform.get("box_method"), config.box_method
    asked = store.attributes.get("asked")  # missing in stores of earlier versions
    for name in [name for name in OWN_OPTIONS if name in wanted and wanted[name] is None]:
        if asked is None:
            del wanted[name]
        else:
            made[name] = asked[name]  # None if the backbone's default was used
    for name, value in wanted.items():
        if name not in made:
            raise UserError(
                f"{store.path} was made by an older version, which had no features.{name}: delete it and run vqa-rnn "
                "preprocess again"
            )
        if made[name] != value:
            raise UserError(
                f"{store.path} was made with features.{name}={made[name]}, not {value}: "
                "use the config that made it, or another features.store"
            )
    _check_weights(store, config)


def _check_weights(store: FeatureStore, config: FeaturesConfig) -> None:
    """Check that a store was made with the config's weights, as far as a file or a name can tell."""
    file, made = weights_file(config), store.attributes.get("weights_file_sha256")
    name = config.weights.partition(":")[2] if config.weights.startswith("hub:") else ""
    if made is None:  # a store of an earlier version
        differ = False
    elif file is None or not made:  # weights of the hub and of a file may differ
        differ = bool(made) != (file is not None)
    elif file.is_file():
        differ = made != weights_file_hash(config)
    else:  # the file is missing, for example after a move: only names can be compared
        differ = file.name != store.weights
    if differ or (name and store.weights and not store.weights.endswith((f".{name}", f"@{name}"))):
        raise UserError(
            f"{store.path} was made with the weights {store.weights}, but features.weights={config.weights} is "
            "different now: use the old weights, delete the store, or set features.store to another path"
        )
