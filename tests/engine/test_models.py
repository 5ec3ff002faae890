"""Networks and provenance of a run: loaded, counted, recorded."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bench.engine.provenance
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.diffusion.corrector import Corrector
from bench.diffusion.unet import UNet
from bench.engine.experiment import Experiment
from bench.engine.models import _check_fit, load_models
from bench.engine.provenance import not_promised, provenance
from bench.methods import Method, configure, find_method
from bench.networks.checkpoints import Card, write_checkpoint
from tests.running import run_method
from tests.small import TINY_CORRECTOR, TINY_PRIOR, small_testset

CPU = torch.device("cpu")
BOTH: Method[object] = find_method("dpi")


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str]:
    torch.manual_seed(0)
    prior, corrector = tmp_path / "prior.safetensors", tmp_path / "corrector.safetensors"
    write_checkpoint(prior, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))
    write_checkpoint(
        corrector, Corrector(TINY_CORRECTOR), Card("corrector", 16, TINY_CORRECTOR, 4, 2)
    )
    return {"prior": str(prior), "corrector": str(corrector)}


def test_what_a_method_needs_is_loaded_hashed_and_counted(weights: dict[str, str]) -> None:
    loaded = load_models(configure(BOTH, 4, 16), 16, weights, CPU)
    assert weights["prior"] is not None
    assert weights["corrector"] is not None
    assert loaded.sha256 == {
        "prior": sha256_file(Path(weights["prior"])),
        "corrector": sha256_file(Path(weights["corrector"])),
    }
    x, t = torch.zeros(3, 3, 16, 16), torch.zeros(3, dtype=torch.long)
    assert loaded.models.prior is not None
    assert loaded.models.corrector is not None
    assert len(loaded.models.prior.schedule) == 1000
    loaded.models.prior.predict(x, 0)
    loaded.models.corrector(x[:2], t[:2], x[:2])
    assert loaded.evaluations == 3 + 2


def test_the_prior_gets_the_parametrisation_of_its_card(tmp_path: Path) -> None:
    for prediction in ("eps", "v"):
        path = tmp_path / f"{prediction}.safetensors"
        write_checkpoint(
            path, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR, prediction=prediction)
        )
        loaded = load_models(configure(find_method("ddnm"), 4, 16), 16, {"prior": str(path)}, CPU)
        assert loaded.models.prior is not None
        assert loaded.models.prior.prediction == prediction


def test_what_a_method_does_not_need_is_not_loaded(weights: dict[str, str]) -> None:
    def needed(name: str) -> set[str]:
        return set(load_models(configure(find_method(name), 4, 16), 16, weights, CPU).sha256)

    assert needed("bicubic") == set()
    assert needed("ddnm") == {"prior"}


@pytest.mark.parametrize(
    ("size", "scale", "k", "message"),
    [
        (32, 4, 2, r"prior\.safetensors was trained for size 16, but the test set has size 32"),
        (16, 8, 2, r"corrector\.safetensors was trained for scale 4, but the test set has scale 8"),
        (16, 4, 4, r"corrector\.safetensors was trained for k 2, but the settings have k 4"),
    ],
)
def test_networks_for_other_images_are_refused(
    weights: dict[str, str], size: int, scale: int, k: int, message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        load_models(configure(BOTH, scale, size, {"dpi": {"k": k}}), size, weights, CPU)


def test_a_released_network_of_another_kind_is_not_called_a_prior() -> None:
    card = Card("sr3", 128, TINY_PRIOR, scale=8)
    with pytest.raises(BenchError, match=r"sr3\.pth was trained for size 128, but the test set"):
        _check_fit(Path("sr3.pth"), card, 64, configure(find_method("sr3"), 8, 64))


def test_a_corrector_is_no_prior(weights: dict[str, str]) -> None:
    swapped = {"prior": weights["corrector"], "corrector": weights["prior"]}
    with pytest.raises(BenchError, match="holds a corrector, but a prior is needed"):
        load_models(configure(BOTH, 4, 16), 16, swapped, CPU)


def test_a_run_counts_evaluations_and_depends_on_its_weights(
    weights: dict[str, str], tmp_path: Path
) -> None:
    testset = small_testset(tmp_path, count=3)
    settings = {"dpi": {"steps": 4}}
    experiment = Experiment(testset, tmp_path / "results", settings, weights, batch=2)

    def run(given: dict[str, str]) -> tuple[str, dict[str, int | None]]:
        done = run_method("dpi", replace(experiment, weights=given)).run
        records = done.records().values()
        return done.spec.identity, {record.image: record.evaluations for record in records}

    with pytest.raises(BenchError, match="trained for k 2, but the settings have k 4"):
        run_method("dpi", replace(experiment, settings={"dpi": {"k": 4}}))
    identity, evaluations = run(weights)
    assert evaluations == {f"face-{seed}": 2 * 4 for seed in range(3)}  # prior and Corrector
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    write_checkpoint(other, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))
    assert run({"prior": str(other), "corrector": weights["corrector"]})[0] != identity


def test_provenance_says_what_may_matter_as_json() -> None:
    facts = json.loads(json.dumps(provenance(CPU)))
    assert facts.keys() == {
        *("started", "commit", "dirty", "packages", "python", "system"),
        *("processor", "threads", "device", "gpu", "not_promised"),
    }
    assert facts["packages"].keys() == {"bench", *bench.engine.provenance.PACKAGES}
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert (facts["device"], facts["gpu"]) == ("cpu", None)
    assert facts["started"].endswith("+00:00")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_recorded_and_whether_the_code_was_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[str | None, bool | None]:
        facts = provenance(CPU)
        return facts["commit"], facts["dirty"]

    file = tmp_path / "bench" / "engine" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(bench.engine.provenance, "__file__", str(file))
    assert found() == (None, None)  # an installed package
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--message", "x")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert found() == (commit, False)
    (tmp_path / "results.txt").write_text("")  # what git does not know is no change of the code
    assert found() == (commit, False)
    file.write_text("changed")
    assert found() == (commit, True)


def test_a_run_says_when_it_cannot_promise_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not_promised(CPU) == []
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    order, digits = not_promised(cuda)
    assert "sum in a different order" in order
    assert "TF32" in digits
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert not_promised(cuda) == []
