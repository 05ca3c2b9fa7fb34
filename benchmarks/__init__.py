"""How fast the engines are against what one would use instead: ``python -m benchmarks --help``."""
