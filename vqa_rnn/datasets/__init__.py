"""Official files of the data sets: list, download and check.

``catalogue`` is the table of files, ``transfer`` downloads over HTTP, ``unpack`` extracts archives, ``records`` reads and
writes ``downloads.json``, ``check`` checks a folder, and ``download`` runs all steps of a download in order.
"""

from vqa_rnn.datasets.catalogue import DATASETS, OfficialDataset, OfficialFile, Wanted, find_dataset
from vqa_rnn.datasets.check import CheckReport, FileState, check
from vqa_rnn.datasets.download import Outcome, download

__all__ = [
    "DATASETS",
    "CheckReport",
    "FileState",
    "OfficialDataset",
    "OfficialFile",
    "Outcome",
    "Wanted",
    "check",
    "download",
    "find_dataset",
]
