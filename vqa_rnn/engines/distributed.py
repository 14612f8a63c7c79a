"""One or several processes, started by torchrun or SLURM on one or several machines and joined by ``ignite.distributed``.

Every process runs the same program. The first process reads annotations and writes files. The others wait for it where they
need its results, and fail if it fails.
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
    """Return the rank and the number of processes from the launcher's environment, also before the processes are joined.

    Returns:
        Rank and number of processes; 0 and 1 if neither torchrun nor ``srun`` started several.
    """
    environment = os.environ
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(environment):
        return int(environment["RANK"]), int(environment["WORLD_SIZE"])
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set by srun, but not in the batch script
        return int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"])
    return 0, 1


def launched_here() -> int:
    """Return how many processes of torchrun share the CPUs of this machine. ``srun`` binds each process to CPUs of its own.

    Returns:
        Number of processes; 1 if torchrun did not start this one.
    """
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if launched()[1] > 1 else 1


@contextmanager
def processes(device_name: str) -> Iterator[torch.device]:
    """Join the started processes while the block runs, with NCCL on GPUs and gloo on CPUs.

    Args:
        device_name: ``run.device``. Several processes on a machine each use the GPU of their local rank.

    Yields:
        The device of this process.

    Raises:
        UserError: The device does not exist, several processes would share one GPU, or a machine has fewer GPUs than processes.
    """
    rank, world_size = launched()
    if world_size == 1 or idist.get_world_size() > 1:  # a single process, or already joined by the caller
        yield idist.device() if idist.get_world_size() > 1 else choose_device(device_name)
        return
    device = own_device(device_name)
    level = log.level
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _join("nccl" if device.type == "cuda" else "gloo")
    try:
        if rank > 0:
            log.setLevel(logging.WARNING)  # progress is logged by the first process only
        if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, num_cpus() // idist.get_nproc_per_node()))
        yield idist.device()
    finally:
        log.setLevel(level)
        # First free what refers to the process group, such as a replica in a reference cycle with its hooks. Otherwise the
        # group's threads run until the interpreter exits, and the process aborts if one of them then frees a Python object.
        gc.collect()
        idist.finalize()


def _join(backend: str) -> None:
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if attempt is None:
        idist.initialize(backend)
        return
    # torchrun keeps its store across restarts: without a prefix, the addresses of dead processes would be used
    store, rank, world_size = next(dist.rendezvous("env://"))
    dist.init_process_group(backend, store=dist.PrefixStore(f"attempt{attempt}", store), rank=rank, world_size=world_size)
    idist.sync()


def own_device(name: str) -> torch.device:
    """Return the device of this process, which may be the only one or one of several.

    Args:
        name: ``run.device``. Several processes on a machine each use the GPU of their local rank.

    Returns:
        The device.

    Raises:
        UserError: The device does not exist, several processes would share one GPU, or a machine has fewer GPUs than processes.
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
    """Return the device of a config, for a single process.

    Args:
        name: ``run.device``.

    Returns:
        The device. ``auto`` is a GPU if there is one, else the CPU.

    Raises:
        UserError: The device does not exist.
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
    """Set the number of CPU threads that torch uses while the block runs.

    Args:
        threads: Total for all processes on this machine; each gets an equal share.
        device: Device of the computation. On a GPU the number is not changed.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, threads // processes_here()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processes_here() -> int:
    """Return how many of the joined processes run on this machine.

    Returns:
        Number of processes; 1 if none are joined.
    """
    return idist.get_nproc_per_node() if idist.get_world_size() > 1 else 1


def is_first() -> bool:
    """Check whether this process is the one that writes files and prints.

    Returns:
        True in the first of several processes, and in a single process.
    """
    return launched()[0] == 0


def on_first(work: Callable[[], T]) -> T | None:
    """Call a function in the first process only, while the others wait.

    Args:
        work: The function.

    Returns:
        The result of ``work`` in the first process; None in the others.

    Raises:
        UserError: In the first process, if ``work`` raised it.
        ReportedElsewhere: In the other processes, if ``work`` raised ``UserError`` in the first.
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
    """Compute the maximum of each number over all processes, in float64.

    Args:
        values: The numbers of this process.

    Returns:
        The maximum of each number.
    """
    return _reduce(values, "MAX")


def total(values: Sequence[float]) -> list[float]:
    """Compute the sum of each number over all processes, in float64.

    Args:
        values: The numbers of this process.

    Returns:
        The sum of each number.
    """
    return _reduce(values, "SUM")


def gather(value: Any) -> list[Any]:
    """Gather an object from every process.

    Args:
        value: The object of this process.

    Returns:
        The objects of all processes, in order of rank.
    """
    return [value] if idist.get_world_size() == 1 else list(idist.all_gather(value))  # type: ignore[arg-type]


def _reduce(values: Sequence[float], operation: str) -> list[float]:
    if idist.get_world_size() == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=idist.device())
    return idist.all_reduce(tensor, operation).tolist()  # type: ignore[union-attr]
