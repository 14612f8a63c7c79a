"""A batch in one piece of memory, to go from a loader process to a GPU in one copy each time."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vqa_rnn.batch import ON_HOST, Batch

_ALIGNED = 16  # bytes


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """The tensors of a batch end to end.

    As two dozen tensors a batch costs two dozen shared files between processes, and as many copies to a GPU, which takes longer
    than a small model's step.

    Attributes:
        buffer: (bytes,) uint8.
        layout: Of each tensor its name, dtype, shape and first byte.
        num_questions: N.
    """

    buffer: Tensor
    layout: tuple[tuple[str, torch.dtype, tuple[int, ...], int], ...]
    num_questions: int

    @classmethod
    def of(cls, batch: Batch) -> "PackedBatch":
        """Pack a batch.

        Args:
            batch: On the CPU.

        Returns:
            A copy of it.
        """
        tensors = {field.name: getattr(batch, field.name) for field in fields(Batch)}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
        layout, size = [], 0
        for name, tensor in tensors.items():
            layout.append((name, tensor.dtype, tuple(tensor.shape), size))
            size += -(-tensor.nbytes // _ALIGNED) * _ALIGNED
        buffer = torch.empty(size, dtype=torch.uint8)
        packed = cls(buffer, tuple(layout), batch.num_questions)
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
        return Batch(**tensors)  # type: ignore[arg-type]

    def pin_memory(self) -> "PackedBatch":
        """Copy into pinned memory; ``DataLoader`` calls this.

        Returns:
            The pinned batch.
        """
        return PackedBatch(self.buffer.pin_memory(), self.layout, self.num_questions)


def _view(buffer: Tensor, dtype: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    size = math.prod(shape) * dtype.itemsize
    return buffer[start : start + size].view(dtype).view(shape)
