"""Fuzz each parser by atheris: python -m tests.fuzz SECONDS [TARGET ...]."""

import subprocess
import sys
import tempfile
from pathlib import Path

MEGABYTES = 4096
"""Of memory that a parser may take, torch and all; libFuzzer ends it beyond."""

SECONDS = 30
"""That one input may take on a busy machine."""


def fuzz(name: str, seconds: int) -> int:
    """Fuzz one target in this process, which libFuzzer ends; what breaks it is kept."""
    import atheris

    with atheris.instrument_imports(include=["bench"]):
        from tests.fuzz.targets import TARGETS, keep, seeds

    def one(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                TARGETS[name](data, Path(folder))
            except BaseException:
                print(f"{name}: kept as {keep(name, data)}", file=sys.stderr)
                raise

    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds(name)):
            (Path(corpus) / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
        quiet = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={corpus}/"]
        atheris.Setup([sys.argv[0], *limits, *quiet, corpus], one)
        atheris.Fuzz()
    return 0


def main(seconds: str, *names: str) -> int:
    """Fuzz each target in a process of its own; how many of them broke."""
    from tests.fuzz.targets import TARGETS

    broken = []
    for name in names or TARGETS:
        print(f"{name}, {seconds} seconds", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", seconds, "--alone", name]
        if subprocess.run(command, check=False).returncode:
            broken.append(name)
    print(f"Broken: {', '.join(broken) or 'none'}")
    return len(broken)


if __name__ == "__main__":
    if sys.argv[2:3] == ["--alone"]:
        sys.exit(fuzz(sys.argv[3], int(sys.argv[1])))
    sys.exit(main(*sys.argv[1:]))
