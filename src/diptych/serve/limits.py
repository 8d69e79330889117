"""The limits of a server: what it takes from strangers."""

from dataclasses import dataclass

MB = 10**6


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may cost."""

    max_mb: float
    """Bytes of one uploaded file, in millions."""
    max_megapixels: float
    """Pixels of one picture, in millions."""
    max_seconds: float
    """Predicted seconds of one answer."""
    max_files: int
    """Pictures in one batch."""
    max_waiting: int
    """Requests that wait for their turn."""
    keep_minutes: float
    """How long translations can be downloaded."""

    @property
    def max_bytes(self) -> int:
        """Bytes of one uploaded file."""
        return int(self.max_mb * MB)

    @property
    def max_stored_bytes(self) -> int:
        """Bytes of all uploads and answers at the same time: four of the largest batches."""
        return 4 * self.max_files * self.max_bytes
