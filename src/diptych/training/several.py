"""Several processes, on one machine or more: torch.distributed through Accelerate."""

import atexit
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate.accelerator import Accelerator
from accelerate.utils.dataclasses import DistributedDataParallelKwargs
from torch import Tensor, distributed, nn

from diptych.errors import OptionError, RunError, UserError
from diptych.monitoring.meters import NonFiniteError
from diptych.training.processes import Processes

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long to wait for the others: they wait while the first looks through all pictures, draws and scores. That one has
died is not found out by waiting but from its connections, which close."""
FAREWELL = timedelta(seconds=10)
"""How long the others wait for the first to tell of an error and to end. Launchers kill all when one ends."""
LETTING_GO = 0.2
"""Seconds for gloo's threads to let go of the last message. One that does so while the interpreter ends takes the
process down, "terminate called without an active exception": with torch 2.13 and nothing of ours, 6 processes of 60."""
BUCKET_MIB = 25
MISTAKE, INTERRUPTED, FAILED = 2, 130, 1
"""Exit codes."""
FAILURE = "diptych.failure"


class Several(Processes):
    """The processes of one launch. Messages and decisions go through gloo, gradients on CUDA through NCCL."""

    def __init__(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        atexit.register(_leave)
        self.rank, self.number = distributed.get_rank(), distributed.get_world_size()
        self.store = distributed.distributed_c10d._get_default_store()
        self.accelerator: Accelerator | None = None

    def settle_on(self, device: torch.device) -> None:
        """Raises ``OptionError`` where torch has no way between several such devices."""
        if device.type not in ("cpu", "cuda"):
            raise OptionError(
                f"several processes cannot train on {device.type}", cure="start one, or give --device cpu"
            )
        if self.accelerator is None:
            options = DistributedDataParallelKwargs(bucket_cap_mb=BUCKET_MIB, gradient_as_bucket_view=True)
            # Told that it is the CPU, since Accelerate would else find no GPU and take each process to be alone. The
            # arithmetic is the engine's.
            self.accelerator = Accelerator(
                cpu=device.type == "cpu",
                mixed_precision="no",
                kwargs_handlers=[options],
                step_scheduler_with_optimizer=False,
            )

    def prepare(self, module: nn.Module) -> None:
        if next(module.parameters()).device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]

    def averaging(self, module: nn.Module) -> Callable[[], None]:
        assert self.accelerator is not None, "a process settles on its device first"
        wrapped = self.accelerator.prepare_model(_Expected(module))
        return lambda: wrapped()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        shared = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return tuple(shared.bool().tolist())

    def together(self, act: Callable[[], T]) -> list[T]:
        mine: tuple[T | None, BaseException | None]
        try:
            mine = act(), None
        except (Exception, KeyboardInterrupt) as error:
            mine = None, error
        outcomes: list[Any] = [None] * self.number
        distributed.all_gather_object(outcomes, (mine[0], portable(mine[1])))
        for _, problem in outcomes:
            if problem is not None:
                self._end(mine[1] or problem)
        return [value for value, _ in outcomes]

    def first(self, act: Callable[[], T]) -> T:
        return self.together(lambda: act() if self.is_main else None)[0]  # type: ignore[return-value]

    def collect(self, value: T) -> list[T]:
        values: list[Any] | None = [None] * self.number if self.is_main else None
        distributed.gather_object(value, values)
        return values or []

    def deal(self, values: list[T]) -> T:
        own: list[Any] = [None]
        distributed.scatter_object_list(own, values if self.is_main else None)
        return own[0]  # type: ignore[no-any-return]

    def spread(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.first(lambda: {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()})
        spread = {}
        for name, (shape, dtype) in found.items():
            spread[name] = tensors[name].cpu().contiguous() if self.is_main else torch.empty(shape, dtype=dtype)
            distributed.broadcast(spread[name], 0)
        return spread

    @contextmanager
    def watched(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not _is_of_connection(error):
                with suppress(RuntimeError):  # the store is gone with its process
                    self.store.set(FAILURE, f"process {self.rank} failed: {error or type(error).__name__}")
                raise
            self._end(RunError(self._told(), cure="mend that, and the same command goes on from the last checkpoint"))

    def _told(self) -> str:
        """What the process that is gone said before."""
        with suppress(RuntimeError):
            if self.store.check([FAILURE]):
                return self.store.get(FAILURE).decode()
        return "another process of this run was ended"

    def _end(self, error: BaseException) -> None:
        """Ends this process because of ``error``, which the first raises for all."""
        if self.is_main or not isinstance(error, UserError | NonFiniteError | KeyboardInterrupt):
            raise error
        with suppress(RuntimeError):  # it is gone
            distributed.barrier(async_op=True).wait(FAREWELL)
        raise SystemExit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else MISTAKE)


class _Expected(nn.Module):
    """What DistributedDataParallel wraps in place of the module itself: entering it computes nothing.

    The wrapper averages the gradients of the one backward pass after it was entered. Entered with the module, it would
    be so at the forward pass; but between that and the backward pass that completes the gradient may lie those of other
    parts of the batch (the engine's ``accumulate``), which it would take for it. Also, the networks are thus run, and
    compiled, exactly as by one process.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self) -> None:
        """Nothing."""


def portable(error: BaseException | None) -> BaseException | None:
    """``error`` as another process can receive it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _is_of_connection(error: Exception) -> bool:
    """Whether ``error`` is what a collective raises when another process is gone."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _leave() -> None:
    """Ends what torch.distributed runs, before the interpreter does."""
    time.sleep(LETTING_GO)
    if distributed.is_initialized():
        distributed.destroy_process_group()
