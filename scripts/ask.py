"""``python scripts/ask.py …`` is ``vqa-rnn ask …``."""

import sys

from vqa_rnn.cli import main

sys.exit(main(["ask", *sys.argv[1:]]))
