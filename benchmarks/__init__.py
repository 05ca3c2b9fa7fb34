"""Compare the engines' speed with what one would use instead: ``python -m benchmarks --help``."""
