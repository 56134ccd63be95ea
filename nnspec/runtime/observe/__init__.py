"""What can be seen inside a run's network, from its folder alone: nothing here reads or writes what the run itself uses.

``Observer(folder, which="last")`` loads a checkpoint into this process and answers, each answer a dataclass with ``as_json()``::

    seen = Observer("runs/digits/001", which="last" | "best")   # DataError where the folder or the checkpoint is damaged
    seen.refresh()                                               # True where the run has saved since: the newest weights are taken
    seen.step, seen.notes, seen.outputs, seen.splits             # {"train": 1200, "validation": 300}: rows, read when they are asked for
    seen.layers                                                  # names of taps in order, as in the files of ``nnspec.runtime.taps``
    seen.give(label, feeds)                                      # a row of the user's own (cli.rows reads it): chosen as split "given"

    seen.statistics()                  Snapshot   activation, gradient, weight and update statistics, as a tap's file has them (``measure``)
    seen.samples(split="")             Samples    first and worst rows with inputs, targets, answers and losses (``samples``)
    seen.row(split, row)               Sample     one row
    seen.confusion(split)              Confusion  of an output of classes (``confusion``)
    seen.scatter(split)                Scatter    predicted against target, of an output of numbers (``confusion``)
    seen.features(layer, split, row)   Features   channels of a layer for one row, as grey tiles (``features``)
    seen.kernels(layer)                Kernels    of a convolution, as tiles; the first in colour; of other layers the matrix (``features``)
    seen.boundary()                    Boundary   answers over the plane of two number inputs (``boundary``)

Where an answer has no meaning for a network it is ``Absent(reason)``: ``{"absent": "why"}`` in JSON. ``as_json()["absent"]`` is there in
no other. Pictures are ``Picture``: ``{"width", "height", "png": base64}``, the whole a PNG file. A layer that is not there, a row out of
range, a split that is not there: SpecError. All are bounded in size whatever the network; what was left out is said by ``of`` (how many
there are) beside what is shown.
"""

from nnspec.runtime.observe.boundary import Boundary
from nnspec.runtime.observe.confusion import Confusion, Scatter
from nnspec.runtime.observe.features import Features
from nnspec.runtime.observe.kernels import Kernels
from nnspec.runtime.observe.measure import Snapshot
from nnspec.runtime.observe.observer import Observer
from nnspec.runtime.observe.picture import Picture
from nnspec.runtime.observe.samples import Sample, Samples
from nnspec.runtime.observe.shown import Absent, Shown

__all__ = ["Absent", "Boundary", "Confusion", "Features", "Kernels", "Observer", "Picture", "Sample", "Samples", "Scatter", "Shown", "Snapshot"]
