"""``vqa-rnn seq2seq``: sequence-to-sequence models."""
