"""A seeded fuzzer of the commands: malformed files, run folders and options, each case in a process of its own.

Whatever a command is given, it must end with status 0 (3 for a fit of no use), or with 2 and one line `error: ...`: no
traceback, no hang, no signal, no control characters on the terminal. `python -m tests.support.fuzz --help` runs it, see
`__main__.py`.
"""
