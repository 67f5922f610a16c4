"""A queue of texts in front of one model: what waits is read together, by one thread, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import ConfigError, RationaleError
from pyro_rationale.prediction.intervals import check_interval
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.serving.records import record_of, without_words

if TYPE_CHECKING:
    from pyro_rationale.data.document import Document
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.options import PredictOptions

AT_ONCE = 16  # texts that are read together
SLOW_AT_ONCE = 4
WORDS_AT_ONCE = 4096  # of them, the shorter ones made as long as the longest
WAITING = 256  # requests in the queue; further ones are turned away


class QueueFullError(RationaleError):
    """More requests wait than will be answered in reasonable time."""


class StruckWordError(RationaleError):
    """A word is to be left out that the text does not have."""


@dataclass
class Request:
    """A text that waits, and where its answer goes.

    Attributes:
        text: any text.
        given: what is asked about it, as the queue takes it.
        answer: its place.
    """

    text: str
    given: Any
    answer: asyncio.Future[dict[str, Any]]


class RequestQueue:
    """Answers many requests with one model, with one thread that alone uses it.

    Args:
        fitted: the model.
        waiting: requests that may wait.

    Attributes:
        read: number of texts answered so far.
    """

    def __init__(self, fitted: FittedModel, waiting: int = WAITING) -> None:
        self.fitted, self.waiting, self.read = fitted, waiting, 0
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread once all that waits has been answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    async def ask(self, text: str, given: Any) -> dict[str, Any]:
        """The answer to a request, as plain values.

        Raises:
            QueueFullError: too many others wait.
        """
        answer = asyncio.get_running_loop().create_future()
        with self._changed:
            if len(self._requests) >= self.waiting:
                raise QueueFullError(f"{self.waiting} texts wait already; try again in some seconds")
            self._requests.append(Request(text, given, answer))
            self._changed.notify()
        result: dict[str, Any] = await answer
        return result

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._requests and not self._closed:
                    self._changed.wait()
                if not self._requests:
                    return
                some = [self._requests.popleft() for _ in range(min(self.at_once, len(self._requests)))]
            some = [request for request in some if not request.answer.cancelled()]  # nobody waits for the others
            for request, result in zip(some, self._answers(some), strict=True):
                request.answer.get_loop().call_soon_threadsafe(_hand_over, request.answer, result)

    def _answers(self, requests: Sequence[Request]) -> list[dict[str, Any] | Exception]:
        """The answer to each request, or the error that it ends in; that of one harms no other."""
        try:
            return list(self._made(requests))
        except Exception as problem:
            if len(requests) == 1:
                return [problem]
            return [answer for request in requests for answer in self._answers([request])]

    @property
    def at_once(self) -> int:
        """Most texts that are read together: few where a transformer reads them, or the first would wait for all."""
        return SLOW_AT_ONCE if self.fitted.config.model.pretrained else AT_ONCE

    def _made(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """The answers to some requests."""
        raise NotImplementedError(f"{type(self).__name__} must define _made()")


class PredictionQueue(RequestQueue):
    """Explains texts.

    Args:
        fitted: a run that does not rank texts.
        options: how much is drawn and said.
        waiting: requests that may wait.

    Raises:
        ConfigError: the run ranks texts, or has too few development texts for the intervals asked for.
    """

    def __init__(self, fitted: FittedModel, options: PredictOptions, waiting: int = WAITING) -> None:
        if fitted.task.of_pairs:
            raise ConfigError(
                f"--run {fitted.name}: ranks texts; name texts to search with --index, a folder that python -m "
                "pyro_rationale.index makes, or search in the terminal with python -m pyro_rationale.search"
            )
        check_interval(fitted, options)
        super().__init__(fitted, waiting)
        self.options = options

    async def explain(self, text: str, struck: Sequence[int] = ()) -> dict[str, Any]:
        """The text explained, as :func:`~pyro_rationale.serving.records.record_of` writes it.

        Args:
            text: any text.
            struck: numbers of words that the model is not given.

        Raises:
            QueueFullError: too many others wait.
            StruckWordError: there is no such word.
        """
        return await self.ask(text, tuple(struck))

    def _made(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        whole = self.fitted.documents([request.text for request in requests])
        given: list[Document] = []
        for request, document in zip(requests, whole, strict=True):
            words = len(document.tokens)
            if request.given and not 0 <= min(request.given) <= max(request.given) < words:
                expected = f"expected numbers of words, 0 to {words - 1}" if words else "the text has no word"
                raise StruckWordError(f"struck: {expected}")
            given.append(without_words(document, set(request.given)) if request.given else document)
        worded = [document for document in given if document.tokens]
        size = max(1, WORDS_AT_ONCE // max((len(document.tokens) for document in worded), default=1))
        readings = predict(self.fitted, worded, self.options, size)
        self.read += len(requests)
        vocabulary = None if self.fitted.config.reads_every_word else self.fitted.vocabulary
        how = self.fitted.task_for(self.options.predict), self.options.level, vocabulary
        try:
            return [
                record_of(one, request.given, next(readings) if other.tokens else None, *how)
                for request, one, other in zip(requests, whole, given, strict=True)
            ]
        finally:
            self.fitted.forget_texts()  # of strangers, for as long as the server runs


def _hand_over(answer: asyncio.Future[dict[str, Any]], result: dict[str, Any] | Exception) -> None:
    if answer.done():  # its request was given up
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
