"""``vqa-rnn score``: the official metrics of result files, one module per benchmark. Nothing here needs torch."""
