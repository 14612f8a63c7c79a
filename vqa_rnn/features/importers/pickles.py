"""Reading of pickles that hold only numpy arrays and plain containers. Other pickles are refused: they can run any code.

A class or function that is not listed here is refused before it is called ("Restricting Globals" in the Python documentation,
https://docs.python.org/3/library/pickle.html).
"""

import codecs
import collections
import io
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from vqa_rnn.errors import UserError

_multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # type: ignore[attr-defined]
_ALLOWED: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _multiarray._reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _multiarray.scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): codecs.encode,  # how Python 2 wrote bytes
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is neither a numpy array nor a plain container")
        return _ALLOWED[module, name]


def load_plain(file: BinaryIO | bytes, where: str) -> Any:
    """Read a pickle of numpy arrays and plain containers.

    Args:
        file: The open file, or its bytes.
        where: Where the pickle is from, for the error message.

    Returns:
        Its value.

    Raises:
        UserError: It is not a pickle, is cut off, or holds anything else.
    """
    try:
        stream = io.BytesIO(file) if isinstance(file, bytes) else file
        return _PlainUnpickler(stream, encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise any kind of error
        raise UserError(f"cannot read {where}: {error}") from error


def load_npy(path: Path) -> Any:
    """Read a ``.npy`` file. Pickled objects in it are read with ``load_plain``.

    Args:
        path: The file.

    Returns:
        The array; if it is a single object, that object.

    Raises:
        UserError: It is not a ``.npy`` file, is cut off, or holds objects that are refused.
    """
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            if dtype.hasobject:
                array = load_plain(file, str(path))
                return array.item() if isinstance(array, np.ndarray) and shape == () else array
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path} as .npy: {error}") from error
