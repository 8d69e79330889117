"""A stand-in for MPS, which has no float64."""

import torch


class OnMps(torch.Tensor):
    """A tensor on the CPU that acts as one on MPS: what is computed from it is there too, until it is copied to the
    CPU, and float64 is an error."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs or {})
        if func is torch.Tensor.cpu or (func is torch.Tensor.to and "cpu" in map(str, args[1:])):
            return result.as_subclass(torch.Tensor)
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return result
