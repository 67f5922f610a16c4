"""Run jobs in a pool and yield their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from itertools import islice
from typing import TypeVar

from pyro_rationale.errors import DataError

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
