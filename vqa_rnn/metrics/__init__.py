"""Official metrics on numpy alone; ``ignite.py`` adapts them to Ignite engines."""
