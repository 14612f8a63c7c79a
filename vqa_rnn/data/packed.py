"""Batches as two tensors, the features and the rest, each sent from a loader process to a GPU in one copy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vqa_rnn.batch import ON_HOST, Batch

_ALIGNED = 16  # bytes


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """The features of a batch, and its other tensors in one buffer.

    Two dozen separate tensors would need two dozen shared files between processes and as many copies to a GPU, which takes
    longer than a step of a small model. The features stay in the memory that they were read into.

    Attributes:
        features: (B, K, D) features.
        buffer: (bytes,) uint8, the other tensors.
        layout: Name, dtype, shape and first byte of each tensor in the buffer.
        num_questions: Number of questions N.
    """

    features: Tensor
    buffer: Tensor
    layout: tuple[tuple[str, torch.dtype, tuple[int, ...], int], ...]
    num_questions: int

    @classmethod
    def of(cls, batch: Batch, *, shared: bool = False) -> "PackedBatch":
        """Pack a batch.

        Args:
            batch: A batch on the CPU.
            shared: Whether to use memory that can be shared with another process.

        Returns:
            The packed batch, with the same features and a copy of the rest.
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
    def num_examples(self) -> int:
        """The same as ``num_questions``, for the training engine."""
        return self.num_questions

    @property
    def example_index(self) -> Tensor:
        """(N,) int64 on the CPU, the same as ``Batch.question_index``."""
        views = (_view(self.buffer, *place) for name, *place in self.layout if name == "question_index")  # type: ignore[arg-type]
        return next(views)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Unpack the batch on a device.

        Args:
            device: The target device. On the CPU nothing is copied.
            non_blocking: As in ``Tensor.to``.

        Returns:
            The batch. Tensors of ``ON_HOST`` stay on the CPU.
        """
        there = self.buffer.to(device, non_blocking=non_blocking)
        places = {True: self.buffer, False: there}
        tensors = {name: _view(places[name in ON_HOST], dtype, shape, start) for name, dtype, shape, start in self.layout}
        return Batch(features=self.features.to(device, non_blocking=non_blocking), **tensors)  # type: ignore[arg-type]

    def pin_memory(self) -> "PackedBatch":
        """Copy the batch to pinned memory. ``DataLoader`` calls this method.

        Returns:
            The pinned batch.
        """
        return PackedBatch(self.features.pin_memory(), self.buffer.pin_memory(), self.layout, self.num_questions)


def empty_shared(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Allocate a tensor that can be passed to another process without a copy.

    Args:
        shape: Shape of the tensor.
        dtype: Dtype of the tensor.

    Returns:
        An uninitialised tensor in shared memory.
    """
    storage = torch.UntypedStorage._new_shared(max(1, math.prod(shape)) * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(storage, 0, tuple(shape))  # type: ignore[call-overload]


def _view(buffer: Tensor, dtype: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    size = math.prod(shape) * dtype.itemsize
    return buffer[start : start + size].view(dtype).view(shape)
