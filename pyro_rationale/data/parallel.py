"""Run jobs in a pool and yield their results in order."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import forkserver, get_all_start_methods, get_context, parent_process
from threading import Thread
from typing import TypeVar

from pyro_rationale.errors import END_SIGNALS, DataError

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # of NVIDIA and of AMD

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Job], Result], jobs: Iterator[Job], pool: Executor, ahead: int
) -> Generator[Result, None, None]:
    """Yield `work(job)` of each job, in the order of the jobs.

    An exception of a job is raised in the place of its result. Abandoning the iterator waits for the running jobs only.

    Raises:
        DataError: a process of the pool was killed.

    Args:
        work: a callable that the pool can run.
        jobs: taken as they are needed.
        pool: closed at the end.
        ahead: most jobs that are running, or done and not yet yielded.
    """
    with pool:
        waiting: deque[Future[Result]] = deque(pool.submit(work, job) for job in islice(jobs, ahead))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, job) for job in islice(jobs, 1))
                yield result
        except BrokenExecutor:
            raise DataError("--workers: a process was killed, perhaps for want of memory; give fewer") from None
        finally:
            pool.shutdown(cancel_futures=True)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether this machine seems to have a GPU, by the devices of its driver, and so without torch."""
    return any(map(os.path.exists, _DRIVERS))


def import_ahead(modules: Sequence[str]) -> None:
    """Start to import modules, once for all processes that :func:`in_processes` will start with them.

    It goes on in a process of its own while this one does other things; where processes cannot be copied (Windows),
    each imports for itself later.
    """
    if "forkserver" in get_all_start_methods():
        get_context("forkserver").set_forkserver_preload(list(modules))
        forkserver.ensure_running()


def in_processes(
    work: Callable[[Job], Result], jobs: Iterator[Job], workers: int, modules: Sequence[str] = ()
) -> Iterator[Result]:
    """`work` of each job in the order of the jobs, done by `workers` processes, or by this one if that is 1.

    Args:
        work: a callable that can be sent to another process.
        jobs: taken as they are needed, twice as many as processes ahead.
        workers: number of processes.
        modules: that take long to import, are safe to be copied with the process that imported them, and are needed by
            every process. A module that asks for GPUs when it is imported is not: copies could use none.
    """
    if workers == 1:
        return map(work, jobs)
    copied = bool(modules) and "forkserver" in get_all_start_methods()
    context = get_context("forkserver" if copied else "spawn")
    if copied:
        context.set_forkserver_preload(list(modules))
    pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent)
    return in_order(work, jobs, pool, 2 * workers)


def _follow_parent() -> None:
    """End when the parent does, even if it is killed; leave Ctrl-C, which all processes of a terminal get, to it."""
    for number in END_SIGNALS:
        if number != signal.SIGTERM:  # by which the pool ends its processes
            signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
