"""The two-level generator: sound in micro time, and the whole song in macro time."""
