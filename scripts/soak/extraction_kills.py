"""Kill feature extraction with SIGKILL at several moments, run it again each time, and compare with an undisturbed store.

    python scripts/soak/extraction_kills.py [--kills 5]

easy-VQA at its recipe's settings. Prints how many rows were finished at each kill and whether every data set of the two stores
is equal byte for byte; ends with exit code 1 if one is not, or if a finished row was done again.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from vqa_rnn.features.store import open_writer, partial_path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, disturbed = Path(folder) / "whole.h5", Path(folder) / "disturbed.h5"
        subprocess.run(_command(whole), check=True, stdout=subprocess.DEVNULL)
        wanted = np.linspace(0.1, 0.9, arguments.kills)
        good = True
        for share in wanted:
            finished = _run_and_kill(disturbed, share)
            print(f"killed with {finished} rows finished")
        before = _rows_finished(disturbed)
        result = subprocess.run([*_command(disturbed), "--json"], check=True, capture_output=True, text=True)
        print(f"the last run: {result.stdout.strip()}")
        good &= f'"num_done": {5000 - before}' in result.stdout
        with h5py.File(whole) as one, h5py.File(disturbed) as other:
            for name in one:
                equal = (
                    one[name][:].tobytes() == other[name][:].tobytes()
                    if name != "image_id"
                    else all(one[name][:] == other[name][:])
                )
                print(f"{name}: {'equal' if equal else 'DIFFERENT'}")
                good &= bool(equal)
    print("finished rows were not done again" if good else "FAILED")
    return 0 if good else 1


def _command(store: Path) -> list[str]:
    return [sys.executable, "-m", "vqa_rnn", "preprocess", "easy_vqa", f"features.store={store}"]


def _rows_finished(store: Path) -> int:
    return int(np.count_nonzero(open_writer(store).done)) if partial_path(store).is_file() else 0


def _run_and_kill(store: Path, share: float) -> int:
    """Start the job, kill it once this share of all rows is finished."""
    process = subprocess.Popen(_command(store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _rows_finished(store) < share * 5000:
        time.sleep(0.02)
    process.kill()
    process.wait()
    return _rows_finished(store)


if __name__ == "__main__":
    sys.exit(main())
