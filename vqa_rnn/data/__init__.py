"""Questions and features to batches: encoding, sampler, collate, loader."""
