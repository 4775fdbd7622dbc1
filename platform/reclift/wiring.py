"""The one composition root: settings in, everything that a process needs out. Nothing connects at import."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

import structlog
from celery import Celery
from redis import Redis
from sqlalchemy.exc import SQLAlchemyError

from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import jobs
from reclift.flows.alert_channels import Channel, Mail, Webhook
from reclift.flows.answered import Answered
from reclift.flows.clock import now_micros
from reclift.flows.configuration import ensure_defaults
from reclift.flows.dead_letters import Burying
from reclift.flows.drain_stream import StreamDrain
from reclift.flows.guard import Guard
from reclift.flows.ingest import Ingest
from reclift.flows.preview import Previews
from reclift.flows.recommend import Recommender
from reclift.flows.serving import Live
from reclift.settings import Settings
from reclift.storage import partitions
from reclift.storage.artifacts import Artifacts, FolderArtifacts
from reclift.storage.database import QUICK_SECONDS, Database
from reclift.storage.eventlog import EventLog, Sink, SinkUnavailable
from reclift.storage.filesystem_broker import SCHEME
from reclift.storage.histories import Histories
from reclift.storage.migrate import migrate
from reclift.storage.news import Follower, news_of
from reclift.storage.repeats import Marks, NoMarks, RedisMarks, Repeats
from reclift.storage.shown import ShownLately
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.sinks.redis_stream import RedisStreamSink, quick_client
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.sticky import NothingShared, RedisShared, Shared, Sticky
from reclift.storage.stream import StreamReader
from reclift.strategy import Registry

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 2.0
_NEWS_PER_POLL = 4
"""Histories are trusted while the news are younger than one poll of the configuration: a late one must not matter."""


class CeleryQueue:
    """Sends a job's number through Celery's broker: Redis, or files in the data folder where there is none."""

    def __init__(self, app: Celery) -> None:
        """`app` connects at the first message."""
        self._app = app

    def send(self, job_id: int, task: str) -> None:
        """Raises what the broker raises; the job stays queued."""
        self._app.send_task(f"reclift.{task}", args=[job_id], ignore_result=True, retry=False)


def build_celery(settings: Settings) -> Celery:
    """The Celery application without its tasks; `reclift.worker` adds them."""
    app = Celery("reclift", broker=settings.redis_url or f"{SCHEME}://")
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        task_time_limit=6 * 3600,
        task_soft_time_limit=6 * 3600 - 60,
        timezone="UTC",
        task_default_queue="reclift",
    )
    if settings.embedded:
        folder = settings.data_dir.resolve() / "broker"
        for name in ("messages", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        app.conf.broker_transport_options = {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.5,
        }
    else:
        # Longer than the longest job: Redis hands out a message again that is not acknowledged within this time.
        # The connection must not hang: a job is asked for inside a web request.
        app.conf.broker_transport_options = {"visibility_timeout": 7 * 3600, "socket_connect_timeout": 3}
    return app


@dataclass
class Runtime:
    """Everything a process works with. `start` begins the background threads, `close` ends them."""

    settings: Settings
    database: Database
    registry: Registry
    artifacts: Artifacts
    queue: jobs.Queue
    live: Live
    pseudonyms: Pseudonyms
    event_log: EventLog
    spool: SpoolSink
    direct: DatabaseSink
    stream: RedisStreamSink | None
    histories: Histories
    answered: Answered
    repeats: Repeats
    shown: ShownLately
    sticky: Sticky
    previews: Previews
    recommender: Recommender
    ingest: Ingest
    guard: Guard
    follower: Follower
    channels: tuple[Channel, ...] = ()
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def set_up(self) -> tuple[str | None, str | None]:
        """Migrate the database and fill in what every installation starts with."""
        revisions = migrate(self.database)
        partitions.ensure(self.database, now_micros())
        ensure_defaults(self.database, self.settings.default_strategy)
        return revisions

    def start(self) -> None:
        """Watch the configuration, follow who has new events, and drain the spool, in threads."""
        self.live.start()
        self.follower.start()
        thread = threading.Thread(target=self._drain, name="reclift-drain", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _drain(self) -> None:
        try:
            partitions.ensure(self.database, now_micros())
        except SQLAlchemyError as error:
            log.warning("partitions_not_made", reason=str(error).splitlines()[0])  # the worker tries every hour
        while not self._stop.wait(_DRAIN_SECONDS):
            try:
                self.drain()
            except Exception:
                # The thread must live on: nobody else moves what waits here.
                log.exception("spool_not_drained")

    def drain(self) -> int:
        """Move what waits on disk into the tables; what cannot be moved now waits on."""
        try:
            tables = Burying(self.database, self.direct, "spool")
            drained = self.spool.drain(tables.append, tables.bury)
        except SinkUnavailable:
            return 0
        except OSError as error:
            log.error("spool_not_drained", reason=str(error))
            return 0
        if drained:
            log.info("spool_drained", facts=drained)
        return drained

    def stream_drain(self) -> StreamDrain | None:
        """A new consumer of the Redis stream; None where there is no Redis."""
        if not self.settings.redis_url:
            return None
        client = Redis.from_url(self.settings.redis_url, socket_timeout=10, socket_connect_timeout=3)
        reader = StreamReader(client, idle_ms=round(self.settings.stream_claim_seconds * 1_000))
        return StreamDrain(reader, Burying(self.database, self.direct, "stream"))

    def close(self) -> None:
        """End the threads and let connections go."""
        self._stop.set()
        self.live.stop()
        self.follower.stop()
        for thread in self._threads:
            thread.join(timeout=5)
        self.guard.close()
        self.database.dispose()


def build(settings: Settings, *, registry: Registry | None = None, queue: jobs.Queue | None = None) -> Runtime:
    """Put everything together. Tests give their own registry or queue."""
    database = Database(settings.sqlalchemy_url, pool_size=max(10, settings.threads))
    registry = registry or Registry.installed()
    pseudonyms = Pseudonyms(settings.pseudonym_key)
    artifacts = FolderArtifacts(settings.models_dir)
    direct = DatabaseSink(database)
    spool = SpoolSink(settings.spool_dir)
    stream: RedisStreamSink | None = None
    if settings.redis_url:
        stream = RedisStreamSink(
            quick_client(settings.redis_url),
            max_bytes=settings.stream_max_bytes,
            fsync=settings.stream_fsync,
        )
    # Somebody waits for these; what drains the others has more patience.
    waited_for = DatabaseSink(database, patience=2 * QUICK_SECONDS)
    chain: list[Sink] = [waited_for, spool] if stream is None else [stream, waited_for, spool]
    event_log = EventLog(chain)
    histories = Histories(
        database, settings.event_weights, length=settings.history_length, ttl=settings.plan_poll_seconds
    )
    answered = Answered(settings.answers_kept)

    def persons_changed(units: Collection[str] | None) -> None:
        histories.persons_changed(units)
        if units is None:
            answered.forget_all()
            repeats.forget_all()

    shown = ShownLately(database, ttl=settings.plan_poll_seconds)
    shared: Shared = NothingShared()
    marks: Marks = NoMarks()
    if settings.redis_url:
        client = quick_client(settings.redis_url, text=True)
        shared, marks = RedisShared(client), RedisMarks(client)
    repeats = Repeats(database, marks)
    sticky = Sticky(database, shared, ttl=settings.plan_poll_seconds)
    guard = Guard(threads=settings.threads, timeout_seconds=settings.strategy_timeout_ms / 1_000)
    return Runtime(
        settings=settings,
        database=database,
        registry=registry,
        artifacts=artifacts,
        queue=queue or CeleryQueue(build_celery(settings)),
        live=Live(
            database,
            registry,
            artifacts,
            poll_seconds=settings.plan_poll_seconds,
            pseudonyms=pseudonyms,
            persons_changed=persons_changed,
        ),
        pseudonyms=pseudonyms,
        event_log=event_log,
        spool=spool,
        direct=direct,
        stream=stream,
        histories=histories,
        answered=answered,
        repeats=repeats,
        shown=shown,
        sticky=sticky,
        previews=Previews(settings.signing_key()),
        recommender=Recommender(histories, sticky, event_log, guard, shown, repeats, answered),
        ingest=Ingest(event_log, histories, sticky, max_skew_seconds=settings.max_clock_skew_seconds),
        guard=guard,
        follower=Follower(
            news_of(database),
            histories.changed,
            histories.distrust,
            seconds=settings.plan_poll_seconds / _NEWS_PER_POLL,
        ),
        channels=channels(settings),
    )


def channels(settings: Settings) -> tuple[Channel, ...]:
    """The ways out that alerts have; none without the settings for them."""
    ways: list[Channel] = []
    if settings.alert_webhook_url:
        ways.append(Webhook(settings.alert_webhook_url))
    if settings.alert_mail_to:
        ways.append(
            Mail(
                host=settings.smtp_host,
                port=settings.smtp_port,
                security=settings.smtp_security,
                user=settings.smtp_user,
                password=settings.smtp_password,
                sender=settings.alert_mail_from,
                to=tuple(settings.alert_mail_to),
            )
        )
    return tuple(ways)


def configure_logging(settings: Settings) -> None:
    """One line an event on standard error, for people or as JSON."""
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    # A line for each scheduled task every few seconds would drown the rest; failures are logged by the tasks.
    for chatty in ("alembic", "kombu", "amqp", "celery"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        # Plain: the default prints local variables, and keys and passwords are among them.
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
