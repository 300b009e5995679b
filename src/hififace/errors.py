"""The one family of errors that users see: each message is a sentence.

It says what was found, what was expected and what to do. Programmers' mistakes stay `ValueError`,
`TypeError` and `AssertionError`; everything a user can cause derives from `HififaceError`, so that the
command line, the web app and the service each need one `except`.
"""

from __future__ import annotations


class HififaceError(Exception):
    """Base of every error a user can cause or mend.

    Attributes:
        exit_code: what the command line returns for it.
    """

    exit_code = 1


class ImageError(HififaceError):
    """An image cannot be read or written: truncated, empty, too large, or no image at all."""


class VideoError(HififaceError):
    """A video cannot be read or written: no video stream, broken, cut short, or an unsupported kind."""


class FaceError(HififaceError):
    """An image does not show what was asked for: no face, several, too small, turned away, no match."""


class NoFaceFoundError(FaceError):
    """No face was found where at least one was needed."""


class WeightsError(HififaceError):
    """A file of weights is missing, altered, of another kind, or may not be used under the licence asked for."""


class BundleError(WeightsError):
    """A model bundle is missing, incomplete, altered or of an unknown layout."""


class RuntimeUnavailableError(HififaceError):
    """A runtime, provider or optional library that was asked for is not there."""


class OptionError(HififaceError):
    """An option or configuration value is unknown, out of range, or contradicts another."""

    exit_code = 2


class DataError(HififaceError):
    """A training set, shard, index or evaluation folder is missing, damaged or of an unknown layout."""


class TrainingError(HififaceError):
    """Training cannot go on: a non-finite step, an incompatible checkpoint, a collapsed mask."""


class ProvenanceError(HififaceError):
    """The mark of a face swap cannot be written or read."""


class InterruptedByUserError(HififaceError):
    """The user stopped the work; what was finished is kept and nothing half-written is left."""

    exit_code = 130
