"""The tree of speculative branches: which work hangs on which guess.

Every session has one tree. Its root is the true trajectory, always committed; a branch below it
stands for one guessed value. Work submitted while a branch is current hangs on that branch. A
branch ends committed (the guess was right: its work becomes its parent's) or rolled back (its
work, and that of every branch below it, is withdrawn). It cannot be committed once something that
its work stands on has changed, such as the device that a loop is on.

How often a point was asked for is counted here too, since a rolled-back branch must leave no
trace in those counts: the n-th evaluation of a point has the n-th random seed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from efaas.errors import BranchRolledBack

if TYPE_CHECKING:
    from efaas.future import QuantumFuture

__all__ = ["Branch", "BranchState", "Footing", "current_branch", "entered"]


class BranchState(Enum):
    """Where a branch stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"


class Footing(Protocol):
    """What work on a branch stands on."""

    def holds(self) -> bool:
        """Whether it is still as it was."""
        ...


class Branch:
    """A node of the tree. All methods may be called from any thread."""

    __slots__ = (
        "__weakref__",
        "_bases",
        "_children",
        "_counts",
        "_footings",
        "_futures",
        "_lock",
        "_parent",
        "_state",
    )

    def __init__(self, parent: Branch | None = None) -> None:
        """A new branch below ``parent``, or a new tree.

        Raises:
            BranchRolledBack: ``parent`` was rolled back.
        """
        self._parent = parent
        self._state = BranchState.COMMITTED if parent is None else BranchState.OPEN
        self._lock: AbstractContextManager[bool] = (
            threading.RLock() if parent is None else parent._lock
        )
        self._children: set[Branch] = set()
        self._futures: set[QuantumFuture[Any]] = set()
        self._counts: Counter[Hashable] = Counter()
        self._footings: set[Footing] = set()
        self._bases: dict[Hashable, int] = {}  # what the counts above were when first relied on
        if parent is not None:
            with self._lock:
                parent.require_alive()
                self._parent = parent._committed_into()
                self._parent._children.add(self)

    @property
    def state(self) -> BranchState:
        """Open, committed or rolled back, by its own guess; see ``is_speculative`` for all."""
        return self._state

    @property
    def is_speculative(self) -> bool:
        """Whether any guess between this branch and the root is still open."""
        node: Branch | None = self
        while node is not None:
            if node._state is not BranchState.COMMITTED:
                return True
            node = node._parent
        return False

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Held, it keeps the whole tree from changing."""
        return self._lock

    @property
    def is_alive(self) -> bool:
        """Whether neither this branch nor one above it was rolled back."""
        node: Branch | None = self
        while node is not None:
            if node._state is BranchState.ROLLED_BACK:
                return False
            node = node._parent
        return True

    def require_alive(self) -> None:
        """Raise ``BranchRolledBack`` if this branch or one above it was rolled back."""
        if not self.is_alive:
            raise BranchRolledBack(
                "this step ran on a guess that turned out wrong; what it submits is dropped"
            )

    def stand_on(self, footing: Footing) -> Branch:
        """Let the branch be committed only while ``footing`` holds.

        Returns:
            The branch to roll back once it does not: this one, or that which it was committed into.
        """
        with self._lock:
            own = self._committed_into()
            own._footings.add(footing)
            return own

    def attach(self, future: QuantumFuture[Any]) -> None:
        """Hang a future on this branch; forgotten as soon as nothing can withdraw it any more."""
        if self._parent is not None:
            with self._lock:
                if self.is_speculative:
                    self._futures.add(future)

    def next_occurrence(self, key: Hashable) -> int:
        """How often ``key`` has been asked for on the way to here, this time included."""
        with self._lock:
            own = self._committed_into()
            base = own._count_above(key)
            if own._parent is not None:
                own._bases.setdefault(key, base)
            own._counts[key] += 1
            return base + own._counts[key]

    def occurrences_ahead(self, keys: Sequence[Hashable]) -> list[int]:
        """What ``next_occurrence`` would give for each of the keys in turn; nothing is counted."""
        with self._lock:
            own = self._committed_into()
            ahead: Counter[Hashable] = Counter()
            found = []
            for key in keys:
                ahead[key] += 1
                found.append(own._count_above(key) + own._counts.get(key, 0) + ahead[key])
            return found

    def commit(self) -> list[QuantumFuture[Any]] | None:
        """The guess was right. Returns the futures that are no longer speculative.

        None if the branch cannot be committed: it was rolled back before, what it stands on has
        changed, or a point that it asked for was meanwhile asked for above it, so that its
        occurrence numbers are taken.
        """
        with self._lock:
            if self._state is not BranchState.OPEN or self._parent is None:
                return None
            if any(self._count_above(key) != base for key, base in self._bases.items()):
                return None
            if not all(footing.holds() for footing in self._footings):
                return None
            self._state = BranchState.COMMITTED
            into = self._committed_into()
            if into._parent is not None:
                into._footings |= self._footings
            self._footings.clear()
            for key, count in self._counts.items():
                if into._parent is not None:
                    into._bases.setdefault(key, into._count_above(key))
                into._counts[key] += count
            self._counts.clear()
            self._bases.clear()
            if self.is_speculative:
                return []
            promoted: list[QuantumFuture[Any]] = []
            self._parent._children.discard(self)
            self._dissolve_into(self._parent, promoted)
            return promoted

    def roll_back(self) -> list[QuantumFuture[Any]]:
        """The guess was wrong. Returns the futures of the whole subtree, to be withdrawn."""
        with self._lock:
            if self._state is not BranchState.OPEN or self._parent is None:
                return []
            self._state = BranchState.ROLLED_BACK
            self._parent._children.discard(self)
            withdrawn: list[QuantumFuture[Any]] = []
            self._collect_all(withdrawn)
            return withdrawn

    def open_branches(self) -> list[Branch]:
        """The topmost open branches below this one."""
        with self._lock:
            found: list[Branch] = []
            for child in self._children:
                if child._state is BranchState.OPEN:
                    found.append(child)
                else:
                    found.extend(child.open_branches())
            return found

    def _count_above(self, key: Hashable) -> int:
        """How often ``key`` was asked for above this branch."""
        count, node = 0, self._parent
        while node is not None:
            count += node._counts.get(key, 0)
            node = node._parent
        return count

    def _committed_into(self) -> Branch:
        """The nearest branch, itself included, that is open or the root: it keeps the counts."""
        node = self
        while node._state is BranchState.COMMITTED and node._parent is not None:
            node = node._parent
        return node

    def _dissolve_into(self, trunk: Branch, promoted: list[QuantumFuture[Any]]) -> None:
        """Give this branch's futures up as committed, and its open branches to ``trunk``."""
        promoted.extend(self._futures)
        self._futures.clear()
        for child in self._children:
            child._parent = trunk
            if child._state is BranchState.COMMITTED:
                child._dissolve_into(trunk, promoted)
            else:
                trunk._children.add(child)
        self._children.clear()

    def _collect_all(self, into: list[QuantumFuture[Any]]) -> None:
        into.extend(self._futures)
        self._futures.clear()
        for child in self._children:
            child._collect_all(into)
        self._children.clear()


_current: ContextVar[Branch | None] = ContextVar("efaas_branch", default=None)


def current_branch(root: Branch) -> Branch:
    """The branch that the running step hangs on, if it is one of ``root``'s tree; else ``root``."""
    branch = _current.get()
    return branch if branch is not None and branch._lock is root._lock else root


@contextmanager
def entered(branch: Branch) -> Iterator[None]:
    """Make ``branch`` current for what this thread submits inside the block."""
    token = _current.set(branch)
    try:
        yield
    finally:
        _current.reset(token)
