"""The CRDT engine alone, in a process of its own: what a replay costs without Weft and without a network."""

import time

import pycrdt

from bench.texts import load_trace, record

__all__ = ["Side"]


class Side:
    """The commands of the bare engine."""

    async def do_local(self, trace: str, count: int | None) -> int:
        """Type a trace into a document that tells its updates; return the nanoseconds."""
        wanted = load_trace(trace).first(count)
        updates: list[bytes] = []
        doc = pycrdt.Doc[pycrdt.Text](client_id=2**40 + 1)
        text = doc.get("text", type=pycrdt.Text)
        observing = doc.observe(lambda event: updates.append(event.update))
        began = time.perf_counter_ns()
        for at, deleted, inserted in wanted.patches:
            with doc.transaction():
                if deleted:
                    del text[at : at + deleted]
                if inserted:
                    text.insert(at, inserted)
        took = time.perf_counter_ns() - began
        doc.unobserve(observing)
        if str(text) != wanted.end:
            raise ValueError(f"{trace} came to another text in the bare engine")
        return took

    async def do_apply(self, trace: str, count: int | None) -> int:
        """Apply the updates of a trace one by one; return the nanoseconds."""
        wanted = load_trace(trace).first(count)
        updates = record(wanted, 2**40 + 1)
        doc = pycrdt.Doc[pycrdt.Text]()
        text = doc.get("text", type=pycrdt.Text)
        began = time.perf_counter_ns()
        for update in updates:
            doc.apply_update(update)
        took = time.perf_counter_ns() - began
        if str(text) != wanted.end:
            raise ValueError(f"{trace} came to another text in the bare engine")
        return took
