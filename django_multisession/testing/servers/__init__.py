"""Real servers for tests: processes on free loopback ports, in a temporary directory.

Needs the extra `[testing]`, and a POSIX system. What has to be fetched is kept in the directory that the variable
MULTISESSION_CACHE names, else in `.cache` of the current directory.
"""
