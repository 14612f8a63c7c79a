"""``vqa-rnn lm``: language models."""
