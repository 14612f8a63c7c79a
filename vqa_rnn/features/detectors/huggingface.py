"""Detectors of Hugging Face's transformers whose decoder has one state per box: the DETR family."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForObjectDetection

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.huggingface import check_name, load_processor, names_converter, weights_name
from vqa_rnn.features.detectors.base import DetectorNetwork, Proposals
from vqa_rnn.huggingface import quiet


def build(backbone: str, from_hub: bool, name: str | None) -> DetectorNetwork:
    """Build a detector of transformers.

    Args:
        backbone: Its name on the hub, such as ``facebook/detr-resnet-50``, or a folder with ``config.json`` and
            ``preprocessor_config.json``.
        from_hub: Whether to load the weights of the hub or the folder.
        name: Revision of the weights; defaults to ``main``.

    Returns:
        The detector. The features of a proposal are a state of the last decoder layer; those of the whole image are the mean of
        all states.

    Raises:
        UserError: It is not a detector.
    """
    check_name(backbone)
    source = {"revision": name or "main", "trust_remote_code": False}
    with quiet():
        settings = AutoConfig.from_pretrained(backbone, **source)
        model: Any
        try:
            if from_hub:
                model = AutoModelForObjectDetection.from_pretrained(backbone, **source, dtype=torch.float32)
            else:
                model = AutoModelForObjectDetection.from_config(settings, trust_remote_code=False)
        except ValueError as error:
            raise UserError(f"features.backbone={backbone}: a {settings.model_type} model is not a detector") from error
    processor = load_processor(backbone, source)
    sides = dict(processor.to_dict()["size"])
    own_size = sides.get("shortest_edge") or sides["height"]
    num_labels = model.config.num_labels

    def set_image_size(size: int) -> None:
        sides.update({key: round(value * size / own_size) for key, value in sides.items() if value})

    def propose(inputs: Mapping[str, Any], device: torch.device) -> Proposals:
        found = model(**{key: value.to(device) for key, value in inputs.items()})
        states, logits, boxes = found.last_hidden_state, found.logits[0], found.pred_boxes[0]
        if states is None or states.shape[1] != len(boxes):
            raise UserError(f"features.backbone={backbone}: a {type(model).__name__} gives no features for its boxes")
        # with a background class the classes are mutually exclusive, without it they are not
        scores = logits.softmax(dim=1)[:, :num_labels] if logits.shape[1] > num_labels else logits.sigmoid()
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        return Proposals(states[0], torch.cat([centre - half, centre + half], dim=1).clamp(0, 1), scores, states[0].mean(dim=0))

    return DetectorNetwork(
        model=model,
        weights=weights_name(backbone, name) if from_hub else "",
        image_size=own_size,
        label_names=[str(model.config.id2label[label]) for label in range(num_labels)],
        set_image_size=set_image_size,
        convert=partial(_to_inputs, processor, sides),
        propose=propose,
        suppresses=False,
        convert_names=names_converter(model),
    )


def _to_inputs(processor: Any, sides: Mapping[str, int], image: Image.Image) -> Mapping[str, Any]:
    return dict(processor(images=[image], size=sides, return_tensors="pt"))
