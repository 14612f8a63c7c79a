"""Measure how fast random rows are read from a feature store in the page cache, against a memory copy and against h5py.

    python scripts/benchmarks/read.py [--images 9000] [--json]

copy     numpy gathers the same rows from an array in memory into a buffer: the limit of the memory
hdf5     ``FeatureStore.read`` into that buffer, from a mapped HDF5 file
lmdb     the same from an LMDB file
h5py     ``dataset[row]``, one row at a time into the buffer, as in public code

Rows are 36 x 2048 in float16 (147 KB), as bottom-up features; 64 are read at a time, and no row twice in a round. The ways take
turns, and the best round counts. Then four processes read both files, and the private memory of each is printed.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from loader import make_store
from made_up import FEATURE, REGIONS

from vqa_rnn.features.store import open_store
from vqa_rnn.features.store.copying import copy_stores

ROWS, WORKERS, ROUNDS = 64, 4, 5


def rate(read: Callable[[np.ndarray], Any], order: np.ndarray) -> float:
    """Measure the bytes per second of reading all rows in an order."""
    started = time.perf_counter()
    for start in range(0, len(order) - ROWS + 1, ROWS):
        read(order[start : start + ROWS])
    done = len(order) // ROWS * ROWS
    return done * REGIONS * FEATURE * 2 / (time.perf_counter() - started)


def own_memory(path: Path, report: Any) -> None:
    """Report the private memory in bytes that a process gains by reading all rows."""
    out = np.empty((ROWS, REGIONS, FEATURE), np.float16)
    before = _private_bytes()
    store = open_store(path, check_rows=False)
    rate(lambda rows: store.read(rows, out), np.random.default_rng(1).permutation(len(store.image_ids)))
    report.put(_private_bytes() - before)


def _private_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=9000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hdf5, lmdb = Path(folder) / "store.h5", Path(folder) / "store.lmdb"
        make_store(hdf5, arguments.images)
        copy_stores([open_store(hdf5)], lmdb)
        stores = {"hdf5": open_store(hdf5), "lmdb": open_store(lmdb)}
        everything = np.arange(arguments.images)
        in_memory = stores["hdf5"].read(everything)
        out = np.empty((ROWS, REGIONS, FEATURE), np.float16)
        file = h5py.File(hdf5, "r")
        dataset = file["features"]

        def by_row(rows: np.ndarray) -> None:
            for i, row in enumerate(rows):
                out[i] = dataset[row]

        ways: dict[str, Callable[[np.ndarray], Any]] = {
            "copy": lambda rows: np.take(in_memory, rows, axis=0, out=out, mode="clip"),
            "hdf5": lambda rows: stores["hdf5"].read(rows, out),
            "lmdb": lambda rows: stores["lmdb"].read(rows, out),
            "h5py": by_row,
        }
        best = dict.fromkeys(ways, 0.0)
        for number in range(ROUNDS):
            order = np.random.default_rng(number).permutation(arguments.images)
            for name, read in ways.items():
                best[name] = max(best[name], rate(read, order))
        result: dict[str, float] = {"store_gb": in_memory.nbytes / 1e9}
        result |= {f"{name}_gb_per_second": value / 1e9 for name, value in best.items()}
        for name in ("hdf5", "lmdb"):
            result[f"{name}_share_of_copy"] = best[name] / best["copy"]
            result[f"{name}_over_h5py"] = best[name] / best["h5py"]
        context = multiprocessing.get_context("spawn")
        for name, path in (("hdf5", hdf5), ("lmdb", lmdb)):
            report = context.Queue()
            workers = [context.Process(target=own_memory, args=(path, report)) for _ in range(WORKERS)]
            for worker in workers:
                worker.start()
            result[f"{name}_mb_of_{WORKERS}_workers"] = sum(report.get() for _ in workers) / 1e6
            for worker in workers:
                worker.join()
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:24} {value:10,.2f}")


if __name__ == "__main__":
    main()
