"""HDF5 file of encoded questions. It is memory-mapped, so that processes share its memory."""

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
    """Encoded questions whose columns are memory-mapped from a file.

    Attributes:
        path: The file.
    """

    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return open_questions, (self.path,)  # a spawned loader process maps the file again


def save_questions(encoded: EncodedQuestions, path: Path) -> None:
    """Write columns to an HDF5 file, with one contiguous data set per column and two per ragged column.

    Args:
        encoded: The columns.
        path: Path of the file. Its folder is created if it is missing.
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
    """Map a file written by ``save_questions``.

    Args:
        path: Path of the file.

    Returns:
        The questions.

    Raises:
        UserError: The file is missing or damaged, or was not written by ``save_questions``.
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
    if offset is None:  # HDF5 allocates no space for an empty data set
        return np.empty(dataset.shape, dataset.dtype)
    # a plain array over the mapping: slices of np.memmap are slower
    return np.asarray(np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape))
