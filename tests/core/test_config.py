"""bench.toml: found upwards, checked, and the project's own one."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.core.config import Config, open_workspace, read_config
from bench.core.errors import BenchError, WrongUsage
from bench.methods import find_method, method_names
from bench.metrics import all_metrics

PROJECT = Path(__file__).parents[2]


def toml(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.toml").write_text(text, encoding="utf-8")
    return folder / "bench.toml"


def test_the_nearest_bench_toml_upwards_decides(tmp_path: Path) -> None:
    toml(tmp_path, "seed = 1")
    toml(tmp_path / "a" / "b", "seed = 2")
    for start, root, seed in [("", "", 1), ("a", "", 1), ("a/b", "a/b", 2), ("a/b/c", "a/b", 2)]:
        (tmp_path / start).mkdir(exist_ok=True)
        here = open_workspace(tmp_path / start)
        assert (here.root, here.config.seed) == (tmp_path / root, seed)
        assert here.config_file == tmp_path / root / "bench.toml"
        assert here.testsets == tmp_path / root / "testsets"
        assert here.results == tmp_path / root / "results"


def test_without_one_the_folder_itself_is_the_workspace(tmp_path: Path) -> None:
    here = open_workspace(tmp_path)
    assert (here.root, here.config, here.config_file) == (tmp_path, Config(), None)


def test_everything_it_may_say(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        testset = "faces"
        size = 64
        seed = 3
        batch = 5
        reference = "ffhq"
        precision = "bfloat16"
        methods = ["dpi"]
        metrics = ["psnr"]
        [weights]
        prior = "nets/prior.safetensors"
        corrector = "/elsewhere/crt.safetensors"
        [settings.dpi]
        steps = 20
        [recognition.mine]
        model = "Dlib"
        """,
    )
    # Paths count from the file, so that commands work alike in every folder below it.
    weights = {
        "prior": str(tmp_path / "nets/prior.safetensors"),
        "corrector": "/elsewhere/crt.safetensors",
    }
    assert asdict(read_config(file)) == {
        "testset": "faces",
        "size": 64,
        "seed": 3,
        "batch": 5,
        "reference": "ffhq",
        "precision": "bfloat16",
        "methods": ("dpi",),
        "metrics": ("psnr",),
        "weights": weights,
        "settings": {"dpi": {"steps": 20}},
        "recognition": {"mine": {"model": "Dlib"}},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "FILE has no 'sede': did you mean 'seed'?"),
        ('seed = "1"', "FILE.seed is '1', but must be a whole number."),
        ("batch = 0", "FILE.batch is 0, but must be at least 1."),
        ("batch = -2", "FILE.batch is -2, but must be at least 1."),
        ("settings = 3", "FILE.settings is 3, but must be a table."),
        ("[settings]\ndpi = 3", "FILE.settings.dpi is 3, but must be a table."),
        ("methods = 'dpi'", "FILE.methods is 'dpi', but must be a list of values, each a string."),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(tmp_path: Path, text: str, message: str) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(WrongUsage) as caught:
        read_config(file)
    assert str(caught.value) == message.replace("FILE", str(file))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"batch = 1\nseed = \n", r"\(at line 2, column 8\)"),
        (b"seed = 1\nseed = 2\n", "Cannot overwrite a value"),
        (b"testset = '\xff'", "can't decode"),
    ],
)
def test_what_is_no_toml_is_named_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "bench.toml"
    file.write_bytes(data)
    with pytest.raises(BenchError, match=rf"^{re.escape(str(file))} can't be read: .*{reason}"):
        open_workspace(tmp_path)


def test_the_projects_own_names_what_exists() -> None:
    config = read_config(PROJECT / "bench.toml")
    assert set(config.methods) <= set(method_names())
    assert set(config.metrics) <= set(all_metrics())
    for name, settings in config.settings.items():
        for scale in (4, 8, 16):
            configured = asdict(find_method(name).configured(scale, settings))
            assert json.loads(json.dumps(settings)) == {k: configured[k] for k in settings}


def test_the_defaults_name_what_exists() -> None:
    assert set(Config().methods) <= set(method_names())
    assert set(Config().metrics) <= set(all_metrics())


def test_the_projects_own_compares_at_equal_numbers_of_steps() -> None:
    settings = read_config(PROJECT / "bench.toml").settings
    assert len({settings[name]["steps"] for name in ("ilvr", "ddnm", "dpi")}) == 1
