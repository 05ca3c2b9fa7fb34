"""Real servers for tests: processes on free loopback ports, in a temporary directory."""
