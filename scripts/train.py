"""Script for torchrun and SLURM: ``python scripts/train.py CONFIG key=value …`` is ``vqa-rnn train CONFIG key=value …``."""

import sys

from vqa_rnn.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
