"""Entry point of ``python -m vqa_rnn``, which is the same as ``vqa-rnn``."""

from vqa_rnn.cli import entry_point

entry_point()
