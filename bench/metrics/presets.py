"""Named sets of metrics of papers and challenges."""

from bench.core.suggest import look_up

PRESETS: dict[str, tuple[str, ...]] = {
    # Tables 1, 3 and 4 of DPI (Yang et al., AAAI 2025).
    "paper": ("lpips-vgg", "fid", "psnr", "ssim", "cs", "acc"),
    # What papers on blind restoration of 2025 print for real-world faces; FID is to FFHQ.
    "blind-2025": (
        *("fid", "musiq", "clipiqa", "niqe"),
        *("pyiqa:maniqa", "pyiqa:topiq_nr-face", "pyiqa:liqe", "pyiqa:qalign"),
    ),
    # What papers call PSNR and LPIPS, by their protocols, in one table.
    "protocols": ("psnr", "psnr-y", "lpips-vgg", "lpips-vgg-average", "lpips-vgg-unit"),
    # The parts of the score of the NTIRE challenges on real-world face restoration, 2025 and 2026.
    "ntire-faces": (
        *("clipiqa", "pyiqa:maniqa", "musiq", "pyiqa:qalign", "niqe", "fid"),
        *("ntire-score", "id-adaface", "ntire-id-2026"),
    ),
}
"""Name -> metrics."""


def metrics_preset(name: str) -> tuple[str, ...]:
    """Return the names of the metrics of a preset.

    Raises:
        WrongUsage: no such preset.
    """
    known = f"known are {', '.join(PRESETS)}."
    return look_up(name, PRESETS, "There is no preset of metrics", known)
