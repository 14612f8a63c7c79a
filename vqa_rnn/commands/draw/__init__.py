"""``vqa-rnn draw``: a model that draws digits step by step."""
