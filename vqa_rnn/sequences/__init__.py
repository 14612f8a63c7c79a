"""Recurrent networks for the other problems of the lecture: language models, translation, videos, glimpses and drawing."""
