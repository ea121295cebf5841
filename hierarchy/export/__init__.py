"""A song for other eyes and other programs."""
