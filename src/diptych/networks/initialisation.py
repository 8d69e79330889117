"""Initial weights."""

from torch import nn

from diptych.config import Initialisation

GAIN = 0.02


def initialise(network: nn.Module, initialisation: Initialisation) -> None:
    """Draws the weights of ``network`` in place, from torch's global random number generator.

    Convolutions and linear layers: normal(0, 0.02), or Xavier normal or orthogonal with gain 0.02, or Kaiming normal
    by fan-in; biases 0. Batch norm: weight normal(1, 0.02), bias 0.
    Source: the CycleGAN paper, appendix 7.1, and the authors' code.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            match initialisation:
                case "normal":
                    nn.init.normal_(module.weight, 0.0, GAIN)
                case "xavier":
                    nn.init.xavier_normal_(module.weight, gain=GAIN)
                case "kaiming":
                    nn.init.kaiming_normal_(module.weight, mode="fan_in")
                case "orthogonal":
                    nn.init.orthogonal_(module.weight, gain=GAIN)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, GAIN)
            nn.init.zeros_(module.bias)
