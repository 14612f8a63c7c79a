"""The file of encoded questions: processes that map it share its memory."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa_rnn.data.columns import EncodedQuestions, Ragged, Texts
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedQuestions(EncodedQuestions):
    """Questions whose columns are mapped from a file.

    Attributes:
        path: The file.
    """

    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return open_questions, (self.path,)  # a loader process that is spawned maps the file anew


def save_questions(encoded: EncodedQuestions, path: Path) -> None:
    """Write columns to an HDF5 file: a contiguous data set a column, two for a ragged one.

    Args:
        encoded: The columns.
        path: The file; its folder is made if it is missing.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for field in fields(EncodedQuestions):
            column = getattr(encoded, field.name)
            ragged = column.content if isinstance(column, Texts) else column
            if isinstance(ragged, Ragged):
                file.create_dataset(f"{field.name}/values", data=ragged.values)
                file.create_dataset(f"{field.name}/offsets", data=ragged.offsets)
            elif isinstance(column, np.ndarray):
                file.create_dataset(field.name, data=column)


def open_questions(path: Path) -> MappedQuestions:
    """Map a file of columns.

    Args:
        path: The file.

    Returns:
        The questions.

    Raises:
        UserError: The file is missing, or not one that ``save_questions`` wrote.
    """
    columns: dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file:
            for field in fields(EncodedQuestions):
                node = file[field.name]
                if isinstance(node, h5py.Group):
                    ragged = Ragged(_map(path, node["values"]), _map(path, node["offsets"]))
                    columns[field.name] = Texts(ragged) if field.type is Texts else ragged
                else:
                    columns[field.name] = _map(path, node)
    except (OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not hold encoded questions, or is damaged: {error}") from error
    return MappedQuestions(**columns, path=path)


def _map(path: Path, dataset: h5py.Dataset) -> NDArray[Any]:
    offset = dataset.id.get_offset()
    if offset is None:  # HDF5 gives no place to what is empty
        return np.empty(dataset.shape, dataset.dtype)
    # a plain array over the mapping: memmap's own class makes every slice slower
    return np.asarray(np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape))
