"""A checkpoint of Inception with random weights in the released layout, which cannot ship."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.networks.torchvision_guard import import_torchvision


def random_inception(file: Path) -> Any:
    """Write the checkpoint and return torch-fidelity's own network with these weights."""
    import_torchvision()
    kind: Any = importlib.import_module(
        "torch_fidelity.feature_extractor_inceptionv3"
    ).FeatureExtractorInceptionV3
    torch.save({}, file)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        network = kind("x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file))
    torch.save(network.state_dict(), file)
    return network
