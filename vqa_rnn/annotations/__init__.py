"""One reader a benchmark: official files to questions. No tensors, no tokenising."""
