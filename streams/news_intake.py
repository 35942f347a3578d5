"""Taking in what others announce: weather, prices, grid events. In the ledger first, committed after that."""

from __future__ import annotations

from collections.abc import Mapping

from site_configs.site import Site
from streams.dead_letters import DeadLetterDesk
from streams.intake import PartitionIntake
from streams.messages import BadMessageError, DemandResponseCall, News, ReserveAward
from streams.offsets import OffsetBook
from streams.records import LedgerStore
from streams.topics import Topic

_SERVICE_OF: Mapping[type[News], str] = {DemandResponseCall: "demand_response", ReserveAward: "reserve_capacity"}


class NewsIntake(PartitionIntake):
    """One topic of news; a cycle reads from the ledger what was issued before it."""

    def __init__(
        self, topic: Topic, sites: Mapping[str, Site], ledger: LedgerStore, dead_letters: DeadLetterDesk
    ) -> None:
        super().__init__(dead_letters)
        self.topic = topic.name
        self._kinds = topic.messages
        self._sites = sites
        self._ledger = ledger
        self._waiting: list[tuple[OffsetBook, int, News]] = []

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        """Writes all that waits to the ledger in one transaction."""
        waiting, self._waiting = self._waiting, []
        self._ledger.add_announcements([news for _, _, news in waiting])
        for book, offset, _ in waiting:
            book.release(offset)

    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        if not isinstance(message, News) or type(message) not in self._kinds:
            raise BadMessageError(f"{type(message).__name__} on the topic {self.topic}")
        self._check(message)
        book.hold(offset, offset)
        self._waiting.append((book, offset, message))

    def _check(self, news: News) -> None:
        site = self._sites.get(news.site)
        if site is None:
            raise BadMessageError(f"unknown site {news.site}: this engine runs {', '.join(sorted(self._sites))}")
        wanted = _SERVICE_OF.get(type(news))
        if wanted is None:
            return
        offered = [service.id for service in site.services if service.kind == wanted]
        named = getattr(news, "service", "")
        if named not in offered:
            raise BadMessageError(f"{site.id} has no {wanted} service {named}: it has {', '.join(offered) or 'none'}")
