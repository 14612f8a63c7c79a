"""One file a sub-command: a Python function that does the work. ``vqa_rnn.cli`` puts the options in front."""
