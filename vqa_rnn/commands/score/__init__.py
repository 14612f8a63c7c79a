"""``vqa-rnn score``: the official metric over files, one module a benchmark. Nothing here needs torch."""
