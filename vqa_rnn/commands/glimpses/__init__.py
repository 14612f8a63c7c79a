"""``vqa-rnn glimpses``: readers of glimpses."""
