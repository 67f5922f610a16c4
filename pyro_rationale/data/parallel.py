"""Work on many things at once, results in the order of the things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(work: Callable[[Job], Result], jobs: Iterator[Job], pool: Executor, ahead: int) -> Iterator[Result]:
    """`work` of each job, in the order of the jobs.

    Whatever a job raises is raised in its place. A reader who leaves early waits for what is under way, and no more.

    Args:
        work: something that the pool can run.
        jobs: taken as they are needed.
        pool: is closed at the end.
        ahead: most jobs that are under way or done before their results are asked for.
    """
    with pool:
        waiting: deque[Future[Result]] = deque(pool.submit(work, job) for job in islice(jobs, ahead))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, job) for job in islice(jobs, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
