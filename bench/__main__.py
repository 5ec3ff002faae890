"""`python -m bench`: the command line where its script is not on the path."""

from bench.cli import app

if __name__ == "__main__":
    app(prog_name="bench")
