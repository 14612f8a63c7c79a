"""Conversion of questions and features to batches: encoding, sampler, collate function, loader."""
