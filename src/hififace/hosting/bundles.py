"""The models that the page offers: those that ship and those in folders given to it, each with its card."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hififace.errors import HififaceError, OptionError
from hififace.swap.precision import WantedPrecision
from hififace.swapper import FaceSwapper
from hififace.weights.bundle import MANIFEST_NAME, Bundle, available_models, load_bundle
from hififace.weights.sessions import CPU

NO_MODEL = "No model was found. Whoever serves this page gives one: hififace app --bundles FOLDER."


@dataclass(frozen=True, slots=True)
class Offer:
    """One model of the list, usable or not."""

    name: str
    where: str | Path
    """What `FaceSwapper.load` takes."""
    bundle: Bundle | None
    problem: str = ""
    """The sentence that says why it cannot be used."""

    def card(self) -> str:
        """Markdown for people: what it is, what it was trained on, its licence and its figures."""
        if self.bundle is None:
            return f"**{self.name}** cannot be used. {self.problem}"
        bundle = self.bundle
        lines = [
            f"**{bundle.name}** {bundle.version}, {bundle.resolution} px",
            f"Licence: {bundle.licence}",
            f"Trained on: {bundle.training_data or 'not said'}",
        ]
        lines += [f"{name}: {value}" for name, value in bundle.metrics.items()]
        return "  \n".join(lines)


class Bundles:
    """All models found, opened when they are first used and then kept. Threads may share one."""

    def __init__(
        self,
        folders: Sequence[Path] = (),
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        precision: WantedPrecision = "float32",
        commercial: bool = False,
    ) -> None:
        """Look at every bundle once.

        Args:
            folders: bundles, or folders of bundles.
            providers: as in `FaceSwapper.load`.
            threads: likewise.
            precision: likewise.
            commercial: likewise; a refused model is shown with the reason.

        Raises:
            OptionError: a folder that does not exist, or has no bundle in it.
        """
        self._providers, self._threads, self._commercial = providers, threads, commercial
        self._precision: WantedPrecision = precision
        places: list[str | Path] = [*available_models()]
        for folder in folders:
            places += _bundles_in(folder)
        self.offers = {offer.name: offer for offer in _looked_at(places, commercial)}
        self._open: dict[tuple[str, int | None], FaceSwapper] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """All names, usable ones first."""
        return sorted(self.offers, key=lambda name: self.offers[name].bundle is None)

    def card(self, name: str | None) -> str:
        """What the page shows beside the choice."""
        offer = self.offers.get(name or "")
        return NO_MODEL if offer is None else offer.card()

    def swapper(self, name: str | None) -> FaceSwapper:
        """The opened model.

        Raises:
            OptionError: no such model.
            HififaceError: why it cannot be used.
        """
        offer = self.offers.get(name or "")
        if offer is None:
            known = ", ".join(self.names)
            raise OptionError(
                f"There is no model {name!r} here. Choose one of: {known}." if known else NO_MODEL
            )
        return self._opened(offer, self._threads)

    def live_swapper(self, name: str | None) -> FaceSwapper:
        """The same model for a camera: its generator runs beside the frames, so on a CPU it has one thread only.

        On two cores, a generator with two would let the frames wait: 24 frames per second became 11 to 18.

        Raises:
            OptionError: no such model.
            HififaceError: why it cannot be used.
        """
        swapper = self.swapper(name)
        if self._threads is not None or swapper.engine.provider != CPU:
            return swapper
        return self._opened(self.offers[name or ""], 1)

    def _opened(self, offer: Offer, threads: int | None) -> FaceSwapper:
        with self._lock:
            kept = offer.name, threads
            if kept not in self._open:
                try:
                    self._open[kept] = FaceSwapper.load(
                        offer.where,
                        providers=self._providers,
                        threads=threads,
                        precision=self._precision,
                        commercial=self._commercial,
                    )
                except HififaceError as error:
                    raise _without_place(error, offer.where) from error
            return self._open[kept]


def _bundles_in(folder: Path) -> list[Path]:
    if (folder / MANIFEST_NAME).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST_NAME}")) if folder.is_dir() else []
    if not found:
        raise OptionError(
            f"--bundles {folder}: no bundle is there; a folder with a {MANIFEST_NAME}, or one of such folders, "
            "was expected."
        )
    return found


def _without_place(error: HififaceError, place: str | Path) -> HififaceError:
    """Visitors of the page need not know in which folder of this machine a bundle lies."""
    return type(error)(str(error).replace(str(place), Path(place).name))


def _looked_at(places: Sequence[str | Path], commercial: bool) -> list[Offer]:
    offers: list[Offer] = []
    for place in places:
        bundle, problem = None, ""
        try:
            bundle = load_bundle(place, commercial=commercial)
        except HififaceError as error:
            problem = str(_without_place(error, place))
        name = bundle.name if bundle is not None else Path(place).name
        if any(other.name == name for other in offers):
            name = f"{name} ({Path(place).name})"
        offers.append(Offer(name, place, bundle, problem))
    return offers
