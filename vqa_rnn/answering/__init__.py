"""Answering a question about an image with the model of a run folder."""
