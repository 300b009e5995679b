"""What Prometheus reads: requests, waiting images, seconds by stage, faces, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 4.0, 7.0, 10.0, 20.0, 40.0, 80.0)
"""A swap takes a tenth of a second to one, and waits in the line before."""


class Metrics:
    """The figures of one service, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        ProcessCollector(registry=own)  # memory and processor time, under their usual names
        self.requests = Counter(
            "hififace_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "hififace_request_seconds",
            "From a request's first byte to its answer.",
            ["route"],
            registry=own,
            buckets=_SECONDS,
        )
        self.waiting = Gauge("hififace_waiting_images", "Images that wait.", registry=own)
        self.batches = Counter("hififace_batches", "Runs over images of one or more requests.", registry=own)
        self.images = Counter("hififace_images", "Images swapped, or not.", ["outcome"], registry=own)
        self.faces = Counter(
            "hififace_faces", "Faces of targets, swapped or left unchanged.", ["outcome"], registry=own
        )
        self.stage_seconds = Counter(
            "hififace_stage_seconds", "Seconds of work by stage.", ["stage"], registry=own
        )
        self.jobs = Counter("hififace_jobs", "Jobs that came to an end.", ["kind", "state"], registry=own)
        self.jobs_now = Gauge("hififace_jobs_now", "Jobs by state.", ["state"], registry=own)
        self.frames = Counter("hififace_video_frames", "Frames of videos finished.", registry=own)
        self.model = Info(
            "hififace_model", "What requests that name no model are swapped with.", registry=own
        )

    def note_stages(self, timings_ms: Mapping[str, float]) -> None:
        """Add the stages of one image."""
        for stage, spent in timings_ms.items():
            if stage != "total":
                self.stage_seconds.labels(stage).inc(spent / 1e3)

    def text(self) -> bytes:
        """All figures, in Prometheus' format."""
        return bytes(generate_latest(self._registry))
