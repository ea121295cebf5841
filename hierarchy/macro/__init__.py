"""Songs: grains on the beat grid, joined, mastered and finished."""
