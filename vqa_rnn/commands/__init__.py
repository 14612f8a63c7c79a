"""One module per sub-command, with the Python function that does the work. ``vqa_rnn.cli`` adds the command-line options."""
