"""A recurrence as one operator, for a model that is exported: a loop of Python would be exported for one length alone.

Shape letters: N sequences, T steps, E input size, H hidden size.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from vqa_rnn.rnn.cells import Cell, State

Step = Callable[[State, tuple[Tensor, ...]], tuple[State, Tensor]]


def scan_steps(step: Step, state: State, elements: tuple[Tensor, ...]) -> tuple[State, Tensor]:
    """Take a state through all steps.

    Args:
        step: The state and the tensors of one step to the next state, in new tensors, and what the step says.
        state: The state before the first step.
        elements: (T, …) each, step by step.

    Returns:
        The state after the last step, and (T, …) what the steps said.
    """
    after, said = scan(step, state, elements)
    return tuple(after), said


def keep_ended(after: State, before: State, exists_N1: Tensor) -> State:
    """Let the sequences that have ended keep their state.

    Args:
        after: Tensors of (N, H), the state after a step.
        before: The state before it.
        exists_N1: (N, 1) bool, which sequences have an element at this step.

    Returns:
        The state.
    """
    return tuple(torch.where(exists_N1, new, old) for new, old in zip(after, before, strict=True))


def run_padded(cell: Cell, data_TNE: Tensor, exists_TN1: Tensor, state: State) -> tuple[Tensor, State]:
    """Run a cell over padded sequences, forwards.

    Args:
        cell: The cell.
        data_TNE: (T, N, E) float.
        exists_TN1: (T, N, 1) bool, what is no padding.
        state: Tensors of (N, H), the state before the first step.

    Returns:
        (T, N, H) the outputs, 0 in the padding, and the state after each sequence's last element.
    """
    projected_TNP = cell.project(data_TNE.flatten(0, 1)).unflatten(0, data_TNE.shape[:2])

    def step(before: State, element: tuple[Tensor, ...]) -> tuple[State, Tensor]:
        projected_NP, exists_N1 = element
        after = keep_ended(cell.step(projected_NP, before), before, exists_N1)
        return after, torch.where(exists_N1, after[0], 0.0)

    after, output_TNH = scan_steps(step, state, (projected_TNP, exists_TN1))
    return output_TNH, after
