"""bench.toml, and the user's own recipes and program descriptions."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench.core.files import write_bytes
from tests.bad_input.case import CONFIGURATION, Accepted, Refused

RECIPE = """
title = "Odd"
origin = "a test"
licence = "none"
alignment = "none"
selection = "all"
source = "../photos"
"""
PROGRAM = 'title = "Odd"\nrepository = "https://localhost/odd"\ncommand = ["{python}"]\n'
DEEP = "[" * 100_000


def toml(text: str | bytes, file: str = "bench.toml") -> Callable[[Path], None]:
    data = text.encode() if isinstance(text, str) else text
    return lambda home: write_bytes(home / file, data)


def suite(text: str, *says: str, command: str = "run", code: int = 2) -> Refused:
    return Refused(command, says, toml(text), code)


def recipe(text: str, *says: str, code: int = 2) -> Refused:
    return Refused("prepare odd --scale 4", says, toml(RECIPE + text, "datasets/odd.toml"), code)


def program(text: str, *says: str) -> Refused:
    return Refused("run odd", says, toml(PROGRAM + text, "baselines/odd.toml"), 2)


def without_source(home: Path) -> None:
    toml(RECIPE, "datasets/odd.toml")(home)
    shutil.rmtree(home / "photos")


BELOW = ("baselines/odd.toml", "must be a path below a folder")
UNREADABLE = ("bench.toml can't be read",)

REFUSED = {
    "half a line": suite("seed =\nbatch = 2", *UNREADABLE, "line 1", code=1),
    "a key twice": suite("seed = 1\nseed = 2\n", *UNREADABLE, "line 2", code=1),
    "the syntax of another format": suite('{"seed": 1}', *UNREADABLE, "line 1", code=1),
    "UTF-16": Refused("run", UNREADABLE, toml("seed = 1".encode("utf-16")), 1),
    "brackets without end": suite(f"a = {DEEP}", *UNREADABLE, "too deep", code=1),
    "a number of 5,000 digits": suite(f"seed = {'9' * 5000}", *UNREADABLE, code=1),
    "an unknown key": suite("metric = []", "bench.toml has no 'metric'", "did you mean 'metrics'?"),
    "an unknown key within": suite(
        '[weights]\npriro = "x"', "bench.toml.weights has no 'priro'", "did you mean 'prior'?"
    ),
    "a table for a value": suite("[seed]", "bench.toml.seed is {}", "a whole number"),
    "a value for a table": suite("settings = 3", "bench.toml.settings is 3", "a table"),
    "a text for a number": suite('size = "64"', "bench.toml.size is '64'", "a whole number"),
    "a fraction for a number": suite("seed = 1.5", "bench.toml.seed is 1.5", "a whole number"),
    "a text for a list": suite('methods = "dpi"', "bench.toml.methods is 'dpi'", "a list"),
    "no batch": suite("batch = 0", "bench.toml.batch is 0", "at least 1"),
    "a negative batch": suite("batch = -2", "bench.toml.batch is -2", "at least 1"),
    "no size": suite("size = 0", "bench.toml.size is 0", "at least 1"),
    "no methods": suite("methods = []", "bench.toml.methods is empty", "name at least one"),
    "no metrics": suite("metrics = []", "bench.toml.metrics is empty", "name at least one"),
    "an unknown metric": suite('metrics = ["psrn"]', "'psrn'", "did you mean 'psnr' or 'psnr-y'?"),
    "an unknown method": suite('methods = ["bicubik"]', "'bicubik'", "did you mean 'bicubic'?"),
    "settings of an unknown method": suite("[settings.dppi]", "'dppi'", "did you mean 'dpi'"),
    "an unknown setting": suite("[settings.ddnm]\nstep = 1", "no 'step'", "did you mean 'steps'?"),
    "a setting of a wrong type": suite('[settings.ddnm]\nsteps = "9"', "is '9'", "a whole number"),
    "a test set that is missing": suite('testset = "tny"', "'tny'", "did you mean 'tiny'?"),
    "a test set elsewhere": suite('testset = "../home/testsets/tiny"', "There is no test set"),
    "weights that are not there": suite(
        'methods = ["ddnm"]\n[weights]\nprior = "none.pt"', "no prior at", "none.pt", code=1
    ),
    "a size that no scale divides": suite(
        "size = 18",
        "Scale 4 does not divide 18 px",
        "choose a scale",
        command="prepare sample --scale 4",
    ),
    "an unknown distance of faces": suite(
        '[recognition.mine]\nmodel = "Dlib"\nthreshold = 0.1\ndistance = "cosin"',
        "bench.toml.recognition.mine.distance is 'cosin'",
        "choose 'cosine'",
    ),
    "a recipe's syntax": recipe("size = ", "datasets/odd.toml can't be read", code=1),
    "a recipe without its licence": Refused(
        "prepare odd", ("odd.toml lacks 'origin'",), toml('title = "Odd"', "datasets/odd.toml"), 2
    ),
    "a recipe's unknown key": recipe("sise = 1", "odd.toml has no 'sise'", "did you mean 'size'?"),
    "a recipe's negative count": recipe("count = -1", "odd.toml.count is -1", "at least 1"),
    "a recipe's negative size": recipe("size = -16", "odd.toml.size is -16", "at least 1"),
    "a recipe's box outside of the image": recipe(
        "[framing]\n16 = [0, 0, 2, 1]", "framing.16 is not a box inside the image", code=1
    ),
    "a recipe's box of nan": recipe(
        "[framing]\n16 = [0, 0, nan, 1]", "framing.16 is not a box inside the image", code=1
    ),
    "a recipe of what is gone": Refused(
        "prepare odd --scale 4",
        ("photos does not exist", "--source"),
        without_source,
    ),
    "a program's result elsewhere": program('result = "../{image}.png"', *BELOW),
    "a program's result at the root": program('result = "/{image}.png"', *BELOW),
    "a program's result on a drive": program("result = 'C:\\{image}.png'", *BELOW),
    "a program's input elsewhere": program('[inputs]\n"../x" = "lr"', *BELOW),
    "a program's weights elsewhere": program(
        '[[weights]]\nsource = "x"\nfiles = ["../../w.pt"]', *BELOW
    ),
    "a program's commit that is an option": program(
        'commit = "--upload-pack=x"', "names '--upload-pack=x'", "not a repository or commit"
    ),
    "a program's command without a place": Refused(
        "run odd",
        ("odd.toml.command has the unknown placeholder {secret}", "known are"),
        toml(PROGRAM.replace("{python}", "{secret}"), "baselines/odd.toml"),
        2,
    ),
    "a program that is not set up": Refused(
        "run odd",
        ("odd is not installed", "run `bench external setup odd`"),
        toml(PROGRAM, "baselines/odd.toml"),
    ),
}

ACCEPTED = {
    "the mark that Windows puts before a text": Accepted(
        "report", toml(b"\xef\xbb\xbf" + CONFIGURATION.encode()), lambda home: None
    ),
}
