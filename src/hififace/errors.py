"""Errors that users see. Each message says what was found, what was expected and what to do.

Everything a user can cause derives from `HififaceError`, so that the command line, the web page and the service each
need one `except`. Mistakes of programmers stay `ValueError`, `TypeError` and `AssertionError`.
"""

from __future__ import annotations


class HififaceError(Exception):
    """Base class of every error that a user can cause or fix.

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code = 1


class ImageError(HififaceError):
    """An image cannot be read or written: truncated, empty, too large, or not an image."""


class VideoError(HififaceError):
    """A video cannot be read or written: no video stream, damaged, truncated, or of an unsupported format."""


class FaceError(HififaceError):
    """An image does not show the required face: none, several, too small, turned away, or no match."""


class NoFaceFoundError(FaceError):
    """No face was found where at least one was needed."""


class WeightsError(HififaceError):
    """A file of weights is missing, altered, of another kind, or may not be used under the licence asked for."""


class BundleError(WeightsError):
    """A model bundle is missing, incomplete, altered or of an unknown layout."""


class RuntimeUnavailableError(HififaceError):
    """A runtime, provider or optional library is not installed or not available."""


class OptionError(HififaceError):
    """An option or configuration value is unknown, out of range, or contradicts another."""

    exit_code = 2


class DataError(HififaceError):
    """A training set, shard, index or evaluation folder is missing, damaged or of an unknown layout."""


class TrainingError(HififaceError):
    """Training cannot continue: a non-finite step, an incompatible checkpoint, a collapsed mask."""


class ProvenanceError(HififaceError):
    """The mark of a face swap cannot be written or read."""


class InterruptedByUserError(HififaceError):
    """The user stopped the work; finished results are kept and no partial file is left."""

    exit_code = 130
