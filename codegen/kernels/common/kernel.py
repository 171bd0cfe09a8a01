"""What the compiler asks of a kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from codegen.graph.ir import Graph, Op
from codegen.program.call import Args
from codegen.program.draft import Candidate
from codegen.target.target import Target


class Kernel(ABC):
    """One row of files: this class, its template, its C and its tests carry the same name.

    A row is found in ``codegen/kernels/`` and listed nowhere.
    """

    name: str
    """``nn_<name>`` is the C function; the module, the template and the header are called so."""
    args: type[Args]
    """The literals its template is written for."""

    @property
    def stem(self) -> str:
        """Return what the row's files are called."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Yield every way in which this kernel computes ``op``; none if it cannot."""
