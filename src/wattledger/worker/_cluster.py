"""A Dask cluster as an executor. The one module that knows Dask, which is imported when a cluster is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from wattledger.kernel import Problem

_PATIENCE = "5s"
_RETRIES = 2  # of what fails by an error; what dies with its worker is done elsewhere anyway


class ClusterUnreachable(Problem):
    """There is no cluster to give work to."""

    slug = "cluster-unreachable"
    title = "The cluster cannot be reached"
    status = 503


@contextmanager
def cluster(scheduler: str) -> Iterator[Executor]:
    """The workers of the Dask scheduler at ``host:port``; raises :class:`ClusterUnreachable`.

    A task whose worker dies is done again by another one. Tasks are to be harmless to repeat.
    """
    try:
        distributed: Any = importlib.import_module("distributed")  # an extra, without types
    except ModuleNotFoundError as error:
        raise ClusterUnreachable(
            "work on a cluster needs the package distributed", remedy="install wattledger[cluster]"
        ) from error
    try:
        client = distributed.Client(f"tcp://{scheduler}", timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterUnreachable(
            f"no Dask scheduler answers at {scheduler}: {error}",
            remedy="check host and port; start one with `dask scheduler`",
        ) from error
    with client, client.get_executor(pure=False, retries=_RETRIES) as executor:
        yield executor
