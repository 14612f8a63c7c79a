"""Run folder, image and question to an answer."""
