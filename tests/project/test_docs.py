"""Execute the documentation: commands, examples, links."""

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner, Result

import baselines
import bench.core.paths
import bench.metrics
from bench.cli import app
from bench.core.files import sha256_file, write_bytes
from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.unet import UNet, UNetConfig
from bench.images import encode_png, read_image, to_model
from bench.methods import Models, Problem, find_method
from bench.networks.checkpoints import PUBLIC_HEAD_CHANNELS, Card, write_checkpoint
from bench.networks.registry import obtain
from bench.networks.registry.records import find_record
from bench.testsets.recipe import find_recipe
from bench.training import architectures
from tools import generate

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "tutorial.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]
"""Pages whose ```sh blocks are executed; ```bash marks what needs another machine or minutes."""

GUIDES = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FACES = sorted((ROOT / "datasets" / "sample" / "images").glob("*.png"))[:2]

TINY = UNetConfig(32, (1, 1, 1, 2), 1, (), head_channels=PUBLIC_HEAD_CHANNELS)
SMALLER = {"bench train": "--steps 1 --batch 1"}  # the last of an option's values wins


def documents() -> list[Path]:
    """Every Markdown file of the project, but for what is installed, cached or made by runs."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:  # an export without its history
        return [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("datasets/**/*.md")]
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def shell_blocks(text: str) -> list[list[str]]:
    """The lines of each ```sh block."""
    return [
        block.replace("\\\n", " ").strip().splitlines()
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def files_shown(text: str) -> dict[str, str]:
    """Path -> content of every file that the text gives in full: its name, then the block."""
    pattern = r"^`([\w/.-]+)`:\n\n```(?:python|toml)\n(.*?)^```"
    return dict(re.findall(pattern, text, re.MULTILINE | re.DOTALL))


# --- The command line ---------------------------------------------------------------------------


def commands(
    command: Any = None, path: tuple[str, ...] = ("bench",)
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and object of every command and group of the app."""
    command = command or get_command(app)
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


LEAVES = {
    " ".join(path): command for path, command in commands() if not hasattr(command, "commands")
}


def test_the_command_reference_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_command_reference_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FILE", tmp_path / "cli.md")
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    generate.FILE.write_text(generate.text().replace("--scale", "--factor"), encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert "run `python -m tools.generate`" in capsys.readouterr().err
    assert generate.main(["--chek"]) == 2


def test_the_command_reference_does_not_depend_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = generate.text()
    for name, value in {"COLUMNS": "200", "TERMINAL_WIDTH": "40", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert generate.text() == expected
    assert "\x1b" not in expected
    assert max(len(line) for line in expected.split("```text")[1].splitlines()) <= generate.WIDTH


def test_every_command_is_in_the_reference() -> None:
    headings = re.findall(r"^## (.+)$", generate.text(), re.MULTILINE)
    assert headings == [" ".join(path) for path, _ in commands()]
    for path, _ in commands():
        assert f"Usage: {' '.join(path)} [OPTIONS]" in generate.text()


@pytest.mark.parametrize("name", [" ".join(path) for path, _ in commands()])
def test_every_command_has_help(name: str) -> None:
    command = {" ".join(path): command for path, command in commands()}[name]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} of {name} says nothing"


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_an_example_that_can_be_meant(name: str) -> None:
    example = re.fullmatch(rf"Example: `({name}\b[^`]*)`", LEAVES[name].epilog or "")
    assert example, f"{name} has no example"
    words = shlex.split(example[1].partition(">")[0])[len(name.split()) :]
    LEAVES[name].make_context(name, words)  # a wrong option or value is an error


# --- README and guides ---------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project and workspace like this one, with the files of the guides and tiny networks.

    The commands of the guides run in it: on one image, with two steps and random networks, for it
    is the commands that are tested here.
    """
    files = files_shown(GUIDES)
    for name in ("baselines", "bench/metrics", "datasets"):
        (tmp_path / name).mkdir(parents=True)
    for recipe in (ROOT / "datasets").glob("*.toml"):
        shutil.copy(recipe, tmp_path / "datasets")
    published = "results/published"
    shutil.copytree(ROOT / published, tmp_path / published)
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    config = (ROOT / "bench.toml").read_text(encoding="utf-8")
    config, settings = re.subn(r"^steps = \d+", "steps = 3", config, flags=re.MULTILINE)
    config = re.sub(r"^range_t = \d+", "range_t = 1", config, flags=re.MULTILINE)
    assert settings, "bench.toml sets no steps: make this test's runs short in another way"
    (tmp_path / "bench.toml").write_text(config, encoding="utf-8")
    for folder in ("DIR", "FACES", "datasets/sample/images"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(FACES[0], tmp_path / folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bench.core.paths, "_PACKAGE", tmp_path / "bench")
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path / "baselines")])
    added = str(tmp_path / "bench" / "metrics")
    monkeypatch.setattr(bench.metrics, "__path__", [*bench.metrics.__path__, added])
    write_networks(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(autouse=True)
def forget_the_files_of_the_readme() -> Iterator[None]:
    """Modules that the README adds must not outlive their test."""
    bench.metrics._scanned.cache_clear()
    yield
    for name in files_shown(GUIDES):
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)
    bench.metrics._scanned.cache_clear()


def write_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the embedded networks, and for ffhq_10m.pt: as FILE, and as if downloaded."""
    torch.manual_seed(0)
    prior = UNet(TINY)
    checkpoints = folder / "bench" / "checkpoints"
    write_checkpoint(checkpoints / "prior-64.safetensors", prior, Card("prior", 64, TINY))
    crt = dataclasses.replace(TINY, out_channels=3)
    for scale in (8, 16):
        card = Card("corrector", 64, crt, scale, 2)
        write_checkpoint(checkpoints / f"corrector-64-x{scale}.safetensors", Corrector(crt), card)
    torch.save(prior.state_dict(), folder / "FILE")
    record = dataclasses.replace(find_record("prior-256"), sha256=sha256_file(folder / "FILE"))
    monkeypatch.setattr(obtain, "find_record", {"prior-256": record}.get)
    record.path.parent.mkdir()
    shutil.copy(folder / "FILE", record.path)
    monkeypatch.setattr(architectures, "PRIOR_64", TINY)
    monkeypatch.setattr(architectures, "CORRECTOR_64", crt)
    monkeypatch.setattr(architectures, "CORRECTOR_256", crt)


def invoke(line: str) -> Result:
    """Run one `bench` line in this process."""
    extra = next((more for start, more in SMALLER.items() if line.startswith(start)), "")
    name, *words = shlex.split(f"{line} {extra}")
    assert name == "bench"
    assert not set(line) & set("|;&$()<>"), f"{line}: this test knows no shell"
    return CliRunner().invoke(app, words, prog_name="bench")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_blocks_of_a_page_run_in_order(page: Path, project: Path) -> None:
    lines = [line for block in shell_blocks(page.read_text(encoding="utf-8")) for line in block]
    if any(line.startswith("bench ") for line in lines):
        assert invoke("bench prepare sample --scale 8").exit_code == 0
    for line in lines:
        if line.startswith("make "):
            assert line.split()[1:], line
            assert set(line.split()[1:]) <= make_targets(), f"{line}: the Makefile has no such"
        else:
            result = invoke(line)
            assert result.exit_code == 0, f"{line}\n{result.output}{result.exception or ''}"


def make_targets() -> set[str]:
    """Targets that the Makefile declares phony and has a rule for."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    return set(phony.split()) & set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def test_a_wrong_shell_line_is_noticed(project: Path) -> None:
    for line in ("bench prepare celebb --source DIR", "bench report --latekz", "bench rnu dpi"):
        assert invoke(line).exit_code == 2
    assert "deploy" not in make_targets()


def test_every_documented_file_is_short_and_listed() -> None:
    shown = files_shown(GUIDES)
    assert {Path(name).parent.as_posix() for name in shown} == {
        "baselines",
        "datasets",
        "bench/metrics",
    }
    for name, content in shown.items():
        assert len(content.splitlines()) < 60
        assert not (ROOT / name).exists(), f"the example {name} is in the project by now"


def test_the_method_of_the_readme(project: Path) -> None:
    (name,) = (Path(name).stem for name in files_shown(GUIDES) if name.startswith("baselines"))
    method = find_method(name)
    lr = to_model([read_image(face)[::32, ::32] for face in FACES])
    noise = KeyedNoise([StreamKey(0, face.stem) for face in FACES])
    problem = Problem(lr, 4, noise, Models())
    restored = method.restore(problem, method.configured(4, {"filter": "nearest"}))
    torch.testing.assert_close(restored, lr.repeat_interleave(4, 2).repeat_interleave(4, 3))
    smooth = method.restore(problem, method.settings(4))
    assert smooth.shape == restored.shape
    assert not torch.equal(smooth, restored)


def test_the_python_of_the_readme(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (
        b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import bench" in b
    )
    write_bytes(project / "lr.png", encode_png(read_image(FACES[0])[::32, ::32]))
    names: dict[str, Any] = {}
    exec(code.replace('"steps": 20', '"steps": 2'), names)
    assert "| Bicubic |" in capsys.readouterr().out
    assert names["restored"].shape == (64, 64, 3)


def test_the_recipe_of_the_readme(project: Path) -> None:
    (name,) = (Path(name).stem for name in files_shown(GUIDES) if name.endswith(".toml"))
    recipe = find_recipe(name, project / "datasets")
    assert recipe.count == 1000
    assert recipe.box(64) == (0.18, 0.264, 0.82, 0.904)
    assert recipe.box(256) == (0.0, 0.0, 1.0, 1.0)


def test_the_metric_of_the_readme(project: Path) -> None:
    metric = bench.metrics.find("mae")
    pixels = read_image(FACES[0])
    brighter = pixels // 2 + 3
    darker = pixels // 2
    assert metric.score([darker, brighter, pixels], [brighter, darker, pixels]) == [3, 3, 0]


# --- Links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in target and not leads_somewhere(document, target)
    ]
    assert broken == []


def leads_somewhere(document: Path, target: str) -> bool:
    """Whether a link's file exists, and its heading where it names one of a Markdown file."""
    name, _, heading = target.partition("#")
    file = document.parent / name if name else document
    if not heading:
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_a_broken_link_is_noticed() -> None:
    readme = ROOT / "README.md"
    assert not leads_somewhere(readme, "docs/absent.md")
    assert not leads_somewhere(readme, "docs/architecture.md#heights")
    assert leads_somewhere(readme, "docs/architecture.md#layers")
