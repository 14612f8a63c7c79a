"""Training of sequence models: one loop for all of them."""
