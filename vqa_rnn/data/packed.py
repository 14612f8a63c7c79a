"""A batch in two pieces of memory, its features and the rest, to go from a loader process to a GPU in one copy each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vqa_rnn.batch import ON_HOST, Batch

_ALIGNED = 16  # bytes


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """The features of a batch, and its other tensors end to end.

    As two dozen tensors a batch costs two dozen shared files between processes, and as many copies to a GPU, which takes longer
    than a small model's step. Its features stay where they were read to.

    Attributes:
        features: (B, K, D).
        buffer: (bytes,) uint8, the other tensors.
        layout: Of each of them its name, dtype, shape and first byte.
        num_questions: N.
    """

    features: Tensor
    buffer: Tensor
    layout: tuple[tuple[str, torch.dtype, tuple[int, ...], int], ...]
    num_questions: int

    @classmethod
    def of(cls, batch: Batch, *, shared: bool = False) -> "PackedBatch":
        """Pack a batch.

        Args:
            batch: On the CPU.
            shared: Pack it into memory that another process can use.

        Returns:
            Its features, and a copy of the rest.
        """
        tensors = {field.name: getattr(batch, field.name) for field in fields(Batch) if field.name != "features"}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
        layout, size = [], 0
        for name, tensor in tensors.items():
            layout.append((name, tensor.dtype, tuple(tensor.shape), size))
            size += -(-tensor.nbytes // _ALIGNED) * _ALIGNED
        buffer = empty_shared((size,), torch.uint8) if shared else torch.empty(size, dtype=torch.uint8)
        packed = cls(batch.features, buffer, tuple(layout), batch.num_questions)
        for name, dtype, shape, start in layout:
            _view(buffer, dtype, shape, start).copy_(tensors[name])
        return packed

    @property
    def question_index(self) -> Tensor:
        """(N,) int64 on the CPU, as ``Batch.question_index``."""
        views = (_view(self.buffer, *place) for name, *place in self.layout if name == "question_index")  # type: ignore[arg-type]
        return next(views)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Unpack on a device.

        Args:
            device: Where to; on the CPU nothing is copied.
            non_blocking: As in ``Tensor.to``.

        Returns:
            The batch; tensors of ``ON_HOST`` stay on the CPU.
        """
        there = self.buffer.to(device, non_blocking=non_blocking)
        places = {True: self.buffer, False: there}
        tensors = {name: _view(places[name in ON_HOST], dtype, shape, start) for name, dtype, shape, start in self.layout}
        return Batch(features=self.features.to(device, non_blocking=non_blocking), **tensors)  # type: ignore[arg-type]

    def pin_memory(self) -> "PackedBatch":
        """Copy into pinned memory; ``DataLoader`` calls this.

        Returns:
            The pinned batch.
        """
        return PackedBatch(self.features.pin_memory(), self.buffer.pin_memory(), self.layout, self.num_questions)


def empty_shared(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory that another process can be handed without a copy.

    Args:
        shape: Of the tensor.
        dtype: Of the tensor.

    Returns:
        A tensor of anything.
    """
    storage = torch.UntypedStorage._new_shared(max(1, math.prod(shape)) * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(storage, 0, tuple(shape))  # type: ignore[call-overload]


def _view(buffer: Tensor, dtype: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    size = math.prod(shape) * dtype.itemsize
    return buffer[start : start + size].view(dtype).view(shape)
