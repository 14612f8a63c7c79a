"""Occlusion maps, for models without attention: how much probability an answer loses if part of the image is covered."""

import dataclasses
import sys

import numpy as np
import torch

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.features.images import read_image
from vqa_rnn.models.model import grid_boxes

WIDEST = 640  # of the copies that are asked about, in pixels


def explain(session: AnySession, answer: Answer) -> Answer:
    """Add an occlusion map to an answer that has no maps.

    Args:
        session: The session that gave the answer.
        answer: The answer.

    Returns:
        The result of ``occlude``; the unchanged answer if it has maps or no image.

    Raises:
        UserError: The image can no longer be read.
    """
    return answer if answer.maps is not None or answer.image is None else occlude(session, answer)


def occlude(session: AnySession, answer: Answer, side: int = 7) -> Answer:
    """Cover one cell of the image at a time, and measure how much probability the answer loses.

    As in Zeiler and Fergus 2014 (https://arxiv.org/abs/1311.2901, section 4.2), with the mean colour of the image instead of
    grey. If a generative model writes another answer when a cell is covered, the answer loses all of its probability.

    Args:
        session: The session that gave the answer.
        answer: The answer.
        side: Number of cells in each direction.

    Returns:
        The answer with one map: (1, side * side) the probability that it loses with each cell covered; 0 if it becomes more
        probable.

    Raises:
        UserError: The image can no longer be read.
        ValueError: The answer has no image.
    """
    if answer.image is None or answer.record is None:
        raise ValueError("the answer is about no image")
    image = read_image(answer.image, intensity="image")
    image.thumbnail((WIDEST, WIDEST))
    boxes = grid_boxes(torch.zeros(1, side * side, 1))[0].numpy()
    colour = tuple(np.asarray(image).mean(axis=(0, 1)).astype(int).tolist())
    images = {"whole": image}
    for number, corners in enumerate(np.rint(boxes * np.tile(image.size, 2)).astype(int).tolist()):
        covered = image.copy()
        covered.paste(colour, tuple(corners))
        images[str(number)] = covered
    questions = [dataclasses.replace(answer.record, image_id=image_id) for image_id in images]
    found = session.answer(questions, images, top=sys.maxsize)
    whole, *others = [dict(each.answers).get(answer.best, 0.0) for each in found]
    lost = np.maximum(0, whole - np.array(others, dtype=np.float32))
    return dataclasses.replace(answer, maps=lost[None], boxes=boxes, look="occlusion")
