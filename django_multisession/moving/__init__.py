"""Moving in: two places are one, the entry's own and the one that its FALLBACK names. No engine knows of it."""
