"""The published contract suites, run over every store of ours."""
