"""``vqa-rnn video``: labels for videos and for their frames."""
