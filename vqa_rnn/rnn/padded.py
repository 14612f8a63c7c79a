"""Recurrent loops as one scan operator, for model export. A Python loop would be exported with a fixed number of steps.

Shape letters: N sequences, T steps, E input size, H hidden size.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from vqa_rnn.rnn.cells import Cell, State

Step = Callable[[State, tuple[Tensor, ...]], tuple[State, Tensor]]


def scan_steps(step: Step, state: State, elements: tuple[Tensor, ...]) -> tuple[State, Tensor]:
    """Run a step function over all steps.

    Args:
        step: Takes the state and the tensors of one step; returns the next state, in new tensors, and the output of the step.
        state: The state before the first step.
        elements: (T, …) each, the tensors of all steps.

    Returns:
        The state after the last step, and the outputs of all steps, (T, …).
    """
    after, said = scan(step, state, elements)
    return tuple(after), said


def keep_ended(after: State, before: State, exists_N1: Tensor) -> State:
    """Keep the state of sequences that have ended.

    Args:
        after: Tensors of (N, H), the state after a step.
        before: The state before the step.
        exists_N1: (N, 1) bool, True for sequences that have an element at this step.

    Returns:
        The state after the step; for sequences that have ended, the state before it.
    """
    return tuple(torch.where(exists_N1, new, old) for new, old in zip(after, before, strict=True))


def run_padded(cell: Cell, data_TNE: Tensor, exists_TN1: Tensor, state: State) -> tuple[Tensor, State]:
    """Run a cell forwards over padded sequences.

    Args:
        cell: The cell.
        data_TNE: (T, N, E) float.
        exists_TN1: (T, N, 1) bool, False in the padding.
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
