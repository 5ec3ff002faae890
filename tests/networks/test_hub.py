"""Priors from the Hugging Face hub, downloaded from a local one."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.core.errors import BenchError, WrongUsage
from bench.networks import hub
from bench.networks.checkpoints import convert_prior, read_card
from bench.networks.kinds import find_kind
from bench.networks.torchvision_guard import import_torchvision
from tests.command import bench as command
from tests.command import good
from tests.networks.test_diffusers import small_unet

import_torchvision()
diffusers: Any = pytest.importorskip("diffusers", reason="diffusers is an extra")

NAME, COMMIT = "google/ddpm-celebahq-256", "0123456789abcdef0123456789abcdef01234567"
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as of 2022: no subfolder, attention under its old names, weights in two formats."""
    network = small_unet()
    folder = tmp_path_factory.mktemp("repository")
    network.save_pretrained(folder)
    diffusers.DDPMScheduler().save_pretrained(folder)
    (folder / "README.md").write_text("A model card.")
    weights = folder / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    for new, old in OLD_NAMES.items():
        state = {
            name.replace(f".{new}.", f".{old}.") if ".attentions." in name else name: tensor
            for name, tensor in state.items()
        }
    assert any("proj_attn" in name for name in state)
    save_file(state, weights, {"format": "pt"})
    torch.save(state, folder / "diffusion_pytorch_model.bin")
    return folder


@pytest.fixture
def asked() -> list[str]:
    """Return the paths asked of the hub so far."""
    return []


@pytest.fixture
def address(repository: Path, asked: list[str]) -> Iterator[str]:
    """Serve the repository under the hub's paths and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path = self.path.split("?")[0]
            if path.startswith(f"/api/models/{NAME}"):
                files = sorted(repository.iterdir())
                if "/tree/" in path:
                    entries = [
                        {"type": "file", "path": f.name, "oid": "0" * 40, "size": f.stat().st_size}
                        for f in files
                    ]
                    self._answer(200, json.dumps(entries).encode())
                    return
                siblings = [{"rfilename": file.name} for file in files]
                facts = {"id": NAME, "sha": COMMIT, "siblings": siblings}
                self._answer(200, json.dumps(facts).encode())
            elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
                self._answer(200, (repository / path.rsplit("/", 1)[1]).read_bytes())
            else:
                self._answer(404, b"{}")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def run(folder: Path, address: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run bench in a process of its own, since the hub's package reads its address at import."""
    environment = {**os.environ, "HF_ENDPOINT": address, "BENCH_CACHE": str(folder / "cache")}
    environment["HF_HOME"] = str(folder / "home")
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_prior_is_downloaded_once_and_then_used_by_name(
    address: str,
    asked: list[str],
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run(tmp_path, address, "weights", "get", f"hf:{NAME}")
    assert first.returncode == 0, first.stderr
    assert f"use it with `--prior hf:{NAME}`" in first.stdout
    fetched = {path.rsplit("/", 1)[1] for path in asked if "/resolve/" in path}
    assert fetched == {
        "config.json",
        "scheduler_config.json",
        "diffusion_pytorch_model.safetensors",  # not the other format, nor README.md
    }
    asked.clear()
    assert run(tmp_path, address, "weights", "get", f"hf:{NAME}").returncode == 0
    assert asked == []

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    file = hub.chosen_file(f"hf:{NAME}")
    training = read_card(file).training or {}
    assert training == {"hub": NAME, "dataset": "celeba", "revision": COMMIT}
    network = find_kind("prior").load(file).network
    theirs = diffusers.UNet2DModel.from_pretrained(repository)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0, 999])
    with torch.inference_mode():
        torch.testing.assert_close(network(x, t), theirs(x, t).sample, atol=1e-5, rtol=0)

    (tmp_path / "bench.toml").write_text(
        f'size = 16\nmetrics = ["psnr"]\n[weights]\nprior = "hf:{NAME}"\n'
    )
    good("prepare", "sample", "--count", "1", "--scale", "4")
    good("run", "ddnm", "--set", "ddnm.steps=2")
    (described,) = (tmp_path / "results").rglob("run.json")
    provenance = json.loads(described.read_text())["provenance"]
    assert provenance["weights"]["prior"] == str(file)
    assert f"hf:{NAME} here" in " ".join(good("weights", "list").out.split())


def test_what_is_absent_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text("size = 16\n")
    good("prepare", "sample", "--count", "1", "--scale", "4")
    outcome = command("run", "ddnm", "--prior", "hf:someone/faces")
    assert outcome.code != 0
    assert "hf:someone/faces is not here: run `bench weights get hf:someone/faces`" in outcome.err


@pytest.mark.parametrize("name", ["hf:faces", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(WrongUsage, match="not of the form hf:OWNER/NAME"):
        hub.hub_file(name)


def test_no_connection_is_made_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(BenchError, match="BENCH_OFFLINE forbids"):
        hub.get_hub_prior("hf:a/b")


def test_what_the_hub_lacks_leaves_nothing_behind(address: str, tmp_path: Path) -> None:
    absent = run(tmp_path, address, "weights", "get", "hf:someone/else")
    assert absent.returncode != 0
    assert "hf:someone/else can't be downloaded" in absent.stderr
    assert "Traceback" not in absent.stderr
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_kind_of_model_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hub:
        def model_info(self, name: str, revision: str | None) -> Any:
            return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename="config.json")])

        def snapshot_download(self, name: str, local_dir: str, **_: object) -> None:
            (Path(local_dir) / "config.json").write_text('{"_class_name": "AutoencoderKL"}')

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "import_module", lambda name: Hub())
    with pytest.raises(BenchError, match=r"^hf:a/b/config.json describes AutoencoderKL"):
        hub.get_hub_prior("hf:a/b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_2022_converts(repository: Path, tmp_path: Path) -> None:
    card = convert_prior(repository, None, tmp_path / "prior.safetensors")
    assert (card.size, card.training) == (16, None)
