"""A web page to ask a trained model."""
