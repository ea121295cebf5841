"""Many songs as one object: what an album shares, how it runs, and its files."""
