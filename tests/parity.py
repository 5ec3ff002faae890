"""Compare the samplers with recorded runs of the reference implementations.

    python -m tests.parity DIR

reads every dump (`*.npz`) of DIR, finds the cases by their names, replays the recorded draws and
prints the largest difference per case. Exit code 1: a difference above 1e-4, or an error.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines import ddnm, ilvr
from bench.diffusion.operators import average_pooling, bicubic
from bench.diffusion.prior import Network, Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet, infer_config
from bench.dpi import masks
from bench.dpi.corrector import Corrector
from bench.dpi.sampler import DPISettings, sample, step
from bench.errors import BenchError
from bench.images import resize_bicubic
from bench.metrics import find as find_metric
from bench.training.objectives import released_corrector_loss
from tests.recorded import Dump, convolution_network, damped_corrector, tiny_eps

TOLERANCE = 1e-4  # float32 with another order of operations stays near 1e-5 over these loops

Case = tuple[str, float]
"""A case and its largest absolute difference."""


def check_dpi(dump: Dump) -> Iterator[Case]:
    """The released form of DPI: networks, masks, ancestral steps, DDIM loops, Corrector loss."""
    prior_unet = UNet(infer_config(dump.state("sd_prior"), head_channels=16))
    prior_unet.load_state_dict(dump.state("sd_prior"))
    crt = Corrector(infer_config(dump.state("sd_crt"), head_channels=16))
    crt.load_state_dict(dump.state("sd_crt"))
    prior = Prior(tiny_eps(prior_unet), Schedule.linear())
    corrector = damped_corrector(crt)

    if "unet_prior" in dump:
        x, t, y = dump["unet_x"], dump["unet_t"], dump["unet_y"]
        yield "unet_prior", dump.difference("unet_prior", prior_unet(x, t))
        yield "unet_crt", dump.difference("unet_crt", crt(x, t, y))
        yield "tiny_out", dump.difference("tiny_out", prior.network(x, t))

    published = DPISettings(tau=300, s=1.2, omega=750, form="released")
    for case, step_index in dump.cases(r"p(\d+)_sample"):
        index = int(step_index)
        noise = dump.noise(f"p{index}")
        x, y, y_T = dump["p_x"], dump["p_mask"], dump["p_mask0"]
        x, y, x0 = step(prior, corrector, x, y, y_T, index, published, noise)
        yield case, dump.difference(case, x)
        # x0_hat divides the network's rounding errors by sqrt(alpha_bar), 0.006 at t = 999, so
        # it is compared at the scale of x_t.
        signal = float(prior.schedule.alpha_bar[index]) ** 0.5
        yield f"p{index}_x0", signal * dump.difference(f"p{index}_x0", x0)
        yield f"p{index}_mask", dump.difference(f"p{index}_mask", y)
        yield f"p{index}_draws", float(noise.remaining)

    if "maskgen_prob" in dump:
        probability = masks.released_edge_probability(dump["p_mask"], k=2, s=1.2)
        yield "maskgen_prob", dump.difference("maskgen_prob", probability)
        m_a = masks.on_grid(dump.noise("maskgen").bernoulli(probability), k=2)
        yield "maskgen_out", dump.difference("maskgen_out", m_a.expand_as(dump["maskgen_out"]))

    for case, ddim, steps, eta in dump.cases(r"(ddim)?(\d+)_eta([\d.]+)_out"):
        settings = DPISettings(
            tau=7,
            s=1.4,
            omega=30,
            steps=int(steps),
            sampler="ddim",
            eta=float(eta),
            spacing="ddim" if ddim else "even",
            form="released",
        )
        noise = dump.noise(case.removesuffix("_out"))
        yield case, dump.difference(case, sample(prior, corrector, dump["base"], settings, noise))

    if "train_loss" in dump:
        noise = dump.noise("train")
        loss = released_corrector_loss(
            crt,
            prior.schedule,
            dump["gt"],
            dump["base"],
            dump["train_t"],
            noise.normal_like(dump["gt"]),
            noise.normal_like(dump["gt"]),
        )
        yield "train_loss", dump.difference("train_loss", loss)

    for case, scale in dump.cases(r"lr_x(\d+)"):
        gt = dump.arrays["gt256"]
        low = resize_bicubic(gt, len(gt) // int(scale))
        base = resize_bicubic(low, len(gt) // 2)
        yield case, float(np.abs(base.astype(int) - dump.arrays[case]).max())

    if "psnr" in dump and "lr_x8" in dump:
        gt = dump.arrays["gt256"]
        restored = resize_bicubic(dump.arrays["lr_x8"], len(gt))
        for metric in ("psnr", "ssim"):
            (value,) = find_metric(metric).score([restored], [gt])
            yield metric, abs(value - float(dump.arrays[metric]))


def check_ilvr(dump: Dump) -> Iterator[Case]:
    """The low-pass filters and ILVR's loop."""
    size = dump["ref"].shape[-1]
    for case, down in dump.cases(r"down(\d+)"):
        yield case, dump.difference(case, bicubic(size, int(down))(dump["ref"]))
    for case, down in dump.cases(r"phi(\d+)"):
        yield case, dump.difference(case, ilvr.low_pass(dump["ref"], int(down)))
    for case, down, _, range_t in dump.cases(r"N(\d+)_T(\d+)_r(\d+)_out"):
        name = case.removesuffix("_out")
        prior = Prior(_adm(dump), Schedule.linear().keep(dump.arrays[f"{name}_tmap"]))
        noise = dump.noise(name)
        out = ilvr.sample(prior, dump["ref"], int(down), int(range_t), noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", _respacing_difference(dump.arrays[f"{name}_tmap"])
        yield f"{name}_draws", float(noise.remaining)


def check_ddnm(dump: Dump) -> Iterator[Case]:
    """DDNM's main path, its pseudo-inverse and time travel."""
    size = dump["ref"].shape[-1]
    operators = {"avg": average_pooling, "bic": bicubic}
    pattern = r"(avg|bic)(\d+)_T(\d+)L(\d+)R(\d+)_s0\.0_out"
    for case, kind, scale, steps, length, repeat in dump.cases(pattern):
        name = case.removesuffix("_out")
        operator = operators[kind](size, int(scale))
        low = size // int(scale)
        y = dump[f"{name}_y"].reshape(-1, 3, low, low)
        yield f"{name}_y", float((operator(dump["ref"]) - y).abs().max())
        yield f"{name}_Apy", dump.difference(f"{name}_Apy", operator.pseudo_inverse(y))
        settings = ddnm.Settings(
            steps=int(steps), travel_length=int(length), travel_repeat=int(repeat)
        )
        schedule = Schedule.linear().respaced(int(steps), "strided")
        noise = dump.noise(name)
        prior = Prior(_convolution(dump), schedule)
        x, x0 = ddnm.sample(prior, y, operator, settings, noise)
        yield case, dump.difference(case, x)
        yield f"{name}_x0", dump.difference(f"{name}_x0", x0)
        yield f"{name}_draws", float(noise.remaining)


CHECKS: Mapping[str, Callable[[Dump], Iterator[Case]]] = {
    "dpi": check_dpi,
    "ilvr": check_ilvr,
    "ddnm": check_ddnm,
}


def check_for(path: Path) -> Callable[[Dump], Iterator[Case]] | None:
    """The check that knows a dump, by the method that its file name begins with."""
    return next((check for name, check in CHECKS.items() if path.stem.startswith(name)), None)


def _adm(dump: Dump) -> Network:
    state = dump.state("sd")
    unet = UNet(infer_config(state, head_channels=16))
    unet.load_state_dict(state)
    return tiny_eps(unet)


def _convolution(dump: Dump) -> Network:
    return tiny_eps(convolution_network(dump.state("sd")))


def _respacing_difference(timesteps: Any) -> float:
    ours = Schedule.linear().respaced(len(timesteps)).timesteps
    return float(np.abs(ours - timesteps).max())


def main(directory: Path) -> int:
    """Check every dump of a folder, print a line per case, and return the exit code."""
    dumps = sorted(directory.glob("*.npz"))
    if not dumps:
        print(f"{directory} holds no dumps (*.npz).")
        return 1
    failed = False
    for path in dumps:
        check = check_for(path)
        if check is None:
            print(f"{path.name}: unknown: no check for this method yet")
            continue
        dump = Dump.read(path)
        with torch.no_grad():
            try:
                for case, difference in check(dump):
                    ok = difference <= TOLERANCE
                    failed |= not ok
                    print(f"{path.name}: {case}: {difference:.2e}{'' if ok else '  FAILED'}")
            except (BenchError, KeyError) as error:
                failed = True
                print(f"{path.name}: {error}  FAILED")
        for name in dump.untouched():
            print(f"{path.name}: {name}: unknown: no check for this case yet")
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.parity DIR")
    sys.exit(main(Path(sys.argv[1])))
