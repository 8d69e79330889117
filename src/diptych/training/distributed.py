"""Distributed training: the ranks that train one run together, through torch.distributed. Usually there is one rank."""

import atexit
import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from diptych.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, OptionError, RunError, UserError
from diptych.launcher import world_size
from diptych.monitoring.meters import NonFiniteError

T = TypeVar("T")

TIMEOUT = timedelta(hours=6)
"""Limit of a collective of gloo: other ranks wait while the main rank reads all pictures, draws samples and scores. A
rank that dies is detected by its closed connection, not by this limit."""
NCCL_TIMEOUT = timedelta(minutes=10)
"""Limit of a collective of NCCL, within an update. NCCL does not always detect that a rank has died; torch ends the
others after this limit."""
ERROR_REPORT_TIMEOUT = timedelta(seconds=10)
"""How long other ranks wait for the main rank to report an error: launchers kill all ranks when one exits."""
SHUTDOWN_SECONDS = 0.2
"""Pause before shutdown: a gloo thread that still releases buffers at interpreter exit aborts the process
(torch 2.13: 6 of 60 processes)."""
BUCKET_MIB = 25
FAILURE = "diptych.failure"


class World:
    """The ranks of a run. This class is for a single rank and does not use torch.distributed.

    The main rank makes decisions, reads checkpoints, writes and prints; every rank trains on its part of each batch.
    All methods except ``convert_batch_norm`` and ``guard`` are collectives: every rank must call them in the same
    order, or the job deadlocks.
    """

    rank, size = 0, 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes and prints."""
        return self.rank == 0

    def set_device(self, device: torch.device) -> None:
        """Selects this rank's device of that type."""

    def convert_batch_norm(self, module: nn.Module) -> None:
        """Makes batch norm inside ``module`` use the statistics of all ranks."""

    def all_reduce_hook(self, module: nn.Module) -> Callable[[], None]:
        """A hook to call before the last backward pass of a step: that pass averages the gradients of ``module``."""
        del module
        return lambda: None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each of ``flags``, whether it is set on any rank."""
        return flags

    def all_gather(self, act: Callable[[], T]) -> list[T]:
        """Calls ``act`` on all ranks and returns all results on every rank. An error on any rank ends all of them; the
        main rank raises it."""
        return [act()]

    def on_main(self, act: Callable[[], T]) -> T:
        """Calls ``act`` on the main rank only and returns the result on every rank. Errors as in ``all_gather``."""
        return act()

    def gather(self, value: T) -> list[T]:
        """The ``value`` of each rank, on the main rank; an empty list elsewhere."""
        return [value]

    def scatter(self, values: list[T]) -> T:
        """The item of the main rank's ``values`` at this rank's index."""
        return values[0]

    def broadcast(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The main rank's ``tensors``, on every rank."""
        return tensors

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Context manager: if another rank fails or is killed, this rank ends with a message."""
        yield


SINGLE_RANK = World()


class ProcessGroup(World):
    """The ranks of one launch. Objects and decisions go through gloo, tensors on CUDA through NCCL: gradients, and the
    statistics of batch norm."""

    def __init__(self) -> None:
        distributed.init_process_group("gloo", timeout=TIMEOUT)
        atexit.register(_shut_down)
        self.gradient_group: distributed.ProcessGroup | None = None
        """The group that averages gradients: NCCL on CUDA, else None, which means gloo."""
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.store = distributed.distributed_c10d._get_default_store()

    def set_device(self, device: torch.device) -> None:
        """Raises ``OptionError`` if torch.distributed does not support the device type, or there are too few GPUs."""
        if device.type not in ("cpu", "cuda"):
            problem = f"several processes cannot train on {device.type}"
            raise OptionError(problem, cure="start one process, or give --device cpu")
        if device.type == "cuda":
            index, num_gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if index >= num_gpus:
                problem = f"process {index} of this machine has no GPU of its own: torch finds {num_gpus}"
                raise OptionError(problem, cure=f"start {num_gpus} processes on each machine, or give --device cpu")
            torch.cuda.set_device(index)
            self.gradient_group = self.gradient_group or distributed.new_group(backend="nccl", timeout=NCCL_TIMEOUT)

    def convert_batch_norm(self, module: nn.Module) -> None:
        if next(module.parameters()).device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(module, self.gradient_group)  # type: ignore[no-untyped-call]

    def all_reduce_hook(self, module: nn.Module) -> Callable[[], None]:
        # No device_ids: with them, DDP's forward pass requires a tensor.
        return DistributedDataParallel(
            _EmptyForward(module),
            process_group=self.gradient_group,
            bucket_cap_mb=BUCKET_MIB,
            gradient_as_bucket_view=True,
        )

    def any(self, *flags: bool) -> tuple[bool, ...]:
        shared = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return tuple(shared.bool().tolist())

    def all_gather(self, act: Callable[[], T]) -> list[T]:
        own: tuple[T | None, BaseException | None]
        try:
            own = act(), None
        except (Exception, KeyboardInterrupt) as error:
            own = None, error
        outcomes: list[Any] = [None] * self.size
        distributed.all_gather_object(outcomes, (own[0], picklable(own[1])))
        for _, problem in outcomes:
            if problem is not None:
                self._end(own[1] or problem)
        return [value for value, _ in outcomes]

    def on_main(self, act: Callable[[], T]) -> T:
        return self.all_gather(lambda: act() if self.is_main else None)[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        values: list[Any] | None = [None] * self.size if self.is_main else None
        distributed.gather_object(value, values)
        return values or []

    def scatter(self, values: list[T]) -> T:
        own: list[Any] = [None]
        distributed.scatter_object_list(own, values if self.is_main else None)
        return own[0]  # type: ignore[no-any-return]

    def broadcast(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        known = self.on_main(lambda: {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()})
        received = {}
        for name, (shape, dtype) in known.items():
            received[name] = tensors[name].cpu().contiguous() if self.is_main else torch.empty(shape, dtype=dtype)
            distributed.broadcast(received[name], 0)
        return received

    @contextmanager
    def guard(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not _is_connection_error(error):
                with suppress(RuntimeError):  # the store is gone with its process
                    self.store.set(FAILURE, f"process {self.rank} failed: {error or type(error).__name__}")
                raise
            cure = "correct the cause; the same command then continues from the last checkpoint"
            self._end(RunError(self._failure(), cure=cure))

    def _failure(self) -> str:
        """The error that another rank reported before it ended, if any."""
        with suppress(RuntimeError):
            if self.store.check([FAILURE]):
                return self.store.get(FAILURE).decode()
        return "another process of this run was ended"

    def _end(self, error: BaseException) -> None:
        """Ends this rank after ``error``. Only the main rank raises a user's mistake or an interrupt."""
        if self.is_main or not isinstance(error, UserError | NonFiniteError | KeyboardInterrupt):
            raise error
        with suppress(RuntimeError):  # the main rank is gone
            distributed.barrier(async_op=True).wait(ERROR_REPORT_TIMEOUT)
        raise SystemExit(EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_MISTAKE)


class _EmptyForward(nn.Module):
    """A wrapper of a module for DDP: its forward pass computes nothing.

    DDP all-reduces during the first backward pass after its forward pass. With gradient accumulation there
    are several backward passes, so DDP's forward pass is called only before the last one.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self) -> None:
        """Nothing."""


@cache
def connect() -> World:
    """All ranks that were launched together with this one. The first call waits for them."""
    return SINGLE_RANK if world_size() == 1 else ProcessGroup()


def picklable(error: BaseException | None) -> BaseException | None:
    """``error`` in a form that another process can receive."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _is_connection_error(error: Exception) -> bool:
    """Whether a collective raised ``error`` because another rank has ended."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _shut_down() -> None:
    """Shuts torch.distributed down before the interpreter exits."""
    time.sleep(SHUTDOWN_SECONDS)
    if distributed.is_initialized():
        distributed.destroy_process_group()
