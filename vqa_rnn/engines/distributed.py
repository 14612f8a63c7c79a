"""One process or many, on one machine or on several: what torchrun or SLURM started, joined by ``ignite.distributed``.

Every process runs the same program. The first one reads annotations and writes files; the others wait for it where they need
what it made, and fail where it fails.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
import torch.distributed as dist

from vqa_rnn.errors import ReportedElsewhere, UserError
from vqa_rnn.threads import num_cpus

log = logging.getLogger("vqa_rnn")

T = TypeVar("T")


def launched() -> tuple[int, int]:
    """What the launcher says of this process, known before the processes are joined.

    Returns:
        Its rank, and how many processes there are: 0 and 1 where neither torchrun nor ``srun`` started several.
    """
    environment = os.environ
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(environment):
        return int(environment["RANK"]), int(environment["WORLD_SIZE"])
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set by srun, and not in the batch script around it
        return int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"])
    return 0, 1


def launched_here() -> int:
    """How many processes torchrun started on this machine, which share its processors. ``srun`` binds each to its own.

    Returns:
        Their number; 1 where torchrun did not start this one.
    """
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if launched()[1] > 1 else 1


@contextmanager
def processes(device_name: str) -> Iterator[torch.device]:
    """Join the processes that were started, for as long as the block runs: NCCL between GPUs, gloo between CPUs.

    Args:
        device_name: ``run.device``. Of several processes on a machine each takes the GPU of its own number.

    Yields:
        The device of this process.

    Raises:
        UserError: There is no such device, or a machine has fewer GPUs than processes.
    """
    rank, world_size = launched()
    if world_size == 1 or idist.get_world_size() > 1:  # alone, or joined by a caller
        yield idist.device() if idist.get_world_size() > 1 else choose_device(device_name)
        return
    device = own_device(device_name)
    level = log.level
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _join("nccl" if device.type == "cuda" else "gloo")
    try:
        if rank > 0:
            log.setLevel(logging.WARNING)  # what goes on is said once
        if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, num_cpus() // idist.get_nproc_per_node()))
        yield idist.device()
    finally:
        log.setLevel(level)
        # What holds on to the group, such as a replica in a cycle with its hooks, goes first: else the group's threads live on
        # until the interpreter ends, and one that then frees a Python object ends the process with an abort
        gc.collect()
        idist.finalize()


def _join(backend: str) -> None:
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if attempt is None:
        idist.initialize(backend)
        return
    # torchrun keeps its store across restarts: addresses of processes that died must not be taken for the living ones'
    store, rank, world_size = next(dist.rendezvous("env://"))
    dist.init_process_group(backend, store=dist.PrefixStore(f"attempt{attempt}", store), rank=rank, world_size=world_size)
    idist.sync()


def own_device(name: str) -> torch.device:
    """The device of this process, whether it is alone or one of many.

    Args:
        name: ``run.device``. Of several processes on a machine each takes the GPU of its own number.

    Returns:
        The device.

    Raises:
        UserError: There is no such device, or a machine has fewer GPUs than processes.
    """
    rank, world_size = launched()
    if world_size == 1:
        return choose_device(name)
    if name.startswith("cuda:"):
        raise UserError(
            f"run.device={name} names one GPU, and each of {world_size} processes takes its own: set run.device=cuda"
        )
    if not name.startswith("cuda") and not (name == "auto" and torch.cuda.is_available()):
        return torch.device("cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"run.device={name}: process {rank} is number {local_rank} of its machine, which has "
            f"{torch.cuda.device_count()} GPUs: start one process for each GPU, or set run.device=cpu"
        )
    return torch.device("cuda", local_rank)


def choose_device(name: str) -> torch.device:
    """The device of a config, for one process.

    Args:
        name: ``run.device``.

    Returns:
        The device; for ``auto`` a GPU if there is one.

    Raises:
        UserError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"run.device={name}: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def computing_with(threads: int, device: torch.device) -> Iterator[None]:
    """Compute with so many threads for as long as the block runs.

    Args:
        threads: Of all processes on this machine together, among which they are shared.
        device: Where they compute: on a GPU nothing is changed.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, threads // processes_here()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processes_here() -> int:
    """How many of the joined processes run on this machine.

    Returns:
        1 where there is but one.
    """
    return idist.get_nproc_per_node() if idist.get_world_size() > 1 else 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints.

    Returns:
        True in the first of several, and in a single one.
    """
    return launched()[0] == 0


def on_first(work: Callable[[], T]) -> T | None:
    """Do something in the first process alone, while the others wait.

    Args:
        work: What to do.

    Returns:
        What ``work`` returned, in the first process; None in the others.

    Raises:
        UserError: ``work`` raised it, in the first process.
        ReportedElsewhere: The same, in the others.
    """
    if idist.get_world_size() == 1:
        return work()
    result: T | None = None
    failed: UserError | None = None
    if idist.get_rank() == 0:
        try:
            result = work()
        except UserError as error:
            failed = error
    if largest([failed is not None])[0]:
        raise failed or ReportedElsewhere
    return result


def largest(values: Sequence[float]) -> list[float]:
    """Agree on numbers.

    Args:
        values: This process's.

    Returns:
        For each the largest of all processes'.
    """
    return _reduce(values, "MAX")


def total(values: Sequence[float]) -> list[float]:
    """Add numbers up, in float64.

    Args:
        values: This process's.

    Returns:
        For each the sum over all processes.
    """
    return _reduce(values, "SUM")


def gather(value: Any) -> list[Any]:
    """Collect an object from every process.

    Args:
        value: This process's.

    Returns:
        All of them, by rank.
    """
    return [value] if idist.get_world_size() == 1 else list(idist.all_gather(value))  # type: ignore[arg-type]


def _reduce(values: Sequence[float], operation: str) -> list[float]:
    if idist.get_world_size() == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=idist.device())
    return idist.all_reduce(tensor, operation).tolist()  # type: ignore[union-attr]
