"""Readers that turn official files into questions, one per benchmark. No tensors, no tokenising."""
