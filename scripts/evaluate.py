"""``python scripts/evaluate.py …`` is ``vqa-rnn evaluate …``."""

import sys

from vqa_rnn.cli import main

sys.exit(main(["evaluate", *sys.argv[1:]]))
