"""Errors meant for people."""


class BenchError(Exception):
    """An error that a user can fix: what is wrong, where, and what to do.

    The command line prints the message alone and exits with 1; `--debug` shows the traceback.
    """


class Refused(BenchError):
    """An unusable external file: the folder that was made for it is removed with its contents."""


class WrongUsage(BenchError):
    """An invalid name or value on the command line or in bench.toml; exits with 2."""


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, like KeyboardInterrupt on Ctrl-C; the command line exits with 143."""
