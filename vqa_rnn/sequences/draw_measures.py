"""What a model that draws digits is compared with: floors of its bound, and the distances of real digits.

Shape letters: N images, M training images, S side of the image, K labels.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 1000  # images whose distances are computed at a time


def entropy(images_NSS: Tensor) -> Tensor:
    """Compute the entropy of the pixels: the limit that no bound can fall below.

    Args:
        images_NSS: (N, S, S) float from 0 to 1.

    Returns:
        (N,) float64 in nats; 0 for images of black and white pixels.
    """
    images_NSS = images_NSS.double()
    return -(torch.xlogy(images_NSS, images_NSS) + torch.xlogy(1 - images_NSS, 1 - images_NSS)).flatten(1).sum(dim=1)


def pixels_floor(images_NSS: Tensor, train_MSS: Tensor) -> Tensor:
    """Compute the cross-entropy of independent pixels, each with the mean of the training images.

    Args:
        images_NSS: (N, S, S) float from 0 to 1.
        train_MSS: (M, S, S) float from 0 to 1.

    Returns:
        (N,) float64 in nats.
    """
    return _cross_entropy(images_NSS, train_MSS)


def classes_floor(images_NSS: Tensor, train_MSS: Tensor, train_labels_M: Tensor) -> Tensor:
    """Compute the bound of a mixture of independent pixels, with a component for each label of the training images.

    It is the least bound that any posterior over the labels gives: ``-log sum_k p(k) exp(-cross_entropy_k)``. The labels of
    the images are not needed.

    Args:
        images_NSS: (N, S, S) float from 0 to 1.
        train_MSS: (M, S, S) float from 0 to 1.
        train_labels_M: (M,) int64.

    Returns:
        (N,) float64 in nats.
    """
    log_p_K = []
    for label in train_labels_M.unique().tolist():
        of_label_M = train_labels_M == label
        log_p_K.append(math.log(float(of_label_M.double().mean())) - _cross_entropy(images_NSS, train_MSS[of_label_M]))
    return -torch.stack(log_p_K).logsumexp(dim=0)


def _cross_entropy(images_NSS: Tensor, train_MSS: Tensor) -> Tensor:
    """(N,) float64. One pixel of 1/2 is added to the training images, so that no probability is 0 or 1."""
    mean_SS = (train_MSS.double().sum(dim=0) + 0.5) / (len(train_MSS) + 1)
    mean_NSS = mean_SS.expand(len(images_NSS), -1, -1)
    return functional.binary_cross_entropy(mean_NSS, images_NSS.double(), reduction="none").flatten(1).sum(dim=1)


class Nearest(NamedTuple):
    """The nearest training images.

    Attributes:
        distance: (N,) float, the L2 distance to them.
        place: (N,) int64, their places among the training images.
    """

    distance: Tensor
    place: Tensor


def nearest(images_NSS: Tensor, train_MSS: Tensor) -> Nearest:
    """Find the nearest training image of each image.

    Args:
        images_NSS: (N, S, S) float.
        train_MSS: (M, S, S) float.

    Returns:
        The nearest images.
    """
    train_MP = train_MSS.flatten(1)
    found = []
    for images_NP in images_NSS.flatten(1).split(CHUNK):
        found.append(torch.cdist(images_NP, train_MP, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1))
    return Nearest(torch.cat([each.values for each in found]), torch.cat([each.indices for each in found]))
