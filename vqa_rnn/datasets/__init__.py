"""Where official files come from: list, download, check.

``catalogue`` is the table, ``transfer`` fetches over HTTP, ``unpack`` opens archives, ``records`` keeps ``downloads.json``,
``check`` looks at a folder, ``download`` does all of it in order.
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
