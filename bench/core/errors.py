"""Errors meant for people."""


class BenchError(Exception):
    """Something a user can mend: what is wrong, where, and what to do, in a sentence or two.

    The command line prints the message alone and exits with 1; `--debug` shows the traceback.
    """


class Refused(BenchError):
    """A file from outside that can't be used as it is; what was made of others is of no use."""


class WrongUsage(BenchError):
    """A name or value on the command line or in bench.toml that can't be meant; exits with 2."""


class Terminated(KeyboardInterrupt):
    """Stopped by SIGTERM, as Ctrl-C stops; the command line exits with 143."""
