"""What the settings of methods can be: all else is refused before anything is run."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Interval

from bench.core.errors import WrongUsage
from bench.core.validation import Finite, _limits, override
from bench.methods import Method, configure, find_method, method_names
from tests.command import bench
from tests.small import small_testset

METHODS = [find_method(name) for name in method_names()]
SIZE, SCALE = 64, 8


def numbers(method: Method[Any]) -> Iterator[tuple[str, type, dict[str, float]]]:
    """Name, type and limits of each setting that is a number; programs of others have none."""
    settings = type(method.settings(SCALE))
    for name, hint in get_type_hints(settings, include_extras=True).items():
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if plain in (int, float) and not method.fingerprint:
            yield name, plain, _limits(hint)


ALL = [(method.name, *number) for method in METHODS for number in numbers(method)]


def outside(of: type, limits: dict[str, float]) -> Iterator[float]:
    """Values next to the limits, and those that are never valid."""
    step = 1 if of is int else 0.001
    beyond = {"ge": -step, "le": step, "gt": 0, "lt": 0}
    yield from (limit + beyond[name] for name, limit in limits.items())
    if of is float:
        yield from (float("nan"), float("inf"), float("-inf"))


def test_every_number_says_what_it_can_be() -> None:
    assert len(ALL) > 20
    assert [(name, setting) for name, setting, _, limits in ALL if not limits] == []


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [(name, setting, value) for name, setting, of, limits in ALL for value in outside(of, limits)],
)
def test_a_number_outside_of_its_range_is_refused_in_a_sentence(
    name: str, setting: str, value: float
) -> None:
    with pytest.raises(WrongUsage) as refused:
        configure(find_method(name), SCALE, SIZE, {name: {setting: value}})
    words = str(refused.value)
    assert words.startswith(f"settings.{name}.{setting} is {value!r}, but must be ")
    assert words.endswith(".")
    assert "\n" not in words


@pytest.mark.parametrize("name", [method.name for method in METHODS])
def test_what_is_published_can_be_set(name: str) -> None:
    method = find_method(name)
    for scale in (1, 4, 8, 16):
        published = method.settings(scale)
        again = configure(method, scale, SIZE, {name: asdict(published)}).settings
        assert asdict(again) == asdict(published)
        for variant in method.variants.values():
            configure(method, scale, SIZE, {name: variant})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("ilvr", {"down": 3}, "settings.ilvr.down is 3, but must divide the size of the results"),
        ("ilvr", {"down": 128}, "settings.ilvr.down is 128, but must divide the size of the"),
        ("dr2", {"down": 5}, "settings.dr2.down is 5, but must divide the size of the results"),
        ("ilvr", {"steps": 20}, "settings.ilvr.range_t is 20, but must be below the 20 steps"),
        ("difface", {"steps": 300}, "settings.difface.steps is 300: No integer stride takes 300"),
        ("pgdiff", {"steps": 999}, "takes 999 of 1000 steps: choose 500 or 1000."),
        ("dpi", {"steps": 450, "spacing": "ddim"}, "settings.dpi.steps is 450: No integer stride"),
        ("difface", {"start": 0.001}, "settings.difface.start is 0.001, of 250 steps index 0"),
        ("pgdiff", {"s_start": 0.5}, "settings.pgdiff.s_end is 0.7, but must be at most s_start"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    name: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(WrongUsage) as refused:
        configure(find_method(name), SCALE, SIZE, {name: changes})
    assert words in str(refused.value)


@dataclass(frozen=True)
class Half:
    open: Annotated[Finite, Interval(gt=0, le=1)] = 1.0
    maybe: Annotated[int, Ge(2)] | None = None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"open": 0}, "is 0, but must be above 0 and at most 1."),
        ({"open": 1.5}, "is 1.5, but must be above 0 and at most 1."),
        ({"open": "x"}, "is 'x', but must be a number."),
        ({"open": float("inf")}, "is inf, but must be finite."),
        ({"open": 10**400}, ", but must be finite."),
        ({"maybe": 1}, "is 1, but must be at least 2."),
        ({"maybe": -(10**400)}, ", but must be at least 2."),
        ({"maybe": "x"}, "is 'x', but must be a whole number."),
    ],
)
def test_a_range_belongs_to_the_type(values: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        override(Half(), values, "here")
    assert words in str(refused.value)
    assert override(Half(), {"open": 1, "maybe": None}, "here") == Half()


@pytest.mark.parametrize("command", ["run ddnm", "sweep ddnm --steps 2", "plan ddnm"])
def test_nothing_is_written(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\n')
    small_testset(tmp_path, count=1)
    outcome = bench(*command.split(), "--set", "ddnm.eta=7", "--testset", "tiny-16-x4")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: settings.ddnm.eta is 7, but must be between 0 and 1.\n"
    assert not (tmp_path / "results").exists()
