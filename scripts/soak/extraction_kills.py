"""Kill feature extraction with SIGKILL at several moments, restart it, and compare the store with an uninterrupted one.

    python scripts/soak/extraction_kills.py [--kills 20] [--processes 2]

Extracts easy-VQA at 128 pixels with one process, or with several processes that make one part each and are killed together.
Prints how many rows were finished at each kill, and whether both stores are equal byte for byte. The exit code is 1 if they
differ, or if a finished row was extracted again.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, open_store, open_writer, partial_path
from vqa_rnn.features.store.parts import Share, joined_path, part_path

NUM_IMAGES = 5000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, disturbed = Path(folder) / "whole.h5", Path(folder) / "disturbed.h5"
        subprocess.run(_command(whole), check=True, stdout=subprocess.DEVNULL)
        for share in np.linspace(0.05, 0.95, arguments.kills):
            finished = _run_and_kill(disturbed, share, arguments.processes)
            print(f"killed with {finished} rows finished", flush=True)
        before = _rows_finished(disturbed, arguments.processes)
        jobs = _start(disturbed, arguments.processes, output=subprocess.PIPE)
        outputs = [job.communicate() for job in jobs]
        for job, (_, errors) in zip(jobs, outputs, strict=True):
            if job.returncode != 0:
                print(f"a job of the last run ended with exit code {job.returncode}:\n{errors.decode()}", file=sys.stderr)
        if any(job.returncode != 0 for job in jobs):
            return 1
        done = sum(json.loads(output)["num_done"] for output, _ in outputs)
        good = done == NUM_IMAGES - before
        print(f"the last run did {done} of {NUM_IMAGES - before} rows that were left")
        finished_store = disturbed if arguments.processes == 1 else joined_path(disturbed)
        good &= _is_equal(open_store(whole), open_store(finished_store))
    print("equal byte for byte, and finished rows were not done again" if good else "FAILED")
    return 0 if good else 1


def _is_equal(one: FeatureStore, other: FeatureStore) -> bool:
    rows = np.arange(len(one.image_ids))
    names = ("num_regions", "written", "failed", "source_hash", "row_hash")
    return (
        one.image_ids == other.image_ids
        and one.attributes == other.attributes
        and one.read(rows).tobytes() == other.read(rows).tobytes()
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    )


def _command(store: Path) -> list[str]:
    options = [f"features.store={store}", "features.image_size=128"]  # rows are written every two seconds: not all at once
    return [sys.executable, "-m", "vqa_rnn", "preprocess", "easy_vqa", *options, "--json"]


def _start(store: Path, processes: int, output: int) -> list[subprocess.Popen[bytes]]:
    jobs = []
    for rank in range(processes):
        environment = dict(os.environ)
        if processes > 1:
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_ADDR": "localhost"}
        jobs.append(subprocess.Popen(_command(store), env=environment, stdout=output, stderr=output))
    return jobs


def _rows_finished(store: Path, processes: int) -> int:
    parts = [store] if processes == 1 else [part_path(store, Share(rank, processes)) for rank in range(processes)]
    return sum(map(_rows_of, parts))


def _rows_of(part: Path) -> int:
    if partial_path(part).is_file():
        with contextlib.suppress(UserError, FileNotFoundError):  # it has just been finished
            return int(np.count_nonzero(open_writer(part).done))
    return len(open_store(part, check_rows=False).row_of) if part.is_file() else 0


def _run_and_kill(store: Path, share: float, processes: int) -> int:
    """Start the job, kill it when this share of all rows is finished, and return the number of finished rows."""
    jobs = _start(store, processes, output=subprocess.DEVNULL)
    while any(job.poll() is None for job in jobs) and _rows_finished(store, processes) < share * NUM_IMAGES:
        time.sleep(0.02)
    for job in jobs:
        job.kill()
    for job in jobs:
        job.wait()
    return _rows_finished(store, processes)


if __name__ == "__main__":
    sys.exit(main())
