"""``python scripts/preprocess.py …`` is ``vqa-rnn preprocess …``."""

import sys

from vqa_rnn.cli import main

sys.exit(main(["preprocess", *sys.argv[1:]]))
