"""``python -m vqa_rnn`` is ``vqa-rnn``."""

from vqa_rnn.cli import entry_point

entry_point()
