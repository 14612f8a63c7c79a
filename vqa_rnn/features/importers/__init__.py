"""Importers of published features.

Each format is a ``Source``: the names of the images, and the regions of each. Pickles may hold only numpy arrays and plain
containers; anything else is refused.
"""

from collections.abc import Callable

from vqa_rnn.features.importers.arrays import ArraysSource, AttentionFeaturesSource, VisdialSource
from vqa_rnn.features.importers.folders import GridFeaturesSource, MmfNpySource, OpenVqaSource
from vqa_rnn.features.importers.mmf_lmdb import MmfLmdbSource
from vqa_rnn.features.importers.source import Source
from vqa_rnn.features.importers.tsv import TsvSource
from vqa_rnn.features.regions import Regions

__all__ = ["SOURCES", "Regions", "Source"]

SOURCES: dict[str, Callable[..., Source]] = {
    "bottom-up-tsv": TsvSource,
    "bottom-up-hdf5": AttentionFeaturesSource,
    "visdial-hdf5": VisdialSource,
    "openvqa-npz": OpenVqaSource,
    "mmf-npy": MmfNpySource,
    "mmf-lmdb": MmfLmdbSource,
    "grid-feats-pth": GridFeaturesSource,
    "arrays": ArraysSource,
}
