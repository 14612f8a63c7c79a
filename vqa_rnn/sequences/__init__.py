"""Recurrent networks for sequences without a question: language models."""
